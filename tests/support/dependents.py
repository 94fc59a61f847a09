"""The controllers of Sensors and EventSources on some Kubernetes API; the test plays bus and workload controllers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from support.breaking_kube import BreakingKube, beside
from support.kube_world import until_served

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object
from events.kube.applying import Applier
from events.kube.controller import Controller
from events.kube.informer import Informers
from events.kube.pods import PodSettings
from events.kube.recording import Recorder
from events.kube.reports import Ask, Reports
from events.kube.workloads import pods_of
from events.logs import Log
from events.metrics import ControllerMetrics
from eventsources.controller import EventSourceController
from sensors.controller import SensorController

LOG = Log("test")
SETTINGS = PodSettings("registry.invalid/keryx:test", "IfNotPresent")
API = "argoproj.io/v1alpha1"
CONFIG = {"jetstream": {"url": "nats://bus:4222", "accessSecret": {"name": "acc", "key": "a"}}}
HOOK = {"endpoint": "/a", "port": "12000", "method": "POST"}
DEFINITIONS = Path(__file__).parents[2] / "manifests" / "crds"


async def define(kube: KubeApi) -> None:
    """The three kinds, as they are installed."""
    for path in sorted(DEFINITIONS.glob("argoproj.io_*.yaml")):
        raw = yaml.safe_load(path.read_text())
        try:
            raw = await kube.create(raw)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
        await until_served(kube, raw)


class World:
    """A namespace, and controllers that may be started, killed and started again."""

    def __init__(self, kube: BreakingKube, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace
        self.now = datetime(2026, 7, 2, 12, tzinfo=UTC)

    @asynccontextmanager
    async def controllers(self, ask: Ask | None = None) -> AsyncIterator[None]:
        """`ask`: what pods say of their work, at their URL; None: they are not asked."""
        metrics = ControllerMetrics(CollectorRegistry())
        informers = Informers(self.kube, namespace=self.namespace, log=LOG)
        applier, recorder = Applier(self.kube), Recorder(self.kube, "test")
        reports = Reports(pods_of(informers), LOG, ask, 0.02) if ask else None
        runs = [reports.run()] if reports else []
        for kind in (SensorController, EventSourceController):
            shared = (self.kube, informers, applier, recorder, SETTINGS)
            made: Any = kind(*shared, log=LOG, now=lambda: self.now, reports=reports)
            controller = Controller(made.role.controller, made.reconcile, metrics=metrics, log=LOG)
            made.watch(controller)
            runs.append(controller.run())
        async with beside(informers.run(), recorder.run(), *runs):
            await informers.synced()
            yield

    # ---- objects

    async def put(self, kind: str, name: str, spec: Any, **meta: Any) -> Object:
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name, **meta}, "spec": spec}
        return await self.kube.kube.create(body, namespace=self.namespace)

    async def change(self, kind: str, name: str, body: Any, api_version: str = API, *, status: bool = False) -> Object:
        resource = await self.kube.kube.resource(api_version, kind)
        return await self.kube.kube.patch(
            resource, name, body, content_type=patches.MERGE, namespace=self.namespace, status=status
        )

    async def get(self, kind: str, name: str, api_version: str = API) -> Object | None:
        resource = await self.kube.kube.resource(api_version, kind)
        try:
            return await self.kube.kube.get(resource, name, namespace=self.namespace)
        except KubeError as error:
            if error.status != 404:
                raise
            return None

    async def delete(self, kind: str, name: str, api_version: str = API) -> None:
        resource = await self.kube.kube.resource(api_version, kind)
        await self.kube.kube.delete(resource, name, namespace=self.namespace)

    async def all(self, kind: str, api_version: str = "apps/v1", selector: str = "controller") -> list[Object]:
        resource = await self.kube.kube.resource(api_version, kind)
        found = await self.kube.kube.list(resource, namespace=self.namespace, label_selector=selector)
        return [one | {"apiVersion": api_version, "kind": kind} for one in found["items"]]

    async def bus(self, name: str = "default", *, ready: bool = True, config: Any = CONFIG, **condition: Any) -> None:
        """An EventBus with a status, made or changed."""
        if await self.get("EventBus", name) is None:
            await self.put("EventBus", name, {"jetstream": {"version": "latest"}})
        told = [{"type": "Deployed", "status": "True" if ready else "False", "message": "" if ready else "no pods yet"}]
        told[0] |= condition
        await self.change("EventBus", name, {"status": {"conditions": told, "config": config}}, status=True)

    async def sensor(self, name: str = "one", *triggers: Any, **spec: Any) -> Object:
        return await self.put("Sensor", name, sensor_spec(*triggers, **spec))

    async def source(self, name: str = "src", **spec: Any) -> Object:
        return await self.put("EventSource", name, {"webhook": {"ev": HOOK}, **spec})

    # ---- what workload controllers do

    async def roll(self, *, ready: bool = True) -> None:
        """Say of every Deployment that its pods are ready, or are not."""
        for one in await self.all("Deployment"):
            wanted = one["spec"].get("replicas", 1)
            count = {"replicas": wanted, "updatedReplicas": wanted}
            count |= {"availableReplicas": wanted if ready else 0, "unavailableReplicas": 0 if ready else wanted}
            told = {"observedGeneration": one["metadata"].get("generation", 1), **count}
            await self.change("Deployment", one["metadata"]["name"], {"status": told}, "apps/v1", status=True)

    # ---- waiting

    async def until(self, true: Callable[[], Any], what: Any = "", seconds: float = 30) -> Any:
        """What `true` gives, once it is something."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := await true()):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"in vain: {what or true}; {await self.state()}") from None
        return found

    async def deployment(self) -> Object:
        """The one Deployment, once it is there."""

        async def found() -> Object | None:
            return next(iter(await self.all("Deployment")), None)

        made: Object = await self.until(found, "a Deployment")
        return made

    async def condition(
        self, kind: str, name: str, type_: str, status: str, reason: str | None = None, message: str = ""
    ) -> Object:
        """The condition, once it is so and its message has this in it."""

        async def found() -> Object | None:
            raw = await self.get(kind, name)
            for one in ((raw or {}).get("status") or {}).get("conditions") or ():
                wanted = (type_, status, one.get("reason", "") if reason is None else reason)
                is_it = (one["type"], one["status"], one.get("reason", "")) == wanted
                if is_it and message in one.get("message", ""):
                    return dict(one)
            return None

        made: Object = await self.until(found, f"{kind} {name} {type_} {status} {reason} {message}")
        return made

    async def quiet(self, seconds: float = 0.7) -> None:
        """Returns once nothing was asked of the API for a while."""
        before = -1
        async with asyncio.timeout(30):
            while before != (before := self.kube.writes):
                await asyncio.sleep(seconds)

    async def state(self) -> Any:
        found = []
        for kind in ("Sensor", "EventSource"):
            with_status = await self.all(kind, API, "")
            found += [(kind, one["metadata"]["name"], one.get("status")) for one in with_status]
        return found


def trigger(name: str = "t", **http: Any) -> dict[str, Any]:
    return {"template": {"name": name, "http": {"url": "http://x", "method": "POST", **http}}}


def sensor_spec(*triggers: Any, **spec: Any) -> dict[str, Any]:
    dependency = {"name": "d", "eventSourceName": "src", "eventName": "ev"}
    return {"dependencies": [dependency], "triggers": list(triggers or (trigger(),)), **spec}


@asynccontextmanager
async def world(kube: BreakingKube) -> AsyncIterator[World]:
    """A namespace of the test's own."""
    name = f"ns-{uuid.uuid4().hex[:8]}"
    await kube.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield World(kube, name)
    try:
        resource = await kube.kube.resource("v1", "Namespace")
        await kube.kube.delete(resource, name)
    except ActionError:
        pass
