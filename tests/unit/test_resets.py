"""conditionsReset by stored time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from events.errors import UserError
from events.problems import Problems
from sensors import resets
from sensors.resets import Resets
from sensors.types import ConditionsReset


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def by(*crons: str, timezone: str | None = None) -> Resets:
    return Resets([spec(one, timezone) for one in crons])


def spec(cron: str, timezone: str | None = None) -> ConditionsReset:
    return ConditionsReset.parse({"byTime": {"cron": cron, **({"timezone": timezone} if timezone else {})}})


@pytest.mark.parametrize(
    ("waiting", "arrives", "dropped"),
    [
        ("2026-03-14T09:00:00", "2026-03-14T23:59:59", False),
        ("2026-03-14T09:00:00", "2026-03-15T00:00:00", True),  # the tick's own second is after it
        ("2026-03-14T23:59:59", "2026-03-15T12:00:00", True),
        ("2026-03-15T00:00:00", "2026-03-15T12:00:00", False),
        ("2026-03-10T00:00:01", "2026-03-15T12:00:00", True),  # a backlog sees every tick
    ],
)
def test_what_waits_is_dropped_by_the_latest_tick(waiting: str, arrives: str, dropped: bool) -> None:
    assert by("0 0 * * *").dropped(ns(waiting), ns(arrives)) is dropped


def test_the_latest_of_several_schedules_counts() -> None:
    several = by("0 0 * * *", "30 9 * * *")
    assert several.latest(ns("2026-03-14T09:31:00")) == ns("2026-03-14T09:30:00")
    assert several.latest(ns("2026-03-14T09:29:59")) == ns("2026-03-14T00:00:00")
    assert several.latest(ns("2026-03-15T00:00:00")) == ns("2026-03-15T00:00:00")


def test_a_schedule_ticks_in_its_own_zone() -> None:
    assert by("0 0 * * *", timezone="Europe/Berlin").latest(ns("2026-03-14T12:00:00")) == ns("2026-03-13T23:00:00")


def test_times_may_go_back_and_forth_as_in_a_replay() -> None:
    daily = by("0 0 * * *")
    later, earlier = ns("2026-03-20T12:00:00"), ns("2026-03-14T12:00:00")
    assert [daily.latest(one) for one in (later, earlier, later)] == [
        ns("2026-03-20T00:00:00"),
        ns("2026-03-14T00:00:00"),
        ns("2026-03-20T00:00:00"),
    ]


def test_a_schedule_that_never_comes_drops_nothing() -> None:
    assert by("0 0 31 2 *").latest(ns("2026-03-14T12:00:00")) is None


@pytest.mark.parametrize(
    "raw", [{}, {"byTime": {"cron": "nope"}}, {"byTime": {"cron": "0 0 * * *", "timezone": "X/Y"}}]
)
def test_what_is_no_schedule_is_refused(raw: dict[str, object]) -> None:
    one = ConditionsReset.parse(raw)
    problems = Problems()
    resets.validate([one], problems)
    assert len(problems.errors) == 1
    assert problems.errors[0].path.startswith("[0].byTime")
    with pytest.raises(UserError):
        Resets([one])
