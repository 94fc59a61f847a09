"""The lines: when actions start, and what a crash or a stop leaves. Over memory and JetStream."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.lives import HEAD, Life, applied, head, names, publish, settle
from support.spine import (
    FaultyState,
    OtherState,
    crash,
    dependency,
    only,
    pipeline,
    until,
)

from eventbus.memory import MemoryBus
from sensors.checkpoint import decode_head
from sensors.decision import Outcome
from sensors.lines import AtLeastOnceLine
from sensors.pipeline import Pipeline, Prepared

BOTH = pytest.mark.parametrize("at_least_once", [True, False])


# ---- at least once: act, then remember


async def test_the_next_action_starts_when_the_one_before_it_has_ended(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(5))
    life = Life(bus, at_least_once=True, holding=True)
    for number in range(5):
        await until(lambda number=number: str(number) in life.action.running)
        await settle()
        assert life.action.started == names(range(number + 1))
        life.action.finish(str(number))
    await until(lambda: len(life.decisions) == 5)
    assert life.decisions.ids(Outcome.FIRED) == names(range(5))
    await life.stop()
    assert life.action.most == 1


@pytest.mark.parametrize("at", [1, 2, 32, 33, 70, 150])
async def test_after_a_crash_the_successor_repeats_at_most_what_was_not_saved_and_loses_nothing(
    world: Any, at: int
) -> None:  # P4, P5
    bus = await world.bus()
    await publish(bus, *range(150))
    first = Life(bus, at_least_once=True)
    first.crash_at(at)
    await first.dead()
    assert first.action.started == names(range(at))
    second = Life(await world.bus(), at_least_once=True)
    await until(lambda: "149" in second.action.finished)
    again = int(second.action.started[0])
    assert at - 64 <= again <= at - 1
    assert second.action.started == names(range(again, 150))
    await second.stop()


async def test_a_bus_that_does_not_answer_bounds_what_a_crash_would_repeat(bus: MemoryBus) -> None:
    state = FaultyState(await bus.state("state"))
    await publish(bus, *range(500))
    life = Life(OtherState(bus, state), at_least_once=True)
    state.withheld = asyncio.Event()
    state.withheld.set()
    await until(lambda: state.written)
    state.withheld.clear()
    await until(lambda: len(life.action.started) >= 32)
    await settle()
    saved = (await head(bus)).checkpoint.applied.sequence
    assert len(life.action.started) - saved <= 64
    state.withheld.set()
    await until(lambda: len(life.action.finished) == 500)
    await life.stop()


async def test_a_head_is_written_after_32_firings_while_the_next_action_runs(world: Any) -> None:
    bus = await world.bus()
    life = Life(bus, at_least_once=True)
    life.action.on_start = lambda firing: setattr(life.action, "holding", firing.sequences["orders"] == 33)
    await publish(bus, *range(40))
    await applied(bus, 32)
    assert life.action.started == names(range(33))
    life.action.finish_all()
    await applied(bus, 40)
    await life.stop()


async def test_a_head_is_written_soon_after_few_firings_while_the_next_action_runs(world: Any) -> None:
    bus = await world.bus()
    life = Life(bus, at_least_once=True, holding=True)
    await publish(bus, *range(3))
    await until(lambda: "0" in life.action.running)
    life.action.finish("0")
    await until(lambda: "1" in life.action.running)
    await applied(bus, 1, seconds=10)
    life.action.holding = False
    life.action.finish("1")
    await applied(bus, 3, seconds=10)
    await life.stop()


async def test_stopping_lets_the_running_action_end_and_starts_no_other(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(3))
    life = Life(bus, at_least_once=True, holding=True)
    await until(lambda: life.action.running)
    life.runner.stop()
    await settle()
    assert not life.task.done()
    life.action.finish("0")
    await life.dead()
    assert (life.action.started, life.action.finished) == (["0"], ["0"])
    assert (await head(bus)).checkpoint.applied.sequence == 1
    second = Life(await world.bus(), at_least_once=True)
    await until(lambda: len(second.action.finished) == 2)
    assert second.action.started == ["1", "2"]
    await second.stop()


async def test_an_action_that_outlives_the_grace_is_repeated_by_the_successor(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(3))
    life = Life(bus, at_least_once=True, holding=True, grace=0.05)
    await until(lambda: life.action.running)
    await life.stop()
    assert not life.decisions
    second = Life(await world.bus(), at_least_once=True)
    await until(lambda: len(second.action.finished) == 3)
    assert second.action.started == names(range(3))
    await second.stop()


async def test_what_decides_ahead_and_what_is_durable_stay_equal(bus: MemoryBus) -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b", **only("kind", "good")))
    life = Life(bus, at_least_once=True, pipe=pipe)
    for number in range(60):
        kind = b'{"kind":"%b"}' % (b"good", b"bad")[number % 5 == 0]
        await publish(bus, number % 40, name="aab"[number % 3], data=kind)
    await applied(bus, bus.broker.last)
    line: Any = life.runner._line
    assert isinstance(line, AtLeastOnceLine)
    ahead, durable = line._ahead, line._checkpoint
    assert (ahead.applied, ahead.pending) == (durable.applied, durable.pending)
    assert ahead.recent.pack() == durable.recent.pack() == (await head(bus)).checkpoint.recent.pack()
    assert life.action.started
    await life.stop()


# ---- at most once: claim, then act


async def test_actions_start_in_order_and_overlap_at_most_64_of_them(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(130))
    life = Life(bus, at_least_once=False, holding=True)
    await until(lambda: len(life.action.running) == 64)
    await settle()
    assert life.action.started == names(range(64))
    assert len((await head(bus)).checkpoint.claims) == 64
    for number in range(31):  # under load a new claim waits until half of them are free
        life.action.finish(str(number))
    await settle()
    assert len(life.action.started) == 64
    life.action.finish("31")
    await until(lambda: len(life.action.running) == 64)
    assert life.action.started == names(range(96))
    life.action.holding = False
    life.action.finish_all()
    await until(lambda: len(life.action.finished) == 130)
    await life.stop()
    assert life.action.most == 64
    assert (await head(bus)).checkpoint.claims == {}
    assert life.decisions.final() == {(str(number), "fired"): 1 for number in range(130)}


async def test_an_action_starts_only_when_its_claim_is_durable(bus: MemoryBus) -> None:
    state = FaultyState(await bus.state("state"))
    life = Life(OtherState(bus, state), at_least_once=False)
    claimed: list[bool] = []
    life.action.on_start = lambda firing: claimed.append(
        firing.id in decode_head(bus.broker.values["state"][HEAD].value).checkpoint.claims
    )
    await until(lambda: state.written)
    for number in range(20):
        state.withheld = asyncio.Event()
        writes = state.writes
        await publish(bus, number)
        await until(lambda writes=writes: state.writes > writes)
        await settle()
        state.withheld.set()
        await until(lambda number=number: str(number) in life.action.finished)
    await life.stop()
    assert claimed == [True] * 20


async def test_while_the_answer_to_a_claim_is_missing_nothing_starts(bus: MemoryBus) -> None:
    state = FaultyState(await bus.state("state"))
    life = Life(OtherState(bus, state), at_least_once=False)
    await until(lambda: state.written)
    state.withheld = asyncio.Event()
    await publish(bus, 0)
    await until(lambda: state.writes > state.written)
    await settle()
    assert life.action.started == []
    state.withheld.set()
    await until(lambda: life.action.finished == ["0"])
    await life.stop()


async def test_stopping_takes_back_what_was_claimed_and_has_not_started(bus: MemoryBus) -> None:
    state = FaultyState(await bus.state("state"))
    first = Life(OtherState(bus, state), at_least_once=False)
    await until(lambda: state.written)
    state.withheld = asyncio.Event()
    await publish(bus, *range(3))
    await until(lambda: state.writes > state.written)
    first.runner.stop()
    await settle()
    state.withheld.set()
    await first.dead()
    assert (first.action.started, list(first.decisions)) == ([], [])
    second = Life(bus, at_least_once=False)
    await until(lambda: len(second.action.finished) == 3)
    assert second.decisions.final() == {(str(number), "fired"): 1 for number in range(3)}
    await second.stop()


async def test_a_write_under_way_at_a_stop_gets_its_answer(bus: MemoryBus) -> None:
    """Else the successor would report as interrupted what has ended."""
    state = FaultyState(await bus.state("state"))
    life = Life(OtherState(bus, state), at_least_once=False, holding=True)
    await publish(bus, 0)
    await until(lambda: life.action.running)
    state.gate, writes = asyncio.Event(), state.writes
    life.action.finish("0")
    await until(lambda: state.writes > writes)
    life.runner.stop()
    await settle()
    state.gate.set()
    await life.dead()
    assert (await head(bus)).checkpoint.claims == {}


async def test_actions_that_outlive_the_grace_are_reported_as_interrupted_and_not_repeated(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(3))
    life = Life(bus, at_least_once=False, holding=True, grace=0.2)
    await until(lambda: len(life.action.running) == 3)
    life.action.finish("1")
    await life.stop()
    assert life.decisions.final() == {("0", "failed"): 1, ("1", "fired"): 1, ("2", "failed"): 1}
    assert sorted(life.decisions.ids(Outcome.FAILED, "interrupted")) == ["0", "2"]
    await publish(bus, 3)
    second = Life(await world.bus(), at_least_once=False)
    await until(lambda: second.action.finished == ["3"])
    assert second.decisions.final() == {("3", "fired"): 1}
    await second.stop()


async def test_after_a_crash_claims_are_reported_and_never_repeated(world: Any) -> None:
    bus = await world.bus()
    await publish(bus, *range(5))
    first = Life(bus, at_least_once=False, holding=True)
    await until(lambda: len(first.action.running) == 5)
    await crash(first.task)
    second = Life(await world.bus(), at_least_once=False)
    await publish(bus, 5)
    await until(lambda: second.action.finished == ["5"])
    assert second.decisions.sequences(Outcome.FAILED, "interrupted") == [1, 2, 3, 4, 5]
    await second.stop()


async def lives(bus: MemoryBus, count: int, faults: list[tuple[int, str]], *, at_least_once: bool) -> tuple[Any, Any]:
    """One process after another over the same events, each dying at a write; the last one lives."""
    started: Counter[str] = Counter()
    interrupted: set[int] = set()
    await publish(bus, *range(count))
    for at, fault in [*faults, (0, "")]:
        state = FaultyState(await bus.state("state"), {at: fault})
        life = Life(OtherState(bus, state), at_least_once=at_least_once)
        if fault:
            await until(lambda life=life, state=state, at=at: life.task.done() or _is_done(life, state, at))
        else:
            await applied(bus, bus.broker.last)
        await crash(life.task)
        started.update(life.action.started)
        interrupted |= set(life.decisions.sequences(Outcome.FAILED, "interrupted"))
    return started, interrupted


def _is_done(life: Life, state: FaultyState, at: int) -> bool:
    """It had less to write than it takes to die."""
    line = life.runner._line
    return line is not None and line._checkpoint.applied.sequence == 150 and not line._writer._is_touched


@BOTH
@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_over_deaths_at_any_write_nothing_is_lost_and_at_most_once_is_never_twice(
    bus: MemoryBus, at_least_once: bool, fault: str, at: int
) -> None:
    deaths = [(at, fault), (3, fault), (at + 1, "after"), (2, "before")]
    started, interrupted = await lives(bus, 150, deaths, at_least_once=at_least_once)
    everything = set(range(150))
    if at_least_once:
        assert set(map(int, started)) == everything
        assert sum(started.values()) - 150 <= 64 * len(deaths)
        assert not interrupted
    else:
        assert set(started.values()) <= {1}
        assert set(map(int, started)) | {sequence - 1 for sequence in interrupted} == everything


@pytest.mark.parametrize("at", [1, 2, 40, 64, 65, 100, 149])
async def test_over_deaths_at_any_action_at_most_once_is_never_twice(bus: MemoryBus, at: int) -> None:
    await publish(bus, *range(150))
    first = Life(bus, at_least_once=False)
    first.crash_at(at)
    await first.dead()
    second = Life(bus, at_least_once=False)
    await applied(bus, 150)
    await second.stop()
    started = Counter(first.action.started + second.action.started)
    interrupted = {str(one - 1) for one in second.decisions.sequences(Outcome.FAILED, "interrupted")}
    assert set(started.values()) == {1}
    assert set(started) | interrupted == set(names(range(150)))


async def test_a_stretch_without_a_firing_is_written_after_a_second(bus: MemoryBus) -> None:
    life = Life(bus, at_least_once=False, pipe=pipeline("a", dependency("a", **only("kind", "good"))))
    await publish(bus, *range(10), name="a")
    await applied(bus, 10, seconds=10)
    await life.stop()
    assert life.action.started == []


async def test_events_are_not_prepared_without_bound(bus: MemoryBus) -> None:
    prepared: list[int] = []

    class Counting(Pipeline):
        async def prepare(self, delivery: Any) -> Prepared:
            prepared.append(delivery.position.sequence)
            return await super().prepare(delivery)

    plain = pipeline(None, dependency("orders"))
    await publish(bus, *range(2000))
    for at_least_once in (True, False):
        prepared.clear()
        pipe = Counting(plain._dependencies, plain.condition, ("ns", "s", "t"))
        life = Life(bus, at_least_once=at_least_once, pipe=pipe, holding=True)
        await until(lambda life=life: life.action.running)
        await settle()
        assert len(prepared) <= 256
        await crash(life.task)
