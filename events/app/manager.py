"""`keryx controller`: the controllers of one process, what they share, and which replica works. Contract: sensors F.1.

Every replica watches, so that a new leader knows the cluster already; one leads and writes. A leader whose Lease is
not its own any more is stopped before anybody else begins, and its client lets no write through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from events.app.watched_file import WatchedFile
from events.errors import UserError
from events.kube import election
from events.kube.api import KubeApi
from events.kube.applying import Applier
from events.kube.client import connect
from events.kube.controller import Controller, Key
from events.kube.informer import Informers
from events.kube.pods import PodSettings
from events.kube.recording import Recorder
from events.kube.reports import Reports
from events.kube.workloads import pods_of
from events.logs import Log
from events.metrics import ControllerMetrics, Metrics
from events.process import HealthServer, Process
from events.settings import Settings

CONFIG_FILE = Path("/etc/argo-events/controller-config.yaml")
NAMESPACE = "argo-events"
HEALTH_PORT = 8081
GRACE = 10.0
"""Seconds that reconciles get to end after SIGTERM."""
WORKERS = 4
_CLUSTER = "cluster"
_LEASE_DEADLINE = 5.0
"""Seconds for one request about the Lease: one that hangs must leave time for another."""


@dataclass(frozen=True, slots=True)
class Options:
    """The flags of `keryx controller`."""

    namespaced: bool = False
    managed_namespace: str = ""
    """Empty: that of the controller."""
    leader_election: bool = True
    metrics_port: int = 7777
    health_port: int | None = HEALTH_PORT
    """None: not served."""
    config_file: Path = CONFIG_FILE
    times: election.Times = field(default_factory=election.Times)


class Reconciler(Protocol):
    """What one of the controllers is: what it watches, and what it does for a key."""

    def watch(self, controller: Controller) -> None:
        """Tell a controller what its keys depend on."""
        ...

    async def reconcile(self, key: Key) -> float | None:
        """Make the cluster so."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reconcilers share. `recorder` speaks for one of them."""

    api: KubeApi
    informers: Informers
    applier: Applier
    recorder: Recorder
    pods: PodSettings
    reports: Reports
    log: Log


Row = Callable[[Surroundings], Reconciler]


class Manager:
    """The controllers of this process."""

    def __init__(
        self,
        rows: Mapping[str, Row],
        options: Options,
        settings: Settings,
        process: Process,
        *,
        following: Sequence[WatchedFile[Any]] = (),
        leadership: Callable[[KubeApi], election.Leadership] | None = None,
    ) -> None:
        """`leadership` stands in for the one Lease in the namespace of the controller."""
        if not settings.image:
            raise UserError("required", path="ARGO_EVENTS_IMAGE", cure="the image that the pods of objects run")
        self._rows, self._options, self._settings, self._process = rows, options, settings, process
        self._following, self._log = following, process.log
        self._leadership = leadership or self._lease
        self._home = settings.namespace or NAMESPACE
        self._metrics: ControllerMetrics = process.metrics.for_controllers()
        self._controllers: list[Controller] = []
        self._recorders: list[Recorder] = []
        self._reports: Reports | None = None

    async def run(self) -> None:
        """Work until the process is to stop."""
        process, options = self._process, self._options
        process.readiness.waiting(_CLUSTER, "not listed yet")
        async with (
            HealthServer(process.metrics, process.readiness, self._log, options.health_port, self._settings.address),
            self._clients() as (api, lock),
        ):
            informers = self._build(api)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(informers.run()), tasks.create_task(self._say_when_ready(informers))]
                running += [tasks.create_task(file.run(self._again)) for file in self._following]
                running.append(tasks.create_task(self._lead(lock)))
                process.started()
                await process.stopping.wait()
                async with asyncio.TaskGroup() as draining:
                    for controller in self._controllers:
                        draining.create_task(controller.drain(process.grace))
                for task in running:
                    task.cancel()

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[KubeApi, election.Leadership | None]]:
        """The client that controllers use, and the leadership that it obeys, which has a client of its own."""

        def observe(method: str, code: str, host: str) -> None:
            self._metrics.requests.labels(code, method, host).inc()

        kubeconfig = self._settings.kubeconfig or None
        async with contextlib.AsyncExitStack() as stack:
            lock: election.Leadership | None = None
            if self._options.leader_election:
                leases = await connect(kubeconfig, deadline=_LEASE_DEADLINE, observe=observe)
                stack.push_async_callback(leases.aclose)
                lock = self._leadership(leases)
            api = await connect(kubeconfig, observe=observe, guard=lock.check if lock else None)
            stack.push_async_callback(api.aclose)
            yield api, lock

    def _lease(self, api: KubeApi) -> election.Leadership:
        who, times = election.identity(self._settings.pod_name), self._options.times
        return election.Lock(api, self._home, election.NAME, who, times=times)

    def _build(self, api: KubeApi) -> Informers:
        """The controllers, and what they watch."""
        settings, options = self._settings, self._options
        managed = (options.managed_namespace or self._home) if options.namespaced else None
        informers = Informers(api, namespace=managed, log=self._log)
        applier = Applier(api, log=self._log)
        pods = PodSettings(settings.image, settings.image_pull_policy)
        self._reports = reports = Reports(pods_of(informers), self._log)
        for name, row in self._rows.items():
            recorder = Recorder(api, name, instance=settings.pod_name, log=self._log)
            reconciler = row(Surroundings(api, informers, applier, recorder, pods, reports, self._log))
            controller = Controller(name, reconciler.reconcile, workers=WORKERS, metrics=self._metrics, log=self._log)
            reconciler.watch(controller)
            self._controllers.append(controller)
            self._recorders.append(recorder)
        where = f"namespace {managed}" if managed else "all namespaces"
        self._log.info("Starting", watching=where, controllers=list(self._rows), image=settings.image)
        return informers

    async def _say_when_ready(self, informers: Informers) -> None:
        """Ready is who knows the cluster, whether it leads or not; until then, why not."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await informers.synced()
                break
            reasons = [f"{one.kind}: {one.failure or 'not listed yet'}" for one in informers if not one.is_synced]
            self._process.readiness.waiting(_CLUSTER, "; ".join(reasons))
        self._process.readiness.ready(_CLUSTER)
        self._log.info("The cluster is known", objects={one.kind: len(one) for one in informers})

    def _again(self) -> None:
        for controller in self._controllers:
            controller.again()

    async def _lead(self, lock: election.Leadership | None) -> None:
        if lock is None:
            await self._work()
            return
        leads = self._metrics.master.labels(election.NAME)
        leads.set(0)
        await election.Election(lock, log=self._log, on_change=leads.set).run(self._work)

    async def _work(self) -> None:
        """What the leader does."""
        try:
            async with asyncio.TaskGroup() as tasks:
                assert self._reports is not None
                runs = [one.run for one in self._controllers] + [one.run for one in self._recorders]
                for run in (*runs, self._reports.run):
                    tasks.create_task(run())
        finally:
            for recorder in self._recorders:
                await recorder.drain(1)


async def run(
    rows: Mapping[str, Row],
    options: Options,
    settings: Settings,
    version: str,
    *,
    following: Sequence[WatchedFile[Any]] = (),
) -> int:
    """Run the controllers until SIGTERM; when a file of `following` changes, everything is looked at again."""
    process = Process(
        Metrics(version), Log("controller"), grace=GRACE, metrics_port=options.metrics_port, address=settings.address
    )

    async def work(process: Process) -> None:
        await Manager(rows, options, settings, process, following=following).run()

    return await process.run(work)
