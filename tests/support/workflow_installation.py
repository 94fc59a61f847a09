"""The controllers of workflows on an API in memory, with pods that really run; may be started several times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from support.pod_player import PodPlayer

from events.kube import patches
from events.kube.api import KubeApi, Object, Resource
from events.kube.memory import MemoryKube
from events.local.workflows.controller import Workflows
from events.local.workflows.definitions import KINDS
from events.logs import Log
from events.metrics import ControllerMetrics

ARGO = "argoproj.io/v1alpha1"
SHELL = {"image": "busybox", "command": ["sh", "-c"]}


def memory() -> MemoryKube:
    api = MemoryKube()
    for kind in KINDS:
        api.register(Resource("argoproj.io", "v1alpha1", kind.plural, kind.kind, kind.scope == "Namespaced"))
    return api


def workflow(name: str, *templates: Object, **spec: Any) -> Object:
    return {
        "apiVersion": ARGO,
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"entrypoint": "main", "templates": list(templates), **spec},
    }


def shell(name: str, text: str, **more: Any) -> Object:
    return {"name": name, "container": {**SHELL, "args": [text]}, **more}


class Installation:
    """The controllers and a node on one API; may be started several times."""

    def __init__(self, api: KubeApi, data: Path, *, runs: bool = True, **more: Any) -> None:
        self.api, self.data, self.runs, self.more = api, data, runs, more
        self.controllers: Workflows
        self.player: PodPlayer

    @asynccontextmanager
    async def controlling(self) -> AsyncIterator[None]:
        metrics = ControllerMetrics(CollectorRegistry())
        self.controllers = Workflows(self.api, self.data, metrics=metrics, log=Log("workflows"), **self.more)
        task = asyncio.create_task(self.controllers.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Installation]:
        self.player = PodPlayer(self.api, runs=self.runs)
        async with self.player.playing(), self.controlling():
            yield self

    async def get(self, kind: str, name: str) -> Object:
        return await self.api.get(await self.api.resource(*kind_of(kind)), name, namespace="ns")

    async def all(self, kind: str) -> list[Object]:
        found = await self.api.list(await self.api.resource(*kind_of(kind)), namespace="ns")
        return list(found["items"])

    async def patch(self, name: str, body: Object) -> None:
        resource = await self.api.resource(ARGO, "Workflow")
        await self.api.patch(resource, name, body, content_type=patches.MERGE, namespace="ns")

    async def until(self, name: str, is_met: Callable[[Object], Any], seconds: float = 60) -> Object:
        ends = time.monotonic() + seconds
        while True:
            found = await self.get("Workflow", name)
            if is_met(found):
                return found
            assert time.monotonic() < ends, found.get("status")
            await asyncio.sleep(0.02)

    async def ended(self, name: str) -> Object:
        return await self.until(name, lambda one: one["metadata"].get("labels", {}).get(COMPLETED) == "true")

    async def result(self, obj: Object) -> Object:
        await self.api.create(obj)
        found: Object = (await self.ended(obj["metadata"]["name"]))["status"]
        return found


COMPLETED = "workflows.argoproj.io/completed"


def kind_of(kind: str) -> tuple[str, str]:
    return ("v1", kind) if kind in ("Pod", "ConfigMap", "Event", "Secret", "Namespace") else (ARGO, kind)


def named(status: Object, name: str) -> Object:
    return next(one for one in status["nodes"].values() if one["displayName"] == name)
