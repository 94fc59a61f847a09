"""Logs, exec, attach, ports: the contract `apiserver.pods.kubelet.Kubelet`, kept."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from events.local.apiserver.pods.kubelet import Connection, ExecOptions, LogOptions, Pod, Streams
from events.local.apiserver.status import StatusError
from events.local.kubelet import container_log, processes
from events.local.kubelet.addresses import HOST
from events.local.kubelet.containers import Container
from events.local.kubelet.forwarding import Forwards
from events.local.kubelet.lives import Life
from events.local.kubelet.processes import StartError
from events.local.kubelet.runtimes import Runtime
from events.local.kubelet.terminals import Terminal

if TYPE_CHECKING:
    from events.local.kubelet.pods import PodWorker

_PIECE = 32 * 1024
_CONNECT_SECONDS = 10.0


class Streaming:
    """For the pods of one node."""

    def __init__(self, workers: Mapping[str, PodWorker], forwards: Forwards) -> None:
        self._workers, self._forwards = workers, forwards

    def _worker(self, pod: Pod) -> PodWorker:
        found = self._workers.get(pod["metadata"]["uid"])
        if found is None:
            raise StatusError(404, "NotFound", f'pod "{pod["metadata"]["name"]}" is not on this node yet, or no longer')
        return found

    def _container(self, pod: Pod, name: str) -> Container:
        found = self._worker(pod).container(name)
        if found is None:
            raise StatusError(400, "BadRequest", f"container {name} is not valid for pod {pod['metadata']['name']}")
        return found

    async def logs(self, pod: Pod, options: LogOptions) -> AsyncIterator[bytes]:
        """The log of the container's present life, or of the one before."""
        container = self._container(pod, options.container)
        number, name = container.state.restarts, pod["metadata"]["name"]
        is_between = container.life is None and "waiting" in container.state.state
        if options.previous:
            number -= 0 if is_between and container.state.last else 1
            if number < 0 or not container.log_path(number).exists():
                text = f'previous terminated container "{options.container}" in pod "{name}" not found'
                raise StatusError(400, "BadRequest", text)
        elif not container.log_path(number).exists():
            if number and container.log_path(number - 1).exists():
                number -= 1
            else:
                why = (container.state.state.get("waiting") or {}).get("reason") or "ContainerCreating"
                text = f'container "{options.container}" in pod "{name}" is waiting to start: {why}'
                raise StatusError(400, "BadRequest", text)
        is_live = container.life is not None and number == container.state.restarts
        writer = container.life.writer if container.life is not None and is_live else None
        async for piece in container_log.read(container.log_path(number), options, writer):
            yield piece

    async def exec(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        """A command beside the container's process."""
        container = self._container(pod, options.container)
        try:
            launch = container.launch_inside(list(options.command), tty=options.tty)
            if options.tty:
                return await self._on_terminal(container.runtime, launch, streams)
            pipe = asyncio.subprocess.PIPE
            launch, stdin = replace(launch, stdin=options.stdin), pipe if options.stdin else None
            process = await container.runtime.start(launch, stdin=stdin, stdout=pipe, stderr=pipe)
        except StartError as error:
            raise StatusError(500, "InternalError", f"cannot exec in container {options.container}: {error}") from error
        try:
            return await self._carry(process, streams)
        finally:
            await _end(process)

    async def _carry(self, process: asyncio.subprocess.Process, streams: Streams) -> int:
        assert process.stdout is not None
        assert process.stderr is not None
        feeding = asyncio.create_task(_feed(process.stdin, streams))
        try:
            await asyncio.gather(
                _drain(process.stdout, streams.write_stdout), _drain(process.stderr, streams.write_stderr)
            )
            return _code(await process.wait())
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _on_terminal(self, runtime: Runtime, launch: processes.Launch, streams: Streams) -> int:
        terminal = Terminal()
        side: list[asyncio.Task[None]] = []
        try:
            inner = terminal.inner
            process = await runtime.start(launch, stdin=inner, stdout=inner, stderr=inner)
            terminal.close_inner()
            side = [
                asyncio.create_task(_type(terminal.write, streams)),
                asyncio.create_task(_resize(terminal.resize, streams)),
            ]
            try:
                while data := await terminal.read():
                    await streams.write_stdout(data)
                return _code(await process.wait())
            finally:
                await _end(process)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            terminal.close()

    async def attach(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        """Join what the container's process says, and type into it if it has a stdin."""
        container = self._container(pod, options.container)
        life = container.life
        if life is None:
            raise StatusError(400, "BadRequest", f"container {options.container} is not running")
        side = [asyncio.create_task(_resize(life.resize, streams))]
        if options.stdin:
            side.append(asyncio.create_task(_type(life.write, streams, once=bool(container.spec.get("stdinOnce")))))
        try:
            return await self._follow(life, options, streams)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)

    async def _follow(self, life: Life, options: ExecOptions, streams: Streams) -> int:
        with life.attached() as queue:
            while (piece := await queue.get()) is not None:
                name, data = piece
                if name == "stdout" and options.stdout:
                    await streams.write_stdout(data)
                elif name == "stderr" and options.stderr:
                    await streams.write_stderr(data)
        await life.ended.wait()
        return life.exit_code

    async def connect(self, pod: Pod, port: int) -> Connection:
        """To the pod's own address, else to localhost, where the pod may listen alone."""
        worker = self._worker(pod)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await asyncio.open_connection(worker.address, port)
        except ConnectionRefusedError:
            if self._forwards.leads_elsewhere(worker.uid, port):
                raise
        return await asyncio.open_connection(HOST, port)


def _code(code: int) -> int:
    return 128 - code if code < 0 else code


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        processes.signal_group(process.pid, signal.SIGKILL)
        await process.wait()


async def _feed(stdin: asyncio.StreamWriter | None, streams: Streams) -> None:
    if stdin is None:
        return
    with contextlib.suppress(ConnectionError):
        while data := await streams.read_stdin():
            stdin.write(data)
            await stdin.drain()
    stdin.close()


async def _type(write: Callable[[bytes], Awaitable[None]], streams: Streams, *, once: bool = False) -> None:
    while data := await streams.read_stdin():
        await write(data)
    if once:
        await write(b"")


async def _resize(resize: Callable[[int, int], None], streams: Streams) -> None:
    while True:
        resize(*await streams.next_size())


async def _drain(reader: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await reader.read(_PIECE):
        await write(data)
