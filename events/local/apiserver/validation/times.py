"""Times as the API reads and writes them: RFC 3339, in seconds (`Time`) or microseconds (`MicroTime`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_SECONDS = "2006-01-02T15:04:05Z07:00"
_MICROSECONDS = "2006-01-02T15:04:05.000000Z07:00"
_PIECES = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d{2}"),
    ("-", "-"),
    ("02", r"\d{2}"),
    ("T", "T"),
    ("15", r"\d{2}"),
    (":", ":"),
    ("04", r"\d{2}"),
    (":", ":"),
    ("05", r"\d{2}"),
)
_FRACTION = {False: ("", r"(?:[.,]\d+)?"), True: (".000000", r"\.\d{6}(?!\d)")}
_ZONE = ("Z07:00", r"Z|[+-]\d{2}:\d{2}")
_QUICK = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)


class TimeError(ValueError):
    """Not a time; the message is a real server's."""


def normal(text: str, *, micro: bool = False) -> str:
    """The time in UTC, as it is written; raises `TimeError`."""
    if not micro and _QUICK.fullmatch(text):
        _checked(text, text[:-1], timedelta())
        return text
    rest, digits = text, []
    for name, pattern in (*_PIECES, _FRACTION[micro], _ZONE):
        found = re.match(pattern, rest, re.ASCII)
        if not found:
            layout = _MICROSECONDS if micro else _SECONDS
            raise TimeError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{name}"')
        digits.append(found[0])
        rest = rest[found.end() :]
    if rest:
        raise TimeError(f'parsing time "{text}": extra text: "{rest}"')
    zone, fraction = digits.pop(), digits.pop()
    moment = _checked(text, "".join(digits), _offset(text, zone)).astimezone(UTC)
    written = f"{moment.year:04}" + moment.strftime("-%m-%dT%H:%M:%S")
    return f"{written}{fraction if micro else ''}Z"


def _offset(text: str, zone: str) -> timedelta:
    if zone == "Z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 23 or minutes > 59:
        raise TimeError(f'parsing time "{text}": time zone offset {"hour" if hours > 23 else "minute"} out of range')
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)


def _checked(text: str, plain: str, offset: timedelta) -> datetime:
    try:
        moment = datetime.fromisoformat(plain).replace(tzinfo=timezone(offset))
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise TimeError(f'parsing time "{text}": {_out_of_range(plain)} out of range') from None
    return moment


def _out_of_range(plain: str) -> str:
    month, hour, minute, second = int(plain[5:7]), int(plain[11:13]), int(plain[14:16]), int(plain[17:19])
    if not 1 <= month <= 12:
        return "month"
    for value, most, name in ((hour, 23, "hour"), (minute, 59, "minute"), (second, 59, "second")):
        if value > most:
            return name
    return "day" if int(plain[:4]) else "year"
