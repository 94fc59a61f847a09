"""`keryx up`: everything of one machine in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from eventbus import configuration
from events import settings as events_settings
from events.app import controllers, manager
from events.app.data_directory import DataDirectory
from events.app.local import images, installing
from events.app.local.place import Place, State
from events.kube.client import KubeClient
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.server import LOOPBACK, Server
from events.local.apiserver.server import Settings as ServerSettings
from events.local.kubelet import processes
from events.local.kubelet.addresses import SERVICES
from events.local.kubelet.node import Node
from events.local.kubelet.settings import Settings
from events.local.workflows.controller import Workflows
from events.local.workloads.manager import Workloads
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.version import VERSION

_GRACE = 5.0


@dataclass(frozen=True)
class Options:
    """`port` 0: that of the last time, else a free one."""

    data: Path
    port: int = 0
    backoff: float = 10.0
    forward_ports: bool = True
    refresh: float = 60.0
    has_mounts: bool = True
    """False: as on a machine where nothing can be mounted."""


async def run(options: Options) -> int:
    """Until SIGTERM or SIGINT. Raises UserError."""
    log, began = Log("up"), time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    place = Place(options.data.absolute())
    place.check()
    with DataDirectory(place.data):
        state = State(os.getpid(), processes.start_time(os.getpid()), since=f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        place.kubeconfig.unlink(missing_ok=True)
        place.write(state)
        try:
            async with await _server(place, options.port, log) as server:
                place.keep_port(server.url)

                def ready() -> None:
                    kubeconfig.write(place.kubeconfig, server.kubeconfig())
                    place.write(replace(state, url=server.url, is_ready=True))
                    seconds = round(time.monotonic() - began, 2)
                    log.info("Ready", seconds=seconds, url=server.url, kubeconfig=str(place.kubeconfig))

                await _serve(options, place.data, server, stopping, ready, log)
        finally:
            place.clear()
    return 0


async def _server(place: Place, port: int, log: Log) -> Server:
    """The API server, on the port that was asked for, or on that of the last time, or on another one."""

    def on(number: int) -> Server:
        return Server(ServerSettings(place.data / "apiserver", port=number, addresses=SERVICES), log)

    former = place.port()
    if port or not former or _is_free(former):
        return on(port or former)
    log.warning("The port of the last time is taken; kubeconfigs of then are no good any more", port=former)
    return on(0)


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


async def _serve(
    options: Options, data: Path, server: Server, stopping: asyncio.Event, ready: Callable[[], None], log: Log
) -> None:
    own = data / "admin.kubeconfig"
    kubeconfig.write(own, server.kubeconfig())
    client = KubeClient(str(own))
    settings = Settings(
        data / "node",
        server.url,
        server.front.authority.pem,
        images.table(),
        backoff_first=options.backoff,
        forward_ports=options.forward_ports,
        refresh_seconds=options.refresh,
        has_mounts=options.has_mounts,
        unmounted=images.unmounted(),
        keep=[str(data), *images.folders()],
    )
    node = Node(client, settings, log)
    server.kubelets.register(settings.name, node.streaming)
    workloads = Workloads(client, data / "volumes", Metrics(VERSION).for_controllers(), log)
    counts = Metrics(VERSION).for_controllers()
    workflows = Workflows(client, data / "workflows", metrics=counts, log=Log("workflows"), logs=client.logs)
    await installing.install(client)
    ours = Process(Metrics(VERSION), Log("controller"), grace=_GRACE, metrics_port=None)
    running = asyncio.create_task(_all(node, workloads, workflows, ours, own), name="everything")
    try:
        await _first(running, node.ready)
        ready()
        await _first(running, stopping)
        log.info("Stopping")
        if not running.done():
            await node.stop()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)
        await client.aclose()


async def _all(node: Node, workloads: Workloads, workflows: Workflows, ours: Process, own: Path) -> None:
    """Workloads and controllers as long as the node."""
    async with asyncio.TaskGroup() as group:
        helpers = [
            group.create_task(workloads.run(), name="workloads"),
            group.create_task(workflows.run(), name="workflows"),
            group.create_task(_control(ours, own), name="controllers"),
        ]
        await node.run()
        ours.stopping.set()
        for helper in helpers:
            helper.cancel()


async def _control(process: Process, own: Path) -> None:
    """The controllers of buses, sources and sensors; their pods have our own image, which is this Python."""
    told = events_settings.Settings(
        image=images.OURS[0],
        image_pull_policy="IfNotPresent",
        kubeconfig=str(own),
        namespace=manager.NAMESPACE,
        pod_name="keryx-up",
    )
    options = manager.Options(leader_election=False, health_port=None)
    shipped = configuration.shipped()
    await manager.Manager(controllers.rows(lambda: shipped), options, told, process).run()


async def _first(running: asyncio.Task[None], event: asyncio.Event) -> None:
    """Returns at the event; raises what ended `running` before."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if running.done():
        running.result()
