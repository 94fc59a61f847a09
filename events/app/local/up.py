"""`keryx up`: everything of one machine in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from eventbus.embedded_config import find_server
from events.app.data_directory import DataDirectory
from events.app.local import installing, life, limits, own_images, steps
from events.app.local.admission import Admission
from events.app.local.options import Options
from events.app.local.parts import Ground, Parts
from events.app.local.place import Place, State
from events.app.local.steps import Steps
from events.errors import KeryxError, UserError
from events.kube.api import KubeApi
from events.kube.client import KubeClient
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.server import LOOPBACK, Server
from events.local.apiserver.server import Settings as ServerSettings
from events.local.kubelet import engines, processes
from events.local.kubelet.addresses import SERVICES, part_of
from events.local.kubelet.engines import Engine
from events.logs import Log
from events.metrics import Metrics
from events.threads import in_thread
from events.version import VERSION


@dataclass(frozen=True)
class Ready:
    """What there is to say once everything is there. `notes`: what a person should know."""

    url: str
    kubeconfig: Path
    data: Path
    seconds: float
    notes: tuple[str, ...]


class Watcher:
    """Who is told of the life of one, beside its log; does nothing himself."""

    def stepped(self, rows: tuple[steps.Row, ...]) -> None:
        """A part begins, or is there."""

    async def ready(self, ready: Ready, api: KubeApi) -> None:
        """Everything is there. Cancelled when it stops."""

    def stopping(self) -> None:
        """It was told to stop."""


async def run(options: Options, watcher: Watcher) -> int:
    """Until SIGTERM or SIGINT. Raises UserError."""
    log, stopping = Log("up"), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    place = Place(options.data.absolute())
    notes = [note for note in (limits.raise_open_files(), await in_thread(bus_server, "nats-server")) if note]
    for note in notes:
        log.warning(note)
    place.check()
    engine = await _engine(options.runtime, log)
    options = replace(options, rows=own_images.of(place.data, options.images), engine=engine)
    with DataDirectory(place.data):
        state = State(os.getpid(), processes.start_time(os.getpid()), since=f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        place.kubeconfig.unlink(missing_ok=True)
        if place.runtime() != options.runtime:
            await life.end_containers(place)
            place.keep_runtime(options.runtime)
        machine = Machine(options, place, state, watcher, notes, log)
        try:
            await machine.run(stopping)
        except OSError as error:  # of the disk, of open files: nothing that a traceback would explain
            raise UserError(f"it cannot go on: {error.strerror or error}", path=str(error.filename or "")) from error
        finally:
            place.clear()
    return 0


def bus_server() -> str:
    """What to say when there is no nats-server. Blocks."""
    try:
        find_server()
    except KeryxError as error:
        return f"EventBuses cannot run: {error}"
    return ""


class Machine:
    """One life: its parts, started one after the other, or side by side where they do not need each other."""

    def __init__(
        self, options: Options, place: Place, state: State, watcher: Watcher, notes: list[str], log: Log
    ) -> None:
        self._options, self._place, self._state = options, place, state
        self._watcher, self._notes, self._log = watcher, notes, log
        self._steps = Steps(self._stepped)
        self._own = place.data / "admin.kubeconfig"

    def _stepped(self) -> None:
        self._place.write(replace(self._state, steps=self._steps.rows))
        self._watcher.stepped(self._steps.rows)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`. Raises UserError."""
        self._stepped()
        admission = Admission(Metrics(VERSION), Log("webhook"))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._own.unlink, missing_ok=True)
            client = KubeClient(str(self._own))
            stack.push_async_callback(client.aclose)
            stack.push_async_callback(admission.close)
            await admission.listen(client)
            with self._steps.step("API server") as step:
                server = await stack.enter_async_context(self._server([admission.configuration]))
                self._place.keep_port(server.url)
                kubeconfig.write(self._own, server.kubeconfig())
                step.detail = server.url
            with self._steps.step("definitions") as step:
                wanted = await in_thread(installing.definitions, "definitions")
                await installing.install(client, wanted, self._place.definitions)
                step.detail = f"{len(wanted)} kinds"
            ground = Ground(self._place, client, self._own, server, admission, wanted)
            parts = Parts(self._options, ground, self._log)
            await self._serve(parts, client, server, stopping)

    @asynccontextmanager
    async def _server(self, first: list[dict[str, object]]) -> AsyncIterator[Server]:
        """The API server, on the port that was asked for, or on that of the last time, or on another one."""
        port, former = self._options.port, self._place.port()
        if not port and former and not _is_free(former):
            self._log.warning(
                "The port of the last time is taken; kubeconfigs of then are no good any more", port=former
            )
            self._notes.append(
                f"port {former} of the last time is taken by another program: kubeconfigs of then are stale"
            )
            former = 0
        settings = ServerSettings(
            self._place.data / "apiserver",
            port=port or former,
            addresses=part_of(SERVICES, str(self._place.data)),
            first=first,
            manager=installing.MANAGER,
        )
        async with Server(settings, self._log) as server:
            yield server

    async def _serve(self, parts: Parts, client: KubeClient, server: Server, stopping: asyncio.Event) -> None:
        running = asyncio.create_task(parts.run(), name="everything")
        watching: asyncio.Task[None] | None = None
        try:
            await _first(running, asyncio.create_task(parts.ready(self._steps)))
            ready = self._ready(server, f"http://{LOOPBACK}:{parts.health.port}/metrics")
            watching = asyncio.create_task(self._watcher.ready(ready, client))
            await _first(running, asyncio.create_task(stopping.wait()))
            self._log.info("Stopping")
            self._watcher.stopping()
            if not running.done():
                await parts.stop()
            await running
        finally:
            for task in [one for one in (watching, running) if one is not None]:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _ready(self, server: Server, metrics: str) -> Ready:
        """Say so, to everybody."""
        place = self._place
        seconds = round(steps.age(), 2)
        kubeconfig.write(place.kubeconfig, server.kubeconfig())
        rows = self._steps.rows
        notes = tuple(self._notes)
        place.write(replace(self._state, url=server.url, is_ready=True, steps=rows, notes=notes, metrics=metrics))
        self._log.info(
            "Ready",
            seconds=seconds,
            processor_seconds=round(time.process_time(), 2),
            url=server.url,
            kubeconfig=str(place.kubeconfig),
            steps={name: round(took or 0, 2) for name, took, _ in rows},
        )
        return Ready(server.url, place.kubeconfig, place.data, seconds, notes)


async def _engine(name: str, log: Log) -> Engine | None:
    """What runs real containers. Raises UserError when it does not answer."""
    if not name:
        return None
    engine = engines.found(name)
    log.info("Containers are real ones", runtime=name, version=await engine.check())
    return engine


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


async def _first(running: asyncio.Task[None], awaited: asyncio.Task[object]) -> None:
    """Returns when it is there; raises what ended either."""
    try:
        await asyncio.wait({running, awaited}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not awaited.done():
            awaited.cancel()
        await asyncio.gather(awaited, return_exceptions=True)
    if running.done():
        running.result()
    if not awaited.cancelled():
        awaited.result()
