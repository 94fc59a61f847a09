"""Asks `forker` for processes, and looks after them: they are children of this very process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from events.errors import KeryxError

_FORKER, _LAUNCHER = (Path(__file__).with_name(name) for name in ("forker.py", "launch.py"))
_ANSWER_SECONDS = 10.0
_MACHINES = ("x86_64", "aarch64", "arm64")


class Unavailable(KeryxError):
    """Nothing can be forked here, or not now: start the process in another way."""


class Child:
    """A process that was forked. As far as containers need it, as asyncio's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._ended = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                return
            self.returncode = os.waitstatus_to_exitcode(status)
        if self.returncode is None:
            self.returncode = 255  # somebody else waited for it
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._ended.set()

    async def reads(self, handle: int) -> asyncio.StreamReader:
        """A pipe that it writes to."""
        reader = asyncio.StreamReader()
        file = os.fdopen(handle, "rb", 0)
        connect = asyncio.get_running_loop().connect_read_pipe
        transport, _ = await connect(lambda: asyncio.StreamReaderProtocol(reader), file)
        self._transports.append(transport)
        return reader

    async def writes(self, handle: int) -> asyncio.StreamWriter:
        """A pipe that it reads from."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        file = os.fdopen(handle, "wb", 0)
        transport, protocol = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        self._transports.append(transport)
        return asyncio.StreamWriter(transport, protocol, reader, loop)

    async def wait(self) -> int:
        """Its exit code; that of a signal is negative."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def close(self) -> None:
        """Let go of its pipes."""
        for transport in self._transports:
            transport.close()

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forker:
    """One process that forks; started at the first use, and again when it is gone. `programs`: what it has ready."""

    def __init__(self, programs: Sequence[str] = ()) -> None:
        self._programs = programs
        self._lock = asyncio.Lock()
        self._channel: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._is_useless = sys.platform != "linux" or platform.machine() not in _MACHINES

    async def fork(self, description: bytes, streams: Sequence[int]) -> tuple[Child, asyncio.StreamReader]:
        """The process and what it reports until it is what it was to become. Raises Unavailable and OSError."""
        if self._is_useless:
            raise Unavailable("this machine is not known to fork so")
        reading, writing = os.pipe()
        heard, word = os.pipe()
        try:
            with tempfile.TemporaryFile() as file:
                file.write(description)
                file.flush()
                async with self._lock:
                    pid = await self._ask([heard, file.fileno(), writing, *streams])
            child = Child(pid)
            os.write(word, b"!")
        except BaseException:
            os.close(reading)
            raise
        finally:
            for handle in (writing, heard, word):
                os.close(handle)
        return child, await child.reads(reading)

    async def _ask(self, handles: list[int]) -> int:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                channel = self._channel or await self._start()
                socket.send_fds(channel, [b"fork"], handles)
                answer = await asyncio.get_running_loop().sock_recv(channel, 32)
        except (OSError, TimeoutError) as error:
            await self.aclose()
            raise Unavailable(f"the process that forks does not answer: {error}") from error
        except asyncio.CancelledError:
            self._let_go()  # the answer that is on its way is nobody's
            raise
        if not answer or int(answer) <= 0:
            await self.aclose()
            self._is_useless = bool(answer)
            raise Unavailable("the process that forks has ended, or may not")
        return int(answer)

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  # has no names
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_FORKER), str(theirs.fileno()), str(_LAUNCHER), *self._programs),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = ours
        return ours

    async def aclose(self) -> None:
        """End it; what it forked goes on."""
        process = self._let_go()
        if process is not None:
            await process.wait()

    def _let_go(self) -> asyncio.subprocess.Process | None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return process
