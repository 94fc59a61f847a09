"""Cron schedules. The tables of times are what robfig/cron v3.0.1 answered, unless a comment says otherwise."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from events import cron
from events.errors import UserError

SATURDAY = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NEVER = "never"


def stamps(moments):
    """Times to compare: Python holds no two times of different zones equal while clocks are set back."""
    return [moment and moment.isoformat(timespec="minutes").removesuffix("+00:00") for moment in moments]


def following(schedule, moment, count):
    """The next `count` ticks; the list ends early with None."""
    found = []
    while len(found) < count and moment:
        moment = schedule.next(moment)
        found.append(moment)
    return found


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("* * * * *", "2026-03-14T09:27", "2026-03-14T09:28"),
        ("*/20 * * * *", "2026-03-14T09:40", "2026-03-14T10:00"),
        ("5/20 * * * *", "2026-03-14T09:45", "2026-03-14T10:05"),  # from 5 to the end
        ("10-50/20 * * * *", "2026-03-14T09:30", "2026-03-14T09:50"),
        ("1,,2 * * * *", "2026-03-14T10:01", "2026-03-14T10:02"),
        ("+7 * * * *", "2026-03-14T10:07", "2026-03-14T11:07"),
        ("007 * * * *", "2026-03-14T10:07", "2026-03-14T11:07"),
        ("0 9-11 * * *", "2026-03-14T10:00", "2026-03-14T11:00"),
        ("*-nonsense * * * *", "2026-03-14T09:27", "2026-03-14T09:28"),  # nothing after a star is read
        ("0/99999999999 * * * *", "2026-03-14T10:00", "2026-03-14T11:00"),
        (" 0\t0 *  * * ", "2026-03-15T00:00", "2026-03-16T00:00"),
        ("0 12 * JAN,Mar mon-fri", "2026-03-16T12:00", "2026-03-17T12:00"),
        ("0 0 1 apr/3 *", "2026-04-01T00:00", "2026-07-01T00:00"),
        ("0 0 * * 0", "2026-03-15T00:00", "2026-03-22T00:00"),
        ("0 0 31 * *", "2026-03-31T00:00", "2026-05-31T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00", "2032-02-29T00:00"),
        ("0 0 31 2 *", None, None),
        ("0 0 31 4,6,9,11 *", None, None),
        (", * * * *", None, None),  # a list of nothing is accepted and never matches
    ],
)
def test_a_schedule_ticks_in_utc(text, first, second):
    found = following(cron.parse(text, "UTC"), SATURDAY, 2)

    assert stamps(found) == ([first, second] if first else [None])


@pytest.mark.parametrize(
    ("days", "first", "second", "third"),
    [
        ("13 * 5", "2026-03-20", "2026-03-27", "2026-04-03"),  # both restricted: either
        ("* * 5", "2026-03-20", "2026-03-27", "2026-04-03"),
        ("? * 5", "2026-03-20", "2026-03-27", "2026-04-03"),
        ("15 * ?", "2026-03-15", "2026-04-15", "2026-05-15"),
        ("*/10 * 5", "2026-03-20", "2026-03-21", "2026-03-27"),  # a star with a step restricts: 1, 11, 21, 31 or Friday
        ("*/1 * 5", "2026-03-20", "2026-03-27", "2026-04-03"),  # a step of one does not
        ("1,* * 5", "2026-03-20", "2026-03-27", "2026-04-03"),
        ("1 * */4", "2026-03-15", "2026-03-19", "2026-03-22"),  # Sunday, Thursday or the first
        ("31 2 1", "2027-02-01", "2027-02-08", "2027-02-15"),
    ],
)
def test_day_of_month_and_day_of_week_are_alternatives_unless_one_is_a_star(days, first, second, third):
    found = following(cron.parse(f"0 0 {days}", "UTC"), SATURDAY, 3)

    assert [moment.date().isoformat() for moment in found] == [first, second, third]


@pytest.mark.parametrize(
    ("text", "zone", "start", "ticks"),
    [
        # a time that the clock skips is left out, one that it shows twice comes twice
        ("30 2 * * *", "America/New_York", "2024-03-09T00:00", ["09T02:30-05:00", "11T02:30-04:00"]),
        ("0 * * * *", "America/New_York", "2024-03-10T00:30", ["10T01:00-05:00", "10T03:00-04:00"]),
        ("*/30 1 * * *", "America/New_York", "2024-11-03T01:10", ["03T01:30-04:00", "03T01:00-05:00"]),
        ("15 2 * * *", "Europe/Berlin", "2024-03-30T00:00", ["30T02:15+01:00", "01T02:15+02:00"]),
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00", ["27T02:30+02:00", "27T02:30+01:00", "28T02:30+01:00"]),
        ("30 2 * * *", "Africa/Casablanca", "2024-03-09T12:00", ["10T02:30+01:00", "10T02:30+00:00"]),
        ("15 2 * * *", "Africa/Casablanca", "2024-04-13T12:00", ["15T02:15+01:00", "16T02:15+01:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T01:00", ["05T02:15+10:30", "07T02:15+11:00"]),
        ("0 * * * *", "Australia/Lord_Howe", "2024-10-06T00:30", ["06T01:00+10:30", "06T03:00+11:00"]),
        ("*/20 1 * * *", "Australia/Lord_Howe", "2024-04-07T01:20", ["07T01:40+11:00", "07T01:40+10:30"]),
        ("30 23 * * 6", "America/Santiago", "2024-04-06T12:00", ["06T23:30-03:00", "06T23:30-04:00"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", ["05T00:00-02:00", "06T00:00-02:00"]),
        ("0 0 1 * *", "America/Asuncion", "2023-09-15T00:00", ["01T00:00-03:00", "01T00:00-03:00"]),
        ("0 0 * * 0", "America/Santiago", "2024-09-04T00:00", ["15T00:00-03:00", "22T00:00-03:00"]),
        ("0 0 * * *", "Asia/Kathmandu", "2024-03-14T09:26", ["15T00:00+05:45", "16T00:00+05:45"]),
        # of two midnights a walk by days takes the first one in the west, the second one in the east
        ("0 0 * * 0", "America/Havana", "2024-11-02T12:00", ["03T00:00-04:00", "03T00:00-05:00", "10T00:00-05:00"]),
        ("0 0 * * *", "Asia/Amman", "2021-10-28T12:00", ["29T00:00+03:00", "29T00:00+02:00", "30T00:00+02:00"]),
        ("0 0 * * 5", "Asia/Amman", "2021-10-27T12:00", ["29T00:00+02:00", "05T00:00+02:00"]),
        # robfig's oddities, kept: by hours past a missing midnight, into a Sunday
        ("0 5 * * 6", "America/Santiago", "2024-09-07T06:00", ["08T05:00-03:00", "14T05:00-03:00"]),
        # ... by days over a Friday that has no midnight, though not from inside it
        ("0 12 * * 5", "Africa/Cairo", "2024-04-24T10:00", ["03T12:00+03:00", "10T12:00+03:00"]),
        ("0 12 * * 5", "Africa/Cairo", "2024-04-26T05:00", ["26T12:00+03:00", "03T12:00+03:00"]),
        # ... by hours from 02:30, where half an hour was skipped, to 03:30
        ("15 3 * * *", "Australia/Lord_Howe", "2024-10-05T20:00", ["07T03:15+11:00", "08T03:15+11:00"]),
        # the prefix says when, the zone how it is shown
        ("TZ=Asia/Tokyo 0 9 * * *", "America/New_York", "2024-03-14T09:26", ["14T20:00-04:00", "15T20:00-04:00"]),
        ("CRON_TZ=Local 0 9 * * *", "America/New_York", "2024-03-14T09:26", ["15T09:00-04:00", "16T09:00-04:00"]),
        ("TZ= 0 9 * * *", "America/New_York", "2024-03-14T09:26", ["15T05:00-04:00", "16T05:00-04:00"]),
    ],
)
def test_a_schedule_ticks_where_clocks_change_as_robfig_does(text, zone, start, ticks):
    after = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))

    found = following(cron.parse(text, zone), after, len(ticks))

    assert [moment.isoformat(timespec="minutes")[8:] for moment in found] == ticks


def test_a_month_without_a_first_midnight_shifts_the_walk_by_months():
    after = datetime(2023, 9, 15, tzinfo=ZoneInfo("America/Asuncion"))  # robfig misses November 2023, too

    assert cron.parse("0 12 * 11 *", "America/Asuncion").next(after).isoformat() == "2024-11-01T12:00:00-03:00"


def test_a_whole_missing_day_does_not_stop_the_walk():
    after = datetime(2011, 12, 29, 1, tzinfo=ZoneInfo("Pacific/Apia"))  # no 30 December; robfig never returns here

    assert cron.parse("0 0 31 12 *", "Pacific/Apia").next(after).isoformat() == "2011-12-31T00:00:00+14:00"


@pytest.mark.parametrize(
    ("after", "tick"),
    [
        ("2026-03-14T11:59:59", "2026-03-14T12:00"),
        ("2026-03-14T11:59:59.999999", "2026-03-14T12:00"),
        ("2026-03-14T12:00:00", "2026-03-15T12:00"),
        ("2026-03-14T12:00:00.000001", "2026-03-15T12:00"),
    ],
)
def test_next_is_strictly_after(after, tick):
    found = cron.parse("0 12 * * *", "UTC").next(datetime.fromisoformat(after).replace(tzinfo=UTC))

    assert stamps([found]) == [tick]


@pytest.mark.parametrize(
    ("before", "tick"),
    [
        ("2026-03-14T12:00:00", "2026-03-13T12:00"),
        ("2026-03-14T12:00:00.000001", "2026-03-14T12:00"),
        ("2026-03-14T12:00:01", "2026-03-14T12:00"),
    ],
)
def test_previous_is_strictly_before(before, tick):
    found = cron.parse("0 12 * * *", "UTC").previous(datetime.fromisoformat(before).replace(tzinfo=UTC))

    assert stamps([found]) == [tick]


@pytest.mark.parametrize(
    ("text", "zone", "before", "tick"),
    [
        ("0 0 1 1 *", "UTC", "2026-03-14T09:26", "2026-01-01T00:00"),
        ("0 0 29 2 *", "UTC", "2026-03-14T09:26", "2024-02-29T00:00"),
        ("0 0 31 2 *", "UTC", "2026-03-14T09:26", None),
        ("30 2 * * *", "America/New_York", "2024-03-10T12:00", "2024-03-09T02:30-05:00"),
        ("30 1 * * *", "America/New_York", "2024-11-03T12:00", "2024-11-03T01:30-05:00"),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-03T00:00-03:00"),
        ("30 23 * * *", "America/Santiago", "2024-04-07T00:10", "2024-04-06T23:30-04:00"),
        ("0 12 * * 5", "Africa/Cairo", "2024-04-27T00:00", "2024-04-26T12:00+03:00"),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-07T03:00", "2024-04-07T01:45+10:30"),
        ("0 0 * * *", "Pacific/Apia", "2011-12-31T00:00", "2011-12-29T00:00-10:00"),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", "America/New_York", "2024-03-14T05:26", "2024-03-13T20:00-04:00"),
    ],
)
def test_previous_is_the_latest_time_the_wall_clock_matched(text, zone, before, tick):
    found = cron.parse(text, zone).previous(datetime.fromisoformat(before).replace(tzinfo=ZoneInfo(zone)))

    assert stamps([found]) == [tick]


@pytest.mark.parametrize("zone", ["America/Santiago", "Africa/Cairo", "Australia/Lord_Howe", "America/New_York"])
def test_previous_finds_what_a_search_by_minutes_finds(zone):
    rng = random.Random(zone)
    changes = [datetime(2024, month, day, tzinfo=UTC) for month, day in ((3, 11), (4, 8), (4, 27), (9, 9), (11, 4))]
    for _ in range(40):
        text = f"{rng.randrange(60)} {rng.choice(['*', '0,2', '1,23', '*/5'])} * * {rng.choice(['*', '1-6', '0'])}"
        schedule = cron.parse(text, zone)
        before = rng.choice(changes) - rng.randrange(2880) * MINUTE
        searched = (before - back * MINUTE for back in range(1, 11 * 1440))

        assert schedule.previous(before).timestamp() == next(at for at in searched if matches(schedule, at)).timestamp()


def matches(schedule, moment):
    """Whether the wall clock of the schedule matches, minutes first because they fail most often."""
    if not schedule.minutes >> moment.astimezone(schedule.clock).minute & 1:
        return False
    wall = moment.astimezone(schedule.clock)
    return bool(schedule.hours >> wall.hour & 1 and schedule.months >> wall.month & 1 and schedule.has_day(wall))


def test_another_library_agrees_away_from_clock_changes():
    rng = random.Random(5)
    for _ in range(150):
        text = " ".join(
            rng.choice(["*", str(rng.randint(low, high)), f"{low}-{high - rng.randint(1, 3)}", extra])
            for low, high, extra in ((0, 59, "*/7"), (0, 23, "*/5"), (1, 28, "3,17"), (1, 12, "FEB,nov"), (0, 6, "MON"))
        )
        schedule = cron.parse(text, "UTC")
        at = SATURDAY + rng.randrange(5_000_000) * MINUTE

        assert schedule.next(at) == croniter(text, at).get_next(datetime), text
        assert schedule.previous(at) == croniter(text, at).get_prev(datetime), text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cron schedule '' has 0 fields instead of 5 (write minute, hour, day of month, month and day of week"),
        ("0 0 * *", "has 4 fields instead of 5"),
        ("0 0 0 * * *", "has 6 fields instead of 5 (there is no field for seconds or years; write minute, hour"),
        ("@hourly", "cron schedule '@hourly' is a descriptor, which is not accepted (write 0 * * * *)"),
        ("@every 90s", "cron schedule '@every 90s' is an interval (use `interval` instead)"),
        ("0 0 * * 7", "cron schedule '0 0 * * 7', day of week '7': out of range (use 0 to 6; Sunday is 0 or SUN)"),
        ("0 0 0 * *", "day of month '0': out of range (use 1 to 31)"),
        ("60 * * * *", "minute '60': out of range (use 0 to 59)"),
        ("70/2 * * * *", "minute '70/2': out of range (use 0 to 59)"),
        ("0 24 * * *", "hour '24': out of range (use 0 to 23)"),
        ("0 0 1 13 *", "month '13': out of range (use 1 to 12)"),
        ("30-10 * * * *", "minute '30-10': the range runs backwards (write 30-59,0-10)"),
        ("0 0 * * sat-mon", "day of week 'sat-mon': the range runs backwards (write sat-6,0-mon)"),
        ("1-2-3 * * * *", "minute '1-2-3': more than one hyphen"),
        ("1/2/3 * * * *", "minute '1/2/3': more than one slash"),
        ("*/0 * * * *", "minute '*/0': the step is zero"),
        ("-1 * * * *", "minute '-1': '' is not a whole number"),
        ("*/-5 * * * *", "minute '*/-5': '-5' is not a whole number"),
        ("0.5 * * * *", "minute '0.5': '0.5' is not a whole number"),
        ("٣ * * * *", "'٣' is not a whole number"),
        ("1_0 * * * *", "'1_0' is not a whole number"),
        ("0 0 L * *", "day of month 'L': 'L' is not a whole number"),
        ("0 0 * * 5#2", "day of week '5#2': '5#2' is not a number or a name (the names are SUN, MON"),
        ("0 12 * march *", "month 'march': 'march' is not a number or a name (the names are JAN, FEB"),
        ("TZ=UTC", "cron schedule 'TZ=UTC' has 0 fields instead of 5"),  # upstream crashes
        ("CRON_TZ=", "has 0 fields instead of 5"),
        ("TZ=Mars/X 0 9 * * *", "unknown time zone 'Mars/X' (write an IANA name"),
        (" TZ=UTC 0 9 * * *", "has 6 fields instead of 5"),
    ],
)
def test_a_wrong_schedule_is_refused_with_a_cure(text, message):
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        cron.parse(text, "UTC")

    assert refused.value.cure


@pytest.mark.parametrize("name", ["Europe/Berln", "+02:00", "/etc/localtime", "../UTC", "Europe", "x\0y", "zone.tab"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(UserError, match="unknown time zone") as refused:
        cron.parse("0 0 * * *", name)

    assert refused.value.cure


def test_a_misspelt_zone_is_recognised():
    with pytest.raises(UserError, match=re.escape("unknown time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)")):
        cron.zone_named("Europe/Berln")


def test_a_schedule_without_a_zone_ticks_in_the_default_zone():
    tokyo = ZoneInfo("Asia/Tokyo")

    for timezone in (None, "", "Local"):
        assert cron.parse("0 9 * * *", timezone, default=tokyo).next(SATURDAY).isoformat().endswith("T09:00:00+09:00")


@pytest.mark.parametrize(
    ("variable", "offset"), [("Asia/Tokyo", 9), (":Asia/Tokyo", 9), ("", 0), ("Mars/X", 0), ("/no/such/file", 0)]
)
def test_the_zone_of_the_process_is_that_of_tz(monkeypatch, variable, offset):
    monkeypatch.setenv("TZ", variable)

    assert SATURDAY.astimezone(cron.local_zone()).utcoffset() == timedelta(hours=offset)
    assert cron.parse("0 9 * * *").next(SATURDAY).utcoffset() == timedelta(hours=offset)


def test_without_tz_the_process_has_a_zone_all_the_same(monkeypatch):
    monkeypatch.delenv("TZ", raising=False)

    assert SATURDAY.astimezone(cron.local_zone()) == SATURDAY


def test_an_impossible_schedule_says_so_at_once():
    schedule = cron.parse("0 0 31 2,4,6 *", "Europe/Berlin")
    began = time.perf_counter()

    assert not schedule.is_possible
    assert (schedule.next(SATURDAY), schedule.previous(SATURDAY)) == (None, None)
    assert time.perf_counter() - began < 10


def test_the_search_ends_after_five_years():
    schedule = cron.parse("0 0 29 2 *", "UTC")

    assert schedule.next(datetime(2096, 3, 1, tzinfo=UTC)) is None  # 2100 is no leap year
    assert schedule.previous(datetime(2103, 1, 1, tzinfo=UTC)) is None
