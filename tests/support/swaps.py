"""What the tests of a swap from Argo Events' own sensor to ours share: a server, and both kinds of sensor on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from support.argo_sensor import ArgoSensor
from support.lives import Life
from support.nats_server import NatsServer
from support.spine import LOG, dependency, pipeline, until

from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from sensors.pipeline import Pipeline
from sensors.types import EventDependency

QUIET = 0.25
ORDERS, A, B = dependency("orders"), dependency("a"), dependency("b")


class World:
    """A server, and buses of ours on it."""

    def __init__(self, directory: Path) -> None:
        self.server = NatsServer(directory)
        self.buses: list[JetStreamBus] = []
        self.argos: list[ArgoSensor] = []

    async def bus(self, **options: Any) -> JetStreamBus:
        bus = JetStreamBus(lambda: Access(self.server.url), "test", name="test", log=LOG, **{"former_quiet": QUIET} | options)  # fmt: skip  # noqa: E501
        self.buses.append(bus)
        await bus.start()
        await bus.stream_created()
        return bus

    async def argo(self, *specs: EventDependency, with_bucket: bool = True, **options: Any) -> ArgoSensor:
        argo = ArgoSensor(self.server.url, *specs, **options)
        self.argos.append(argo)
        await argo.start(with_bucket=with_bucket)
        return argo

    async def close(self) -> None:
        for argo in self.argos:
            await argo.client.close()
        for bus in self.buses:
            await bus.aclose()
        self.server.kill()


def pipe_of(argo: ArgoSensor) -> Pipeline:
    return pipeline(argo.expression, *argo.specs.values())


def life(bus: Any, argo: ArgoSensor, *, at_least_once: bool = True, **options: Any) -> Life:
    """Our own sensor of the same object."""
    return Life(bus, at_least_once=at_least_once, **{"upstream": argo.upstream, "pipe": pipe_of(argo)} | options)


async def runs(one: Life) -> None:
    await until(lambda: one.runner._line is not None)


async def acted(one: Life, *expected: str) -> None:
    """These, in this order, and nothing more follows."""
    await until(lambda: len(one.action.finished) >= len(expected))
    await asyncio.sleep(0.1)
    assert one.action.started == list(expected)
