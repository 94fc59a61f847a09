"""JSON objects over a socket, each behind its length: what supervisor and worker say to each other.

to a worker     {"plan": …} first; {"ports": […], "open": bool}; {"ask": number}; {"stop": true}
to the other    {"waiting": {name: reason}, "ports": {port: event}, "numbers": snapshot?, "answers": number?},
                and {"refused": message, "path": …, "cure": …} from one that cannot work with its plan
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<I")
MAX_BYTES = 64 << 20
Message = dict[str, Any]


class BrokenChannel(Exception):
    """The other side said what is no message."""


class Channel:
    """One end. What is posted leaves in order; nobody posts without a bound, so it need not wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, connection: socket.socket) -> Channel:
        """Takes the socket over."""
        connection.setblocking(False)  # noqa: FBT003 - the standard library's
        return cls(*await asyncio.open_unix_connection(sock=connection))

    def post(self, message: Message) -> None:
        """Send it; nothing happens when the other side is gone."""
        text = json.dumps(message).encode()
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(text)) + text)

    async def flush(self) -> None:
        """Returns when what was posted has left, or never will."""
        try:
            await self._writer.drain()
        except OSError:
            return

    async def receive(self) -> Message | None:
        """The next message; None when the other side is gone. BrokenChannel when it is no message."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_BYTES:
                raise BrokenChannel(f"a message of {length} bytes")
            message = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
        except ValueError as error:
            raise BrokenChannel(f"no message: {error}") from error
        if not isinstance(message, dict):
            raise BrokenChannel("a message that is no object")
        return message

    async def aclose(self) -> None:
        """Close it, after what was posted."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()
