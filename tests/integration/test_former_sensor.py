"""Swapping Argo Events' own sensor for ours while events are on a real bus: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.argo_sensor import ArgoSensor
from support.lives import head, names, publish
from support.spine import FaultyState, OtherState, crash, dependency, until
from support.swaps import ORDERS, A, B, World, acted, life, runs

from eventbus.former import FormerReader, Taken
from eventbus.jetstream import former
from eventbus.jetstream.bus import JetStreamBus
from events.event import Event
from sensors.decision import Outcome

BOTH = pytest.mark.parametrize("at_least_once", [True, False])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.server.start()
    yield made
    await made.close()


@pytest.fixture
async def bus(world: World) -> JetStreamBus:
    return await world.bus()


# ---- nothing lost, nothing repeated


@BOTH
async def test_ours_goes_on_where_theirs_stopped(world: World, bus: JetStreamBus, at_least_once: bool) -> None:
    await publish(bus, "before")  # their durables begin with what is new
    argo = await world.argo(ORDERS)
    await publish(bus, *range(10))
    for _ in range(5):
        await argo.handle(await argo.take())
    await argo.take()  # delivered; what became of it nobody knows
    argo.kill()
    ours = life(bus, argo, at_least_once=at_least_once)
    await runs(ours)
    await publish(bus, 10)
    await acted(ours, *names(range(5, 11)))
    assert argo.acted == names(range(5))
    assert ours.decisions.final() == {(name, "fired"): 1 for name in names(range(5, 11))}
    await ours.stop()
    assert (await head(bus)).checkpoint.floors == {}


@BOTH
async def test_what_was_acknowledged_out_of_order_is_not_repeated(
    world: World, bus: JetStreamBus, at_least_once: bool
) -> None:
    """After several deaths of theirs: an ack floor says nothing of what was acknowledged above it."""
    argo = await world.argo(ORDERS)
    await publish(bus, *range(12))
    taken = [await argo.take() for _ in range(9)]
    for number, message in enumerate(taken):
        if number not in (1, 4, 8):
            await argo.handle(message)
    argo.kill()
    ours = life(bus, argo, at_least_once=at_least_once)
    await runs(ours)
    await acted(ours, "1", "4", "8", "9", "10", "11")
    await ours.stop()


async def test_at_least_once_overlapping_takes_over_as_well(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    await publish(bus, *range(8))
    taken = [await argo.take() for _ in range(4)]
    await argo.handle(taken[3])
    await argo.handle(taken[1])
    argo.kill()
    ours = life(bus, argo, concurrency={"max": 4})
    await acted(ours, "0", "2", "4", "5", "6", "7")
    await ours.stop()


async def test_their_durables_and_keys_stay_as_they_were(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a1", name="a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    second = await world.argo(A, B)  # the same durables, to ask them
    before, value = await second.info("a"), await second.bucket.get("t/a")
    ours = life(bus, argo)
    await publish(bus, "b1", name="b")
    await acted(ours, "a1+b1")
    await ours.stop()
    after = await second.info("a")
    assert {key: after[key] for key in ("config", "delivered", "ack_floor", "num_ack_pending")} == {
        key: before[key] for key in ("config", "delivered", "ack_floor", "num_ack_pending")
    }
    assert (await second.bucket.get("t/a")).value == value.value
    assert (await second.info("b"))["delivered"]["stream_seq"] < 2


async def test_a_subject_that_has_been_quiet_for_long_does_not_make_ours_read_everything_since(
    world: World, bus: JetStreamBus
) -> None:
    argo = await world.argo(A, B, expression="a || b")
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"))
    await publish(bus, *(f"b{number}" for number in range(20)), name="b")
    for _ in range(20):
        await argo.handle(await argo.take("b"))
    argo.kill()
    left = await bus.former(FormerReader("s", "t", argo.upstream.topics), lambda _reason: None)
    assert left is not None
    assert left.after.sequence == 21
    assert left.after.stored_ns > 0, "known by its time, should the stream lose its tail"


async def test_a_backlog_of_one_subject_is_done_without_repeating_the_other(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B, expression="a || b")
    for number in range(10):
        await publish(bus, f"a{number}", name="a")
        await publish(bus, f"b{number}", name="b")
        await argo.handle(await argo.take("b"))
    argo.kill()
    first = life(bus, argo, holding=True)  # half-way it dies: the floors are in the head as long as they are needed
    for number in range(5):
        await until(lambda number=number: f"a{number}" in first.action.running)
        if number < 4:
            first.action.finish(f"a{number}")
    await until(lambda: first.runner._writer is not None)
    await asyncio.sleep(0.2)
    await crash(first.task)
    assert first.action.started == [f"a{number}" for number in range(5)]
    assert (await head(bus)).checkpoint.floors
    second = life(await world.bus(), argo)
    await acted(second, *(f"a{number}" for number in range(4, 10)))
    await publish(bus, "b10", name="b")
    await acted(second, *(f"a{number}" for number in range(4, 10)), "b10")
    await second.stop()
    assert (await head(bus)).checkpoint.floors == {}


async def test_what_the_stream_has_lost_meanwhile_is_no_riddle(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    await publish(bus, *range(6))
    taken = [await argo.take() for _ in range(4)]
    await argo.handle(taken[2])
    await argo.stream.delete_msg("default", 1)
    argo.kill()
    ours = life(bus, argo)
    await acted(ours, "1", "3", "4", "5")
    await ours.stop()


async def test_what_the_stream_loses_at_that_moment_is_no_riddle_either(
    world: World, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    argo = await world.argo(ORDERS)
    await publish(bus, *range(6))
    taken = [await argo.take() for _ in range(4)]
    await argo.handle(taken[2])
    ask = former._Reading._unacked

    async def lose_and_ask(self: Any, durable: Any) -> frozenset[int] | None:
        await argo.stream.delete_msg("default", 1)
        return await ask(self, durable)

    monkeypatch.setattr(former._Reading, "_unacked", lose_and_ask)
    left = await bus.former(FormerReader("s", "t", argo.upstream.topics), lambda _reason: None)
    assert left is not None
    assert left.taken == {("hooks", "orders"): Taken(4, frozenset({2, 4}))}
    assert left.notes == ()


async def test_claims_that_are_taken_back_do_not_forget_what_theirs_had_done(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B, expression="a || b")
    await publish(bus, "a0", name="a")
    await publish(bus, "b0", name="b")
    await argo.handle(await argo.take("b"))
    await publish(bus, "a1", name="a")
    argo.kill()
    state = FaultyState(await bus.state("state"))
    first = life(OtherState(bus, state), argo, at_least_once=False)
    await until(lambda: state.written)
    state.gate = asyncio.Event()  # the claim of both is on its way, past the floor of b, when it is told to stop
    await until(lambda: state.writes > state.written)
    first.runner.stop()
    state.gate.set()
    await first.dead()
    assert first.action.started == []
    assert (await head(bus)).checkpoint.floors
    second = life(await world.bus(), argo, at_least_once=False)
    await acted(second, "a0", "a1")
    await second.stop()


# ---- events that wait for others


@BOTH
async def test_an_event_that_waits_is_adopted(world: World, bus: JetStreamBus, at_least_once: bool) -> None:
    argo = await world.argo(A, B, expression="a && b")
    await publish(bus, "a0", "a1", name="a")
    await argo.handle(await argo.take("a"))
    await argo.handle(await argo.take("a"))  # the newest counts
    argo.kill()
    ours = life(bus, argo, at_least_once=at_least_once)
    await runs(ours)
    found = await head(bus)
    assert (found.slots["a"].sequence, found.slots["a"].stored_ns) == (2, (await _stored_ns(bus, 2)))
    await publish(bus, "b0", name="b")
    await acted(ours, "a1+b0")
    await publish(bus, "b1", name="b")
    await asyncio.sleep(0.1)
    assert ours.action.started == ["a1+b0"]
    await ours.stop()


async def _stored_ns(bus: JetStreamBus, sequence: int) -> int:
    delivery = await bus.read(sequence)
    assert delivery is not None
    return delivery.position.stored_ns


async def test_it_is_adopted_as_it_was_after_its_transformation(world: World, bus: JetStreamBus) -> None:
    def transformed(one: Event) -> Event:
        return one.with_data(b'{"made":"there"}')

    argo = await world.argo(A, B, transform=transformed)
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    ours = life(bus, argo)
    await publish(bus, "b0", name="b")
    await acted(ours, "a0+b0")
    assert ours.action.firings[0].events["a"].data == b'{"made":"there"}'
    await ours.stop()


async def test_after_a_firing_of_theirs_nothing_waits(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await publish(bus, "b0", name="b")
    await argo.handle(await argo.take("a"))
    await argo.handle(await argo.take("b"))
    assert argo.acted == ["a0+b0"]
    argo.kill()
    ours = life(bus, argo)
    await runs(ours)
    assert (await head(bus)).slots == {}, "its keys are markers of removal"
    await publish(bus, "b1", name="b")
    await asyncio.sleep(0.1)
    assert ours.action.started == []
    await ours.stop()


@pytest.mark.parametrize("until_step", ["put", "put a", "ack"])
async def test_a_death_of_theirs_while_it_kept_an_event(world: World, bus: JetStreamBus, until_step: str) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"), until=until_step)
    argo.kill()
    ours = life(bus, argo)
    await publish(bus, "b0", "b1", name="b")
    await acted(ours, "a0+b0")  # once, although it both waited and was not acknowledged
    await publish(bus, "a1", name="a")
    await acted(ours, "a0+b0", "a1+b1")
    await ours.stop()


async def test_a_death_of_theirs_before_a_firing(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await publish(bus, "b0", name="b")
    await argo.handle(await argo.take("a"))
    await argo.handle(await argo.take("b"), until="act")
    argo.kill()
    ours = life(bus, argo)
    await acted(ours, "a0+b0")
    await ours.stop()


async def test_an_older_event_that_was_left_does_not_take_the_place_of_the_one_that_waits(
    world: World, bus: JetStreamBus
) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", "a1", name="a")
    await argo.take("a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    ours = life(bus, argo)
    await publish(bus, "b0", name="b")
    await acted(ours, "a1+b0")
    assert ours.decisions.ids(Outcome.SUPERSEDED) == ["a0"]
    await ours.stop()


# ---- several dependencies on one subject


async def test_dependencies_on_one_subject_share_a_durable(world: World, bus: JetStreamBus) -> None:
    big, small = dependency("big", "a"), dependency("small", "a")
    argo = await world.argo(big, small, B, expression="(small && b) || (big && b)")
    assert len(await argo.existing()) == 2
    await publish(bus, "a0", "a1", name="a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    ours = life(bus, argo)
    await publish(bus, "b0", name="b")
    await until(lambda: ours.action.finished)
    (firing,) = ours.action.firings
    assert {name: one.id for name, one in firing.events.items()} == {"big": "a1", "small": "a1", "b": "b0"}
    await ours.stop()


async def test_a_death_between_two_dependencies_on_one_subject(world: World, bus: JetStreamBus) -> None:
    """The first one has kept the event, the second has not seen it."""
    argo = await world.argo(dependency("one", "a"), dependency("two", "a"), expression="one && two")
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"), until="put one")
    argo.kill()
    ours = life(bus, argo)
    await until(lambda: ours.action.finished)
    await asyncio.sleep(0.1)
    assert [dict(firing.sequences) for firing in ours.action.firings] == [{"one": 1, "two": 1}]
    assert len(ours.decisions.ids(Outcome.SUPERSEDED)) == 0
    await ours.stop()


# ---- edits on the way


async def test_what_waits_for_an_edited_dependency_is_dropped_and_said(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    edited = ArgoSensor(world.server.url, dependency("a", filters={"context": {"type": "webhook"}}), B)
    ours = life(bus, edited)
    await publish(bus, "b0", name="b")
    await runs(ours)
    await asyncio.sleep(0.1)
    assert ours.action.started == []
    assert ours.decisions.ids(Outcome.RESET, "edited") == ["a0"]
    await publish(bus, "a1", name="a")
    await acted(ours, "a1+b0")
    await ours.stop()


async def test_an_edit_of_the_conditions_drops_what_waits_and_loses_nothing_on_the_bus(
    world: World, bus: JetStreamBus
) -> None:
    argo = await world.argo(A, B, expression="a && b")
    await publish(bus, "a0", "a1", name="a")
    await argo.handle(await argo.take("a"))
    argo.kill()
    ours = life(bus, ArgoSensor(world.server.url, A, B, expression="a || b"))
    await acted(ours, "a1")
    assert ours.decisions.ids(Outcome.RESET, "edited") == ["a0"]
    await ours.stop()


async def test_a_topic_that_theirs_did_not_read_starts_with_what_is_new(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A)
    await publish(bus, "c0", name="c")
    await publish(bus, "a0", name="a")
    argo.kill()
    ours = life(bus, ArgoSensor(world.server.url, A, dependency("c"), expression="a || c"))
    await runs(ours)
    await publish(bus, "c1", name="c")
    await acted(ours, "a0", "c1")
    await ours.stop()
