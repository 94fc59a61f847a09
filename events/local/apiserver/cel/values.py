"""Values while an expression runs: how they compare, add up, become text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from events.local.apiserver import quantities
from events.local.apiserver.cel.errors import CelError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([-+]?)((?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|ns|m|s))+|0", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)", re.ASCII)
_INT64 = 1 << 63


@dataclass(frozen=True)
class Some:
    """An optional that has a value."""

    value: Any


class _None:
    """An optional that has none."""

    def __repr__(self) -> str:
        return "optional.none()"


NONE = _None()


def in_range(number: int) -> int:
    """An integer of 64 bits, or an error."""
    if not -_INT64 <= number < _INT64:
        raise CelError("integer overflow")
    return number


def type_name(value: Any) -> str:
    """The type of a value, as it is called."""
    for kind, name in (
        (bool, "bool"),
        (int, "int"),
        (float, "double"),
        (str, "string"),
        (bytes, "bytes"),
        (list, "list"),
        (dict, "map"),
        (datetime, "google.protobuf.Timestamp"),
        (timedelta, "google.protobuf.Duration"),
        (quantities.Quantity, "kubernetes.Quantity"),
    ):
        if isinstance(value, kind):
            return name
    return "null_type" if value is None else type(value).__name__


def equal(one: Any, two: Any) -> bool:
    """Equality: numbers by value, true is not 1, values of other types are different."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, quantities.Quantity) and isinstance(two, quantities.Quantity):
        return one.compare(two) == 0
    return bool(one == two)


def less(one: Any, two: Any) -> bool:
    """Order, of numbers, texts, bytes, booleans, times."""
    numbers = isinstance(one, int | float) and isinstance(two, int | float)
    both_or_none = isinstance(one, bool) == isinstance(two, bool)
    if (numbers and both_or_none) or (type(one) is type(two) and isinstance(one, str | bytes | datetime | timedelta)):
        return bool(one < two)
    raise CelError("no such overload")


def add(one: Any, two: Any) -> Any:
    """The sum of numbers, texts, lists, times."""
    if isinstance(one, bool) or isinstance(two, bool):
        raise CelError("no such overload")
    if isinstance(one, int) and isinstance(two, int):
        return in_range(one + two)
    same = type(one) is type(two) and isinstance(one, float | str | bytes | list | timedelta)
    if (
        same
        or (isinstance(one, datetime) and isinstance(two, timedelta))
        or (isinstance(one, timedelta) and isinstance(two, datetime))
    ):
        return _moment(lambda: one + two)
    raise CelError("no such overload")


def subtract(one: Any, two: Any) -> Any:
    """The difference of numbers and times."""
    if isinstance(one, bool) or isinstance(two, bool):
        raise CelError("no such overload")
    if isinstance(one, int) and isinstance(two, int):
        return in_range(one - two)
    if type(one) is type(two) and isinstance(one, float | timedelta | datetime):
        return _moment(lambda: one - two)
    if isinstance(one, datetime) and isinstance(two, timedelta):
        return _moment(lambda: one - two)
    raise CelError("no such overload")


def _moment(calculate: Any) -> Any:
    try:
        return calculate()
    except OverflowError:
        raise CelError("timestamp overflow") from None


def _numbers(one: Any, two: Any) -> None:
    if isinstance(one, bool) or type(one) is not type(two) or not isinstance(one, int | float):
        raise CelError("no such overload")


def multiply(one: Any, two: Any) -> Any:
    """The product of two numbers of one type."""
    _numbers(one, two)
    return in_range(one * two) if isinstance(one, int) else one * two


def divide(one: Any, two: Any) -> Any:
    """The quotient; of integers, towards zero."""
    _numbers(one, two)
    if isinstance(one, float):
        if two:
            return one / two
        return math.nan if not one or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1, two)
    if not two:
        raise CelError("division by zero")
    quotient = abs(one) // abs(two)
    return in_range(quotient if (one < 0) == (two < 0) else -quotient)


def remainder(one: Any, two: Any) -> Any:
    """What is left of a division of integers; it has the sign of the first."""
    _numbers(one, two)
    if isinstance(one, float):
        raise CelError("no such overload")
    if not two:
        raise CelError("modulus by zero")
    return (abs(one) % abs(two)) * (-1 if one < 0 else 1)


def negative(one: Any) -> Any:
    """The other sign."""
    if isinstance(one, bool) or not isinstance(one, int | float | timedelta):
        raise CelError("no such overload")
    return in_range(-one) if isinstance(one, int) else -one


def contains(item: Any, items: Any) -> bool:
    """Whether a list has an item, or a map a key."""
    if isinstance(items, dict):
        return any(equal(item, key) for key in items) if not isinstance(item, str) else item in items
    if isinstance(items, list):
        return any(equal(item, one) for one in items)
    raise CelError("no such overload")


def text(value: Any) -> str:
    """A value as a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, datetime):
        plain = value.astimezone(UTC)
        fraction = f".{plain.microsecond:06}".rstrip("0") if plain.microsecond else ""
        return plain.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{int(seconds) if seconds.is_integer() else seconds}s"
    return value.text if hasattr(value, "text") and isinstance(value.text, str) else str(value)


def timestamp(value: str) -> datetime:
    """RFC 3339."""
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in value.upper():
        raise CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    return moment


def duration(value: str) -> timedelta:
    """A duration as Go writes it: `1h30m`."""
    if not _DURATION.fullmatch(value):
        raise CelError("type conversion error from 'string' to 'google.protobuf.Duration'")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    try:
        return timedelta(seconds=-seconds if value.startswith("-") else seconds)
    except OverflowError:
        raise CelError("duration overflow") from None
