"""Dates in string literals: the language turns every literal that looks like one into seconds since 1970 (flaw F6).

The layouts are govaluate's fourteen. What each accepts is a fact of Go's `time.Parse`: a fraction after any seconds,
several spaces for one, one digit for an hour, names of months and days in any case, a day of the week that is wrong.
A text without zone is UTC here; upstream takes the zone of its process, which in a container is UTC, too.
"""

from __future__ import annotations

import calendar
import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY = "(?i:sun|mon|tue|wed|thu|fri|sat)"
_MONTH = f"(?P<name>(?i:{'|'.join(_MONTHS)}))"
_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_HOUR, _MINUTE, _SECOND = r"(?P<hour>\d\d?)", r"(?P<minute>\d\d)", r"(?P<second>\d\d)(?:[.,]\d+)?"
_CLOCK = f"{_HOUR}:{_MINUTE}:{_SECOND}"
_YEAR = r"(?P<year>\d{4})"
_OFFSET = r"(?P<sign>[+-])(?P<off_hours>\d\d)(?P<off_minutes>\d\d)"
_COLON_OFFSET = r"(?P<sign>[+-])(?P<off_hours>\d\d):(?P<off_minutes>\d\d)"
# Abbreviations other than UTC count as UTC: Go knows only those of its own zone.
_HOURS_OFF = r"[+-]0*(?:1?\d|2[0-3])"
_ZONE = rf"(?:ChST|MeST|WITA|GMT(?:{_HOURS_OFF})?|{_HOURS_OFF}|[A-Z]{{3}}|[A-Z]{{3,4}}T)"

_LAYOUTS = tuple(
    re.compile(layout.replace(" ", " +"), re.ASCII)
    for layout in (
        f"{_WEEKDAY} {_MONTH} (?P<day>\\d\\d?) {_CLOCK} {_YEAR}",
        f"{_WEEKDAY} {_MONTH} (?P<day>\\d\\d?) {_CLOCK} {_ZONE} {_YEAR}",
        f"{_WEEKDAY} {_MONTH} (?P<day>\\d\\d) {_CLOCK} {_OFFSET} {_YEAR}",
        f"{_HOUR}:{_MINUTE}(?P<half>AM|PM)",
        _DATE,
        f"{_DATE} {_HOUR}:{_MINUTE}",
        f"{_DATE} {_CLOCK}",
        f"{_DATE} {_CLOCK}{_COLON_OFFSET}",
        f"{_DATE}T{_CLOCK}(?:Z|{_COLON_OFFSET})",
        f"{_DATE}T{_HOUR}(?:Z|{_OFFSET})",
        f"{_DATE}T{_HOUR}:{_MINUTE}(?:Z|{_OFFSET})",
        f"{_DATE}T{_CLOCK}(?:Z|{_OFFSET})",
    )
)
_LIMITS = (("hour", 23), ("minute", 59), ("second", 59), ("off_hours", 24), ("off_minutes", 60))


def unix_seconds(text: str) -> float | None:
    """The Unix time of a text that looks like a date or a time of day, else None."""
    for layout in _LAYOUTS:
        found = layout.fullmatch(text)
        if found is not None and (moment := _moment(found.groupdict())) is not None:
            return float(moment)
    return None


def _moment(parts: dict[str, str | None]) -> int | None:
    """None when a part is out of range."""
    if any(int(parts.get(name) or 0) > limit for name, limit in _LIMITS):
        return None
    hour = _hour(int(parts["hour"] or 0) if parts.get("hour") else 0, parts.get("half"))
    year = int(parts.get("year") or 0)
    name = parts.get("name")
    month = _MONTHS.index(name.lower()) + 1 if name else int(parts.get("month") or 1)
    day = int(parts["day"] or 0) if "day" in parts else 1
    if hour is None or not 1 <= month <= 12 or not 1 <= day <= _days_in(year, month):
        return None
    clock = hour * 3600 + int(parts.get("minute") or 0) * 60 + int(parts.get("second") or 0)
    offset = int(parts.get("off_hours") or 0) * 3600 + int(parts.get("off_minutes") or 0) * 60
    return _days_since_1970(year, month, day) * 86_400 + clock + (offset if parts.get("sign") == "-" else -offset)


def _hour(hour: int, half: str | None) -> int | None:
    if half is None:
        return hour
    if hour > 12:
        return None
    return hour % 12 + (12 if half == "PM" else 0)


def _days_in(year: int, month: int) -> int:
    return 29 if month == 2 and calendar.isleap(year) else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _days_since_1970(year: int, month: int, day: int) -> int:
    """`datetime` has no year 0, which a time of day without a date is in."""
    before = year - (month < 3)
    leaps = before // 4 - before // 100 + before // 400
    return 365 * before + leaps + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469
