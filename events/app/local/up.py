"""`keryx up`: everything of one machine in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

from events.app.data_directory import DataDirectory
from events.app.local import images
from events.kube.client import KubeClient
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.server import Server
from events.local.apiserver.server import Settings as ServerSettings
from events.local.kubelet.addresses import SERVICES
from events.local.kubelet.node import Node
from events.local.kubelet.settings import Settings
from events.local.workloads.manager import Workloads
from events.logs import Log
from events.metrics import Metrics
from events.version import VERSION


@dataclass(frozen=True)
class Options:
    """`port` 0: that of the last time, else a free one."""

    data: Path
    port: int = 0
    backoff: float = 10.0
    forward_ports: bool = True

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; its presence says that everything is ready."""
        return self.data / "kubeconfig"


async def run(options: Options) -> int:
    """Until SIGTERM or SIGINT. Raises UserError."""
    log = Log("up")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with DataDirectory(options.data) as directory:
        options.kubeconfig.unlink(missing_ok=True)
        server = Server(ServerSettings(directory.path / "apiserver", port=options.port, addresses=SERVICES), log)
        async with server:
            await _serve(options, directory.path, server, stopping, log)
        options.kubeconfig.unlink(missing_ok=True)
    return 0


async def _serve(options: Options, data: Path, server: Server, stopping: asyncio.Event, log: Log) -> None:
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
    )
    node = Node(client, settings, log)
    server.kubelets.register(settings.name, node.streaming)
    workloads = Workloads(client, data / "volumes", Metrics(VERSION).for_controllers(), log)
    running = asyncio.create_task(_all(node, workloads), name="node and workloads")
    try:
        await _first(running, node.ready)
        kubeconfig.write(options.kubeconfig, server.kubeconfig())
        log.info("Ready", url=server.url, kubeconfig=str(options.kubeconfig))
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


async def _all(node: Node, workloads: Workloads) -> None:
    """The workloads as long as the node."""
    async with asyncio.TaskGroup() as group:
        helper = group.create_task(workloads.run(), name="workloads")
        await node.run()
        helper.cancel()


async def _first(running: asyncio.Task[None], event: asyncio.Event) -> None:
    """Returns at the event; raises what ended `running` before."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if running.done():
        running.result()
