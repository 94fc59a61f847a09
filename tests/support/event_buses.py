"""The controller of EventBuses in a namespace; the test plays the servers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from support.breaking_kube import beside
from support.dependents import LOG, World

from eventbus import configuration
from eventbus.configuration import Configuration
from eventbus.controller import EventBusController
from events.kube.api import Object
from events.kube.applying import Applier
from events.kube.controller import Controller
from events.kube.informer import Informers
from events.kube.recording import Recorder
from events.metrics import ControllerMetrics

JETSTREAM: dict[str, Any] = {"jetstream": {"version": "latest"}}
SECRETS = ["backup", "client-auth", "sensor-auth", "server", "source-auth"]
BASE = "eventbus-default-js"
APPS = "apps/v1"


class Buses:
    """The controller of EventBuses in a namespace."""

    def __init__(self, world: World) -> None:
        self.world, self.configuration = world, configuration.shipped()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller]:
        kube, metrics = self.world.kube, ControllerMetrics(CollectorRegistry())
        informers = Informers(kube, namespace=self.world.namespace, log=LOG)
        recorder = Recorder(kube, "eventbus-controller")

        def current() -> Configuration:
            return self.configuration

        made = EventBusController(kube, informers, Applier(kube), recorder, current, log=LOG)
        controller = Controller("eventbus-controller", made.reconcile, metrics=metrics, log=LOG)
        made.watch(controller)
        async with beside(informers.run(), recorder.run(), controller.run()):
            await informers.synced()
            yield controller

    async def servers(self, name: str = BASE) -> Object:
        async def found() -> Object | None:
            return await self.world.get("StatefulSet", name, APPS)

        made: Object = await self.world.until(found, f"StatefulSet {name}")
        return made

    async def ready(self, count: int = 3, name: str = BASE) -> None:
        """Say that so many servers are ready."""
        made = await self.servers(name)
        told = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": count}
        told["observedGeneration"] = made["metadata"].get("generation", 1)
        await self.world.change("StatefulSet", name, {"status": told}, APPS, status=True)

    async def deployed(self, status: str = "True", reason: str | None = None, message: str = "") -> Object:
        return await self.world.condition("EventBus", "default", "Deployed", status, reason, message)

    async def secret(self, suffix: str) -> dict[str, str] | None:
        raw = await self.world.get("Secret", f"{BASE}-{suffix}", "v1")
        return None if raw is None else {key: base64.b64decode(text).decode() for key, text in raw["data"].items()}

    async def secrets(self) -> dict[str, Any]:
        return {suffix: await self.secret(suffix) for suffix in SECRETS}
