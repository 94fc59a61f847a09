"""One life of a container: its process, what it says, who is attached, and its end with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Self

from events.local.kubelet import processes
from events.local.kubelet.container_log import Writer
from events.local.kubelet.processes import Launch
from events.local.kubelet.terminals import Terminal
from events.threads import in_thread

_PIECE = 64 * 1024
_DRAIN_SECONDS = 2.0
_QUEUE = 1024
"""Pieces that wait for a slow client; one that falls behind further is let go."""

Piece = tuple[str, bytes]


class Life:
    """Started by `start`; `wait` is awaited by its owner, once."""

    def __init__(self, mark: str, writer: Writer) -> None:
        self.mark, self.writer = mark, writer
        self._attached: set[asyncio.Queue[Piece | None]] = set()
        self._terminal: Terminal | None = None
        self._process: asyncio.subprocess.Process
        self._pumps: list[asyncio.Task[None]] = []
        self.ended = asyncio.Event()
        self.exit_code = 0

    @classmethod
    async def start(cls, launch: Launch, mark: str, writer: Writer, *, wants_stdin: bool) -> Self:
        """A process that runs. Raises StartError."""
        life = cls(mark, writer)
        if launch.tty:
            await life._start_on_terminal(launch)
        else:
            pipe = asyncio.subprocess.PIPE
            life._process = await processes.start(launch, stdin=pipe if wants_stdin else None, stdout=pipe, stderr=pipe)
            for name, stream in (("stdout", life._process.stdout), ("stderr", life._process.stderr)):
                assert stream is not None
                life._pump(name, partial(stream.read, _PIECE))
        return life

    async def _start_on_terminal(self, launch: Launch) -> None:
        self._terminal = terminal = Terminal()
        inner = terminal.inner
        try:
            self._process = await processes.start(launch, stdin=inner, stdout=inner, stderr=inner)
        except processes.StartError:
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
        processes.signal_group(self.pid, signal.SIGKILL)
        await in_thread(lambda: processes.end_marked(self.mark), "container end")
        _, late = await asyncio.wait(self._pumps, timeout=_DRAIN_SECONDS)
        for pump in late:  # somebody else holds the pipe
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self.writer.close()
        for queue in self._attached:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)
        if self._terminal:
            self._terminal.close()
        self.exit_code = 128 - code if code < 0 else code
        self.ended.set()
        return self.exit_code

    def signal(self, number: int) -> None:
        """To the first process alone, as a kubelet's SIGTERM."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """The end of the whole group."""
        if self._process.returncode is None:
            processes.signal_group(self.pid, signal.SIGKILL)

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
