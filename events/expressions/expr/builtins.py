"""The functions of the language, except those with closures. Facts of expr 1.15.

Each takes the evaluation's frame and its arguments; FilterError for arguments it cannot use.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from events import durations
from events.errors import FilterError, UserError
from events.expressions.expr import layouts, operators, strings
from events.expressions.expr.data import parse
from events.expressions.expr.frame import Frame
from events.expressions.expr.operators import Key, map_key
from events.expressions.expr.texts import go_text, json_text
from events.expressions.expr.times import UTC_ZONE, Duration, Location, Month, Time, Weekday, location
from events.expressions.expr.values import (
    INTEGERS,
    LISTS,
    NUMBERS,
    AnyMap,
    Function,
    Groups,
    Int64,
    NilList,
    Pair,
    Pairs,
    StringMap,
    Uint8,
    encoded,
    from_float,
    go_type,
    sized,
    text,
    to_int,
    wrap,
)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity)|nan", re.IGNORECASE)
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_UNDERSCORES = re.compile(r"(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])")
_KINDS = {bool: "bool", int: "int", Int64: "int", Uint8: "uint", float: "float", str: "string", Function: "func"}
_NAMED = {Time: "time.Time", Duration: "time.Duration", Month: "time.Month", Weekday: "time.Weekday"}
Builtin = Callable[..., Any]


def _refused(name: str, value: Any) -> FilterError:
    return FilterError(f"{name} cannot be applied to {go_type(value)}")


def length(_frame: Frame, value: Any) -> int:
    """Elements of a list or map, bytes of a string."""
    if type(value) is str:
        return len(value) if value.isascii() else len(encoded(value))
    if isinstance(value, (dict, *LISTS)):
        return len(value)
    raise _refused("len", value)


def type_name(_frame: Frame, value: Any) -> str:
    """The kind of a value; times with their package."""
    if value is None:
        return "nil"
    if isinstance(value, LISTS):
        return "array"
    if isinstance(value, dict):
        return "map"
    return (
        _KINDS.get(type(value)) or _NAMED.get(type(value)) or ("time.Location" if type(value) is Location else "struct")
    )


def absolute(_frame: Frame, value: Any) -> Any:
    """A number without its sign."""
    if type(value) not in NUMBERS:
        raise _refused("abs", value)
    return operators.negate(value) if value < 0 else value


def _rounding(name: str, round_float: Callable[[float], float]) -> Builtin:
    def rounded(_frame: Frame, value: Any) -> float:
        if type(value) is not float:
            if type(value) in INTEGERS:
                return float(value)
            raise _refused(name, value)
        if not math.isfinite(value):
            return value
        return math.copysign(round_float(value), value)

    return rounded


def _half_away(value: float) -> float:
    whole = float(math.trunc(value))
    return whole + math.copysign(1.0, value) if abs(value - whole) >= 0.5 else whole


def integer(frame: Frame, value: Any) -> int:
    """A number cut to an integer, or the integer a string spells in decimal."""
    if type(value) is float:
        return from_float(value)
    if type(value) in INTEGERS:
        return int(value)
    if type(value) is not str:
        raise _refused("int", value)
    if _INTEGER.fullmatch(value) and len(value) < 25 and (found := int(value)) == wrap(found):
        return found
    if _INTEGER.fullmatch(value) and (digits := value.lstrip("+-").lstrip("0") or "0") and len(digits) < 20:
        return integer(frame, ("-" if value[0] == "-" else "") + digits)
    raise FilterError(f"int: {value[:40]!r} is not a whole number")


def floating(_frame: Frame, value: Any) -> float:
    """A number as a float, or the float a string spells."""
    if type(value) in NUMBERS:
        return float(value)
    if type(value) is not str:
        raise _refused("float", value)
    try:
        if _FLOAT.fullmatch(value):
            found = float(value)
            if math.isfinite(found) or value.strip("+-")[0] in "iInN":
                return found
        elif _HEX_FLOAT.fullmatch(plain := _UNDERSCORES.sub("", value)):
            return float.fromhex(plain)
    except (ValueError, OverflowError):
        pass
    raise FilterError(f"float: {value[:40]!r} is not a number in range")


def string(frame: Frame, value: Any) -> str:
    """A value as Go prints it."""
    return value if type(value) is str else go_text(value, frame.spend)


def _extreme(beats: Callable[[Any, Any], bool]) -> Builtin:
    def extreme(_frame: Frame, *values: Any) -> Any:
        best: Any = None
        for value in values:
            if best is None or beats(best, value):
                best = value
        return best

    return extreme


def _numbers(name: str, frame: Frame, value: Any) -> list[Any]:
    """A list of numbers; durations, months and weekdays count as such."""
    if not isinstance(value, LISTS):
        raise _refused(name, value)
    frame.spend(len(value) >> 2)
    found = [item.ns if type(item) is Duration else item for item in value]
    for item in found:
        if type(item) is Uint8 or not isinstance(item, int | float) or type(item) is bool:
            raise _refused(name, item)
    return found


def total(frame: Frame, value: Any) -> Any:
    """The sum; an integer as long as all are."""
    result: Any = 0
    for item in _numbers("sum", frame, value):
        result = float(result) + float(item) if float in (type(result), type(item)) else wrap(result + int(item))
    return result


def mean(frame: Frame, value: Any) -> float:
    """The average; 0 of nothing."""
    found = _numbers("mean", frame, value)
    result = 0.0
    for item in found:
        result += float(item)
    return result / len(found) if found else 0.0


def median(frame: Frame, value: Any) -> float:
    """The middle one, or the average of the middle two; 0 of nothing."""
    found = sorted((float(item) for item in _numbers("median", frame, value)), key=lambda x: (x == x, x))
    if not found:
        return 0.0
    half = len(found) // 2
    return found[half] if len(found) % 2 else (found[half - 1] + found[half]) / 2


def to_json(frame: Frame, value: Any) -> str:
    """JSON, indented by two spaces."""
    return json_text(value, "  ", frame.spend)


def to_compact_json(frame: Frame, value: Any) -> str:
    """JSON on one line; empty when it cannot be written."""
    try:
        return json_text(value, "", frame.spend)
    except FilterError:
        frame.spend(0)  # if that was the reason
        return ""


def from_json(frame: Frame, value: Any) -> Any:
    """The value of a JSON text; numbers are floats."""
    document = text(value)
    frame.spend(document.count(",") + document.count("[") + (len(document) >> 7))
    return parse(encoded(document))


def to_base64(frame: Frame, value: Any) -> str:
    """Standard base64."""
    frame.spend(len(text(value)) >> 8)
    return sized(base64.b64encode(encoded(value)).decode())


def from_base64(frame: Frame, value: Any) -> str:
    """What standard base64 holds; line breaks are let through."""
    frame.spend(len(text(value)) >> 8)
    try:
        plain = text(value).replace("\r", "").replace("\n", "").encode("ascii")
        return base64.b64decode(plain, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise FilterError("fromBase64: not base64") from error


def now(frame: Frame) -> Time:
    """The time, by the clock of the evaluation."""
    return Time(frame.clock(), Location("Local"))


def duration(_frame: Frame, value: Any) -> Duration:
    """A duration from Go's notation."""
    try:
        return Duration(durations.nanoseconds(text(value)))
    except UserError as error:
        raise FilterError(error.message) from error


def date(_frame: Frame, value: Any, *more: Any) -> Time:
    """A time from text: by common layouts, by the one given, in the zone given."""
    if not more:
        return layouts.any_date(text(value))
    return layouts.parsed(text(more[0]), text(value), location(text(more[1])) if len(more) > 1 else UTC_ZONE)


def fetch(value: Any, key: Any) -> Any:
    """`a[b]`: an element, a byte of a string, a value of a map (nil when it has none)."""
    if type(value) is dict:
        if type(key) is str:
            return value.get(key)
        if key is None:
            return value.get("")
        raise FilterError(f"{go_type(key)} is never a key of a map")
    if isinstance(value, (str, *LISTS)):
        return _at(value, to_int(key))
    if isinstance(value, dict):
        if key is None or go_type(value).startswith("map[any]"):
            found = value.get("" if type(value) is StringMap else map_key(key))
            if found is None and type(value) is Groups:
                return NilList()
        elif type(key) is str:
            found = value.get(key, "")
        else:
            raise FilterError(f"{go_type(key)} is never a key of {go_type(value)}")
        return found
    raise FilterError(f"cannot fetch {str(key)[:80]} from {go_type(value)}")


def _at(value: Any, index: int) -> Any:
    if type(value) is str:
        raw = encoded(value)
        if -len(raw) <= index < len(raw):
            return Uint8(raw[index])
    elif -len(value) <= index < len(value):
        return value[index]
    raise FilterError(f"index {index} is out of range")


def get(_frame: Frame, value: Any, key: Any) -> Any:
    """`a[b]`, nil instead of an error."""
    try:
        return fetch(value, key)
    except FilterError:
        return None


def first(frame: Frame, value: Any) -> Any:
    """The first element, or nil."""
    return get(frame, value, 0)


def last(frame: Frame, value: Any) -> Any:
    """The last element, or nil."""
    return get(frame, value, -1)


def take(frame: Frame, value: Any, count: Any) -> Any:
    """The first so many elements."""
    if not isinstance(value, LISTS):
        raise _refused("take", value)
    number = count.ns if type(count) is Duration else count
    if type(number) in (float, bool, Uint8) or not isinstance(number, int):
        raise FilterError(f"take: {go_type(count)} is no number of elements")
    if number > len(value):
        return value
    if number < 0:
        raise FilterError(f"take: {number} elements")
    frame.grow(number)
    return cut(value, 0, int(number))


def cut(value: Any, start: int, end: int) -> Any:
    """A slice of the same type."""
    return value[start:end] if type(value) in (list, range) else type(value)(value[start:end])


def _map(name: str, frame: Frame, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _refused(name, value)
    frame.spend(len(value) >> 2)
    return value


def _key(key: Any) -> Any:
    return key.value if isinstance(key, Key) else key


def keys(frame: Frame, value: Any) -> list[Any]:
    """The keys of a map."""
    return [_key(key) for key in _map("keys", frame, value)]


def values_of(frame: Frame, value: Any) -> list[Any]:
    """The values of a map."""
    return list(_map("values", frame, value).values())


def to_pairs(frame: Frame, value: Any) -> Pairs:
    """A map as a list of pairs."""
    return Pairs(Pair((_key(key), inner)) for key, inner in _map("toPairs", frame, value).items())


def from_pairs(frame: Frame, value: Any) -> AnyMap:
    """A list of pairs as a map."""
    if not isinstance(value, LISTS):
        raise _refused("fromPairs", value)
    frame.spend(len(value))
    found = AnyMap()
    for pair in value:
        if not isinstance(pair, LISTS) or len(pair) != 2:
            raise FilterError("fromPairs: every element is a list of two")
        found[map_key(pair[0])] = pair[1]
    return found


def _sorted(frame: Frame, value: Any, field: str, direction: Any) -> list[Any]:
    """All of one type: integers, floats or strings; elements that are maps by a field."""
    if not isinstance(value, LISTS):
        raise _refused("sort", value)
    if direction not in ("asc", "desc") or type(direction) is not str:
        raise FilterError('sort: the direction is "asc" or "desc"')
    frame.spend(len(value))
    if any(isinstance(item, dict) and field not in item for item in value):
        raise FilterError(f"sort: an element has no {field!r}")
    by: list[Any] = [item[field] if isinstance(item, dict) else item for item in value]
    if len({go_type(item) for item in by}) > 1:
        raise FilterError("sort: the elements are of different types")
    if len(by) > 1 and not _sortable(by[0]):
        raise _refused("sort", by[0])
    if by and type(by[0]) is Duration:
        by = [item.ns for item in by]
    if by and type(by[0]) is str:
        by = [encoded(item) for item in by]
    order = sorted(range(len(by)), key=by.__getitem__, reverse=direction == "desc")
    return [value[index] for index in order]


def _sortable(value: Any) -> bool:
    return type(value) not in (bool, Uint8) and isinstance(value, int | float | str | Duration)


def sort(frame: Frame, value: Any, direction: Any = "asc") -> list[Any]:
    """In order."""
    return _sorted(frame, value, "", direction)


def sort_by(frame: Frame, value: Any, field: Any, direction: Any = "asc") -> list[Any]:
    """In the order of a field."""
    return _sorted(frame, value, text(field), direction)


FUNCTIONS: dict[str, Builtin] = {
    **strings.FUNCTIONS,
    "len": length,
    "type": type_name,
    "abs": absolute,
    "ceil": _rounding("ceil", math.ceil),
    "floor": _rounding("floor", math.floor),
    "round": _rounding("round", _half_away),
    "int": integer,
    "float": floating,
    "string": string,
    "max": _extreme(operators.less),
    "min": _extreme(operators.more),
    "sum": total,
    "mean": mean,
    "median": median,
    "toJSON": to_json,
    "fromJSON": from_json,
    "toBase64": to_base64,
    "fromBase64": from_base64,
    "now": now,
    "duration": duration,
    "date": date,
    "first": first,
    "last": last,
    "get": get,
    "take": take,
    "keys": keys,
    "values": values_of,
    "toPairs": to_pairs,
    "fromPairs": from_pairs,
    "sort": sort,
    "sortBy": sort_by,
}
ONE_ARGUMENT = frozenset(["len", "type", "abs", "ceil", "floor", "round", "int", "float", "string", "upper", "lower"])
"""Those that cannot be called under another name: the library has no general form of them."""
