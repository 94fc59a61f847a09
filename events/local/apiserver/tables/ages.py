"""How long ago: times and spans in the few words that `kubectl get` has for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from events.local.apiserver.resources import Object

UNKNOWN, INVALID = "<unknown>", "<invalid>"
_MINUTE, _HOUR = 60, 3600
_DAYS_A_YEAR = 365
_LONGEST = (1 << 63) // 10**9
"""Seconds; spans have 64 bits of nanoseconds."""


def human(seconds: float) -> str:
    """A span with two or three digits that count: `45s`, `2m5s`, `3h20m`, `8d`. Clocks may differ by two seconds."""
    whole = min(int(seconds), _LONGEST)
    if whole < 0:
        return INVALID if whole < -1 else "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    days, years = hours // 24, hours // 24 // _DAYS_A_YEAR
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    if years < 8:
        return _two(years, "y", days % _DAYS_A_YEAR, "d")
    return f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def moment(text: str | None) -> float | None:
    """Seconds since the epoch of a written time; None for none and for the year 1. Raises `ValueError`."""
    if not text:
        return None
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return None if read.year == 1 else read.astimezone(UTC).timestamp()


@dataclass(frozen=True)
class Clock:
    """The time at which a table is made, in seconds since the epoch."""

    now: float

    def since(self, text: str | None) -> str:
        """How long ago a written time was."""
        try:
            then = moment(text)
        except (ValueError, OverflowError):
            return INVALID
        return UNKNOWN if then is None else human(self.now - then)

    def age(self, it: Object) -> str:
        """How long ago an object was created."""
        return self.since(it["metadata"].get("creationTimestamp"))
