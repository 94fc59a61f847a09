"""`concurrency`: firings that overlap, what keeps their order, and what a crash leaves. Over memory and JetStream."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.lives import Life, applied, head, names, publish, settle
from support.spine import FaultyState, OtherState, crash, until

from eventbus.memory import MemoryBus
from sensors.decision import Outcome

BOTH = pytest.mark.parametrize("at_least_once", [True, False])
KEY = {"dependencyName": "orders", "dataKey": "customer"}


def overlapping(bus: Any, most: int = 4, *, at_least_once: bool = True, **options: Any) -> Life:
    key = options.pop("key", None)
    concurrency = {"max": most} | ({"key": key} if key else {})
    return Life(bus, at_least_once=at_least_once, concurrency=concurrency, **options)


@BOTH
async def test_firings_overlap_up_to_the_maximum_and_start_in_bus_order(world: Any, at_least_once: bool) -> None:
    bus = await world.bus()
    await publish(bus, *range(30))
    life = overlapping(bus, at_least_once=at_least_once, holding=True)
    await until(lambda: len(life.action.running) == 4)
    await settle()
    assert life.action.started == names(range(4))
    life.action.holding = False
    life.action.finish_all()
    await until(lambda: len(life.action.finished) == 30)
    assert life.action.started == names(range(30))
    assert life.action.most == 4
    await applied(bus, 30)
    await life.stop()
    assert life.decisions.final() == {(str(number), "fired"): 1 for number in range(30)}


async def test_with_a_maximum_of_one_at_most_once_is_serial(bus: MemoryBus) -> None:
    await publish(bus, *range(20))
    life = overlapping(bus, 1, at_least_once=False)
    await until(lambda: len(life.action.finished) == 20)
    assert (life.action.most, life.action.started) == (1, names(range(20)))
    await life.stop()


@BOTH
async def test_firings_of_one_key_follow_one_another_and_others_overtake_them(
    bus: MemoryBus, at_least_once: bool
) -> None:
    for number, customer in enumerate("aabcab"):
        await publish(bus, number, data=b'{"customer":"%b"}' % customer.encode())
    life = overlapping(bus, 8, at_least_once=at_least_once, key=KEY, holding=True)
    await until(lambda: len(life.action.running) == 3)
    await settle()
    assert sorted(life.action.started) == ["0", "2", "3"]
    life.action.finish("0")
    await until(lambda: "1" in life.action.running)
    await settle()
    assert "4" not in life.action.started
    life.action.holding = False
    life.action.finish_all()
    await until(lambda: len(life.action.finished) == 6)
    order = life.action.started
    assert order.index("0") < order.index("1") < order.index("4")
    assert order.index("2") < order.index("5")
    await life.stop()


async def test_what_has_no_key_overlaps(bus: MemoryBus) -> None:
    await publish(bus, *range(3))
    life = overlapping(bus, 8, key=KEY, holding=True)
    await until(lambda: len(life.action.running) == 3)
    life.action.finish_all()
    await life.stop()


@pytest.mark.parametrize("successor", [{"max": 4}, {"max": 2}, None])
async def test_after_a_crash_what_ended_ahead_of_the_oldest_is_not_repeated(
    world: Any, successor: dict[str, int] | None
) -> None:
    bus = await world.bus()
    await publish(bus, *range(10))
    first = overlapping(bus, holding=True)
    await until(lambda: len(first.action.running) == 4)
    for number in (1, 2, 3):
        first.action.finish(str(number))
        await until(lambda number=number: str(number) in first.action.finished)
    async with asyncio.timeout(30):
        while len((await head(bus)).checkpoint.finished) < 3:
            await asyncio.sleep(0.01)
    assert (await head(bus)).checkpoint.applied.sequence == 0
    await crash(first.task)
    second = Life(await world.bus(), at_least_once=True, concurrency=successor)
    await until(lambda: len(second.action.finished) == 7)
    await applied(bus, 10)
    await second.stop()
    assert sorted(second.action.started, key=int) == ["0", *names(range(4, 10))]
    assert (await head(bus)).checkpoint.finished == {}


@pytest.mark.parametrize("fault", ["before", "after", "lost", "unsent"])
@pytest.mark.parametrize("at", range(1, 9))
async def test_over_deaths_at_any_write_nothing_is_lost_and_little_is_repeated(
    bus: MemoryBus, fault: str, at: int
) -> None:
    await publish(bus, *range(150))
    started: Counter[str] = Counter()
    for write in (at, 3, at + 1, 0):
        state = FaultyState(await bus.state("state"), {write: fault})
        life = overlapping(OtherState(bus, state), 8)
        if write:
            await until(lambda life=life: life.task.done() or len(life.action.finished) >= 30)
        else:
            await applied(bus, 150)
        await crash(life.task)
        started.update(life.action.started)
    assert set(started) == set(names(range(150)))
    assert sum(started.values()) - 150 <= 3 * (64 + 8)


async def test_stopping_starts_nothing_and_leaves_the_rest_to_the_successor(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(20))
    first = overlapping(bus, holding=True)
    await until(lambda: len(first.action.running) == 4)
    first.runner.stop()
    await settle()
    first.action.finish_all()
    await first.dead()
    assert first.action.started == names(range(4))
    second = overlapping(await world.bus())
    await until(lambda: len(second.action.finished) == 16)
    assert second.action.started == names(range(4, 20))
    await second.stop()


async def test_what_outlives_the_grace_is_repeated_by_the_successor(bus: MemoryBus) -> None:
    await publish(bus, *range(3))
    first = overlapping(bus, holding=True, grace=0.1)
    await until(lambda: len(first.action.running) == 3)
    first.action.finish("1")
    await until(lambda: first.action.finished == ["1"])
    await first.stop()
    second = overlapping(bus)
    await until(lambda: len(second.action.finished) == 2)
    assert sorted(second.action.started) == ["0", "2"]
    await second.stop()


async def test_another_owner_ends_it_and_nothing_more_starts(bus: MemoryBus) -> None:
    await publish(bus, *range(10))
    first = overlapping(bus, holding=True)
    await until(lambda: len(first.action.running) == 4)
    second = overlapping(bus)
    await until(lambda: len(second.action.finished) == 10)
    first.action.holding = False
    first.lease.over.set()
    first.action.finish_all()
    await first.dead()
    assert len(first.action.started) == 4
    await second.stop()


async def test_a_window_bounds_what_is_under_way_behind_a_slow_one(bus: MemoryBus) -> None:
    await publish(bus, *range(600))
    life = overlapping(bus)
    life.action.on_start = lambda firing: setattr(life.action, "holding", firing.sequences["orders"] == 1)
    await until(lambda: len(life.action.finished) == 255)
    await settle()
    assert len(life.action.finished) == 255
    life.action.finish_all()
    await until(lambda: len(life.action.finished) == 600)
    assert life.decisions.ids(Outcome.FIRED)[0] != "0"
    await life.stop()
