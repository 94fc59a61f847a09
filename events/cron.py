"""Five-field cron schedules: parsed once to bit masks, then asked for the next and the previous tick.

The rules are robfig/cron's (v3, no seconds, no descriptors). Used by the calendar source (eventsources 3.2) and by
conditionsReset (sensors B.3). Reads nothing but the zone database and where the machine says it is.

`Schedule.next` walks as robfig does, field by field, because its results near daylight-saving changes follow from
that walk: a tick in a gap is skipped, one in a repeated hour comes twice, and a zone that changes at midnight has the
oddities of Go's `time.Date`. `Schedule.previous` needs no such care: the latest minute the wall clock matches.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from types import MappingProxyType
from zoneinfo import ZoneInfo, available_timezones

from events.errors import UserError
from events.problems import did_you_mean

SEARCH_YEARS = 5
"""How far `next` and `previous` look, in calendar years."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_INTEGER = re.compile(r"\+?0*([0-9]{1,18})")
DESCRIPTORS: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Words for common schedules, which other users of cron fields have."""


def _numbered(names: str, first: int) -> Mapping[str, int]:
    return MappingProxyType({name: number for number, name in enumerate(names.split(), first)})


@dataclass(frozen=True)
class _Field:
    """One of the five places: its bounds and its names."""

    name: str
    first: int
    last: int
    names: Mapping[str, int] = field(default_factory=dict)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Field("day of week", 0, 6, _numbered("sun mon tue wed thu fri sat", 0)),
)


@dataclass(frozen=True)
class Schedule:
    """A parsed schedule. Masks have bit n set for value n; Sunday is 0."""

    text: str
    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    either_day: bool
    """Day of month and day of week are both restricted: one of them is enough."""
    clock: tzinfo
    """The zone whose wall clock is compared: the TZ= prefix's, else `zone`."""
    zone: tzinfo
    """The zone results are given in."""

    def next(self, after: datetime) -> datetime | None:
        """The first tick strictly after `after` (aware), or None when there is none within five years."""
        if not self.is_possible:
            return None
        walk = _Walk(self.clock, (after - _EPOCH) // _SECOND + 1)
        limit = walk.wall.year + SEARCH_YEARS
        while walk.wall.year <= limit:
            if walk.month(self) and walk.day(self) and walk.hour(self) and walk.minute(self) and walk.second():
                return self._shown(walk.at)
        return None

    def previous(self, before: datetime) -> datetime | None:
        """The latest tick strictly before `before` (aware), or None when there is none within five years."""
        if not self.is_possible:
            return None
        walk = _Walk(self.clock, -((_EPOCH - before) // _SECOND) - 1)
        limit = walk.wall.year - SEARCH_YEARS
        while walk.wall.year >= limit:
            surplus = self._seconds_past(walk.wall)
            if not surplus:
                return self._shown(walk.at)
            walk.back(surplus)
        return None

    @cached_property
    def is_possible(self) -> bool:
        """Whether any date and time matches; false for 31 February."""
        dated = any(
            self.months >> month & 1 and self.days & ((2 << longest) - 1) for month, longest in enumerate(_LONGEST, 1)
        )
        day = (dated or self.weekdays) if self.either_day else (dated and self.weekdays)
        return bool(self.minutes and self.hours and self.months and day)

    def has_day(self, day: date) -> bool:
        """Whether the day of month and the day of week let this day through."""
        dom, dow = self.days >> day.day & 1, self.weekdays >> day.isoweekday() % 7 & 1
        return bool(dom or dow) if self.either_day else bool(dom and dow)

    def _seconds_past(self, wall: datetime) -> int:
        """Zero at a tick; otherwise seconds back to the latest wall time that may be one, as far as one field tells."""
        today = wall.hour * 3600 + wall.minute * 60 + wall.second + 1
        if not self.months >> wall.month & 1:
            return (wall.day - 1) * 86400 + today
        if not self.has_day(wall):
            return today
        if not self.hours >> wall.hour & 1:
            return today - (_bit_below(self.hours, wall.hour) + 1) * 3600
        if not self.minutes >> wall.minute & 1:
            return (wall.minute - _bit_below(self.minutes, wall.minute) - 1) * 60 + wall.second + 1
        return wall.second

    def _shown(self, at: int) -> datetime:
        return (_EPOCH + timedelta(seconds=at)).astimezone(self.zone)


class _Walk:
    """An instant (seconds since 1970) that moves, and what the wall clock shows there.

    `month`, `day`, `hour`, `minute` and `second` move ahead until their field matches. False: the next larger unit
    began, so all fields must be looked at again.
    """

    __slots__ = ("_origin", "_zone", "at", "fresh", "wall")

    def __init__(self, zone: tzinfo, at: int) -> None:
        self._zone, self._origin = zone, datetime(1970, 1, 1, tzinfo=zone)
        self.at, self.wall = at, self._read(at)
        self.fresh = True  # nothing moved yet: smaller fields still are those of the start

    def month(self, schedule: Schedule) -> bool:
        while not schedule.months >> self.wall.month & 1:
            if self.fresh:
                self._settle(self.wall.replace(day=1, hour=0, minute=0, second=0))
            year, month = divmod(self.wall.year * 12 + self.wall.month, 12)
            self._settle(datetime(year, month + 1, 1) + (self.wall - datetime(self.wall.year, self.wall.month, 1)))
            if self.wall.month == 1:
                return False
        return True

    def day(self, schedule: Schedule) -> bool:
        while not schedule.has_day(self.wall):
            if self.fresh:
                self._settle(self.wall.replace(hour=0, minute=0, second=0))
            before = self.at
            self._settle(self.wall + _DAY)
            if hour := self.wall.hour:  # midnight is in a gap; robfig goes on to the next one or back before this one
                self._go(self.at + 3600 * (24 - hour if hour > 12 else -hour))
            if self.at <= before:  # the whole day is in a gap (Samoa, 30 December 2011): robfig never returns
                self._go(before + 86400)
            if self.wall.day == 1:
                return False
        return True

    def hour(self, schedule: Schedule) -> bool:
        while not schedule.hours >> self.wall.hour & 1:
            if self.fresh:
                self._settle(self.wall.replace(minute=0, second=0))
            self._ahead(_bit_above(schedule.hours, self.wall.hour, 24) - self.wall.hour, 3600)
            if self.wall.hour == 0:
                return False
        return True

    def minute(self, schedule: Schedule) -> bool:
        while not schedule.minutes >> self.wall.minute & 1:
            if self.fresh:
                self.fresh = False
                self._go(self.at - self.at % 60)
            self._ahead(_bit_above(schedule.minutes, self.wall.minute, 60) - self.wall.minute, 60)
            if self.wall.minute == 0:
                return False
        return True

    def second(self) -> bool:
        if self.wall.second == 0:
            return True
        self.fresh = False
        while self.wall.second:
            self._ahead(60 - self.wall.second, 1)
        return False

    def back(self, seconds: int) -> None:
        """Move back; when the clock was changed meanwhile, only to the last second before the change."""
        if self._is_straight(-seconds):
            self._go(self.at - seconds)
            return
        low, high = -seconds, 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_straight(middle) else (middle, high)
        self._go(self.at + low)

    def _ahead(self, count: int, unit: int) -> None:
        """Move ahead `count` units in one go, or a single one if the clock is changed on the way."""
        self._go(self.at + (count if self._is_straight(count * unit) else 1) * unit)

    def _is_straight(self, seconds: int) -> bool:
        return self._read(self.at + seconds) - self.wall == timedelta(seconds=seconds)

    def _go(self, at: int) -> None:
        self.at, self.wall = at, self._read(at)

    def _read(self, at: int) -> datetime:
        return self._zone.fromutc(self._origin + timedelta(seconds=at)).replace(tzinfo=None, fold=0)

    def _settle(self, wall: datetime) -> None:
        """Move to where the clock shows `wall`; in a gap or a repeated hour, where Go's time.Date says."""
        self.fresh = False
        offset = self._zone.utcoffset(wall)
        if offset == self._zone.utcoffset(wall.replace(fold=1)):
            self.at, self.wall = (wall - _WALL_EPOCH - (offset or timedelta())) // _SECOND, wall
            return
        # Go reads the wall time as if it were UTC, and corrects it once by the offset found there.
        local = (wall - _WALL_EPOCH) // _SECOND
        self._go(local - self._offset(local - self._offset(local)))

    def _offset(self, at: int) -> int:
        return (self._read(at) - _WALL_EPOCH) // _SECOND - at


def _bit_above(mask: int, bit: int, end: int) -> int:
    rest = mask >> (bit + 1)
    return bit + (rest & -rest).bit_length() if rest else end


def _bit_below(mask: int, bit: int) -> int:
    """The highest set bit under `bit`, or -1."""
    return (mask & ((1 << bit) - 1)).bit_length() - 1


def parse(text: str, timezone: str | None = None, *, default: tzinfo | None = None) -> Schedule:
    """A schedule in the zone named `timezone`, else in `default`, else in the process's zone; UserError if not one.

    A `TZ=` or `CRON_TZ=` prefix decides when it ticks; results still are in the zone given here.
    """
    home = default or local_zone()
    zone = clock = zone_named(timezone, local=home) if timezone else home
    fields = text.strip()
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, fields = text.partition(" ")
        name, fields = prefix.partition("=")[2], fields.strip()
        # "Local" in the prefix means no zone of its own, an empty name means UTC; both as Go's LoadLocation has it.
        clock = zone_named(name or "UTC", local=zone)
    places = fields.split()
    if fields.startswith("@") or len(places) != len(_FIELDS):
        raise _wrong_shape(text, fields, len(places))
    (minutes, _), (hours, _), (days, every_day), (months, _), (weekdays, every_weekday) = (
        _mask(place, expected, text) for place, expected in zip(places, _FIELDS, strict=True)
    )
    either = not (every_day or every_weekday)
    return Schedule(text, minutes, hours, days, months, weekdays, either, clock=clock, zone=zone)


def zone_named(name: str, *, local: tzinfo | None = None) -> tzinfo:
    """The zone of an IANA name (`Local`: `local`, else the process's own); UserError when there is none."""
    if name == "Local":
        return local or local_zone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path or not a zone file; a directory such as "Europe"
        close = did_you_mean(name, available_timezones())
        raise UserError(f"unknown time zone {name!r}", cure=close or "write an IANA name, e.g. Europe/Berlin") from None


def local_zone() -> tzinfo:
    """The process's zone: TZ when it is set, else /etc/localtime, else UTC; as Go finds it."""
    name = os.environ.get("TZ")
    try:
        if name:
            name = name.removeprefix(":")
            return _zone_file(name) if name.startswith("/") else ZoneInfo(name)
        if name is None:
            return _zone_file("/etc/localtime")
    except (KeyError, ValueError, OSError):
        pass
    return UTC


def _zone_file(path: str) -> ZoneInfo:
    with open(path, "rb") as file:
        return ZoneInfo.from_file(file)


def _wrong_shape(text: str, fields: str, count: int) -> UserError:
    cure = "write minute, hour, day of month, month and day of week, e.g. 0 9 * * MON-FRI"
    if fields.startswith("@every "):
        return UserError(f"cron schedule {text!r} is an interval", cure="use `interval` instead")
    if fields.startswith("@"):
        plain = DESCRIPTORS.get(fields)
        cure = f"write {plain}" if plain else cure
        return UserError(f"cron schedule {text!r} is a descriptor, which is not accepted", cure=cure)
    if count == 6:
        cure = f"there is no field for seconds or years; {cure}"
    return UserError(f"cron schedule {text!r} has {count} fields instead of 5", cure=cure)


def _mask(place: str, expected: _Field, text: str) -> tuple[int, bool]:
    """The values of one field as bits, and whether it counts as a star (`*` or `?` without a step over 1)."""
    mask, is_star = 0, False
    for item in filter(None, place.split(",")):
        try:
            values, star = _range(item, expected)
        except UserError as error:
            message = f"cron schedule {text!r}, {expected.name} {item!r}: {error.message}"
            raise UserError(message, cure=error.cure) from None
        mask |= sum(1 << value for value in values)
        is_star |= star
    return mask, is_star


def _range(item: str, expected: _Field) -> tuple[Iterable[int], bool]:
    span, *steps = item.split("/")
    first, *lasts = span.split("-")
    if len(steps) > 1:
        raise UserError("more than one slash", cure="write first-last/step")
    is_star = first in ("*", "?")
    if is_star:
        low, high = expected.first, expected.last
    elif len(lasts) > 1:
        raise UserError("more than one hyphen", cure="write first-last")
    else:
        low = _value(first, expected)
        # "5/20" runs to the end of the field; "5" alone is just 5
        high = _value(lasts[0], expected) if lasts else expected.last if steps else low
    step = _integer(steps[0]) if steps else 1
    if step == 0:
        raise UserError("the step is zero", cure="write a step of 1 or more")
    if low < expected.first or max(low, high) > expected.last:
        sunday = "; Sunday is 0 or SUN" if expected.name == "day of week" else ""
        raise UserError("out of range", cure=f"use {expected.first} to {expected.last}{sunday}")
    if low > high:
        raise UserError("the range runs backwards", cure=f"write {first}-{expected.last},{expected.first}-{lasts[0]}")
    return range(low, high + 1, step), is_star and step == 1


def _value(text: str, expected: _Field) -> int:
    number = expected.names.get(text.lower())
    if number is not None:
        return number
    try:
        return _integer(text)
    except UserError:
        if not expected.names:
            raise
        names = ", ".join(expected.names).upper()
        raise UserError(f"{text!r} is not a number or a name", cure=f"the names are {names}") from None


def _integer(text: str) -> int:
    digits = _INTEGER.fullmatch(text)
    if not digits:
        raise UserError(f"{text!r} is not a whole number", cure="write numbers, ranges, lists and steps: 1-5,30/10,*")
    return int(digits[1])
