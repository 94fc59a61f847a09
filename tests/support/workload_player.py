"""Plays the controllers of workloads, which an API server alone has not: makes Deployments and StatefulSets ready, at
once, late or never.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from events.kube import status
from events.kube.api import KubeApi, Object
from events.kube.controller import Controller, Key
from events.kube.informer import Informer
from events.logs import Log
from events.metrics import Metrics

Lateness = Callable[[Object], float | None]


def at_once(_: Object) -> float:
    """Ready as soon as it is seen."""
    return 0.0


def late(most: float) -> Lateness:
    """Ready after up to `most` seconds, each time the same for the same object."""

    def lateness(obj: Object) -> float:
        return hashlib.sha256(obj["metadata"]["uid"].encode()).digest()[0] / 255 * most

    return lateness


class Player:
    """`lateness` says after how many seconds a new state of a workload is ready; None: never."""

    def __init__(self, api: KubeApi, *, lateness: Lateness = at_once) -> None:
        self._api, self._lateness, self._due = api, lateness, dict[tuple[str, int], float]()
        log = Log("test.player")
        self.informers = {kind: Informer(api, "apps/v1", kind, log=log) for kind in ("Deployment", "StatefulSet")}
        metrics = Metrics().for_controllers()
        self._controllers = []
        for kind, informer in self.informers.items():
            controller = Controller(kind, self._reconciler(informer), metrics=metrics, log=log, workers=8)
            controller.on(informer)
            self._controllers.append(controller)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[Player]:
        async with asyncio.TaskGroup() as tasks:
            runs: list[Any] = [*self.informers.values(), *self._controllers]
            running = [tasks.create_task(one.run()) for one in runs]
            try:
                yield self
            finally:
                for task in running:
                    task.cancel()

    def _reconciler(self, informer: Informer) -> Any:
        async def reconcile(key: Key) -> float | None:
            found = informer.get(key.namespace, key.name)
            if found is None or found["metadata"].get("deletionTimestamp"):
                return None
            seconds = self._lateness(found)
            generation = found["metadata"]["generation"]
            if seconds is None or (found.get("status") or {}).get("observedGeneration") == generation:
                return None
            now = asyncio.get_running_loop().time()
            due = self._due.setdefault((found["metadata"]["uid"], generation), now + seconds)
            if now < due:
                return due - now
            wanted = found["spec"].get("replicas", 1)
            counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
            await status.write(self._api, found, {"observedGeneration": generation, **counts})
            return None

        return reconcile
