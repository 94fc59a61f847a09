"""The lines when the lease, the bus, its data or an action of theirs fails. Both modes, over memory and JetStream."""

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
    pipeline,
    until,
)

from eventbus.memory import MemoryBus
from sensors.base import Firing
from sensors.decision import Outcome
from sensors.pipeline import Pipeline, Prepared

BOTH = pytest.mark.parametrize("at_least_once", [True, False])


# ---- both


@BOTH
async def test_no_more_start_than_the_rate_limit_permits(world: Any, at_least_once: bool) -> None:
    bus = await world.bus()
    await publish(bus, *range(10))
    life = Life(bus, at_least_once=at_least_once, permits=3)
    for permitted in (3, 5):
        await until(lambda permitted=permitted: len(life.action.finished) == permitted)
        await settle()
        assert life.action.started == names(range(permitted))
        life.action.permit(2)
    await until(lambda: len(life.action.finished) == 7)
    await life.stop()  # while it waits for a permit
    second = Life(await world.bus(), at_least_once=at_least_once)
    await until(lambda: len(second.action.finished) == 3)
    assert second.action.started == names(range(7, 10))
    await second.stop()


@BOTH
async def test_what_waits_for_a_permit_does_not_start_after_the_lease_is_over(
    bus: MemoryBus, at_least_once: bool
) -> None:
    await publish(bus, *range(3))
    life = Life(bus, at_least_once=at_least_once, permits=1)
    await until(lambda: life.action.finished == ["0"])
    await settle()
    life.lease.over.set()
    life.action.permit(5)
    await settle()
    life.runner.stop()
    await life.dead()
    assert life.action.started == ["0"]


@BOTH
async def test_an_outage_neither_repeats_nor_interrupts_what_ended_meanwhile(
    bus: MemoryBus, at_least_once: bool
) -> None:
    """The process lost its lease, nobody else took over, and it knows more than the head says."""
    await publish(bus, *range(4))
    life = Life(bus, at_least_once=at_least_once, holding=True)
    await until(lambda: life.action.running)
    await settle()
    await life.lose()
    for _ in range(4):
        await settle()
        life.action.finish_all()
    await life.again()
    life.action.holding = False
    await until(lambda: life.runner._line is not None and len(life.action.finished) == 4)
    await life.stop()
    assert life.action.started == names(range(4))
    assert life.decisions.final() == {(str(number), "fired"): 1 for number in range(4)}
    assert (await head(bus)).checkpoint.claims == {}


@BOTH
async def test_when_another_has_taken_over_the_former_owner_starts_nothing_more(
    bus: MemoryBus, at_least_once: bool
) -> None:
    """Both believe that they are the owner: what counts is the head."""
    first = Life(bus, at_least_once=at_least_once)
    await publish(bus, 0)
    await until(lambda: first.action.finished == ["0"])
    await applied(bus, 1)
    await settle()
    second = Life(bus, at_least_once=at_least_once)
    await until(lambda: second.runner._line is not None)
    await crash(second.task)
    second = Life(bus, at_least_once=at_least_once)
    await until(lambda: second.runner._line is not None)
    await publish(bus, *range(1, 40))
    await until(lambda: set(names(range(40))) <= {*first.action.finished, *second.action.finished})
    if not at_least_once:
        assert set(Counter(first.action.started + second.action.started).values()) == {1}
    await crash(first.task)
    await crash(second.task)


@BOTH
async def test_a_defect_in_an_action_is_its_outcome_and_the_line_goes_on(bus: MemoryBus, at_least_once: bool) -> None:
    life = Life(bus, at_least_once=at_least_once)

    def defect(firing: Firing) -> None:
        if firing.events["orders"].id == "1":
            raise RuntimeError("a defect")

    life.action.on_start = defect
    await publish(bus, *range(3))
    await until(lambda: len(life.decisions) == 3)
    assert life.decisions.final() == {("0", "fired"): 1, ("1", "failed"): 1, ("2", "fired"): 1}
    assert life.decisions.ids(Outcome.FAILED, "defect") == ["1"]
    await applied(bus, 3)
    await life.stop()
    assert (await head(bus)).checkpoint.claims == {}


@BOTH
async def test_a_defect_in_the_fold_is_tried_again_and_nothing_is_lost(bus: MemoryBus, at_least_once: bool) -> None:
    plain, defects = pipeline("a && b", dependency("a"), dependency("b")), [1, 2]

    class Defective(Pipeline):
        def fold(self, checkpoint: Any, prepared: Prepared) -> Any:
            step = super().fold(checkpoint, prepared)
            if defects and prepared.delivery.position.sequence == 3:
                defects.pop()
                raise RuntimeError("a defect, half-way")
            return step

    pipe = Defective(plain._dependencies, plain.condition, ("ns", "s", "t"))
    life = Life(bus, at_least_once=at_least_once, pipe=pipe)
    for number, name in enumerate("aabbb"):
        await publish(bus, number, name=name)
    await until(lambda: life.action.finished == ["1+2"])
    await applied(bus, 5)
    await life.stop()
    assert life.action.started == ["1+2"]
    assert {name: ref.sequence for name, ref in (await head(bus)).slots.items()} == {"b": 5}


@BOTH
async def test_a_wiped_bus_loses_nothing_that_waits_or_comes_later(world: Any, at_least_once: bool) -> None:
    """State and stream are gone; what this process knows is what is left."""
    bus = await world.bus()
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    life = Life(bus, at_least_once=at_least_once, pipe=pipe)
    await publish(bus, "a0", name="a")
    await publish(bus, "b0", name="b")
    await publish(bus, "a1", name="a")
    await applied(bus, 3)
    await world.wipe()
    await publish(bus, "a0", name="a")  # came before: its source sends it again
    await publish(bus, "b1", name="b")
    await publish(bus, "b2", name="b")
    await until(lambda: len(life.action.finished) == 2)
    await applied(bus, 3)
    await life.stop()
    assert life.action.started == ["a0+b0", "a1+b1"]
    assert life.decisions.ids(Outcome.DUPLICATE) == ["a0"]
    assert [name for name, _ in (await head(bus)).slots.items()] == ["b"]


@BOTH
async def test_a_bus_wiped_while_nobody_owned_the_trigger_is_read_from_its_start(
    bus: MemoryBus, at_least_once: bool
) -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    life = Life(bus, at_least_once=at_least_once, pipe=pipe)
    await publish(bus, "a0", name="a")
    await applied(bus, 1)
    await life.lose()
    bus.broker.wipe()
    await publish(bus, "b0", "b1", name="b")
    await life.again()
    await until(lambda: life.action.finished == ["a0+b0"])
    await applied(bus, 2)
    successor = Life(bus, at_least_once=at_least_once, pipe=pipe)  # the slots were written again, too
    await publish(bus, "a1", name="a")
    await until(lambda: "a1+b1" in life.action.finished + successor.action.finished)
    await crash(life.task)
    await crash(successor.task)


@BOTH
@pytest.mark.parametrize("when", range(12))
async def test_stop_at_any_moment_of_a_take_over_ends_at_once_and_leaves_all_to_the_successor(
    bus: MemoryBus, at_least_once: bool, when: int
) -> None:
    await publish(bus, *range(3))
    first = Life(bus, at_least_once=at_least_once)
    for _ in range(when):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await first.stop()
    second = Life(bus, at_least_once=at_least_once)
    await until(lambda: len(first.action.started) + len(second.action.finished) == 3)
    await second.stop()
    assert sorted(first.action.finished + second.action.finished) == names(range(3))


@BOTH
async def test_stop_while_the_trigger_is_about_to_start_again_is_kept(bus: MemoryBus, at_least_once: bool) -> None:
    """A write failed, the consumer is being closed, the next take-over would come."""
    state = FaultyState(await bus.state("state"))
    life = Life(OtherState(bus, state), at_least_once=at_least_once)
    await until(lambda: state.written)
    await (await bus.state("state")).put(HEAD, b"somebody else's")
    await publish(bus, 0)
    await until(lambda: life.runner._line is None)
    async with asyncio.timeout(10):
        await life.stop()
    assert life.task.done()


async def test_lost_slots_of_waiting_events_are_reported(bus: MemoryBus) -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    first = Life(bus, at_least_once=True, pipe=pipe)
    await publish(bus, "a0", name="a")
    await applied(bus, 1)
    await first.stop()
    state = await bus.state("state")
    for key in await state.keys("sensor.s.t.slot"):
        await state.purge(key)
    second = Life(bus, at_least_once=True, pipe=pipe)
    await until(lambda: second.runner._line is not None)
    assert second.decisions.sequences(Outcome.FAILED, "lost") == [1]
    await second.stop()
