"""The contract of a bus: one suite, run over JetStream on a real nats-server and over memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.role_buses import world_of

from eventbus.base import Bus, Delivery, Position, Start, Subscription
from events.errors import Conflict, NotOwner, TooLarge, Unavailable, UserError
from events.event import Event
from events.logs import Log

LOG = Log("test")
TOPIC = ("hooks", "orders")


def event(number: int | str, *, name: str = "orders", data: bytes = b"{}") -> Event:
    return Event(id=str(number), source="hooks", type="webhook", subject=name, data=data, time="2026-01-01T00:00:00Z")


@pytest.fixture(params=["memory", "jetstream", "source", "sensor"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    made: Any = world_of(request.param, tmp_path)
    yield made
    await made.close()


async def take(deliveries: Any, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(60):
        while len(taken) < count:
            taken += await deliveries.next_batch(count - len(taken))
    return taken


def ids(taken: list[Delivery]) -> list[str]:
    return [delivery.event.id for delivery in taken if delivery.event]


async def patient(publish: Callable[[], Any]) -> Any:
    """Publish again until the bus is back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await publish()
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_what_was_published_is_delivered_in_order_with_its_data(world: Any) -> None:
    bus: Bus = await world.bus()
    async with bus.subscribe(Subscription("reader", [TOPIC], Start.FIRST)) as deliveries:
        for number in range(1, 6):
            await bus.publish(event(number, data=b'{"n":%d}' % number))
        taken = await take(deliveries, 5)
    assert ids(taken) == ["1", "2", "3", "4", "5"]
    assert [delivery.position.sequence for delivery in taken] == [1, 2, 3, 4, 5]
    assert taken[2].event is not None
    assert taken[2].event.tree() == {"n": 3}
    assert all(abs((datetime.now(UTC) - delivery.stored_at).total_seconds()) < 60 for delivery in taken)


async def test_a_thousand_concurrent_publishes_are_stored_once_each(world: Any) -> None:
    bus: Bus = await world.bus()
    stored = await asyncio.gather(*(bus.publish(event(number)) for number in range(1000)))
    assert {one.sequence for one in stored} == set(range(1, 1001))
    async with bus.subscribe(Subscription("reader", [TOPIC], Start.FIRST)) as deliveries:
        taken = await take(deliveries, 1000)
    assert [delivery.position.sequence for delivery in taken] == list(range(1, 1001))


async def test_a_repeated_id_is_stored_once_but_the_same_id_of_another_event_is_not_a_repeat(world: Any) -> None:
    bus: Bus = await world.bus()
    first = await bus.publish(event(7))
    again = await bus.publish(event(7))
    other = await bus.publish(event(7, name="refunds"))
    assert not first.duplicate
    assert again.duplicate
    assert not other.duplicate
    assert other.sequence == first.sequence + 1


async def test_only_the_topics_asked_for_are_delivered(world: Any) -> None:
    bus: Bus = await world.bus()
    topics = [TOPIC, ("hooks", "refunds"), TOPIC]
    async with bus.subscribe(Subscription("reader", topics, Start.FIRST)) as deliveries:
        for number, name in enumerate(["orders", "other", "refunds", "other", "orders"]):
            await bus.publish(event(number, name=name))
        assert ids(await take(deliveries, 3)) == ["0", "2", "4"]


async def test_new_means_after_the_subscription_and_a_time_means_from_then_on(world: Any) -> None:
    bus: Bus = await world.bus()
    await bus.publish(event(1))
    await asyncio.sleep(0.02)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.02)
    await bus.publish(event(2))
    async with AsyncExitStack() as stack:
        new = await stack.enter_async_context(bus.subscribe(Subscription("new", [TOPIC], Start.NEW)))
        since = await stack.enter_async_context(bus.subscribe(Subscription("since", [TOPIC], moment)))
        await bus.publish(event(3))
        assert ids(await take(since, 2)) == ["2", "3"]
        assert ids(await take(new, 1)) == ["3"]
        assert since.start.sequence == 1
        assert new.start.sequence == 2


async def test_names_that_no_subject_can_hold_are_refused_with_a_cure(world: Any) -> None:
    bus: Bus = await world.bus()
    with pytest.raises(UserError, match="cannot be published"):
        await bus.publish(event(1, name="a.b"))


async def test_an_event_over_the_limit_is_refused_and_the_connection_stays(world: Any) -> None:
    bus: Bus = await world.bus()
    with pytest.raises(TooLarge):
        await bus.publish(event(1, data=b'"%s"' % (b"x" * 1_000_000)))
    assert (await bus.publish(event(2))).sequence == 1


async def test_bytes_that_are_no_event_are_delivered_as_an_error_not_skipped(world: Any) -> None:
    bus: Any = await world.bus()
    if not hasattr(world, "server"):
        world.broker.append("default.hooks.orders", b"null")
    else:
        writer = bus.parts[0] if hasattr(bus, "parts") else bus
        link = await writer._connection.link()
        await link.request("default.hooks.orders", b"null", 5)
    async with bus.subscribe(Subscription("reader", [TOPIC], Start.FIRST)) as deliveries:
        (one,) = await take(deliveries, 1)
    assert one.event is None
    assert "object" in one.error


async def test_after_a_crash_four_unfinished_and_three_new_events_are_taken_over_in_order(world: Any) -> None:
    """The broker's own redelivery would give 5 6 7, then 1 2 3 4."""
    first: Bus = await world.bus()
    other: Bus = await world.bus()
    async with first.subscribe(Subscription("line", [TOPIC], Start.FIRST, epoch=1)) as deliveries:
        for number in range(1, 5):
            await other.publish(event(number))
        assert ids(await take(deliveries, 4)) == ["1", "2", "3", "4"]
        await world.crash(first)
        for number in range(5, 8):
            await other.publish(event(number))
        created = await other.stream_created()
        async with other.subscribe(Subscription("line", [TOPIC], Position(created, 0), epoch=2)) as successor:
            assert ids(await take(successor, 7)) == ["1", "2", "3", "4", "5", "6", "7"]


async def test_events_delivered_into_a_cut_connection_come_in_order_before_newer_ones(world: Any) -> None:
    reader: Bus = await world.bus()
    writer: Bus = await world.bus()
    async with reader.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries:
        await writer.publish(event(1))
        assert ids(await take(deliveries, 1)) == ["1"]
        await world.cut(reader)
        for number in range(2, 6):
            await writer.publish(event(number))
        await world.mend(reader)
        await writer.publish(event(6))
        assert ids(await take(deliveries, 5)) == ["2", "3", "4", "5", "6"]


async def test_cutting_again_and_again_under_load_loses_and_repeats_nothing(world: Any) -> None:
    reader: Bus = await world.bus()
    writer: Bus = await world.bus()

    async def cutting() -> None:
        for _ in range(40):  # not for ever: a slow machine would never be connected long enough
            await world.cut(reader)
            await asyncio.sleep(0.02)
            await world.mend(reader)
            await asyncio.sleep(0.15)

    async with reader.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries:
        cutter = asyncio.create_task(cutting())
        for batch in _batched(2000, 100):
            await asyncio.gather(*(writer.publish(event(number)) for number in batch))
            await asyncio.sleep(0.02)
        taken = await take(deliveries, 2000)
        cutter.cancel()
        await asyncio.wait({cutter})
    assert [delivery.position.sequence for delivery in taken] == list(range(1, 2001))


def _batched(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


async def test_a_wiped_stream_is_read_from_its_start(world: Any) -> None:
    reader: Bus = await world.bus()
    writer: Bus = await world.bus()
    async with reader.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries:
        for number in range(1, 4):
            await writer.publish(event(number))
        (*_, last) = await take(deliveries, 3)
        await world.wipe()
        await patient(lambda: writer.publish(event("anew")))
        (anew,) = await take(deliveries, 1)
        assert ids([anew]) == ["anew"]
        assert anew.position.stream_created != last.position.stream_created


async def test_a_position_in_a_stream_that_is_gone_starts_at_the_beginning(world: Any) -> None:
    bus: Bus = await world.bus()
    await bus.publish(event(1))
    position = Position("2020-01-01T00:00:00Z", 40, 1)
    async with bus.subscribe(Subscription("line", [TOPIC], position)) as deliveries:
        assert ids(await take(deliveries, 1)) == ["1"]


async def test_a_stream_that_lost_its_tail_skips_nothing_new(world: Any) -> None:
    reader: Bus = await world.bus()
    writer: Bus = await world.bus()
    async with reader.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries:
        await writer.publish(event(1))
        await take(deliveries, 1)

        async def lost() -> None:
            for number in range(2, 5):
                await patient(lambda number=number: writer.publish(event(number)))
            assert ids(await take(deliveries, 3)) == ["2", "3", "4"]

        await world.lose_tail(lost)
        for number in range(10, 13):  # stored at the sequences that the lost ones had
            await patient(lambda number=number: writer.publish(event(number)))
        assert ids(await take(deliveries, 3)) == ["10", "11", "12"]


async def test_a_take_over_after_a_lost_tail_skips_nothing_new_even_when_it_has_grown_again(world: Any) -> None:
    writer: Bus = await world.bus()
    await writer.publish(event(1))
    seen: list[Delivery] = []

    async def lost() -> None:
        for number in range(2, 5):
            await patient(lambda number=number: writer.publish(event(number)))
        async with writer.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries:
            seen.extend(await take(deliveries, 4))

    await world.lose_tail(lost)
    for number in range(10, 15):
        await patient(lambda number=number: writer.publish(event(number)))
    async with writer.subscribe(Subscription("line", [TOPIC], seen[-1].position, epoch=2)) as deliveries:
        assert ids(await take(deliveries, 5)) == ["10", "11", "12", "13", "14"]


async def test_state_is_written_by_revision_and_read_back(world: Any) -> None:
    bus: Bus = await world.bus()
    state = await bus.state("state")
    assert await state.get("a") is None
    first = await state.create("a", b"1")
    with pytest.raises(Conflict):
        await state.create("a", b"2")
    second = await state.update("a", b"2", first)
    with pytest.raises(Conflict):
        await state.update("a", b"3", first)
    entry = await state.get("a")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"2", second)
    await state.put("a.b", b"x")
    await state.put("c", b"y")
    assert await state.keys() == ["a", "a.b", "c"]
    assert await state.keys("a") == ["a", "a.b"]
    await state.purge("a")
    assert await state.get("a") is None
    await state.create("a", b"again")


async def test_a_stored_event_can_be_read_by_its_sequence(world: Any) -> None:
    bus: Bus = await world.bus()
    stored = await bus.publish(event("x"))
    one = await bus.read(stored.sequence)
    assert one is not None
    assert one.event == event("x")
    assert await bus.read(99) is None


async def test_ownership_is_exclusive_and_passes_on_at_once_when_released(world: Any) -> None:
    first, second = await world.bus(), await world.bus()
    mine, theirs = await first.session(), await second.session()
    async with asyncio.timeout(30):
        async with mine.own("sensor") as lease:
            assert lease.held
            waiting = asyncio.create_task(_own_once(theirs, "sensor"))
            await asyncio.sleep(0.6)
            assert not waiting.done()
        await waiting
    assert not lease.held or lease.key


async def _own_once(session: Any, name: str) -> None:
    async with session.own(name) as lease:
        assert lease.held


async def test_closing_frees_what_was_owned_at_once(world: Any) -> None:
    first, second = await world.bus(), await world.bus()
    mine, theirs = await first.session(), await second.session()
    stack = AsyncExitStack()
    await stack.enter_async_context(mine.own("sensor"))
    started = asyncio.get_running_loop().time()
    await stack.aclose()
    await first.aclose()
    async with asyncio.timeout(30), theirs.own("sensor"):
        pass
    assert asyncio.get_running_loop().time() - started < 4.5  # else the lease ends after five


async def test_an_owner_past_its_deadline_may_start_nothing_and_its_successor_takes_over_within_5_s(world: Any) -> None:
    first, second = await world.bus(), await world.bus()
    mine, theirs = await first.session(), await second.session()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60), mine.own("sensor") as lease:
        cut = loop.time()
        await world.cut(first)
        async with theirs.own("sensor") as successor:
            assert successor.held
            assert not lease.held
            with pytest.raises(NotOwner):
                lease.require()
            await lease.lost()
        assert loop.time() - cut < 5
        await world.mend(first)


async def test_of_two_owners_only_one_can_claim_an_event(world: Any) -> None:
    """Each believes it owns the trigger; the head is written by revision, so one write wins."""
    first, second = await world.bus(), await world.bus()
    mine, theirs = await first.state("state"), await second.state("state")
    revision = await mine.create("head", b"epoch 1")
    claims = await asyncio.gather(
        mine.update("head", b"claimed by 1", revision),
        theirs.update("head", b"claimed by 2", revision),
        return_exceptions=True,
    )
    assert sum(isinstance(claim, int) for claim in claims) == 1
    assert sum(isinstance(claim, Conflict) for claim in claims) == 1


async def test_health_follows_the_connection(world: Any) -> None:
    bus: Bus = await world.bus()
    changes: list[bool] = []
    bus.on_change(lambda health: changes.append(health.connected))
    assert bus.health.connected
    await world.cut(bus)
    async with asyncio.timeout(30):
        while bus.health.connected:
            await asyncio.sleep(0.01)
    await world.mend(bus)
    async with asyncio.timeout(30):
        while not bus.health.connected:
            await asyncio.sleep(0.01)
    assert changes == [False, True]
