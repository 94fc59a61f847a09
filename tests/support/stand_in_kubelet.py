"""A kubelet of the tests: containers are plain processes of this machine, ports are those of loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from events.local.apiserver.pods.kubelet import Connection, ExecOptions, LogOptions, Pod, Streams
from events.local.apiserver.status import StatusError


@dataclass
class StandInKubelet:
    """Runs commands as they are; `log_lines` is every container's log, `ports` maps the pod's ports to real ones."""

    log_lines: list[bytes] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    running: int = 0

    async def logs(self, pod: Pod, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            text = f'previous terminated container "{options.container}" in pod "{pod["metadata"]["name"]}" not found'
            raise StatusError(400, "BadRequest", text)
        lines = (
            self.log_lines
            if options.tail_lines is None
            else self.log_lines[-options.tail_lines or len(self.log_lines) :]
        )
        self.running += 1
        try:
            for line in lines:
                yield line
            while options.follow:
                await asyncio.sleep(0.05)
                yield b"more\n"
        finally:
            self.running -= 1

    async def exec(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        self.asked.append(options)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*options.command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise StatusError(500, "InternalError", f"cannot start {options.command[0]}: {error}") from error
        self.running += 1
        try:
            return await self._carry(process, streams)
        finally:
            self.running -= 1
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _carry(self, process: asyncio.subprocess.Process, streams: Streams) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        side = [asyncio.create_task(self._feed(process.stdin, streams)), asyncio.create_task(self._resize(streams))]
        try:
            await asyncio.gather(
                self._drain(process.stdout, streams.write_stdout), self._drain(process.stderr, streams.write_stderr)
            )
            return await process.wait()
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)

    async def _feed(self, stdin: asyncio.StreamWriter, streams: Streams) -> None:
        while data := await streams.read_stdin():
            stdin.write(data)
            await stdin.drain()
        stdin.close()

    async def _resize(self, streams: Streams) -> None:
        while True:
            self.sizes.append(await streams.next_size())

    async def _drain(self, reader: asyncio.StreamReader, write: Any) -> None:
        while data := await reader.read(32 * 1024):
            await write(data)

    async def attach(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        self.asked.append(options)
        await streams.write_stdout(b"attached\n")
        while data := await streams.read_stdin():
            await streams.write_stdout(data.upper())
        return 0

    async def connect(self, pod: Pod, port: int) -> Connection:
        self.asked.append(port)
        if port not in self.ports:
            raise ConnectionRefusedError(f"nobody listens on port {port}")
        return await asyncio.open_connection("127.0.0.1", self.ports[port])
