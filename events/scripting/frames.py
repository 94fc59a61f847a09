"""What goes over the socket to the script worker and back: frames, answers in the order of requests."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

REQUEST = struct.Struct("<IBI")  # length of the payload, operation, number of the program
ANSWER = struct.Struct("<IB")  # length of the payload, status


class Kind(enum.Enum):
    """What a program is written in and for; the value is the first byte of its definition."""

    JQ = b"j"
    LUA_TRANSFORM = b"t"
    LUA_FILTER = b"f"


class Operation(enum.IntEnum):
    """What is asked."""

    DEFINE = 0
    """Remember a program under its number: kind and text. Has no answer."""
    COMPILE = 1
    """Whether the program can be compiled."""
    RUN = 2
    """Run the program with the payload as its event's data."""


class Status(enum.IntEnum):
    """How an answer is to be read."""

    READY = 0
    """The first frame: the worker can start."""
    DATA = 1
    TRUE = 2
    FALSE = 3
    REFUSED = 4
    """The program or the data is wrong; the payload says why."""
    LIMIT = 5
    """The program was stopped because it took too much; the worker lives on."""
    BROKEN = 6
    """A defect of the worker, which ends with it; the payload says which."""


def request(operation: Operation, program: int, payload: bytes) -> bytes:
    """A request as it is sent."""
    return REQUEST.pack(len(payload), operation, program) + payload


def answer(status: Status, payload: bytes = b"") -> bytes:
    """An answer as it is sent."""
    return ANSWER.pack(len(payload), status) + payload


class Frames:
    """Bytes as they come in, cut into frames: the fields of the header but the length, and the payload."""

    def __init__(self, header: struct.Struct) -> None:
        self._header = header
        self._bytes = bytearray()

    def feed(self, received: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """The frames that are complete with these bytes."""
        self._bytes += received
        header, size, at = self._header, self._header.size, 0
        end = len(self._bytes)
        try:
            while end - at >= size:
                length, *fields = header.unpack_from(self._bytes, at)
                if end - at - size < length:
                    break
                payload = bytes(self._bytes[at + size : at + size + length])
                at += size + length
                yield tuple(fields), payload
        finally:
            del self._bytes[:at]
