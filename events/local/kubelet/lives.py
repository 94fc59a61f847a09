"""One life of a container: its process, what it says, who is attached, and its end with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Self

from events.local.kubelet.container_log import Writer
from events.local.kubelet.forking import Child
from events.local.kubelet.processes import Launch, StartError
from events.local.kubelet.runtimes import Runtime
from events.local.kubelet.terminals import Terminal

_PIECE = 64 * 1024
_DRAIN_SECONDS = 2.0
_QUEUE = 1024
"""Pieces that wait for a slow client; one that falls behind further is let go."""

Piece = tuple[str, bytes]


class Life:
    """Started by `start`; `wait` is awaited by its owner, once."""

    def __init__(self, runtime: Runtime, mark: str, writer: Writer) -> None:
        self._runtime, self.mark, self.writer = runtime, mark, writer
        self._attached: set[asyncio.Queue[Piece | None]] = set()
        self._terminal: Terminal | None = None
        self._process: asyncio.subprocess.Process
        self._pumps: list[asyncio.Task[None]] = []
        self.ended = asyncio.Event()
        self.exit_code = 0

    @classmethod
    async def start(cls, runtime: Runtime, launch: Launch, mark: str, writer: Writer) -> Self:
        """A process that runs. Raises StartError."""
        life = cls(runtime, mark, writer)
        if launch.tty:
            await life._start_on_terminal(launch)
        else:
            pipe = asyncio.subprocess.PIPE
            stdin = pipe if launch.stdin else None
            life._process = await runtime.start(launch, stdin=stdin, stdout=pipe, stderr=pipe)
            for name, stream in (("stdout", life._process.stdout), ("stderr", life._process.stderr)):
                assert stream is not None
                life._pump(name, partial(stream.read, _PIECE))
        return life

    async def _start_on_terminal(self, launch: Launch) -> None:
        self._terminal = terminal = Terminal()
        inner = terminal.inner
        try:
            self._process = await self._runtime.start(launch, stdin=inner, stdout=inner, stderr=inner)
        except StartError:
            terminal.close()
            raise
        terminal.close_inner()
        self._pump("stdout", terminal.read)

    def _pump(self, name: str, read: Callable[[], Awaitable[bytes]]) -> None:
        self._pumps.append(asyncio.create_task(self._carry(name, read), name=f"log {self.mark}"))

    async def _carry(self, name: str, read: Callable[[], Awaitable[bytes]]) -> None:
        while data := await read():
            self.writer.write(name, data)
            for queue in list(self._attached):
                try:
                    queue.put_nowait((name, data))
                except asyncio.QueueFull:
                    self._attached.discard(queue)

    @property
    def pid(self) -> int:
        """Of its first process, which leads its session."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit code, once nothing of it is left and its log is complete; 128 + n for a signal."""
        code = await self._process.wait()
        await self._runtime.clear(self._process, self.mark)
        _, late = await asyncio.wait(self._pumps, timeout=_DRAIN_SECONDS)
        for pump in late:  # somebody else holds the pipe
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self.writer.close()
        if isinstance(self._process, Child):
            self._process.close()
        for queue in self._attached:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)
        if self._terminal:
            self._terminal.close()
        self.exit_code = 128 - code if code < 0 else code
        self.ended.set()
        return self.exit_code

    async def signal(self, number: int) -> None:
        """To the first process alone, as a kubelet's SIGTERM; SIGKILL to all of it."""
        await self._runtime.signal(self._process, self.mark, number)

    @contextlib.contextmanager
    def attached(self) -> Iterator[asyncio.Queue[Piece | None]]:
        """A queue of what it says from now on; None at its end."""
        queue: asyncio.Queue[Piece | None] = asyncio.Queue(_QUEUE)
        self._attached.add(queue)
        try:
            yield queue
        finally:
            self._attached.discard(queue)

    async def write(self, data: bytes) -> None:
        """To its stdin; empty bytes close it. Nothing happens when it has none."""
        if self._terminal:
            await self._terminal.write(data)
        elif self._process.stdin is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                if data:
                    self._process.stdin.write(data)
                    await self._process.stdin.drain()
                else:
                    self._process.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """Of its terminal."""
        if self._terminal:
            self._terminal.resize(columns, rows)
