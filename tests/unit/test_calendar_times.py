"""Times of a calendar entry: schedule or interval, zone, exclusions, and Go's text form of a time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from events.errors import UserError
from eventsources.calendar_times import Times, exclusion_dates, go_time, parse_go_time

START = "2026-03-14T09:26:53.75+00:00"


def times(entry):
    """The times of an entry written as in YAML; the process's zone is UTC."""
    return Times(
        schedule=entry.get("schedule", ""),
        interval=entry.get("interval", ""),
        timezone=entry.get("timezone", ""),
        exclusions=entry.get("exclusionDates", ()),
        default=UTC,
    )


def following(entry, start, count):
    """The next `count` times as text; the list ends early with "never"."""
    source, moment, found = times(entry), datetime.fromisoformat(start), []
    while len(found) < count and (moment := source.next(moment)):
        found.append(moment.isoformat())
    return found if len(found) == count else [*found, "never"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"schedule": "0 12 * * *"}, ["2026-03-14T12:00:00+00:00", "2026-03-15T12:00:00+00:00"]),
        (
            {"schedule": "0 12 * * *", "interval": "nonsense"},
            ["2026-03-14T12:00:00+00:00", "2026-03-15T12:00:00+00:00"],
        ),
        ({"schedule": "0 0 31 2 *"}, ["never"]),
        ({"interval": "1h30m"}, ["2026-03-14T10:56:53+00:00", "2026-03-14T12:26:53+00:00"]),
        ({"interval": "1.5s"}, ["2026-03-14T09:26:54.500000+00:00", "2026-03-14T09:26:55.500000+00:00"]),
        ({"interval": "1h", "timezone": "Asia/Kathmandu"}, ["2026-03-14T16:11:53+05:45", "2026-03-14T17:11:53+05:45"]),
        ({"interval": "1h", "timezone": "Local"}, ["2026-03-14T10:26:53+00:00", "2026-03-14T11:26:53+00:00"]),
    ],
)
def test_a_schedule_wins_over_an_interval_and_an_interval_starts_at_a_whole_second(entry, expected):
    assert following(entry, START, 2) == expected


@pytest.mark.parametrize(
    ("entry", "days", "first"),
    [
        ({"schedule": "*/7 * * * *"}, ["20260314T235959Z"], "2026-03-15T00:00:00+00:00"),
        ({"schedule": "0 12 * * MON"}, ["20260316T000000Z", "20260323T000000Z"], "2026-03-30T12:00:00+00:00"),
        ({"interval": "7s"}, ["20260314T000000Z"], "2026-03-15T00:00:01+00:00"),  # 09:26:53 + 7484 × 7 s
        ({"interval": "1.5s"}, ["20260314T000000Z"], "2026-03-15T00:00:00.500000+00:00"),
        ({"interval": "36h"}, ["20260315T000000Z"], "2026-03-17T09:26:53+00:00"),
        # the day in the entry's zone, whatever the day in UTC
        ({"schedule": "0 1 * * *", "timezone": "Asia/Tokyo"}, ["20260315T160000Z"], "2026-03-16T01:00:00+09:00"),
        ({"schedule": "TZ=Asia/Tokyo 0 1 * * *"}, ["20260314T000000Z"], "2026-03-15T16:00:00+00:00"),
    ],
)
def test_times_on_an_excluded_day_are_skipped(entry, days, first):
    assert following(entry | {"exclusionDates": ["EXDATE:" + ",".join(days)]}, START, 1) == [first]


@pytest.mark.parametrize("interval", ["1s", "7s", "90s", "1.7s", "45m", "25h", "100h"])
def test_an_interval_keeps_its_pace_over_excluded_days(interval):
    start = datetime(2024, 11, 2, 23, 58, 20, tzinfo=ZoneInfo("America/New_York"))  # a day of 25 hours is excluded
    plain = times({"interval": interval, "timezone": "America/New_York"})
    source = times(
        {"interval": interval, "timezone": "America/New_York", "exclusionDates": ["EXDATE:20241103T000000Z"]}
    )

    moment = plain.next(start)
    while moment.date() < date(2024, 11, 3):
        assert source.next(start) == moment
        start, moment = moment, plain.next(moment)
    while moment.date() == date(2024, 11, 3):
        moment = plain.next(moment)

    assert source.next(start) == moment


def test_an_interval_runs_on_while_clocks_change():
    entry = {"interval": "1h", "timezone": "Europe/Berlin"}

    assert following(entry, "2024-03-31T00:30:00+00:00", 2) == [
        "2024-03-31T03:30:00+02:00",
        "2024-03-31T04:30:00+02:00",
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "neither schedule nor interval (set one of them"),
        ({"schedule": "", "interval": ""}, "neither schedule nor interval"),
        ({"schedule": "0 0 * *"}, "schedule: cron schedule '0 0 * *' has 4 fields instead of 5 (write minute"),
        ({"interval": "500ms"}, "interval: interval '500ms' is shorter than a second (use 1s or more)"),
        ({"interval": "999.999999ms"}, "shorter than a second"),
        ({"interval": "0"}, "shorter than a second"),
        ({"interval": "-5s"}, "shorter than a second"),
        ({"interval": "1d"}, "interval: invalid duration '1d'"),
        ({"interval": "1h", "timezone": "+02:00"}, "timezone: unknown time zone '+02:00'"),
        (
            {"interval": "1h", "exclusionDates": ["x", "EXDATE:20260315"]},
            "exclusionDates[1]: '20260315' is not an exclusion date (write EXDATE:YYYYMMDDTHHMMSSZ",
        ),
    ],
)
def test_an_entry_without_times_is_refused_with_field_and_cure(entry, message):
    with pytest.raises(UserError, match=re.escape(message)):
        times(entry)


def test_only_a_schedule_can_be_impossible():
    assert times({"interval": "1s"}).is_possible
    assert times({"schedule": "0 0 29 2 *"}).is_possible
    assert not times({"schedule": "0 0 30 2 *"}).is_possible


@pytest.mark.parametrize(
    ("items", "days"),
    [
        ([], set()),
        (["EXDATE:20260101T000000Z"], {date(2026, 1, 1)}),
        (["EXDATE:20260101T235959Z,20260301T000000Z"], {date(2026, 1, 1), date(2026, 3, 1)}),
        (["EXDATE:20260101T000000Z", "junk", "", "exdate:x", "RRULE:FREQ=DAILY"], {date(2026, 1, 1)}),
    ],
)
def test_exclusion_dates_are_the_days_of_exdate_items(items, days):
    assert exclusion_dates(items) == days


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "20260101T000000",
        "20260101t000000z",
        "20260230T000000Z",
        "20260101T240000Z",
        "20260101T000000Z,",
        "20260101T000000Z, 20260102T000000Z",
        "20260101T000000Z\n",
    ],
)
def test_a_wrong_exclusion_date_is_refused(text):
    with pytest.raises(UserError, match="is not an exclusion date"):
        exclusion_dates([f"EXDATE:{text}"])


def fixed(hours, name=None):
    offset = timedelta(hours=hours)
    return timezone(offset, name) if name else timezone(offset)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 3, 14, 12, tzinfo=UTC), "2026-03-14 12:00:00 +0000 UTC"),
        (datetime(2026, 3, 14, 12, 0, 0, 250_000, tzinfo=UTC), "2026-03-14 12:00:00.25 +0000 UTC"),
        (datetime(2026, 3, 14, 12, 0, 0, 1, tzinfo=UTC), "2026-03-14 12:00:00.000001 +0000 UTC"),
        (datetime(2026, 7, 14, 21, tzinfo=ZoneInfo("Asia/Tokyo")), "2026-07-14 21:00:00 +0900 JST"),
        (datetime(2026, 7, 14, 17, 45, tzinfo=ZoneInfo("Asia/Kathmandu")), "2026-07-14 17:45:00 +0545 +0545"),
        (datetime(2026, 1, 14, 9, tzinfo=ZoneInfo("America/New_York")), "2026-01-14 09:00:00 -0500 EST"),
        (datetime(2026, 1, 14, 9, tzinfo=ZoneInfo("America/St_Johns")), "2026-01-14 09:00:00 -0330 NST"),
        (datetime(2026, 1, 14, 9, tzinfo=fixed(2)), "2026-01-14 09:00:00 +0200 +0200"),
        (datetime(2026, 1, 14, 9, tzinfo=fixed(-7, "HERE")), "2026-01-14 09:00:00 -0700 HERE"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01 00:00:00 +0000 UTC"),
    ],
)
def test_go_time_is_written_and_read(moment, text):
    assert go_time(moment) == text
    assert parse_go_time(text) == moment
    assert go_time(parse_go_time(text)) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-14 12:00:00.123456789 +0000 UTC m=+0.000012", datetime(2026, 3, 14, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-03-14 12:00:00.5 +0100 CET m=-3.5", datetime(2026, 3, 14, 11, 0, 0, 500_000, tzinfo=UTC)),
        (" 2026-03-14 12:00:00 -0330 -0330 ", datetime(2026, 3, 14, 15, 30, tzinfo=UTC)),
    ],
)
def test_go_time_is_read_with_a_monotonic_part_and_nanoseconds(text, moment):
    assert parse_go_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-14T12:00:00Z",
        "2026-03-14 12:00:00",
        "2026-03-14 12:00:00 +0000",
        "2026-02-30 12:00:00 +0000 UTC",
        "2026-03-14 12:00:00 +9900 XX",
        "2026-03-14 12:00:00.1234567890 +0000 UTC",
    ],
)
def test_a_text_that_is_no_go_time_is_refused(text):
    with pytest.raises(UserError, match="is not a time as Go writes it"):
        parse_go_time(text)


def test_a_time_without_a_zone_cannot_be_written():
    with pytest.raises(ValueError, match="without a zone"):
        go_time(datetime(2026, 1, 1))


def test_the_data_of_an_event_is_its_time_in_the_zone_of_the_entry_and_the_metadata():
    source, noon = times({"interval": "1h", "timezone": "Asia/Tokyo"}), datetime(2026, 3, 14, 12, tzinfo=UTC)

    assert source.data(noon) == {"eventTime": "2026-03-14 21:00:00 +0900 JST"}
    assert source.data(noon, {}) == source.data(noon)
    assert source.data(noon, {"a": "b"}) == {"eventTime": "2026-03-14 21:00:00 +0900 JST", "metadata": {"a": "b"}}


@pytest.mark.parametrize(
    ("entry", "since", "until", "last"),
    [
        ({"schedule": "*/5 * * * *"}, "12:02", "12:27", "12:25"),
        ({"schedule": "*/5 * * * *"}, "12:02", "12:25", "12:25"),
        ({"schedule": "*/5 * * * *"}, "12:02", "12:04", "12:05"),
        ({"interval": "90s"}, "12:02", "12:10", "12:09:30"),
        ({"interval": "90s"}, "12:02", "12:03", "12:03:30"),
    ],
)
def test_the_last_time_of_a_while_is_found(entry: dict[str, str], since: str, until: str, last: str) -> None:
    """If there is none, the next one."""
    begin, end, wanted = (datetime.fromisoformat(f"2026-03-14T{text}+00:00") for text in (since, until, last))
    times = Times(**entry, timezone="UTC")
    assert times.next(times.before_last(begin, end)) == wanted


def test_the_last_time_of_years_is_found_at_once() -> None:
    times = Times(schedule="* * * 1 *", timezone="UTC")
    begin, end = datetime(2016, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert times.next(times.before_last(begin, end)) == datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    days = Times(interval="1s", timezone="UTC", exclusions=["EXDATE:20260301T000000Z,20260228T000000Z"])
    assert days.next(days.before_last(begin, datetime(2026, 3, 1, 12, tzinfo=UTC))) == datetime(
        2026, 2, 27, 23, 59, 59, tzinfo=UTC
    )
