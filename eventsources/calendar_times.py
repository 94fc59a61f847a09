"""When a calendar source fires, and how it writes times down. Contract: eventsources.md section 3.2; no I/O.

Used by the calendar source for its next time and for catching up, and by validation for what can be refused early.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any

from events import cron, durations
from events.errors import UserError

PREFIX = "EXDATE:"
"""What an item of `exclusionDates` begins with."""

UNSEEN = timedelta(minutes=1)
"""More than this must pass unseen before it counts: a busy machine wakes up late, and clocks drift."""

_SECOND = timedelta(seconds=1)
_EXCLUSION = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_GO_TIME = re.compile(
    r"(?P<clock>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r" (?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>\d\d) (?P<zone>\S+)",
    re.ASCII,
)


class Times:
    """The times of one calendar entry; UserError when the entry cannot have any."""

    def __init__(
        self,
        *,
        schedule: str = "",
        interval: str = "",
        timezone: str = "",
        exclusions: Iterable[str] = (),
        default: tzinfo | None = None,
    ) -> None:
        with _at("timezone"):
            home = default or cron.local_zone()
            self.zone = cron.zone_named(timezone, local=home) if timezone else home
        self.excluded = exclusion_dates(exclusions)
        self._schedule: cron.Schedule | None = None
        self._interval = timedelta()
        if schedule:
            with _at("schedule"):
                self._schedule = cron.parse(schedule, default=self.zone)
        elif interval:
            with _at("interval"):
                self._interval = _at_least_a_second(interval)
        else:
            raise UserError("neither schedule nor interval", cure="set one of them, e.g. schedule: '0 9 * * MON-FRI'")

    @property
    def is_possible(self) -> bool:
        """Whether there is any time at all; false for a schedule on 31 February."""
        return self._schedule is None or self._schedule.is_possible

    def next(self, reference: datetime) -> datetime | None:
        """The first time after `reference` (aware) outside excluded days, in the entry's zone; None means never."""
        moment = self._after(reference)
        while moment is not None and moment.date() in self.excluded:
            moment = self._after(self._last_reference_of_day(moment))
        return moment

    def before_last(self, reference: datetime, until: datetime) -> datetime:
        """A reference whose next time is the last one after `reference` that is not after `until`, if there is one.

        By halving, as there may be millions of times.
        """
        start = reference.astimezone(UTC).replace(microsecond=0)
        step = max(self._interval // _SECOND * _SECOND, _SECOND)
        low, high = 0, max(0, (until - start) // step)
        while low < high:
            middle = (low + high + 1) // 2
            found = self.next(start + middle * step)
            if found is not None and found <= until:
                low = middle
            else:
                high = middle - 1
        return start + low * step if low else reference

    def data(self, moment: datetime, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The data of the event fired at `moment`."""
        data: dict[str, Any] = {"eventTime": go_time(moment.astimezone(self.zone))}
        return data | {"metadata": dict(metadata)} if metadata else data

    def _after(self, reference: datetime) -> datetime | None:
        if self._schedule:
            return self._schedule.next(reference)
        start = reference.astimezone(UTC).replace(microsecond=0)
        return (start + self._interval).astimezone(self.zone)

    def _last_reference_of_day(self, moment: datetime) -> datetime:
        """The reference whose next time is the first one after the day of `moment`: one step, however many times."""
        midnight = datetime.combine(moment.date() + timedelta(days=1), time(), self.zone).astimezone(UTC)
        if self._schedule:
            return midnight - timedelta.resolution
        start = moment.astimezone(UTC).replace(microsecond=0)
        step = self._interval // _SECOND * _SECOND  # every time is cut to the second before it becomes the reference
        return start + max(0, -((start + self._interval - midnight) // step)) * step


class Watch:
    """Sees that time passed without us: the machine slept, or its clock was set ahead.

    Of what came due meanwhile, the first time is kept, and what is not older than `window` (None: everything).
    """

    def __init__(self, window: timedelta | None) -> None:
        self._window = window
        self._last: tuple[datetime, float] | None = None
        self._gap: tuple[datetime, datetime] | None = None

    def look(self, now: datetime, awake: float) -> bool:
        """To be called after each wait, with the time and a count of seconds in which we ran; whether some are new."""
        is_gap = False
        if self._last is not None and self._window is not None:
            before, counted = self._last
            is_gap = now - before - timedelta(seconds=awake - counted) > UNSEEN
            if is_gap:
                self._gap = before, now - self._window
        self._last = now, awake
        return is_gap

    def pass_over(self, reference: datetime) -> datetime:
        """The reference for the next time: the end of the gap when `reference`, the last one's, is in it."""
        if self._gap is not None and self._gap[0] < reference < self._gap[1]:
            return self._gap[1]
        return reference


def exclusion_dates(items: Iterable[str]) -> frozenset[date]:
    """The days named by `EXDATE:20260101T000000Z[,…]` items; items without the prefix mean nothing. Or UserError."""
    days: set[date] = set()
    for index, item in enumerate(items):
        if item.startswith(PREFIX):
            with _at(f"exclusionDates[{index}]"):
                days.update(_exclusion(text) for text in item.removeprefix(PREFIX).split(","))
    return frozenset(days)


def go_time(moment: datetime) -> str:
    """An aware time in Go's text form: `2026-03-14 12:00:00.25 +0000 UTC`."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a time without a zone has no GoTime form")
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    shift = f"{'-' if offset < timedelta() else '+'}{hours:02}{minutes:02}"
    zone = moment.tzname() or ""
    # Python calls a nameless fixed offset UTC+02:00, Go writes the offset once more.
    name = zone if zone == "UTC" or not zone.startswith("UTC") else shift
    clock = moment.replace(tzinfo=None, microsecond=0).isoformat(sep=" ")
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{clock}{fraction} {shift} {name or shift}"


def parse_go_time(text: str) -> datetime:
    """The time written as GoTime, cut to microseconds; a trailing ` m=±…` is ignored. UserError when it is none."""
    found = _GO_TIME.fullmatch(text.partition(" m=")[0].strip())
    try:
        if not found:
            raise ValueError(text)
        microsecond = int((found["fraction"] or "").ljust(6, "0")[:6])
        shift = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        offset = -shift if found["sign"] == "-" else shift
        zone = UTC if found["zone"] == "UTC" and not offset else timezone(offset, found["zone"])
        return datetime.fromisoformat(found["clock"]).replace(microsecond=microsecond, tzinfo=zone)
    except ValueError:
        cure = "expected YYYY-MM-DD HH:MM:SS[.fraction] ±hhmm ZONE"
        raise UserError(f"{text!r} is not a time as Go writes it", cure=cure) from None


def _exclusion(text: str) -> date:
    found = _EXCLUSION.fullmatch(text)
    try:
        if not found:
            raise ValueError(text)
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second).date()
    except ValueError:
        cure = "write EXDATE:YYYYMMDDTHHMMSSZ, more of them after commas without blanks"
        raise UserError(f"{text!r} is not an exclusion date", cure=cure) from None


def _at_least_a_second(interval: str) -> timedelta:
    if durations.nanoseconds(interval) < durations.NANOSECONDS["s"]:
        raise UserError(f"interval {interval!r} is shorter than a second", cure="use 1s or more")
    return durations.delta(interval)


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Say in which field an error is."""
    try:
        yield
    except UserError as error:
        raise UserError(error.message, path=path, cure=error.cure) from error
