"""One life of a script worker: its process, its socket, the frames on it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from events.errors import KeryxError
from events.scripting import frames

_START_SECONDS = 30.0
_MODULES = ("events", "jq", "lupa", "orjson")


class CannotStart(KeryxError):
    """The worker does not start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of a script may take before it is stopped."""

    seconds: float = 1.0
    """CPU time. Scripts cannot wait for anything, so on an idle machine this is the time on the clock."""
    memory: int = 256 << 20
    """Bytes of the worker on top of what it needs itself; a Lua script has 64 MB of its own."""

    @property
    def patience(self) -> float:
        """Seconds on the clock after which a worker that says nothing is killed: stopped, swapped out, or hanging."""
        return 5 * self.seconds + 5


class Answers(Protocol):
    """Who reads what a worker says."""

    def ready(self) -> None:
        """The worker has started."""

    def answered(self, status: frames.Status, payload: bytes) -> None:
        """The oldest open request has its answer."""


def command(limits: Limits) -> list[str]:
    """How a worker is started; it gets the folders of the few packages it imports, found without importing them."""
    worker = str(Path(__file__).with_name("worker.py"))
    arguments = (str(os.getpid()), str(limits.seconds), str(limits.memory))
    return [sys.executable, "-I", "-S", worker, *arguments, *_folders()]


def _folders() -> list[str]:
    found: dict[str, None] = {}
    for name in _MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise CannotStart(f"the package {name} is not installed")
        origin = Path(spec.origin)
        found[str(origin.parents[1] if spec.submodule_search_locations else origin.parent)] = None
    return list(found)


class Link(asyncio.Protocol):
    """A running worker. `closed` is done when its socket is; every answer was handed on by then."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._incoming = frames.Frames(frames.ANSWER)
        self._outgoing: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.defect = ""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    @property
    def pid(self) -> int | None:
        """The process, for tests and log lines."""
        return self._process.pid if self._process else None

    async def start(self, limits: Limits) -> None:
        """Returns when the worker can take requests; CannotStart when it does not come so far."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.setblocking(False)  # noqa: FBT003 - the standard library's
                await self._loop.create_unix_connection(lambda: self, sock=ours)
            except BaseException:
                ours.close()
                raise
            try:
                # From this thread, the loop's: see worker.py about the thread that spawns.
                self._process = await asyncio.create_subprocess_exec(
                    *command(limits),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={},
                )
            except OSError as error:
                raise CannotStart(f"cannot run {sys.executable}: {error}") from error
        await asyncio.wait({self._ready, self.closed}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            raise CannotStart(f"it {describe(await self.end())} at start: {self.defect or 'no reason given'}")

    def send(self, frame: bytes) -> None:
        """Send a frame with all others of this turn of the loop."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(frame)

    def _flush(self) -> None:
        frames_, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(frames_))

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None and self._process.returncode is None:
            # Not Process.kill: it looks whether the child is dead and so takes its exit status from asyncio's watcher.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def end(self) -> int:
        """Make sure that the process is gone; its exit status, negative for a signal."""
        if self._transport is not None:
            self._transport.abort()
        if self._process is None:
            return 0
        self.kill()  # at once: scripts have no effects. One that is dying already keeps its reason.
        return await self._process.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        for (status,), payload in self._incoming.feed(data):
            if status == frames.Status.READY:
                self._ready.set_result(None)
                self._answers.ready()
            elif status == frames.Status.BROKEN:
                self.defect = payload.decode("utf-8", "replace")
            else:
                self._answers.answered(frames.Status(status), payload)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def describe(status: int) -> str:
    """`was killed by signal 9 (Killed)`, `ended with status 1`."""
    if status < 0:
        return f"was killed by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}"
