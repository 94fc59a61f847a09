"""Processes that own a trigger, one after another, on a bus in memory or on JetStream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from support.nats_server import NatsServer
from support.spine import LOG, Decisions, FakeAction, FakeLease, event, runner

from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.memory import MemoryBroker, MemoryBus
from events.errors import BusError, Unavailable
from sensors.base import Firing
from sensors.checkpoint import Head, decode_head
from sensors.pipeline import Pipeline

HEAD = "sensor.s.t.head"


class MemoryWorld:
    def __init__(self) -> None:
        self.broker = MemoryBroker()

    async def bus(self) -> Any:
        return MemoryBus(self.broker)

    async def wipe(self) -> None:
        self.broker.wipe()

    async def close(self) -> None:
        pass


class JetStreamWorld:
    def __init__(self, directory: Path) -> None:
        self.server = NatsServer(directory)
        self.buses: list[JetStreamBus] = []

    async def bus(self) -> Any:
        if self.server.process is None:
            await self.server.start()
        bus = JetStreamBus(lambda: Access(self.server.url), "test", name="test", log=LOG, publish_seconds=3)
        self.buses.append(bus)
        await bus.start()
        return bus

    async def wipe(self) -> None:
        self.server.kill()
        self.server.wipe()
        await self.server.start()

    async def close(self) -> None:
        for bus in self.buses:
            await bus.aclose()
        self.server.kill()


async def publish(bus: Any, *ids: int | str, name: str = "orders", data: bytes = b"{}") -> None:
    for one in ids:
        async with asyncio.timeout(30):
            while True:
                try:
                    await bus.publish(event(one, name=name, data=data))
                except Unavailable:
                    continue
                break


async def head(bus: Any) -> Head:
    entry = await (await bus.state("state")).get(HEAD)
    assert entry is not None
    return decode_head(entry.value)


async def applied(bus: Any, sequence: int, *, seconds: float = 30) -> None:
    """Returns once the head on the bus is at `sequence`."""
    async with asyncio.timeout(seconds):
        while await applied_now(bus) != sequence:
            await asyncio.sleep(0.002)


async def applied_now(bus: Any) -> int:
    try:
        entry = await (await bus.state("state")).get(HEAD)
    except BusError:  # on its way back
        return -1
    return decode_head(entry.value).checkpoint.applied.sequence if entry else -1


def names(numbers: range) -> list[str]:
    return [str(number) for number in numbers]


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(100):
        await asyncio.sleep(0)


class Life:
    """One process that owns the trigger, until it crashes or is stopped."""

    def __init__(self, bus: Any, *, at_least_once: bool, pipe: Pipeline | None = None, **options: Any) -> None:
        self.grace, concurrency = options.pop("grace", 5), options.pop("concurrency", None)
        upstream, self.waits = options.pop("upstream", None), list[str]()
        self.action, self.decisions, self.lease = FakeAction(**options), Decisions(), FakeLease()
        self.runner = runner(
            bus,
            self.action,
            self.decisions,
            pipe,
            at_least_once=at_least_once,
            grace=self.grace,
            concurrency=concurrency,
            upstream=upstream,
            on_wait=lambda _trigger, reason: self.waits.append(reason),
        )
        self.task = self.runner.start(self.lease)

    async def stop(self) -> None:
        self.runner.stop()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), 30)

    async def lose(self) -> None:
        """The lease is over, and the service says so."""
        self.lease.over.set()
        self.runner.stop()

    async def again(self) -> None:
        """The same process owns the trigger again."""
        await asyncio.gather(self.task, return_exceptions=True)
        self.lease = FakeLease()
        self.task = self.runner.start(self.lease)

    def crash_at(self, count: int) -> None:
        """Die while the `count`-th action starts."""

        def on_start(_firing: Firing) -> None:
            if len(self.action.started) + 1 == count:
                self.action.holding = True
                self.task.cancel()

        self.action.on_start = on_start

    async def dead(self) -> None:
        await asyncio.wait({self.task}, timeout=30)
        assert self.task.done()
