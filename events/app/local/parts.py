"""What stands on the API server of `keryx up`: started together, ready one by one, stopped with the node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from eventbus import configuration
from events import settings as events_settings
from events.app import controllers, manager
from events.app.local import images, installing
from events.app.local.admission import Admission
from events.app.local.leases import Leases
from events.app.local.options import Options
from events.app.local.place import Place
from events.app.local.steps import Steps
from events.kube.client import KubeClient
from events.local.apiserver.server import LOOPBACK, Server
from events.local.kubelet.addresses import NETWORK, part_of
from events.local.kubelet.node import Node
from events.local.kubelet.settings import Settings
from events.local.workflows.controller import Workflows
from events.local.workloads.manager import Workloads
from events.logs import Log
from events.metrics import Metrics
from events.process import HealthServer, Process, Readiness
from events.version import VERSION

_GRACE = 5.0


@dataclass(frozen=True)
class Ground:
    """What the parts stand on: an API server that runs and knows `definitions`."""

    place: Place
    client: KubeClient
    kubeconfig: Path
    """Of `client`, for those who connect themselves."""
    server: Server
    admission: Admission
    definitions: list[dict[str, object]]


class Parts:
    """Node, workloads, workflows, controllers, admission."""

    def __init__(self, options: Options, ground: Ground, log: Log) -> None:
        self._ground, self._client, self._log = ground, ground.client, log
        data, client = ground.place.data, ground.client
        settings = _node_settings(options, ground)
        self._node = Node(client, settings, log)
        ground.server.kubelets.register(settings.name, self._node.streaming)
        metrics = Metrics(VERSION)
        counts = metrics.for_controllers()
        self.health = HealthServer(metrics, Readiness(), log, 0, LOOPBACK)
        self._workloads = Workloads(client, data / "volumes", counts, log)
        self._workflows = Workflows(
            client,
            data / "workflows",
            metrics=counts,
            log=Log("workflows"),
            logs=client.logs,
            registry=metrics.registry,
        )
        self._ours = Process(Metrics(VERSION), Log("controller"), grace=_GRACE, metrics_port=None)

    async def run(self) -> None:
        """As long as the node."""
        async with self.health, asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._workloads.run(), name="workloads"),
                group.create_task(self._workflows.run(), name="workflows"),
                group.create_task(self._control(), name="controllers"),
                group.create_task(self._ground.admission.run(self._client), name="admission"),
                group.create_task(self._keep_definitions(), name="definitions"),
            ]
            await self._node.run()
            self._ours.stopping.set()
            for helper in helpers:
                helper.cancel()

    async def _keep_definitions(self) -> None:
        ground = self._ground
        await installing.keep(self._client, ground.definitions, ground.place.definitions, self._log)

    async def stop(self) -> None:
        """Have `run` end."""
        await self._node.stop()

    async def ready(self, steps: Steps) -> None:
        """Returns once every part is there."""

        async def there(name: str, waiting: Awaitable[object], detail: Callable[[], str] = str) -> None:
            with steps.step(name) as step:
                await waiting
                step.detail = detail()

        async with asyncio.TaskGroup() as group:
            group.create_task(there("admission", self._ground.admission.answers(self._client)))
            group.create_task(there("node", self._node.ready.wait()))
            group.create_task(there("workloads", self._workloads.synced()))
            group.create_task(there("workflows", self._workflows.ready.wait()))
            group.create_task(there("controllers", self._ours.readiness.until_ready(("process", "cluster"))))

    async def _control(self) -> None:
        """The controllers of buses, sources and sensors; their pods have our own image, which is this Python."""
        told = events_settings.Settings(
            image=images.OURS[0],
            image_pull_policy="IfNotPresent",
            kubeconfig=str(self._ground.kubeconfig),
            namespace=manager.NAMESPACE,
            pod_name="keryx-up",
        )
        options = manager.Options(health_port=None)
        shipped = configuration.shipped()
        leases = Leases(self._client, self._ours.log)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(leases.run())
            await leases.synced()
            rows = controllers.rows(lambda: shipped)
            await manager.Manager(rows, options, told, self._ours, leadership=lambda _api: leases).run()
            following.cancel()


def _node_settings(options: Options, ground: Ground) -> Settings:
    data, server = ground.place.data, ground.server
    return Settings(
        data / "node",
        server.url,
        server.front.authority.pem,
        [*options.rows, *images.table(is_whole=options.engine is None)],
        engine=options.engine,
        backoff_first=options.backoff,
        forward_ports=options.forward_ports,
        refresh_seconds=options.refresh,
        has_mounts=options.has_mounts,
        unmounted=images.unmounted(),
        network=part_of(NETWORK, str(data)),
        keep=[str(data), *images.folders()],
    )
