"""All workload controllers, with the informers that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from events.kube.api import KubeApi
from events.kube.controller import Controller, Key, owner_keys
from events.kube.informer import Informer, Informers
from events.kube.recording import Recorder
from events.local.workloads.claims import Claims
from events.local.workloads.cron_jobs import CronJobs
from events.local.workloads.daemon_sets import DaemonSets
from events.local.workloads.deployments import Deployments
from events.local.workloads.endpoints import EndpointSlices, is_behind
from events.local.workloads.jobs import Jobs
from events.local.workloads.proxy import Proxy
from events.local.workloads.replica_sets import ReplicaSets
from events.local.workloads.scalers import Scalers
from events.local.workloads.stateful_sets import StatefulSets
from events.logs import Log
from events.metrics import ControllerMetrics

Object = dict[str, Any]


class Workloads:
    """`run` until cancelled. `folder`: where claimed volumes lie."""

    def __init__(self, api: KubeApi, folder: Path, metrics: ControllerMetrics, log: Log) -> None:
        self._informers = Informers(api, log=log)
        self._recorder = Recorder(api, "controller-manager", log=log)
        self._metrics, self._log = metrics, log
        self._controllers: list[Controller] = []
        of, say = self._informers.of, self._recorder.event
        pods, services, nodes = of("v1", "Pod"), of("v1", "Service"), of("v1", "Node")
        sets, deployments = of("apps/v1", "ReplicaSet"), of("apps/v1", "Deployment")
        stateful, daemons = of("apps/v1", "StatefulSet"), of("apps/v1", "DaemonSet")
        jobs, crons = of("batch/v1", "Job"), of("batch/v1", "CronJob")
        claims, scalers = of("v1", "PersistentVolumeClaim"), of("autoscaling/v2", "HorizontalPodAutoscaler")
        one = self._add("deployments", Deployments(api, deployments, sets, pods, say), deployments)  # type: ignore[arg-type]
        one.on(sets, owner_keys("Deployment"))
        one = self._add("replicasets", ReplicaSets(api, sets, pods, say), sets)  # type: ignore[arg-type]
        one.on(pods, owner_keys("ReplicaSet"))
        one = self._add("statefulsets", StatefulSets(api, stateful, pods, say), stateful)  # type: ignore[arg-type]
        one.on(pods, owner_keys("StatefulSet"))
        one = self._add("daemonsets", DaemonSets(api, daemons, pods, nodes, say), daemons)  # type: ignore[arg-type]
        one.on(pods, owner_keys("DaemonSet"))
        one.on(nodes, lambda _: all_keys(daemons))
        one = self._add("jobs", Jobs(api, jobs, pods, say), jobs)  # type: ignore[arg-type]
        one.on(pods, owner_keys("Job"))
        one = self._add("cronjobs", CronJobs(api, crons, jobs, say), crons)  # type: ignore[arg-type]
        one.on(jobs, owner_keys("CronJob"))
        one = self._add("endpoints", EndpointSlices(api, services, pods), services)
        one.on(pods, lambda pod: services_of(pod, services))
        self._add("claims", Claims(api, claims, folder), claims)
        self._add("scalers", Scalers(api, scalers), scalers)
        told = of("v1", "Endpoints"), of("discovery.k8s.io/v1", "EndpointSlice")
        self._proxy = Proxy(services, pods, told, log)

    def _add(self, name: str, what: Any, informer: Informer) -> Controller:
        one = Controller(name, what.reconcile, metrics=self._metrics, log=self._log)
        one.on(informer)
        self._controllers.append(one)
        return one

    async def synced(self) -> None:
        """Returns once they know all objects."""
        await self._informers.synced()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._recorder.run())
            group.create_task(self._proxy.run())
            for one in self._controllers:
                group.create_task(one.run(), name=one.name)


def all_keys(informer: Informer) -> list[Key]:
    """Of every object that is known."""
    return [Key(one["metadata"].get("namespace") or "", one["metadata"]["name"]) for one in informer.all()]


def services_of(pod: Object, services: Informer) -> Iterable[Key]:
    """The services that a pod stands behind, or stood behind when it had an address."""
    seen = pod | {"status": {**(pod.get("status") or {}), "podIP": "known", "phase": "Running"}}
    for one in services.all(pod["metadata"].get("namespace")):
        if (one.get("spec") or {}).get("selector") and is_behind(one, seen):
            yield Key(one["metadata"]["namespace"], one["metadata"]["name"])
