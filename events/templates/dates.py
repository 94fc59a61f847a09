"""The dates of sprig, in UTC: gotpl's would look for the zone of the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from events import durations
from events.errors import FilterError, UserError
from events.expressions.expr import layouts
from events.expressions.expr.times import SECOND, UTC_ZONE, Duration, Location, Time, location
from events.expressions.expr.values import Int64
from events.templates.values import Moment

_ZERO = Time(-62135596800 * SECOND)
_HOUR = 3600 * SECOND
_UNITS = (("y", 8760 * _HOUR), ("mo", 720 * _HOUR), ("d", 24 * _HOUR), ("h", _HOUR), ("m", 60 * SECOND), ("s", SECOND))


def _now() -> Time:
    return Time(time.time_ns())


def _time(value: Any) -> Time:
    """A time, or seconds since 1970; anything else is now."""
    if isinstance(value, Moment):
        return value.time
    return Time(int(value) * SECOND) if type(value) in (int, Int64) else _now()


def _zone(name: str) -> Location:
    try:
        return location(name)
    except FilterError:
        return UTC_ZONE


def in_zone(layout: str, value: Any, zone: str = "UTC") -> str:
    """A time by a layout, as the clock of a zone has it."""
    return layouts.formatted(Time(_time(value).ns, _zone(zone)), layout)


def parsed(layout: str, text: str) -> Moment:
    """A time from text; FilterError when it does not follow the layout."""
    return Moment(layouts.parsed(layout, text))


def lenient_parsed(layout: str, text: str) -> Moment:
    """The same; year 1 when it does not."""
    try:
        return parsed(layout, text)
    except FilterError:
        return Moment(_ZERO)


def modified(duration: str, value: Moment) -> Moment:
    """So much later; UserError when it is not a duration."""
    return Moment(value.time.add(durations.nanoseconds(duration)))


def lenient_modified(duration: str, value: Moment) -> Moment:
    """The same; unchanged when it is not."""
    try:
        return modified(duration, value)
    except UserError:
        return value


def ago(value: Any) -> str:
    """How long ago, in whole seconds."""
    elapsed = _now().since(_time(value)).ns
    return str(Duration((abs(elapsed) + SECOND // 2) // SECOND * SECOND * (1 if elapsed >= 0 else -1)))


def duration(value: Any) -> str:
    """Seconds as a duration."""
    if type(value) is Int64:
        return str(Duration(value * SECOND))
    digits = value.lstrip("+-") if type(value) is str else ""
    is_number = digits.isascii() and digits.isdigit() and len(value) - len(digits) <= 1
    return str(Duration(int(value[:20]) * SECOND if is_number else 0))


def rounded(value: Any) -> str:
    """A duration, or the time since then, in its largest unit."""
    span = 0
    if type(value) is str:
        try:
            span = durations.nanoseconds(value)
        except UserError:
            span = 0
    elif type(value) is Int64:
        span = int(value)
    elif isinstance(value, Moment):
        span = _now().since(value.time).ns
    return next((f"{abs(span) // size}{unit}" for unit, size in _UNITS if abs(span) > size), "0s")


DATES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "now": lambda: Moment(_now()),
        "date": in_zone,
        "dateInZone": in_zone,
        "date_in_zone": in_zone,
        "htmlDate": lambda value: in_zone("2006-01-02", value),
        "htmlDateInZone": lambda value, zone: in_zone("2006-01-02", value, zone),
        "toDate": lenient_parsed,
        "mustToDate": parsed,
        "dateModify": lenient_modified,
        "date_modify": lenient_modified,
        "mustDateModify": modified,
        "must_date_modify": modified,
        "ago": ago,
        "duration": duration,
        "durationRound": rounded,
        "unixEpoch": lambda value: str(value.time.unix),
    }
)
