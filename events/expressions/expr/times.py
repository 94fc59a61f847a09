"""Go's time.Time and time.Duration, as far as expressions reach them; nanoseconds throughout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from events.errors import FilterError
from events.expressions.expr.values import Int64, wrap

SECOND = 1_000_000_000
DAY = 86_400
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = -62135596800
_MIN, _MAX = -(1 << 63), (1 << 63) - 1


class Month(int):
    """time.Month."""

    go_name = "time.Month"

    def __str__(self) -> str:
        return MONTHS[self - 1] if 1 <= self <= 12 else f"%!Month({int(self)})"


class Weekday(int):
    """time.Weekday."""

    go_name = "time.Weekday"

    def __str__(self) -> str:
        return WEEKDAYS[self]


@dataclass(frozen=True, slots=True)
class Location:
    """A zone: UTC, one of the database, or a fixed offset with a name."""

    go_name: ClassVar[str] = "*time.Location"
    name: str = "UTC"
    offset: int = 0
    zone: ZoneInfo | None = None

    def at(self, seconds: int) -> tuple[str, int]:
        """Name and offset in force at a Unix time."""
        if self.zone is None:
            return ("UTC", 0) if self.name == "Local" else (self.name, self.offset)
        try:
            moment = (_EPOCH + timedelta(seconds=seconds)).astimezone(self.zone)
        except OverflowError:
            return "UTC", 0
        offset = moment.utcoffset()
        return moment.tzname() or "", int(offset.total_seconds()) if offset else 0

    def __str__(self) -> str:
        return self.name


UTC_ZONE = Location()


@lru_cache(maxsize=64)
def location(name: str) -> Location:
    """A zone by name; FilterError when there is none."""
    if name in ("", "UTC"):
        return UTC_ZONE
    if name == "Local":
        return Location("Local")
    try:
        return Location(name, zone=ZoneInfo(name))
    except (ValueError, OSError, LookupError) as error:
        raise FilterError(f"unknown time zone {name!r}") from error


@dataclass(frozen=True, slots=True)
class Duration:
    """time.Duration."""

    go_name: ClassVar[str] = "time.Duration"
    ns: int

    def __str__(self) -> str:
        size = abs(self.ns)
        if size < SECOND:
            if size == 0:
                return "0s"
            unit, scale = next((u, s) for u, s in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if size >= s)
            text = _fraction(size, scale) + unit
        else:
            minutes, rest = divmod(size, 60 * SECOND)
            text = _fraction(rest, SECOND) + "s"
            if minutes:
                hours, minutes = divmod(minutes, 60)
                text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
        return "-" + text if self.ns < 0 else text


def _fraction(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    digits = str(scale + rest)[1:].rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


@dataclass(frozen=True, slots=True)
class Time:
    """time.Time: nanoseconds since 1970, and a zone to show them in."""

    go_name: ClassVar[str] = "time.Time"
    ns: int
    location: Location = UTC_ZONE

    def add(self, ns: int) -> Time:
        """So much later."""
        return Time(self.ns + ns, self.location)

    def since(self, other: Time) -> Duration:
        """The difference, at most about 292 years."""
        return Duration(min(max(self.ns - other.ns, _MIN), _MAX))

    @property
    def unix(self) -> int:
        """Whole seconds since 1970."""
        return self.ns // SECOND

    @property
    def zone(self) -> tuple[str, int]:
        """Name and offset of the zone then."""
        return self.location.at(self.unix)

    @property
    def local(self) -> tuple[int, int]:
        """Days since 1970 and seconds of the day, on the clock of the zone."""
        return divmod(self.unix + self.zone[1], DAY)

    @property
    def date(self) -> tuple[int, int, int]:
        """Year, month, day."""
        return civil(self.local[0])

    @property
    def clock(self) -> tuple[int, int, int]:
        """Hour, minute, second."""
        seconds = self.local[1]
        return seconds // 3600, seconds // 60 % 60, seconds % 60

    @property
    def weekday(self) -> int:
        """0 is Sunday."""
        return (self.local[0] + 4) % 7

    @property
    def year_day(self) -> int:
        """1 is January 1st."""
        days = self.local[0]
        return days - days_of(civil(days)[0], 1, 1) + 1


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day since 1970, in the calendar extended for ever."""
    days += 719468
    era, day_of_era = divmod(days, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def days_of(year: int, month: int, day: int) -> int:
    """The day since 1970; months and days beyond their range carry over."""
    carried, month = divmod(month - 1, 12)
    year, month = year + carried, month + 1
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468 + day - 1


def moment(days: int, seconds: int, ns: int, where: Location) -> Time:
    """The time a zone's clock shows so; around a change of offset as Go chooses."""
    naive = days * DAY + seconds
    offset = where.at(naive)[1]
    if offset:
        unix = naive - offset
        if where.at(unix)[1] != offset:
            unix = naive - where.at(unix)[1]
        naive = unix
    return Time(naive * SECOND + ns, where)


def _add_date(time: Time, years: int, months: int, days: int) -> Time:
    year, month, day = time.date
    return moment(days_of(year + years, month + months, day + days), time.local[1], time.ns % SECOND, time.location)


def _truncated(time: Time, step: int) -> Time:
    return time.add(-((time.ns - _YEAR_ONE * SECOND) % step)) if step > 0 else time


def _rounded(time: Time, step: int) -> Time:
    if step <= 0:
        return time
    rest = (time.ns - _YEAR_ONE * SECOND) % step
    return time.add(-rest) if rest + rest < step else time.add(step - rest)


def _rounded_span(span: int, step: int) -> int:
    if step <= 0:
        return span
    rest = abs(span) % step
    size = abs(span) - rest if rest + rest < step else abs(span) + step - rest
    return min(max(-size if span < 0 else size, _MIN), _MAX)


def _iso_year(time: Time) -> int:
    thursday = time.local[0] + 3 - (time.weekday + 6) % 7
    return civil(thursday)[0]


def _compare(one: Time, two: Time) -> int:
    return (one.ns > two.ns) - (one.ns < two.ns)


def _is_summer(time: Time) -> bool:
    if time.location.zone is None:
        return False
    try:
        saving = (_EPOCH + timedelta(seconds=time.unix)).astimezone(time.location.zone).dst()
    except OverflowError:
        return False
    return bool(saving)


TIME_METHODS: dict[str, Any] = {
    "Year": lambda t: t.date[0],
    "Month": lambda t: Month(t.date[1]),
    "Day": lambda t: t.date[2],
    "Hour": lambda t: t.clock[0],
    "Minute": lambda t: t.clock[1],
    "Second": lambda t: t.clock[2],
    "Nanosecond": lambda t: t.ns % SECOND,
    "YearDay": lambda t: t.year_day,
    "Weekday": lambda t: Weekday(t.weekday),
    "Unix": lambda t: Int64(t.unix),
    "UnixMilli": lambda t: Int64(t.ns // 10**6),
    "UnixMicro": lambda t: Int64(t.ns // 10**3),
    "UnixNano": lambda t: Int64(wrap(t.ns)),
    "UTC": lambda t: Time(t.ns),
    "Local": lambda t: Time(t.ns, Location("Local")),
    "After": lambda t, o: t.ns > o.ns,
    "Before": lambda t, o: t.ns < o.ns,
    "Equal": lambda t, o: t.ns == o.ns,
    "Compare": _compare,
    "IsZero": lambda t: t.ns == _YEAR_ONE * SECOND,
    "IsDST": _is_summer,
    "Add": lambda t, d: t.add(d.ns),
    "Sub": lambda t, o: t.since(o),
    "AddDate": _add_date,
    "Truncate": lambda t, d: _truncated(t, d.ns),
    "Round": lambda t, d: _rounded(t, d.ns),
    "In": lambda t, where: Time(t.ns, where),
    "Location": lambda t: t.location,
    "Zone": lambda t: t.zone[0],
    "ISOWeek": _iso_year,
}
DURATION_METHODS: dict[str, Any] = {
    "Hours": lambda d: _in_units(d.ns, 3600 * SECOND),
    "Minutes": lambda d: _in_units(d.ns, 60 * SECOND),
    "Seconds": lambda d: _in_units(d.ns, SECOND),
    "Milliseconds": lambda d: Int64(_toward_zero(d.ns, 10**6)),
    "Microseconds": lambda d: Int64(_toward_zero(d.ns, 10**3)),
    "Nanoseconds": lambda d: Int64(d.ns),
    "Truncate": lambda d, s: Duration(d.ns - _rest(d.ns, s.ns)) if s.ns > 0 else d,
    "Round": lambda d, s: Duration(_rounded_span(d.ns, s.ns)),
    "Abs": lambda d: Duration(min(abs(d.ns), _MAX)),
    "String": str,
}


def _in_units(value: int, unit: int) -> float:
    """Whole units, plus the rest as a fraction: two roundings, as Go does."""
    return _toward_zero(value, unit) + _rest(value, unit) / unit


def _toward_zero(value: int, unit: int) -> int:
    return -(-value // unit) if value < 0 else value // unit


def _rest(value: int, unit: int) -> int:
    return -(-value % unit) if value < 0 else value % unit
