"""The calendar source over a bus in memory, driven by a clock that is set: every slot once, in order, none lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.calendars import CATCH_UP, EVERY_FIVE, KEY, Here, catch_up, hasten, said, stopped_at
from support.event_sources import Member, events, until

from eventbus.base import Stored
from eventbus.memory import MemoryBus, MemoryState
from events.errors import Unavailable
from events.event import Event


@pytest.fixture
def here() -> Here:
    return Here("2026-03-14 12:02")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="argo-events"):
        yield caplog


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


# --- slots ------------------------------------------------------------------------------------------------------------


async def test_a_slot_becomes_an_event_when_its_time_comes_not_before(here: Here) -> None:
    async with here.running(EVERY_FIVE | {"metadata": {"a": "<b>"}}):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 12:04:59")
        await asyncio.sleep(0)
        assert here.slots == []
        here.clock.set("2026-03-14 12:05:00.002")
        await here.have("12:05:00")
        await here.clock.asked_for("2026-03-14 12:10")
    (event,) = events(here.broker)
    assert (event.type, event.subject) == ("calendar", "ev")
    assert event.data == b'{"eventTime":"2026-03-14 12:05:00 +0000 UTC","metadata":{"a":"\\u003cb\\u003e"}}'
    assert here.last == "2026-03-14T12:05:00Z"


async def test_an_interval_keeps_its_pace(here: Here) -> None:
    async with here.running({"interval": "90s"}):
        for due, late in [("12:03:30", "12:03:30.9"), ("12:05:00", "12:05:00.3"), ("12:06:30", "12:06:30")]:
            await here.clock.asked_for(f"2026-03-14 {due}")
            here.clock.set(f"2026-03-14 {late}")
        await here.have("12:03:30", "12:05:00", "12:06:30")


async def test_days_that_are_excluded_pass_without_an_event() -> None:
    here = Here("2026-03-14 12:02")
    async with here.running(
        {"schedule": "0 9 * * *", "timezone": "UTC", "exclusionDates": ["EXDATE:20260315T000000Z"]}
    ):
        await here.clock.asked_for("2026-03-16 09:00")
        here.clock.set("2026-03-16 09:00")
        await here.have("2026-03-16T09:00:00Z")


@pytest.mark.parametrize(
    ("start", "slots", "times"),
    [
        (
            "2024-03-30 12:00",  # 02:30 does not exist on the 31st
            ["2024-04-01T00:30:00Z"],
            ["2024-04-01 02:30:00 +0200 CEST"],
        ),
        (
            "2024-10-26 12:00",  # 02:30 comes twice on the 27th
            ["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-28T01:30:00Z"],
            ["2024-10-27 02:30:00 +0200 CEST", "2024-10-27 02:30:00 +0100 CET", "2024-10-28 02:30:00 +0100 CET"],
        ),
    ],
)
async def test_when_clocks_change_slots_are_upstreams_and_ids_differ(
    start: str, slots: list[str], times: list[str]
) -> None:
    here = Here(start)
    async with here.running({"schedule": "30 2 * * *", "timezone": "Europe/Berlin"}):
        for slot in slots:
            due = slot.replace("T", " ").removesuffix("Z")
            await here.clock.asked_for(due)
            here.clock.set(due)
        await here.have(*slots)
    assert [event.tree()["eventTime"] for event in events(here.broker)] == times


async def test_a_date_that_never_comes_never_fires_and_is_looked_at_once_a_day(here: Here) -> None:
    async with here.running({"schedule": "0 0 31 2 *"}):
        for day in (15, 16, 17):
            await here.clock.asked_for(f"2026-03-{day} 12:02")
            here.clock.set(f"2026-03-{day} 12:02")
    assert here.slots == []
    assert here.member.readiness.reasons == {"event source ns/src ev": "not listening"}  # it was ready until now


async def test_slots_that_the_filter_refuses_are_done_with(here: Here) -> None:
    async with here.running(EVERY_FIVE | {"filter": {"expression": "eventTime contains '12:10'"}}):
        for minute in ("05", "10", "15"):
            await here.clock.asked_for(f"2026-03-14 12:{minute}")
            here.clock.set(f"2026-03-14 12:{minute}")
        await here.have("12:10:00")


async def test_of_two_processes_one_fires_and_the_other_goes_on_from_the_state(here: Here) -> None:
    successor = Member(here.broker, here.clock)
    sources = {"calendar": {"ev": EVERY_FIVE | catch_up(maxDuration="1h")}}
    async with successor.running(calendar={}), here.member.running(**sources) as first:
        await here.clock.asked_for("2026-03-14 12:05")
        async with successor.running(**sources):
            await until(lambda: not successor.readiness.reasons)
            here.clock.set("2026-03-14 12:05")
            await here.have("12:05:00")
            await first.stop()
            await until(lambda: successor.number("event_service_running_total", None) == 1)
            here.clock.set("2026-03-14 12:10")
            await here.have("12:05:00", "12:10:00")
    await here.member.bus.aclose()
    await successor.bus.aclose()


# --- after a restart --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persistence", "missed", "following"),
    [
        ({}, [], "12:30"),
        ({"persistence": {"configMap": {"name": "c"}}}, [], "12:30"),
        ({"persistence": {"catchup": {"enabled": False}}}, [], "12:30"),
        (CATCH_UP, ["12:10:00", "12:15:00", "12:20:00", "12:25:00"], "12:30"),
        (catch_up(maxDuration="10m"), ["12:20:00", "12:25:00"], "12:30"),
        (catch_up(maxDuration="1h"), ["12:10:00", "12:15:00", "12:20:00", "12:25:00"], "12:30"),
    ],
)
async def test_slots_missed_while_nothing_ran_are_made_up_for_if_wanted(
    here: Here, persistence: dict[str, Any], missed: list[str], following: str
) -> None:
    await stopped_at(here, EVERY_FIVE | persistence)
    here.clock.set("2026-03-14 12:27", asleep=True)
    async with here.running(EVERY_FIVE | persistence):
        await here.clock.asked_for(f"2026-03-14 {following}")
        await here.have("12:05:00", *missed)
    times = [event.tree()["eventTime"] for event in events(here.broker)]
    assert times == [f"2026-03-14 {slot} +0000 UTC" for slot in ["12:05:00", *missed]]


@pytest.mark.parametrize(
    ("more", "missed"),
    [
        ({"missed": "skip"}, []),
        ({"missed": "one"}, ["12:25:00"]),
        ({"missed": "all"}, ["12:10:00", "12:15:00", "12:20:00", "12:25:00"]),
        ({"missed": "all", **catch_up(enabled=False, maxDuration="10m")}, ["12:20:00", "12:25:00"]),
        ({"missed": "one", **catch_up(maxDuration="10m")}, ["12:25:00"]),
        ({"missed": "one", **catch_up(maxDuration="1m")}, []),
        ({"missed": "skip", **CATCH_UP}, []),
    ],
)
async def test_it_may_be_said_what_becomes_of_missed_slots(here: Here, more: dict[str, Any], missed: list[str]) -> None:
    await stopped_at(here, EVERY_FIVE | more)
    here.clock.set("2026-03-14 12:27", asleep=True)
    async with here.running(EVERY_FIVE | more):
        await here.clock.asked_for("2026-03-14 12:30")
        await here.have("12:05:00", *missed)


async def test_of_an_interval_the_last_slot_is_made_up_for(here: Here) -> None:
    entry = {"interval": "90s", "missed": "one"}
    async with here.running(entry):
        await here.clock.asked_for("2026-03-14 12:03:30")
        here.clock.set("2026-03-14 12:03:30")
        await here.have("12:03:30")
    here.clock.set("2026-03-14 12:10", asleep=True)
    async with here.running(entry):
        await here.clock.asked_for("2026-03-14 12:11:00")
        await here.have("12:03:30", "12:09:30")


async def test_a_machine_that_slept_publishes_one_slot_when_one_is_wanted(here: Here) -> None:
    async with here.running(EVERY_FIVE | {"missed": "one"}):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 20:31", asleep=True)
        await here.clock.asked_for("2026-03-14 20:35")
        await here.have("12:05:00")


# --- the bus is away --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("persistence", [{}, CATCH_UP])
async def test_slots_that_come_due_while_the_bus_is_away_are_held_and_come_in_order(
    here: Here, lines: pytest.LogCaptureFixture, persistence: dict[str, Any]
) -> None:  # P3
    async with here.running(EVERY_FIVE | persistence):
        await here.clock.asked_for("2026-03-14 12:05")
        here.member.bus.cut()
        here.clock.set("2026-03-14 12:05")
        await until(lambda: (here.member.number("events_sent_failed_total") or 0) > 3)
        here.clock.set("2026-03-14 12:17")
        assert here.slots == []
        here.member.bus.mend()
        await here.have("12:05:00", "12:10:00", "12:15:00")
        await here.clock.asked_for("2026-03-14 12:20")
    assert said(lines, "The bus does not take a slot") == 1
    assert said(lines, "The bus has taken the slot") == 1
    assert said(lines, "The event source ended") == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("persistence", [{}, CATCH_UP])
async def test_slots_are_held_over_a_loss_of_ownership_too(here: Here, persistence: dict[str, Any]) -> None:  # P3
    async with here.running(EVERY_FIVE | persistence) as runner:
        await here.clock.asked_for("2026-03-14 12:05")
        here.member.bus.cut()
        here.clock.set("2026-03-14 12:05")
        await until(lambda: here.member.number("events_sent_failed_total"))
    here.clock.set("2026-03-14 12:12")  # without a bus there is no owner: the source is cancelled
    here.member.bus.mend()
    async with here.running(runner):
        await here.have("12:05:00", "12:10:00")
        await here.clock.asked_for("2026-03-14 12:15")


@pytest.mark.usefixtures("quick")
async def test_slots_that_a_successor_has_published_are_not_published_again(here: Here) -> None:
    async with here.running(EVERY_FIVE) as runner:
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 12:05")
        await here.have("12:05:00")
    state = await here.member.bus.state("state")
    await state.put(KEY, b"2026-03-14T12:10:00Z")
    here.clock.set("2026-03-14 12:12")
    async with here.running(runner):
        await here.clock.asked_for("2026-03-14 12:15")
    assert here.slots == ["2026-03-14T12:05:00Z"]


@pytest.mark.usefixtures("quick")
async def test_an_answer_that_was_lost_does_not_double_the_slot(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = MemoryBus.publish, iter([True, True])

    async def publish(self: MemoryBus, event: Event) -> Stored:
        stored = await real(self, event)
        if next(failures, False):
            raise Unavailable("no answer")
        return stored

    monkeypatch.setattr(MemoryBus, "publish", publish)
    await stopped_at(here, EVERY_FIVE)
    assert here.member.number("source_events_duplicate_total") == 1


@pytest.mark.usefixtures("quick")
async def test_a_slot_that_was_published_waits_to_be_remembered_and_is_not_published_again(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = MemoryState.update, iter([True] * 5)

    async def update(self: MemoryState, key: str, value: bytes, revision: int) -> int:
        if key == KEY and next(failures, False):
            raise Unavailable("away")
        return await real(self, key, value, revision)

    monkeypatch.setattr(MemoryState, "update", update)
    await stopped_at(here, EVERY_FIVE)
    assert here.member.number("events_sent_total") == 1
    assert here.member.number("source_events_duplicate_total") == 0


# --- clocks that jump -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persistence", "made_up"),
    [
        ({}, []),
        (catch_up(maxDuration="12m"), ["20:20:00", "20:25:00", "20:30:00"]),
    ],
)
async def test_a_machine_that_slept_publishes_the_slot_it_waited_for_and_no_flood(
    here: Here, lines: pytest.LogCaptureFixture, persistence: dict[str, Any], made_up: list[str]
) -> None:
    async with here.running(EVERY_FIVE | persistence):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 20:31", asleep=True)
        await here.clock.asked_for("2026-03-14 20:35")
        await here.have("12:05:00", *made_up)
    assert said(lines, "The machine slept") == 1


async def test_a_machine_that_slept_and_lost_its_ownership_does_not_flood_either(here: Here) -> None:
    async with here.running(EVERY_FIVE) as runner:
        await here.clock.asked_for("2026-03-14 12:05")
    here.clock.set("2026-03-14 20:31", asleep=True)
    async with here.running(runner):
        await here.clock.asked_for("2026-03-14 20:35")
        await here.have("12:05:00")


async def test_with_unlimited_catch_up_what_was_slept_through_comes_too(here: Here) -> None:
    async with here.running(EVERY_FIVE | CATCH_UP):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 12:17", asleep=True)
        await here.clock.asked_for("2026-03-14 12:20")
        await here.have("12:05:00", "12:10:00", "12:15:00")


async def test_a_clock_that_is_set_back_repeats_nothing(here: Here) -> None:
    async with here.running(EVERY_FIVE):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 12:05")
        await here.clock.asked_for("2026-03-14 12:10")
        here.clock.set("2026-03-14 11:30")
        here.clock.set("2026-03-14 12:06")
        await here.have("12:05:00")
        here.clock.set("2026-03-14 12:10")
        await here.have("12:05:00", "12:10:00")


@pytest.mark.parametrize("persistence", [{}, CATCH_UP])
async def test_a_restart_after_the_clock_was_set_back_repeats_nothing(here: Here, persistence: dict[str, Any]) -> None:
    await stopped_at(here, EVERY_FIVE | persistence)
    here.clock.set("2026-03-14 11:30")
    async with here.running(EVERY_FIVE | persistence):
        await here.clock.asked_for("2026-03-14 12:10")


async def test_a_kept_time_far_in_the_future_does_not_silence_the_source(
    here: Here, lines: pytest.LogCaptureFixture
) -> None:
    await (await here.member.bus.state("state")).put(KEY, b"2027-01-01T00:00:00Z")
    await stopped_at(here, EVERY_FIVE | CATCH_UP)
    assert said(lines, "The last event is in the future") == 1
    assert here.last == "2026-03-14T12:05:00Z"
