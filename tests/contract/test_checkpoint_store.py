"""The checkpoint in the state of a bus: whatever goes wrong, what is there is the old one or the new one, whole."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from support.spine import Died, FakeLease, FaultyState, event, until

from eventbus.base import Position, State
from eventbus.memory import MemoryBroker, MemoryBus
from events.errors import NotOwner, Unavailable
from sensors.checkpoint import Checkpoint, CorruptCheckpoint, Pending
from sensors.checkpoint_store import CheckpointStore

Waiting = dict[str, int]
# What waits, save after save: dependency -> sequence.
HISTORIES: list[list[Waiting]] = [
    [{}, {"a": 1}, {"a": 2}, {"a": 3}],
    [{"a": 1}, {}, {"a": 2}, {"a": 3}],
    [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"b": 4}, {"a": 5, "b": 6}],
    [{"a": 1}, {"a": 2, "b": 3}, {"b": 3, "c": 4}, {"a": 5}],
]
FAULTS = ("before", "after")


def checkpoint(applied: int, waiting: Waiting) -> Checkpoint:
    pending = {name: Pending(event(f"{name}{n}", name=name), n, n * 10, "sig") for name, n in waiting.items()}
    made = Checkpoint(Position("s1", applied, applied * 10), pending, {f"f{applied}": {"a": applied}})
    made.recent.add(applied, applied)
    return made


def seen(one: Checkpoint) -> tuple[object, ...]:
    """Everything that a checkpoint says."""
    return (one.applied, one.pending, {name: dict(claim) for name, claim in one.claims.items()}, one.recent.pack())


def store(state: State, *, writer: str = "", lease: FakeLease | None = None) -> CheckpointStore:
    return CheckpointStore(state, lease or FakeLease(), "s", "t", uid="u", writer=writer)


@pytest.fixture
async def state() -> State:
    return await MemoryBus(MemoryBroker()).state("state")


async def reloaded(state: State) -> Checkpoint | None:
    return await store(state).load()


async def test_the_first_start_finds_nothing_and_the_second_what_was_saved(state: State) -> None:
    first = store(state)
    assert await first.load() is None
    assert first.epoch == 1
    await first.save(checkpoint(3, {"a": 2}))
    second = store(state)
    found = await second.load()
    assert found is not None
    assert seen(found) == seen(checkpoint(3, {"a": 2}))
    assert (second.epoch, second.is_own, second.lost) == (2, False, {})


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_death_at_any_write_the_checkpoint_is_the_old_one_or_the_new_one(
    history: list[Waiting], fault: str
) -> None:
    for at in itertools.count(1):
        state = await MemoryBus(MemoryBroker()).state("state")
        faulty = FaultyState(state, {at: fault})
        if not await _dies(faulty, history, whole={seen_of(None)}):
            return
        # The successor goes on from there, and dies once more.
        for further in range(1, 5):
            again = FaultyState(state, {further: fault})
            found = await reloaded(state)
            await _dies(again, [{"a": 7}, {"a": 8, "b": 9}], whole={seen_of(found)}, start=10)


def seen_of(found: Checkpoint | None) -> str:
    return repr(seen(found)) if found else "nothing"


async def _dies(faulty: FaultyState, history: list[Waiting], *, whole: set[str], start: int = 1) -> bool:
    """Save after save until one dies; then what is there must be the last that succeeded, or that one."""
    owner = store(faulty)
    await owner.load()
    for applied, waiting in enumerate(history, start):
        one = checkpoint(applied, waiting)
        try:
            await owner.save(one)
        except Died:
            assert seen_of(await reloaded(faulty.state)) in whole | {seen_of(one)}
            return True
        whole = {seen_of(one)}
        assert seen_of(await reloaded(faulty.state)) in whole
    return False


@pytest.mark.parametrize("fault", ["lost", "unsent", "away"])
async def test_a_write_without_answer_is_read_back_and_the_owner_goes_on(fault: str) -> None:
    async def one(history: list[Waiting], at: int) -> None:
        state = await MemoryBus(MemoryBroker()).state("state")
        owner = store(FaultyState(state, {at: fault}))
        await owner.load()
        for applied, waiting in enumerate(history, 1):
            await owner.save(checkpoint(applied, waiting))
            found = await reloaded(state)
            assert found is not None
            assert seen(found) == seen(checkpoint(applied, waiting))

    await asyncio.gather(*(one(history, at) for history in HISTORIES for at in range(1, 9)))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("fault", ["stuck", "late"])
@pytest.mark.parametrize("arrives", ["at once", "before the next save", "after it"])
async def test_a_save_that_was_cancelled_half_way_leaves_everything_whole(
    history: list[Waiting], fault: str, arrives: str
) -> None:
    """The next save of the same owner must not write over what a head names that arrived unnoticed."""
    for at, death in itertools.product(range(1, 9), range(1, 8)):
        state = await MemoryBus(MemoryBroker()).state("state")
        faulty = FaultyState(state, {at: fault, at + death: "before"})
        owner = store(faulty)
        await owner.load()
        allowed = {"nothing"}
        for applied, waiting in enumerate(history, 1):
            one = checkpoint(applied, waiting)
            saving = asyncio.ensure_future(_saved(owner, one))
            await until(lambda saving=saving, faulty=faulty, at=at: saving.done() or faulty.writes >= at)
            for _ in range(3):
                await asyncio.sleep(0)
            if not saving.done():
                if arrives == "at once":
                    await faulty.deliver()
                saving.cancel()
                await asyncio.gather(saving, return_exceptions=True)
                allowed |= {seen_of(one)}
                if arrives == "before the next save":
                    await faulty.deliver()
                continue
            allowed = {seen_of(one)} if saving.result() else allowed | {seen_of(one)}
            if arrives == "after it":
                await faulty.deliver()
            assert seen_of(await reloaded(state)) in allowed
            if not saving.result():
                break
        assert seen_of(await reloaded(state)) in allowed


async def _saved(owner: CheckpointStore, one: Checkpoint) -> bool:
    try:
        await owner.save(one)
    except Died:
        return False
    return True


async def test_what_changes_while_a_save_is_under_way_is_not_part_of_it(state: State) -> None:
    faulty = FaultyState(state)
    owner = store(faulty)
    await owner.load()
    faulty.withheld = asyncio.Event()
    one = checkpoint(1, {"a": 1})
    saving = asyncio.ensure_future(owner.save(one))
    await until(lambda: faulty.writes)
    one.applied = Position("s1", 9, 90)
    one.pending["b"] = Pending(event("b2", name="b"), 2, 20, "sig")
    faulty.withheld.set()
    await saving
    found = await reloaded(state)
    assert found is not None
    assert seen(found) == seen(checkpoint(1, {"a": 1}))


async def test_of_two_owners_the_later_goes_on_and_the_earlier_is_told(state: State) -> None:
    early, late = store(state), store(state)
    await early.load()
    await early.save(checkpoint(1, {"a": 1}))
    found = await late.load()
    assert found is not None
    await late.save(found)
    with pytest.raises(NotOwner):
        await early.save(checkpoint(2, {}))
    await late.save(checkpoint(3, {"a": 3}))
    assert seen_of(await reloaded(state)) == seen_of(checkpoint(3, {"a": 3}))


async def test_two_that_take_over_at_once_are_one_owner(state: State) -> None:
    owners = [store(state) for _ in range(5)]
    for owner in owners:
        await owner.load()
    ends = await asyncio.gather(*(one.save(checkpoint(1, {})) for one in owners), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType"] + ["NotOwner"] * 4


STALE: list[Waiting] = [{"a": 50}, {"a": 50, "b": 51}, {"b": 51}, {"new": 52}, {"a": 50, "b": 51, "new": 52}]


@pytest.mark.parametrize("stale", STALE)
@pytest.mark.parametrize("before", [{}, {"a": 1}, {"a": 1, "b": 2}])
@pytest.mark.parametrize("at", range(4))
async def test_a_stale_owner_cannot_overwrite_what_a_new_owner_named(
    state: State, stale: Waiting, before: Waiting, at: int
) -> None:
    """It writes at whatever point of the new owner's life, also to slots that it never used."""
    early, late = store(state), store(state)
    await early.load()
    await early.save(checkpoint(1, before))
    last = checkpoint(1, before)
    history: list[Waiting] = [{"a": 11}, {"a": 12, "b": 13, "new": 14}, {"a": 15, "b": 16, "new": 17}]
    for number, waiting in enumerate([before, *history]):
        if number == at:
            ended = await asyncio.gather(early.save(checkpoint(9, stale)), return_exceptions=True)
            assert at == 0 or isinstance(ended[0], NotOwner)
            assert at == 0 or seen_of(await reloaded(state)) == seen_of(last)
        if number == 0:
            found = await late.load()
            assert found is not None
        last = checkpoint(10 + number, waiting)
        await late.save(last)
        assert seen_of(await reloaded(state)) == seen_of(last)


@pytest.mark.parametrize("at", [1, 2])
async def test_a_slot_that_a_stale_owner_wrote_late_does_not_stop_the_owner(state: State, at: int) -> None:
    faulty = FaultyState(state, {at + 2: "late"})  # after the two writes of the first save
    early, late = store(faulty), store(state)
    await early.load()
    await early.save(checkpoint(1, {"a": 1}))
    stale = asyncio.ensure_future(early.save(checkpoint(2, {"a": 2})))
    await until(lambda: faulty.on_the_way)
    found = await late.load()
    assert found is not None
    await late.save(found)
    await faulty.deliver()
    await late.save(checkpoint(3, {"a": 3}))
    await late.save(checkpoint(4, {"a": 4}))
    stale.cancel()
    assert seen_of(await reloaded(state)) == seen_of(checkpoint(4, {"a": 4}))


async def test_nothing_is_written_after_the_lease_is_over(state: State) -> None:
    lease = FakeLease()
    faulty = FaultyState(state)
    owner = store(faulty, lease=lease)
    await owner.load()
    lease.over.set()
    with pytest.raises(NotOwner):
        await owner.save(checkpoint(1, {"a": 1}))
    assert faulty.log == []


async def test_while_the_bus_is_away_a_save_waits_until_the_lease_is_over() -> None:
    bus, lease = MemoryBus(), FakeLease()
    owner = store(FaultyState(await bus.state("state"), dict.fromkeys(range(1, 99), "away")), lease=lease)
    await owner.load()
    saving = asyncio.ensure_future(owner.save(checkpoint(1, {})))
    await asyncio.wait({saving}, timeout=0.2)
    assert not saving.done()
    lease.over.set()
    with pytest.raises(NotOwner):
        await asyncio.wait_for(saving, 30)


async def test_a_writer_recognises_its_own_head(state: State) -> None:
    first = store(state, writer="me")
    await first.load()
    await first.save(checkpoint(1, {}))
    again, other = store(state, writer="me"), store(state, writer="you")
    await again.load()
    await other.load()
    assert (again.is_own, other.is_own) == (True, False)


async def test_a_slot_that_the_bus_lost_is_said_to_be_lost(state: State) -> None:
    owner = store(state)
    await owner.load()
    await owner.save(checkpoint(1, {"a": 1, "b": 2}))
    for key in await state.keys("sensor.s.t.slot.a"):
        await state.purge(key)
    successor = store(state)
    found = await successor.load()
    assert found is not None
    assert set(found.pending) == {"b"}
    assert {name: ref.sequence for name, ref in successor.lost.items()} == {"a": 1}


async def test_a_head_or_slot_that_cannot_be_read_is_not_overwritten(state: State) -> None:
    await state.put("sensor.s.t.head", b"from the future")
    with pytest.raises(CorruptCheckpoint):
        await store(state).load()
    await state.purge("sensor.s.t.head")
    owner = store(state)
    await owner.load()
    await owner.save(checkpoint(1, {"a": 1}))
    (slot,) = await state.keys("sensor.s.t.slot")
    await state.put(slot, b"?")
    with pytest.raises(CorruptCheckpoint):
        await store(state).load()


async def test_reading_waits_for_a_bus_that_is_away(state: State) -> None:
    class Away(FaultyState):
        tries = 0

        async def get(self, key: str) -> None:  # type: ignore[override]
            self.tries += 1
            if self.tries < 3:
                raise Unavailable("away")

    away = Away(state)
    assert await store(away).load() is None
    assert away.tries == 3
