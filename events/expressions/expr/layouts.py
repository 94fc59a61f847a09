"""Times as text by example: Go's layouts (`2006-01-02 15:04:05`), read and written."""

from __future__ import annotations

import re
from functools import lru_cache

from events.errors import FilterError
from events.expressions.expr.times import MONTHS, SECOND, UTC_ZONE, WEEKDAYS, Location, Time, civil, days_of, moment

RFC3339_NANO = "2006-01-02T15:04:05.999999999Z07:00"
DATES = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)
"""What date() tries when no layout is given."""

_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm"
    r"|-070000|-07:00:00|-0700|-07:00|-07|Z070000|Z07:00:00|Z0700|Z07:00|Z07|[.,](?:0+|9+)(?![0-9])"
)
_ZONE_NAME = re.compile(r"ChST|MeST|GMT(?:[+-](?:[01]?[0-9]|2[0-3]))?|[+-][0-9]{2}(?:[0-9]{2})?|[A-Z]{3,5}(?![A-Z])")
_FRACTION = re.compile(r"[.,][0-9]+")


@lru_cache(maxsize=128)
def _split(layout: str) -> tuple[tuple[str, str], ...]:
    """Literal text and the element behind it, in turn; the last element is empty."""
    parts, at = [], 0
    for found in _ELEMENT.finditer(layout):
        parts.append((layout[at : found.start()], found[0]))
        at = found.end()
    parts.append((layout[at:], ""))
    return tuple(parts)


def formatted(time: Time, layout: str) -> str:
    """A time by a layout."""
    return "".join(literal + _element(time, element) for literal, element in _split(layout))


def written(time: Time) -> str:
    """A time as its String method has it."""
    return formatted(time, "2006-01-02 15:04:05.999999999 -0700 MST")


def _element(time: Time, element: str) -> str:
    if not element:
        return ""
    if element[0] in ".,":
        return _fraction(time.ns % SECOND, element)
    if element[0] in "-Z":
        return _offset(time.zone[1], element)
    if element == "MST":
        name, offset = time.zone
        return name or _offset(offset, "-0700")
    year, month, day = time.date
    hour, minute, second = time.clock
    number, width = {
        "2006": (year, 4), "06": (year % 100, 2), "01": (month, 2), "1": (month, 1), "02": (day, 2), "2": (day, 1),
        "_2": (day, -2), "002": (time.year_day, 3), "__2": (time.year_day, -3), "15": (hour, 2),
        "03": (hour % 12 or 12, 2), "3": (hour % 12 or 12, 1), "04": (minute, 2), "4": (minute, 1),
        "05": (second, 2), "5": (second, 1),
    }.get(element, (0, 0))  # fmt: skip
    if width:
        sign = "-" if number < 0 else ""
        return f"{number:>{-width}}" if width < 0 else sign + f"{abs(number):0{width}}"
    names = {
        "January": MONTHS[month - 1],
        "Jan": MONTHS[month - 1][:3],
        "Monday": WEEKDAYS[time.weekday],
        "Mon": WEEKDAYS[time.weekday][:3],
        "PM": "PM" if hour >= 12 else "AM",
        "pm": "pm" if hour >= 12 else "am",
    }
    return names[element]


def _fraction(ns: int, element: str) -> str:
    digits = f"{ns:09d}"[: len(element) - 1].ljust(len(element) - 1, "0")
    if element[1] == "9":
        digits = digits.rstrip("0")
        return element[0] + digits if digits else ""
    return element[0] + digits


def _offset(offset: int, element: str) -> str:
    if element[0] == "Z" and offset == 0:
        return "Z"
    minutes, seconds = divmod(abs(offset), 60)
    parts = [f"{minutes // 60:02d}"]
    digits = len(element.replace(":", "")) - 1
    if digits >= 4:
        parts.append(f"{minutes % 60:02d}")
    if digits >= 6:
        parts.append(f"{seconds:02d}")
    return ("-" if offset < 0 else "+") + (":" if ":" in element else "").join(parts)


class _Unreadable(Exception):
    """A text that does not follow its layout."""


def parsed(layout: str, text: str, where: Location = UTC_ZONE) -> Time:
    """A time from text by a layout, in `where` if it names no zone; FilterError when it does not follow it."""
    try:
        return _Reader(text, where).run(layout)
    except _Unreadable as error:
        raise FilterError(f"the date {text!r} does not follow {layout!r}") from error


def any_date(text: str) -> Time:
    """A time from text by the first layout of `DATES` that it follows."""
    for layout in DATES:
        try:
            return _Reader(text, UTC_ZONE).run(layout)
        except _Unreadable:
            continue
    raise FilterError(f"invalid date {text!r}")


class _Reader:
    """Takes one text apart."""

    def __init__(self, text: str, where: Location) -> None:
        self._rest, self._where = text, where
        self._year, self._month, self._day, self._year_day = 0, -1, -1, -1
        self._hour = self._minute = self._second = self._ns = 0
        self._afternoon: bool | None = None
        self._offset: int | None = None
        self._zone_name = ""
        self._utc = False

    def run(self, layout: str) -> Time:
        """The time; _Unreadable."""
        parts = _split(layout)
        for index, (literal, element) in enumerate(parts):
            self._skip(literal)
            if element:
                self._take(element, parts[index + 1][1] if index + 1 < len(parts) else "", parts[index + 1][0])
        _require(not self._rest)
        return self._time()

    def _skip(self, literal: str) -> None:
        while literal:
            if literal[0] == " ":
                _require(not self._rest or self._rest[0] == " ")
                literal, self._rest = literal.lstrip(" "), self._rest.lstrip(" ")
                continue
            _require(self._rest[:1] == literal[0])
            literal, self._rest = literal[1:], self._rest[1:]

    def _number(self, low: int, high: int, *, fixed: bool = False, width: int = 2) -> int:
        digits = next((n for n in range(width, 0, -1) if _is_digits(self._rest[:n], n)), 0)
        _require(digits > 0 and (not fixed or digits == width))
        value, self._rest = int(self._rest[:digits]), self._rest[digits:]
        _require(low <= value <= high)
        return value

    def _name(self, names: list[str], length: int = 99) -> int:
        for index, name in enumerate(names):
            short = name[:length]
            if self._rest[: len(short)].lower() == short.lower():
                self._rest = self._rest[len(short) :]
                return index
        raise _Unreadable

    def _take(self, element: str, following: str, literal: str) -> None:
        if element in ("2006", "06"):
            width = len(element)
            value = self._number(0, 9999, fixed=True, width=width)
            self._year = value if width == 4 else value + (1900 if value >= 69 else 2000)
        elif element in ("January", "Jan"):
            self._month = self._name(MONTHS, 99 if element == "January" else 3) + 1
        elif element in ("Monday", "Mon"):
            self._name(WEEKDAYS, 99 if element == "Monday" else 3)
        elif element in ("1", "01"):
            self._month = self._number(1, 12, fixed=element == "01")
        elif element in ("2", "_2", "02"):
            if element == "_2":
                self._rest = self._rest.removeprefix(" ")
            self._day = self._number(0, 99, fixed=element == "02")
        elif element in ("002", "__2"):
            if element == "__2":
                self._rest = self._rest[:2].replace(" ", "0") + self._rest[2:]
            self._year_day = self._number(0, 999, fixed=True, width=3)
        elif element in ("15", "3", "03"):
            self._hour = self._number(0, 23 if element == "15" else 12, fixed=element == "03")
        elif element in ("4", "04"):
            self._minute = self._number(0, 59, fixed=element == "04")
        elif element in ("5", "05"):
            self._second = self._number(0, 59, fixed=element == "05")
            # A fraction may follow seconds also where the layout has none.
            if not (following[:1] in (".", ",") and not literal) and (found := _FRACTION.match(self._rest)):
                self._fraction(found.end())
        else:
            self._take_other(element)

    def _take_other(self, element: str) -> None:
        if element in ("PM", "pm"):
            word = self._rest[:2]
            _require(word in (("PM", "AM") if element == "PM" else ("pm", "am")))
            self._afternoon, self._rest = word.lower() == "pm", self._rest[2:]
        elif element[0] in ".,":
            if element[1] == "0":
                _require(bool(re.match(rf"[.,][0-9]{{{len(element) - 1}}}", self._rest)))
                self._fraction(len(element))
            elif found := _FRACTION.match(self._rest):
                self._fraction(found.end())
        elif element == "MST":
            self._zone()
        else:
            self._numeric_zone(element)

    def _fraction(self, length: int) -> None:
        self._ns = int(self._rest[1:length][:9].ljust(9, "0"))
        self._rest = self._rest[length:]

    def _zone(self) -> None:
        if self._rest.startswith("UTC"):
            self._utc, self._rest = True, self._rest[3:]
            return
        found = _ZONE_NAME.match(self._rest)
        _require(found is not None)
        assert found is not None
        name = found[0]
        _require(not (len(name) == 5 and not name.endswith("T") and name.isalpha()))
        _require(not (len(name) == 4 and name.isupper() and name != "WITA" and not name.endswith("T")))
        self._zone_name, self._rest = name, self._rest[found.end() :]

    def _numeric_zone(self, element: str) -> None:
        if element[0] == "Z" and self._rest[:1] == "Z":
            self._utc, self._rest = True, self._rest[1:]
            return
        shape = "([+-])" + element[1:].replace("07", "([0-9]{2})", 1).replace("00", "([0-9]{2})")
        found = re.match(shape, self._rest)
        _require(found is not None)
        assert found is not None
        sign, *parts = found.groups()
        hours, minutes, seconds = (int(part) for part in (*parts, "0", "0")[:3])
        _require(hours <= 24 and minutes < 60 and seconds < 60)
        self._offset = (hours * 3600 + minutes * 60 + seconds) * (-1 if sign == "-" else 1)
        self._rest = self._rest[found.end() :]

    def _days(self) -> int:
        month, day = self._month, self._day
        if self._year_day >= 0:
            first = days_of(self._year, 1, 1)
            _require(1 <= self._year_day <= days_of(self._year + 1, 1, 1) - first)
            _, month, day = civil(first + self._year_day - 1)
            _require(self._month in (-1, month) and self._day in (-1, day))
        month, day = max(month, 1), 1 if day < 0 else day
        _require(1 <= day <= days_of(self._year, month + 1, 1) - days_of(self._year, month, 1))
        return days_of(self._year, month, day)

    def _time(self) -> Time:
        if self._afternoon is True and self._hour < 12:
            self._hour += 12
        elif self._afternoon is False and self._hour == 12:
            self._hour = 0
        days, seconds = self._days(), self._hour * 3600 + self._minute * 60 + self._second
        if self._utc:
            return moment(days, seconds, self._ns, UTC_ZONE)
        if self._offset is not None:
            time = moment(days, seconds, self._ns, Location("", self._offset))
            name, offset = self._where.at(time.unix)
            if offset == self._offset and self._zone_name in ("", name):
                return Time(time.ns, self._where)
            return Time(time.ns, Location(self._zone_name, self._offset))
        if self._zone_name:
            return self._named(days, seconds)
        return moment(days, seconds, self._ns, self._where)

    def _named(self, days: int, seconds: int) -> Time:
        """A zone by its abbreviation: the local one if in use there, otherwise a made-up one without offset."""
        name = self._zone_name
        time = moment(days, seconds, self._ns, self._where)
        if time.zone[0] == name:
            return time
        offset = int(name[3:]) * 3600 if len(name) > 3 and name.startswith("GMT") else 0
        return moment(days, seconds, self._ns, Location(name, offset))


def _is_digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdigit()


def _require(met: bool) -> None:  # noqa: FBT001  # reads as a sentence
    if not met:
        raise _Unreadable
