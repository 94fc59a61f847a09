"""The contract of the dead letters of a bus: one suite, run over JetStream on a real nats-server and over memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.buses import JetStreamWorld
from support.nats_server import NatsServer
from support.role_buses import world_of

from eventbus import dead_letters
from eventbus.base import Bus, Start, Subscription
from eventbus.dead_letters import DeadLetter, DeadLetters, Filter
from eventbus.jetstream import api, streams
from eventbus.jetstream.link import Access, Link
from events.errors import Unavailable, UserError
from events.event import Event

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def event(identity: str = "e1", data: bytes | None = b'{"a": 1.50}') -> Event:
    return Event(
        id=identity,
        source="hooks",
        type="webhook",
        subject="orders",
        data=data,
        time="2026-03-01T11:59:00.123456789Z",
        extensions={"tenant": "blue", "rank": 7},
    )


def letter(identity: str, **changes: Any) -> DeadLetter:
    return replace(
        DeadLetter(
            id=identity,
            namespace="test",
            sensor="orders",
            trigger="tell",
            reason="action",
            detail="the target answered 500",
            attempts=3,
            failed_at=NOW,
            firing_id="f00d",
            events={"a": event("a"), "b": event("b", None)},
            sequences={"a": 4, "b": 9},
        ),
        **changes,
    )


@pytest.fixture(params=["memory", "jetstream", "source", "sensor"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    made: Any = world_of(request.param, tmp_path)
    yield made
    await made.close()


async def ids(store: DeadLetters, where: Filter | None = None) -> list[str]:
    return [one.id for one in await store.page(where, limit=10_000)]


async def test_a_letter_comes_back_as_it_was_also_to_another_process(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    sent = letter("1", redrives=2)
    await store.add(sent)
    other = await (await world.bus()).dead_letters()
    assert await other.get("1") == sent
    (listed,) = await other.page()
    assert (listed.id, listed.reason, listed.detail, listed.attempts) == ("1", "action", sent.detail, 3)
    assert (listed.failed_at, listed.sequences, listed.redrives) == (NOW, {"a": 4, "b": 9}, 2)
    assert listed.dependencies == ("a", "b")
    assert await other.get("2") is None


async def test_a_letter_without_a_readable_event_keeps_its_bytes(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    sent = letter("1", kind="event", firing_id="", events={}, raw=b"\xff no CloudEvent", sequences={"": 7})
    await store.add(sent)
    assert await store.get("1") == sent


async def test_an_event_of_several_dependencies_is_stored_once(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    sent = letter("1", kind="event", events=dict.fromkeys("abc", event()))
    await store.add(sent)
    assert await store.get("1") == sent
    assert (await store.figures()).messages == 2


async def test_the_same_letter_twice_is_there_once_in_its_first_form(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    for attempts in (1, 2):
        await store.add(letter("1", attempts=attempts))
        await store.add(letter("2"))
    assert await ids(store) == ["1", "2"]
    found = await store.get("1")
    assert found is not None
    assert found.attempts == 1
    assert (await store.figures()).messages == 6


async def test_letters_are_in_order_of_adding_and_removed_ones_are_gone(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    for name in "cab":
        await store.add(letter(name))
    await store.remove("a")
    await store.remove("never there")
    assert await ids(store) == ["c", "b"]
    assert await store.get("a") is None
    assert (await store.figures()).messages == 6
    await store.add(letter("a"))
    assert await ids(store) == ["c", "b", "a"]
    assert await store.get("a") == letter("a")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Filter(), ["1", "2", "3", "4"]),
        (Filter(sensor="orders"), ["1", "2", "3"]),
        (Filter(trigger="tell"), ["1", "2", "4"]),
        (Filter(sensor="orders", trigger="tell"), ["1", "2"]),
        (Filter(reason="poisoned"), ["2"]),
        (Filter(since=NOW + timedelta(microseconds=1)), ["3"]),
        (Filter(sensor="order"), []),
        (Filter(sensor="*"), []),
    ],
)
async def test_filters(world: Any, where: Filter, found: list[str]) -> None:
    store = await (await world.bus()).dead_letters()
    await store.add(letter("1"))
    await store.add(letter("2", reason="poisoned"))
    await store.add(letter("3", trigger="other", failed_at=NOW + timedelta(seconds=1)))
    await store.add(letter("4", sensor="orders2"))
    assert await ids(store, where) == found


async def test_a_thousand_letters_are_paged(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    for begin in range(0, 1000, 50):
        await asyncio.gather(*(store.add(letter(f"{n:04}", trigger=f"t{n % 2}")) for n in range(begin, begin + 50)))
    found: list[str] = []
    after = 0
    while page := await store.page(limit=300, after=after):
        assert len(page) == (300 if len(found) < 900 else 100)
        found += [one.id for one in page]
        after = page[-1].cursor
    assert sorted(found) == [f"{n:04}" for n in range(1000)]
    assert len(await ids(store, Filter(trigger="t1"))) == 500


async def test_letters_removed_while_a_page_is_read_do_no_harm(world: Any) -> None:
    bus = await world.bus()
    store = await bus.dead_letters()
    for number in range(300):
        await store.add(letter(str(number), events={}))

    async def remove() -> None:
        for number in range(0, 300, 2):
            await store.remove(str(number))

    _, page = await asyncio.gather(remove(), store.page(limit=1000))
    assert {str(number) for number in range(1, 300, 2)} <= {one.id for one in page}
    assert await ids(store) == [str(number) for number in range(1, 300, 2)]


async def test_the_oldest_are_discarded_and_never_half_of_a_letter_is_shown(world: Any) -> None:
    store = await (await world.bus(dead_letter_bytes=100_000)).dead_letters()
    whole = {"a": event("a", b"x" * 6000), "b": event("b", b"x" * 6000), "c": event("c", b"y" * 6000)}
    before = await store.figures()
    for number in range(20):
        await store.add(letter(str(number), events=whole))
        listed = await ids(store)
        assert listed[-1] == str(number)
        for identity in listed:
            assert await store.get(identity) == letter(identity, events=whole)
    assert listed == [str(number) for number in range(20 - len(listed), 20)]
    assert 2 <= len(listed) < 6
    figures = await store.figures()
    assert figures.bytes <= figures.max_bytes == 100_000
    assert figures.first > before.first


ODD = ["a.b", "two words", "*", ">", "ümläut ✓", "", "x" * 300, "ä" * 300, "=-", "a=2Eb", "-"]


@pytest.mark.parametrize("name", ODD, ids=[f"{name[:8]}({len(name)})" for name in ODD])
async def test_odd_names(world: Any, name: str) -> None:
    store = await (await world.bus()).dead_letters()
    mine = letter("1", sensor=name, trigger=f"t{name}", events={name: event()}, sequences={name: 3})
    await store.add(mine)
    await store.add(letter("2", sensor=f"{name}2", trigger=name))
    assert await store.get("1") == mine
    if name:
        assert await ids(store, Filter(sensor=name)) == ["1"]
    assert await ids(store, Filter(trigger=f"t{name}")) == ["1"]
    await store.remove("1")
    assert await ids(store) == ["2"]


async def test_text_that_is_no_utf_8_and_long_text_are_cut_to_what_can_be_kept(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    await store.add(letter("1", detail="\udc80bad"))
    await store.add(letter("2", detail="x" * 100_000))
    one, two = await store.get("1"), await store.get("2")
    assert one is not None
    assert one.detail == "?bad"
    assert two is not None
    assert two.detail == f"{'x' * 8192}…"


async def test_an_event_that_outgrew_the_bus_is_kept_without_its_data(world: Any) -> None:
    bus: Bus = await world.bus()
    store = await bus.dead_letters()
    large = event("large", b"x" * bus.max_event_bytes)
    await store.add(letter("1", events={"a": large, "b": event("b")}))
    found = await store.get("1")
    assert found is not None
    assert found.is_cut
    assert (found.events["a"].id, found.events["a"].data) == ("large", None)
    assert found.events["b"] == event("b")
    (listed,) = await store.page()
    assert listed.is_cut
    with pytest.raises(UserError, match="outgrew the bus"):
        dead_letters.redrive_event(listed)


async def test_the_largest_event_that_fits_the_bus_fits_here(world: Any) -> None:
    bus: Bus = await world.bus()
    store = await bus.dead_letters()
    size = bus.max_event_bytes * 3 // 4 - 400
    fits = event("fits", b"x" * size)
    await bus.publish(fits)
    await store.add(letter("1", events={"a": fits}))
    assert await store.get("1") == letter("1", events={"a": fits})


# ---- what breaks


async def test_without_the_bus_it_is_unavailable_and_goes_on_with_the_bus(world: Any) -> None:
    bus = await world.bus()
    store = await bus.dead_letters()
    await store.add(letter("1"))
    await world.cut(bus)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(30):
            await store.add(letter("2"))
    await world.mend(bus)
    await patiently(store, letter("2"))
    assert await ids(store) == ["1", "2"]


async def test_a_bus_that_was_wiped_has_no_letters_and_takes_new_ones(world: Any) -> None:
    store = await (await world.bus()).dead_letters()
    await store.add(letter("1"))
    await world.wipe()
    await patiently(store, letter("2"))
    assert await ids(store) == ["2"]
    assert await store.get("1") is None


async def patiently(store: DeadLetters, one: DeadLetter) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.add(one)
            except Unavailable:
                await asyncio.sleep(0.05)


# ---- JetStream alone


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[JetStreamWorld]:
    made = JetStreamWorld(tmp_path)
    yield made
    await made.close()


async def direct(world: JetStreamWorld) -> Link:
    return await Link.open(Access(world.server.url), "test")


@pytest.mark.parametrize("writes", [0, 1, 2])
async def test_a_death_between_the_messages_leaves_nothing_to_see_and_nothing_twice(
    server: JetStreamWorld, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    store = await (await server.bus()).dead_letters()
    real, done = store._write, 0

    async def dying(*arguments: Any) -> int:
        nonlocal done
        if done == writes:
            raise asyncio.CancelledError
        done += 1
        return await real(*arguments)

    monkeypatch.setattr(store, "_write", dying)
    with pytest.raises(asyncio.CancelledError):
        await store.add(letter("1"))
    survivor = await (await server.bus()).dead_letters()
    assert await ids(survivor) == []
    assert await survivor.get("1") is None
    assert (await survivor.figures()).messages == writes
    await survivor.add(letter("1"))
    assert await survivor.get("1") == letter("1")
    assert (await survivor.figures()).messages == 3


async def test_a_stream_that_was_deleted_under_the_connection_is_made_again(server: JetStreamWorld) -> None:
    store = await (await server.bus()).dead_letters()
    await store.add(letter("1"))
    link = await direct(server)
    await api.call(link, "STREAM.DELETE.keryx-test-dead-letters")
    assert await ids(store) == []
    assert (await store.figures()).messages == 0
    await store.remove("1")
    await store.add(letter("2"))
    assert await ids(store) == ["2"]
    await link.aclose()


async def test_a_server_with_little_room_gets_a_smaller_stream(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, "")
    server.limits = ", max_file_store: 300MB"
    await server.start()
    link = await Link.open(Access(server.url), "test")
    try:
        await streams.ensure_dead_letters(link, "letters", 1, dead_letters.MAX_BYTES)
        info = await api.call(link, "STREAM.INFO.letters")
        assert info["config"]["max_bytes"] == 256 << 20
    finally:
        await link.aclose()
        server.kill()


async def test_a_head_that_cannot_be_read_is_listed_and_can_be_discarded(server: JetStreamWorld) -> None:
    store = await (await server.bus()).dead_letters()
    await store.add(letter("1"))
    link = await direct(server)
    for text in (b"{}", b"not JSON", b'{"format": 99}'):
        await link.request("keryx-test-dead-letters.head.a.b.odd=2E1", text, 2)
        listed = await store.page()
        assert [(one.id, one.reason) for one in listed] == [("1", "action"), ("odd.1", "unreadable")]
        await store.remove("odd.1")
        assert await ids(store) == ["1"]
    await link.aclose()


async def test_letters_of_namespaces_are_kept_apart(server: JetStreamWorld) -> None:
    here, there = await server.bus(), await server.bus()
    there._namespace = "other"
    await (await here.dead_letters()).add(letter("1"))
    assert await ids(await there.dead_letters()) == []


async def test_a_guest_makes_no_stream(server: JetStreamWorld) -> None:
    await server.server.start()
    store = await (await server.bus(is_guest=True)).dead_letters()
    assert await ids(store) == []
    assert await store.get("1") is None
    link = await direct(server)
    assert (await api.call(link, "STREAM.NAMES"))["total"] == 0
    await link.aclose()


# ---- redriving


async def test_a_redrive_is_an_event_of_the_trigger_alone_and_published_twice_it_comes_once(world: Any) -> None:
    bus: Bus = await world.bus()
    one = letter("1", sensor="my.sensor", redrives=1)
    topic = dead_letters.redrive_topic("my.sensor", "tell")
    async with bus.subscribe(Subscription("reader", [topic], Start.FIRST)) as deliveries:
        await bus.publish(dead_letters.redrive_event(letter("0", sensor="my", trigger="sensor.tell")))
        for _ in range(2):
            await bus.publish(dead_letters.redrive_event(one))
        await bus.publish(dead_letters.redrive_event(replace(one, id="2")))
        taken: list[Any] = []
        async with asyncio.timeout(30):
            while len(taken) < 2:
                taken += await deliveries.next_batch()
    orders = [dead_letters.redriven(delivery.event) for delivery in taken]
    assert orders == [("1", 2), ("2", 2)]
    assert [delivery.event.id for delivery in taken] == ["1.2", "2.2"]
