"""What a controller says of a Sensor's triggers: where a new one starts, and what goes with a removed one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.lives import JetStreamWorld, MemoryWorld, publish
from support.spine import LOG, FakeAction, dependency, until

from eventbus import subjects
from eventbus.jetstream import api
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.jetstream.streams import StreamConfig
from events.clients import Clients
from events.credentials import Credentials
from events.metrics import Metrics
from events.process import Readiness
from sensors import types
from sensors.checkpoint import decode_head
from sensors.removed import Appeared
from sensors.service import SensorService


def sensor(*names: str) -> types.Sensor:
    triggers = [{"template": {"name": name, "log": {}}, "atLeastOnce": True} for name in names]
    spec = {"dependencies": [dependency("orders").wire()], "triggers": triggers}
    raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "s"}, "spec": spec}
    return types.Sensor.parse(raw, lenient=True)


class Pod:
    def __init__(self, bus: Any, model: types.Sensor, appeared: Appeared) -> None:
        self.bus, self.readiness, self.stopping = bus, Readiness(), asyncio.Event()
        clients = Clients(Credentials((Path("/nowhere"),)))
        more: dict[str, Any] = {"namespace": "ns", "grace": 5, "appeared": appeared}
        self.service = SensorService(model, bus, clients, Metrics(), self.readiness, LOG, **more)
        self.actions: dict[str, FakeAction] = {}
        for one in self.service._runners:
            self.actions[one.plan.name] = FakeAction()
            one.plan = replace(one.plan, action=self.actions[one.plan.name])  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.service.run(self.stopping))

    async def ready(self) -> None:
        await until(lambda: not self.readiness.reasons)

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(self.task, 20)


@pytest.fixture(params=["memory", "jetstream"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    made: Any = MemoryWorld() if request.param == "memory" else JetStreamWorld(tmp_path)
    yield made
    await made.close()


async def keys(bus: Any) -> list[str]:
    found: list[str] = await (await bus.state("state")).keys("sensor.")
    return found


async def position(bus: Any, trigger: str) -> int:
    entry = await (await bus.state("state")).get(f"sensor.s.{trigger}.head")
    return decode_head(entry.value).checkpoint.applied.sequence if entry else -1


async def at(bus: Any, trigger: str, sequence: int) -> None:
    async with asyncio.timeout(60):
        while await position(bus, trigger) != sequence:
            await asyncio.sleep(0.01)


def since(**triggers: str) -> Appeared:
    return Appeared.of_wire({"triggers": triggers, "complete": True}, LOG)


async def test_a_trigger_starts_when_it_appeared_and_without_a_word_with_what_is_new(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, 1, 2)
    appeared = since(old="2020-01-01T00:00:00Z")
    pod = Pod(bus, sensor("old", "unknown"), appeared)
    await pod.ready()
    await publish(bus, 3)
    await at(bus, "old", 3)
    await at(bus, "unknown", 3)
    await pod.stop()
    assert pod.actions["old"].started == ["1", "2", "3"]
    assert pod.actions["unknown"].started == ["3"]


async def test_a_removed_triggers_state_goes_and_that_of_the_others_stays(world: Any) -> None:
    bus = await world.bus()
    first = Pod(bus, sensor("a", "a.b c", "wrong-later"), since())
    await first.ready()
    await publish(bus, 1)
    for name in ("a", "wrong-later"):
        await at(bus, name, 1)
    await first.stop()
    assert len([key for key in await keys(bus) if key.endswith(".head")]) == 3

    # `wrong-later` is not among those that run; it is still one of the Sensor's.
    stays = since(**{"a": "2020-01-01T00:00:00Z", "wrong-later": "2020-01-01T00:00:00Z"})
    second = Pod(bus, sensor("a"), stays)
    async with asyncio.timeout(60):
        while any(key.startswith(subjects.key("sensor", "s", "a.b c")) for key in await keys(bus)):
            await asyncio.sleep(0.01)
    assert await position(bus, "a") == await position(bus, "wrong-later") == 1
    await second.stop()


@pytest.mark.parametrize(
    "said",
    [None, {}, {"triggers": {"a": "2020-01-01T00:00:00Z"}, "complete": False}, {"triggers": None, "complete": 1}],
)
async def test_without_the_whole_list_nothing_is_forgotten(said: Any) -> None:
    world = MemoryWorld()
    bus = await world.bus()
    first = Pod(bus, sensor("a", "b"), since())
    await first.ready()
    await first.stop()
    before = await keys(bus)
    second = Pod(bus, sensor("a"), Appeared.of_wire(said, LOG))
    await second.ready()
    await publish(bus, 1)
    await at(bus, "a", 1)
    await second.stop()
    assert await keys(bus) == before


async def test_a_bus_that_is_away_delays_forgetting_only() -> None:
    world = MemoryWorld()
    bus = await world.bus()
    first = Pod(bus, sensor("a", "b"), since())
    await first.ready()
    await first.stop()
    second_bus = await world.bus()
    second = Pod(second_bus, sensor("a"), since(a="2020-01-01T00:00:00Z"))
    await until(lambda: second.service._is_owner)
    second_bus.cut()
    await asyncio.sleep(0.01)
    second_bus.mend()
    await until(lambda: "sensor.s.b.head" not in world.broker.values["state"], seconds=30)
    await second.stop()


async def test_on_an_interest_stream_the_consumers_of_a_removed_trigger_go(tmp_path: Path) -> None:
    world = JetStreamWorld(tmp_path)
    await world.server.start()
    url = world.server.url
    config = StreamConfig(retention="interest")
    bus = JetStreamBus(lambda: Access(url), "ns", name="t", log=LOG, stream=config)
    await bus.start()
    try:
        first = Pod(bus, sensor("stays", "goes"), since())
        await first.ready()
        await first.stop()
        link = await bus._connection.link()
        listed = await api.call(link, "CONSUMER.LIST.default", {"offset": 0})
        # A Sensor that is deleted tells nobody: its consumers end by themselves, long after it might have come back.
        assert [one["config"]["inactive_threshold"] for one in listed["consumers"]] == [7 * 86400 * 10**9] * 2
        second = Pod(bus, sensor("stays"), since(stays="2020-01-01T00:00:00Z"))
        async with asyncio.timeout(60):
            while len((await api.call(link, "CONSUMER.NAMES.default", {"offset": 0}))["consumers"]) != 1:
                await asyncio.sleep(0.01)
        await publish(bus, 1)
        await at(bus, "stays", 1)
        async with asyncio.timeout(60):
            while (await api.call(link, "STREAM.INFO.default"))["state"]["messages"]:
                await asyncio.sleep(0.01)  # nobody pins it
        await second.stop()
    finally:
        await bus.aclose()
        await world.close()
