"""The calendar source's entry: what is refused and warned of; and what a clock that jumps does to its times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.errors import UserError
from events.problems import Problems
from eventsources.calendar_times import Watch
from eventsources.sources.calendar import CalendarSource, CalendarSpec

ENTRY = {"schedule": "0 9 * * MON-FRI"}


def said_of(**entry: Any) -> list[str]:
    problems = Problems()
    CalendarSource.validate(CalendarSpec.parse(entry), problems)
    return [f"{problem.severity.value} {problem}" for problem in problems]


def catch_up(**fields: Any) -> dict[str, Any]:
    return {"persistence": {"catchup": fields, "configMap": {"name": "c", "createIfNotExist": True}}}


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        {"schedule": "CRON_TZ=Asia/Tokyo 0 9 * * *", "timezone": "Europe/Berlin", "metadata": {"a": "b"}},
        {"interval": "1.5s", "exclusionDates": ["EXDATE:20261224T000000Z,20261225T000000Z"]},
        ENTRY | catch_up(enabled=True, maxDuration="24h"),
        ENTRY | catch_up(enabled=True, maxDuration="0s"),
        ENTRY | catch_up(enabled=False, maxDuration="not looked at"),
        ENTRY | {"persistence": {}},
        ENTRY | {"missed": "one"},
        ENTRY | {"missed": "all"} | catch_up(enabled=False, maxDuration="24h"),
    ],
)
def test_good_entries_have_no_problems(entry: Any) -> None:
    assert said_of(**entry) == []
    CalendarSource(CalendarSpec.parse(entry))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ["error neither schedule nor interval (set one of them"]),
        ({"schedule": "61 * * * *"}, ["error schedule: cron schedule '61 * * * *', minute '61': out of range"]),
        ({"schedule": "@hourly"}, ["error schedule: cron schedule '@hourly' is a descriptor"]),
        ({"schedule": "TZ=UTC"}, ["error schedule: "]),
        ({"interval": "0s"}, ["error interval: interval '0s' is shorter than a second"]),
        ({"interval": "-5s"}, ["error interval: interval '-5s' is shorter than a second"]),
        (
            {
                "schedule": "x",
                "timezone": "Europe/Berln",
                "exclusionDates": ["EXDATE:x"],
            },
            [
                "error schedule: ",
                "warning timezone: unknown time zone 'Europe/Berln': the source never starts (did you",
                "warning exclusionDates[0]: 'x' is not an exclusion date",
            ],
        ),
        ({"schedule": "0 0 31 2 *"}, ["warning schedule: no such date ever comes"]),
        (ENTRY | {"interval": "zz"}, ["warning interval: is not used beside a schedule"]),
        (
            ENTRY | {"exclusionDates": ["2026-12-24"]},
            ["warning exclusionDates[0]: '2026-12-24' excludes nothing (write EXDATE"],
        ),
        (ENTRY | {"missed": "al"}, ["error missed: 'al' is none (did you mean 'all'?)"]),
        (ENTRY | {"missed": "all"}, ["warning persistence.catchup.maxDuration: without it every slot"]),
        (
            ENTRY | {"missed": "skip"} | catch_up(enabled=True, maxDuration="24h"),
            ["warning persistence.catchup: has no effect with missed: skip"],
        ),
        (ENTRY | catch_up(enabled=True), ["warning persistence.catchup.maxDuration: without it every slot"]),
        (
            ENTRY | catch_up(enabled=True, maxDuration="5"),
            ["warning persistence.catchup.maxDuration: invalid duration"],
        ),
        (
            ENTRY | catch_up(enabled=True, maxDuration="-5s"),
            ["warning persistence.catchup.maxDuration: '-5s' is negative"],
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_go(entry: Any, expected: list[str]) -> None:
    found = said_of(**entry)
    assert len(found) == len(expected), found
    for ours, start in zip(found, expected, strict=True):
        assert ours.startswith(start)


@pytest.mark.parametrize(
    "entry", [{}, {"interval": "0s"}, ENTRY | {"timezone": "x"}, ENTRY | {"exclusionDates": ["EXDATE:x"]}]
)
def test_an_entry_that_has_no_times_makes_no_source(entry: Any) -> None:
    with pytest.raises(UserError):
        CalendarSource(CalendarSpec.parse(entry))


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        (None, timedelta()),
        ({"enabled": False, "maxDuration": "1h"}, timedelta()),
        ({"enabled": True, "maxDuration": "1h"}, timedelta(hours=1)),
        ({"enabled": True}, None),
    ],
)
def test_how_far_back_slots_are_made_up_for(fields: Any, window: timedelta | None) -> None:
    assert CalendarSpec.parse(ENTRY | (catch_up(**fields) if fields else {})).window == window


# --- the watch --------------------------------------------------------------------------------------------------------


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-14T{clock}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("to", "awake", "is_gap"),
    [
        ("12:00:00", 0, False),
        ("20:00:00", 28_800, False),  # eight hours, awake
        ("12:00:59", 0, False),  # a stall
        ("12:01:01", 0, True),
        ("20:00:00", 60, True),  # a machine that slept
        ("11:00:00", 0, False),  # set back
        ("11:00:00", 60, False),
    ],
)
def test_time_that_passed_unseen_is_seen(to: str, awake: float, is_gap: bool) -> None:
    watch = Watch(timedelta())
    assert not watch.look(at("12:00:00"), 1000)
    assert watch.look(at(to), 1000 + awake) == is_gap
    assert not watch.look(at(to), 1000 + awake)


@pytest.mark.parametrize(
    ("window", "reference", "expected"),
    [
        (timedelta(), "11:59:00", "11:59:00"),  # before the gap: its first slot is still to come
        (timedelta(), "12:00:00", "12:00:00"),
        (timedelta(), "12:05:00", "20:00:00"),  # in it: the rest is passed over
        (timedelta(), "20:00:00", "20:00:00"),
        (timedelta(hours=1), "12:05:00", "19:00:00"),
        (timedelta(hours=1), "19:30:00", "19:30:00"),
        (timedelta(hours=9), "12:05:00", "12:05:00"),
        (None, "12:05:00", "12:05:00"),
    ],
)
def test_of_a_gap_the_first_slot_and_the_window_are_kept(window: Any, reference: str, expected: str) -> None:
    watch = Watch(window)
    watch.look(at("12:00:00"), 0)
    watch.look(at("20:00:00"), 5)
    assert watch.pass_over(at(reference)) == at(expected)
