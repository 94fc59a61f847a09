"""A time of day between which events pass, by the event's own time. Contract: sensors A.5.4.

In UTC this is a comparison of texts. In another zone the bounds are points in time on the event's local day; where the
clock is set forward or back they follow Go's `time.Date`, which upstream asks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from events import cron
from events.errors import UserError
from events.event import Event, parse_time
from events.problems import Problems
from sensors.filters.verdict import PASSED, Verdict, refused, undecided
from sensors.types import TimeFilter as TimeSpec

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])", re.ASCII)
# An event without time counts as Go's zero time; a day later, as zones west of Greenwich had a year 0.
_NO_TIME = "0001-01-02T00:00:00Z"


class TimeFilter:
    """Passes from `start` (included) to `stop` (excluded), over midnight when `stop` is not after `start`."""

    def __init__(self, spec: TimeSpec) -> None:
        self._error = ""
        self._start = self._stop = ""
        self._zone: tzinfo = UTC
        try:
            self._start, self._stop = _clock("start", spec.start), _clock("stop", spec.stop)
            self._zone = _zone(spec.timezone)
        except UserError as error:
            self._error = str(error)

    def check(self, event: Event) -> Verdict:
        """Whether the event's time is between the two."""
        if self._error:
            return undecided("time", f"time: {self._error}")
        time = event.time or _NO_TIME
        passes = self._passes_utc(time[11:19]) if self._zone is UTC else self._passes(parse_time(time))
        if passes:
            return PASSED
        return refused("time", f"time: {time} is not from {self._start} to {self._stop} {self._zone}")

    def _passes_utc(self, clock: str) -> bool:
        if self._start < self._stop:
            return self._start <= clock < self._stop
        return clock >= self._start or clock < self._stop

    def _passes(self, moment: datetime) -> bool:
        day = moment.astimezone(self._zone).replace(tzinfo=None)
        start, stop = self._on(day, self._start), self._on(day, self._stop)
        if start < stop:
            return start <= moment < stop
        return moment >= start or moment < stop

    def _on(self, day: datetime, clock: str) -> datetime:
        """A clock time of a local day as a point in time, in a gap or an overlap the one that Go takes."""
        wall = datetime(day.year, day.month, day.day, int(clock[:2]), int(clock[3:5]), int(clock[6:]), tzinfo=UTC)
        guess = self._offset(wall)
        return wall - self._offset(wall - guess)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()


def _clock(field: str, text: str) -> str:
    """`HH:MM:SS`, with both digits of the hour; UserError when it is not one."""
    if _CLOCK.fullmatch(text) is None:
        raise UserError(f"{text!r} is not a time of day", path=field, cure="write HH:MM:SS, from 00:00:00 to 23:59:59")
    return text.zfill(8)


def _zone(name: str | None) -> tzinfo:
    zone = cron.zone_named(name) if name else UTC
    return UTC if name == "UTC" else zone


def validate(spec: TimeSpec, problems: Problems) -> None:
    """Both times, the zone, and that they differ."""
    clocks = []
    for field, text in (("start", spec.start), ("stop", spec.stop)):
        try:
            clocks.append(_clock(field, text))
            if len(text) < len("HH:MM:SS"):
                problems.warn(field, f"{text!r} is read as {text.zfill(8)}", "write HH:MM:SS")
        except UserError as error:
            problems.error(field, error.message, error.cure)
    if len(clocks) == 2 and clocks[0] == clocks[1]:
        problems.error("stop", f"start and stop are both {clocks[0]}", "leave the filter out to let every event pass")
    try:
        _zone(spec.timezone)
    except UserError as error:
        problems.error("timezone", error.message, error.cure)
