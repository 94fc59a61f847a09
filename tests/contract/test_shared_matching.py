"""Triggers that wait for the same dependency share what is made of its events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.lives import JetStreamWorld, names, publish
from support.spine import LOG, delivery, event

from eventbus.base import Start, Subscription
from events.clients import Clients
from events.credentials import Credentials
from events.metrics import Metrics
from sensors import matching
from sensors.compiling import Compiler
from sensors.types import Sensor

SENSOR: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Sensor",
    "metadata": {"name": "s"},
    "spec": {
        "dependencies": [
            {"name": "a", "eventSourceName": "hooks", "eventName": "orders"},
            {"name": "b", "eventSourceName": "hooks", "eventName": "other"},
        ],
        "triggers": [
            {"template": {"name": "one", "conditions": "a", "log": {}}},
            {"template": {"name": "two", "conditions": "a || b", "log": {}}},
            {"template": {"name": "three", "conditions": "b", "log": {}}},
        ],
    },
}


def pipelines(sensor: dict[str, Any]) -> list[Any]:
    parsed = Sensor.parse(sensor)
    compiler = Compiler(parsed, Clients(Credentials(())), Metrics(), LOG, namespace="ns")
    return [compiler.plan(trigger).pipeline for trigger in parsed.spec.triggers]


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    really = matching.match

    async def counting(one: Any, event: Any) -> Any:
        seen.append((one.name, event.id))
        await asyncio.sleep(0)
        return await really(one, event)

    monkeypatch.setattr(matching, "match", counting)
    return seen


async def test_ten_triggers_on_one_dependency_filter_once(matched: list[tuple[str, str]]) -> None:
    one, two, three = pipelines(SENSOR)
    for number in range(3):
        item = delivery(number + 1, event(number))
        assert (await one.prepare(item)).matches[0] is (await two.prepare(item)).matches[0]
        assert (await three.prepare(item)).matches == ()
    assert matched == [("a", "0"), ("a", "1"), ("a", "2")]


async def test_another_stream_is_another_event(matched: list[tuple[str, str]]) -> None:
    one, two, _ = pipelines(SENSOR)
    await one.prepare(delivery(1, event(0)))
    await two.prepare(delivery(1, event(7), stream="s2"))
    assert matched == [("a", "0"), ("a", "7")]


async def test_scripts_run_once_also_while_they_run_and_outlive_who_asked_first(
    matched: list[tuple[str, str]],
) -> None:
    shared = matching.Matches()
    scripted = Sensor.parse(SENSOR).spec.dependencies[0]
    one = next(iter(_compiled(scripted)))
    item = delivery(1, event(0))
    first = asyncio.ensure_future(shared.match(one, item.event, item.position))
    second = asyncio.ensure_future(shared.match(one, item.event, item.position))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).event is item.event
    assert matched == [("a", "0")]


def _compiled(spec: Any) -> Any:
    from sensors.dependencies import Dependencies

    found = Dependencies([spec])
    for one in found:
        object.__setattr__(one, "is_scripted", True)
    return found


async def test_readers_of_one_connection_share_what_they_decode(tmp_path: Path) -> None:
    world = JetStreamWorld(tmp_path)
    bus = await world.bus()
    topics = [("hooks", "orders")]
    async with bus.subscribe(Subscription("alone", topics, Start.FIRST)) as alone:
        await publish(bus, *range(10))
        async with bus.subscribe(Subscription("other", topics, Start.FIRST)) as other:
            await publish(bus, *range(10, 30))
            found = [await _all(reader, 30) for reader in (alone, other)]
            assert [one.id for one in found[0]] == [one.id for one in found[1]] == names(range(30))
            assert all(mine is theirs for mine, theirs in zip(found[0][10:], found[1][10:], strict=True))
            assert bus._readers.count == 2
        assert len(bus._readers._events) == 0
    assert bus._readers.count == 0
    await world.close()


async def _all(reader: Any, count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += [one.event for one in await reader.next_batch()]
    return found


async def test_many_readers_share_the_memory_of_the_process() -> None:
    from eventbus.jetstream.deliveries import HELD_BYTES, PROCESS_BYTES, Readers

    readers = Readers()
    shares = []
    for _ in range(100):
        readers.enter()
        shares.append(readers.held_bytes)
    assert shares[:8] == [HELD_BYTES] * 8
    assert shares[-1] == PROCESS_BYTES // 100


def test_dependencies_that_nobody_shares_are_not_remembered() -> None:
    alone = {**SENSOR, "spec": {**SENSOR["spec"], "triggers": SENSOR["spec"]["triggers"][::2]}}
    assert [one._shared for one in pipelines(alone)] == [None, None]
