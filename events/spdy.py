"""SPDY/3.1, as far as port-forward needs it: the frames of both sides.

Bytes in, frames out; frames in, bytes out: no I/O here. Numbers and the dictionary are those of the specification
(SPDY Protocol Draft 3). Windows are not kept: clients of the API send without them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
VERSION = 3
REFUSED_STREAM = 3
LARGEST_FRAME = 1024 * 1024
LARGEST_HEADERS = 64 * 1024

_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
allow authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since
if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate
proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning
www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"""
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


@cache
def dictionary() -> bytes:
    """What header blocks are compressed with."""
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _REST.encode()


class ProtocolError(Exception):
    """The peer does not speak SPDY/3, or says too much at once."""


@dataclass(frozen=True)
class Frame:
    """A frame: `kind` 0 is data. `headers` of SYN_STREAM only; `number` is a ping's id."""

    kind: int
    stream: int = 0
    flags: int = 0
    data: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    number: int = 0

    @property
    def is_last(self) -> bool:
        return bool(self.flags & FIN)


class Decoder:
    """Frames from bytes that come in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=dictionary())

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises ProtocolError."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= 8:
            head, length = struct.unpack(">II", self._buffer[:8])
            flags, length = length >> 24, length & 0xFFFFFF
            if length > LARGEST_FRAME:
                raise ProtocolError("frame too large")
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            frames.append(self._frame(head, flags, body))
        return frames

    def _frame(self, head: int, flags: int, body: bytes) -> Frame:
        if not head >> 31:
            return Frame(0, head, flags, body)
        version, kind = head >> 16 & 0x7FFF, head & 0xFFFF
        if version != VERSION:
            raise ProtocolError(f"version {version}")
        try:
            if kind == SYN_STREAM:
                return Frame(kind, _id(body), flags, headers=self._headers(body[10:]))
            if kind in (SYN_REPLY, HEADERS):
                return Frame(kind, _id(body), flags, headers=self._headers(body[4:]))
            if kind == PING:
                return Frame(kind, number=struct.unpack(">I", body[:4])[0])
            return Frame(kind, _id(body) if kind in (RST_STREAM, WINDOW_UPDATE) else 0, flags)
        except struct.error as error:
            raise ProtocolError("frame too short") from error

    def _headers(self, block: bytes) -> tuple[tuple[str, str], ...]:
        try:
            plain = self._inflate.decompress(block, LARGEST_HEADERS)
        except zlib.error as error:
            raise ProtocolError("headers cannot be read") from error
        if self._inflate.unconsumed_tail:
            raise ProtocolError("headers too large")
        (count,) = struct.unpack_from(">I", plain)
        at, found = 4, []
        for _ in range(count):
            name, at = _text(plain, at)
            value, at = _text(plain, at)
            found.append((name.lower(), value))
        return tuple(found)


def _id(body: bytes) -> int:
    return int(struct.unpack(">I", body[:4])[0]) & 0x7FFFFFFF


def _text(plain: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", plain, at)
    end = at + 4 + length
    if end > len(plain):
        raise ProtocolError("headers too short")
    return plain[at + 4 : end].decode("latin-1"), end


class Encoder:
    """Bytes of frames. One per connection: header blocks are compressed as one stream."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=dictionary())

    def syn_stream(self, stream: int, headers: dict[str, str], *, is_last: bool = False) -> bytes:
        """Open a stream."""
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _control(SYN_STREAM, FIN if is_last else 0, body)

    def syn_reply(self, stream: int) -> bytes:
        """Accept a stream."""
        return _control(SYN_REPLY, 0, struct.pack(">I", stream) + self._block({}))

    def _block(self, headers: dict[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.encode("latin-1"), value.encode("latin-1")):
                plain += struct.pack(">I", len(text)) + text
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def data(stream: int, payload: bytes, *, is_last: bool = False) -> bytes:
    """A piece of a stream, or its end."""
    return struct.pack(">II", stream, (FIN if is_last else 0) << 24 | len(payload)) + payload


def rst_stream(stream: int, status: int) -> bytes:
    """End a stream at once."""
    return _control(RST_STREAM, 0, struct.pack(">II", stream, status))


def ping(number: int) -> bytes:
    """A ping, or the answer to one."""
    return _control(PING, 0, struct.pack(">I", number))


def goaway(last_stream: int, status: int = 0) -> bytes:
    """No more streams are taken."""
    return _control(GOAWAY, 0, struct.pack(">II", last_stream, status))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body
