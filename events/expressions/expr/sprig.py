"""`sprig`: the functions of Masterminds/sprig, taken from gotpl, called as strictly as Go calls them.

Left out: `env`, `expandenv` (as upstream), and what a filter has no business doing: asking the name server and
functions made to be slow (keys, certificates, password hashes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from events.errors import FilterError
from events.expressions.expr import regexes, types
from events.expressions.expr.frame import Frame
from events.expressions.expr.sprig_signatures import SIGNATURES
from events.expressions.expr.times import UTC_ZONE, Location, Time
from events.expressions.expr.types import Type
from events.expressions.expr.values import (
    MAX_TEXT,
    Chunks,
    Function,
    Int64,
    Ints,
    NilList,
    NilStrings,
    StringMap,
    Strings,
    plain,
    sized,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100_000
_SQUARE = frozenset({"uniq", "mustUniq", "without", "mustWithout"})
"""They compare everything with everything."""
_SPANS = frozenset({"until", "untilStep", "seq"})
_COUNTED = frozenset(
    [
        "repeat",
        "indent",
        "nindent",
        "randAlpha",
        "randAlphaNum",
        "randAscii",
        "randNumeric",
        "randBytes",
        "until",
        "wrap",
    ]
)


@lru_cache(maxsize=1)
def functions() -> dict[str, Function]:
    """The functions by name; gotpl is loaded when one is first called."""
    return {name: _function(name, types.parse(text)) for name, text in SIGNATURES.items()}


def _function(name: str, signature: Type) -> Function:
    return Function(name, signature, partial(_call, name, signature.results[0]))


@lru_cache(maxsize=1)
def _functions() -> Mapping[str, Callable[..., Any]]:
    # Only now: most filters use none of them, and the library takes a while to load.
    try:
        from gotpl.funcs.sprig import generic_func_map
    except ImportError as error:
        raise FilterError("sprig functions need gotpl: pip install gotpl") from error
    found: dict[str, Callable[..., Any]] = dict(generic_func_map())
    found["regexMatch"] = found["mustRegexMatch"] = _regex_match
    return found


def _regex_match(pattern: str, text: str) -> bool:
    try:
        return regexes.matches(regexes.compiled(pattern), text)
    except ValueError as error:
        raise FilterError(str(error)) from error


def _call(name: str, result: Type, frame: Frame, *given: Any) -> Any:
    weight = _weight(given, frame.steps)
    if "egex" in name:
        weight <<= 3
    elif name in _SQUARE:
        weight *= weight >> 3
    frame.spend(20 + weight)
    if name in _COUNTED or name in _SPANS:
        frame.spend(_size(name, given))
    try:
        found = _functions()[name](*[_out(value) for value in given])
    except FilterError:
        raise
    except KeyError as error:
        raise FilterError(f"sprig.{name} is not available") from error
    except Exception as error:
        # Whatever the library's functions raise is a filter that cannot be decided, not a defect of the source.
        raise FilterError(f"sprig.{name}: {error}") from error
    return _in(name, found, result)


def _weight(given: Sequence[Any], most: int) -> int:
    """About the microseconds it takes to go through these arguments; counting ends at `most`."""
    pending, weight = [*given], 0
    while pending and weight <= most:
        value = pending.pop()
        weight += 1
        if type(value) is str:
            weight += len(value) >> 1
        elif value is not functions() and isinstance(value, dict):
            weight += len(value)
            pending += value.values()
        elif isinstance(value, list):
            weight += len(value)
            pending += value
        elif isinstance(value, range):
            weight += len(value)
    return weight


def _size(name: str, given: Sequence[Any]) -> int:
    """How much a function makes that is told how much to make; FilterError when it is too much."""
    counts = [abs(value) for value in given if type(value) is int]
    most = sum(counts) if name in _SPANS else max(counts, default=0)
    longest = max((len(value) for value in given if type(value) is str), default=0)
    if most > _LONGEST or most * longest > MAX_TEXT:
        raise FilterError(f"sprig.{name}: {most} is too many")
    return most


def _out(value: Any) -> Any:
    """A value as gotpl knows it."""
    if isinstance(value, Time):
        return _EPOCH + timedelta(microseconds=value.ns // 1000)
    if isinstance(value, Int64):
        return int(value)
    if value is functions():
        return dict(value)  # some of them change maps
    return plain(value)


_LISTS: dict[str, type] = {"[]string": Strings, "[]int": Ints, "[][]any": Chunks, "map[string]string": StringMap}


def _in(name: str, value: Any, result: Type) -> Any:
    """A result as the value of its Go type; FilterError when the function reports an error beside it."""
    if type(value).__name__ == "FunctionResult":
        if value.error is not None:
            raise FilterError(f"sprig.{name}: {value.error}")
        value = value.value
    if isinstance(value, datetime):
        return _time(value)
    if result.name == "int64" and type(value) is int:
        return Int64(value)
    if result.name == "float64" and type(value) is int:
        return float(value)
    if made := _LISTS.get(result.name):
        return made(value) if value is not None else NilStrings()
    if isinstance(value, str):
        return sized(value)
    if isinstance(value, list) and type(value) is not list:
        return NilList() if type(value).__name__ == "NilSlice" else list(value)
    return value


def _time(value: datetime) -> Time:
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    offset = value.utcoffset() or timedelta()
    seconds = int(offset.total_seconds())
    where = UTC_ZONE if not seconds else Location(value.tzname() or "", seconds)
    since = value - _EPOCH
    return Time(((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000, where)
