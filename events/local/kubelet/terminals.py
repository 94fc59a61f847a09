"""Pseudo terminals, for containers and commands that want one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import pty
import struct
import termios

_PIECE = 32 * 1024


class Terminal:
    """The node's end of one; `inner` is the process's, until `close_inner`."""

    def __init__(self) -> None:
        self._outer, self.inner = pty.openpty()
        os.set_blocking(self._outer, False)
        self._is_closed = False

    def close_inner(self) -> None:
        """The process has its copy: once it is gone, reading ends."""
        if self.inner >= 0:
            os.close(self.inner)
            self.inner = -1

    async def read(self) -> bytes:
        """What was written to it since; empty at the end."""
        while not self._is_closed:
            try:
                return os.read(self._outer, _PIECE)
            except BlockingIOError:
                await self._ready(is_reading=True)
            except OSError as error:
                if error.errno == errno.EIO:  # Linux: nobody has the other end any more
                    return b""
                raise
        return b""

    async def write(self, data: bytes) -> None:
        """As if it had been typed."""
        while data and not self._is_closed:
            try:
                data = data[os.write(self._outer, data) :]
            except BlockingIOError:
                await self._ready(is_reading=False)

    async def _ready(self, *, is_reading: bool) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def settle() -> None:
            if not ready.done():
                ready.set_result(None)

        add, remove = (loop.add_reader, loop.remove_reader) if is_reading else (loop.add_writer, loop.remove_writer)
        add(self._outer, settle)
        try:
            await ready
        finally:
            remove(self._outer)

    def resize(self, columns: int, rows: int) -> None:
        """The size that programs see."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Nobody reads or writes any more."""
        self.close_inner()
        if not self._is_closed:
            self._is_closed = True
            os.close(self._outer)
