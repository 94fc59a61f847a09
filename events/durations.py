"""Go durations: `1h30m`, `1.5s`, `300ms`, to and from seconds. Contract: sensors 0.1, eventsources 0 (`dur`)."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from events.errors import UserError

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT = 1 << 63


def nanoseconds(text: str) -> int:
    """Nanoseconds of a Go duration; UserError when it is not one."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    for part in _PART.finditer(rest):
        if part.start() != at:
            break
        total += int(Decimal(part[1]) * NANOSECONDS[part[2]])
        at = part.end()
    if not rest or at != len(rest):
        raise UserError(f"invalid duration {text!r}", cure="write a number and a unit: 500ms, 10s, 5m, 1h30m")
    if total >= _LIMIT:
        raise UserError(f"duration {text!r} is out of range", cure="at most about 292 years")
    return sign * total


def seconds(text: str) -> float:
    """Seconds of a Go duration; UserError when it is not one."""
    return nanoseconds(text) / 1e9


def delta(text: str) -> timedelta:
    """A Go duration as a timedelta, cut to microseconds; UserError when it is not one."""
    return timedelta(microseconds=nanoseconds(text) // 1000)
