"""Values of a running expression, where Python's own types would say less than Go's.

| Go | here |
|---|---|
| nil, bool, float64, string, map[string]any, []any | None, bool, float, str, dict, list |
| int | int, kept within 64 bits |
| int64, uint8, time.Month, time.Weekday | a subclass of int; the last two are no numbers to operators |
| []int | range, or `Ints` |
| []string, [2]any, [][2]any, [][]any | subclasses of list |
| map[any]any, map[any][]any, map[string]string | subclasses of dict |
| time.Time, time.Duration | `times.Time`, `times.Duration` |
| a function, a method | `Function` |

Bytes of a string that are no UTF-8 are kept as lone surrogates (PEP 383), as a slice may cut a character.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events.errors import FilterError
from events.expressions.expr import types
from events.expressions.expr.types import Type

MAX_TEXT = 1 << 22
"""Characters of a string; ours."""


class Int64(int):
    """int64: what methods of times give."""


class Uint8(int):
    """A byte of a string."""


class Ints(list[Any]):
    """[]int that is no range."""


class Strings(list[Any]):
    """[]string."""


class NilStrings(Strings):
    """[]string that is nil: a split into no parts."""


class NilList(list[Any]):
    """[]any that is nil: a group that does not exist."""


class Pair(list[Any]):
    """[2]any."""


class Pairs(list[Any]):
    """[][2]any."""


class Chunks(list[Any]):
    """[][]any."""


class AnyMap(dict[Any, Any]):
    """map[any]any."""


class Groups(dict[Any, Any]):
    """map[any][]any; nil when empty."""


class StringMap(dict[Any, Any]):
    """map[string]string."""


class Function:
    """A function value; `signature` says what it insists on, as Go's reflection does."""

    __slots__ = ("call", "name", "signature")

    def __init__(self, name: str, signature: Type, call: Callable[..., Any]) -> None:
        self.name, self.signature, self.call = name, signature, call


LISTS = (list, range)
NUMBERS = frozenset({int, float, Int64, Uint8})
INTEGERS = frozenset({int, Int64, Uint8})
_NAMES: dict[type, str] = {
    type(None): "nil",
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    list: "[]any",
    dict: "map[string]any",
    range: "[]int",
    Int64: "int64",
    Uint8: "uint8",
    Ints: "[]int",
    Strings: "[]string",
    NilStrings: "[]string",
    NilList: "[]any",
    Pair: "[2]any",
    Pairs: "[][2]any",
    Chunks: "[][]any",
    AnyMap: "map[any]any",
    Groups: "map[any][]any",
    StringMap: "map[string]string",
    Function: "func",
}


def go_type(value: Any) -> str:
    """The Go type of a value."""
    return _NAMES.get(type(value)) or str(getattr(value, "go_name", "struct"))


def is_nil(value: Any) -> bool:
    """nil itself, or a nil list or map."""
    return value is None or isinstance(value, NilStrings | NilList) or (type(value) is Groups and not value)


def wrap(value: int) -> int:
    """An integer as 64 bits hold it."""
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return value
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def from_float(value: float) -> int:
    """A float cut to an integer as amd64 does it: out of range is the lowest."""
    if -9223372036854775808.0 <= value < 9223372036854775808.0:
        return int(value)
    return -0x8000000000000000


def to_int(value: Any) -> int:
    """A number as an integer; FilterError for anything else."""
    if type(value) is float:
        return from_float(value)
    if type(value) in INTEGERS:
        return int(value)
    raise FilterError(f"a number is needed, not {go_type(value)}")


def to_float(value: Any) -> float:
    """A number as a float; FilterError for anything else."""
    if type(value) in NUMBERS:
        return float(value)
    raise FilterError(f"a number is needed, not {go_type(value)}")


def text(value: Any) -> str:
    """A string; FilterError for anything else."""
    if type(value) is str:
        return value
    raise FilterError(f"a string is needed, not {go_type(value)}")


def encoded(value: str) -> bytes:
    """The bytes of a string."""
    return value.encode("utf-8", "surrogateescape")


def decoded(value: bytes) -> str:
    """A string of bytes that need not be UTF-8."""
    return value.decode("utf-8", "surrogateescape")


def sized(value: str) -> str:
    """A string that just grew; FilterError when it is too large."""
    if len(value) > MAX_TEXT:
        raise FilterError(f"a string of more than {MAX_TEXT} characters")
    return value


def fits(value: Any, wanted: Type) -> bool:
    """Whether reflection hands a value over as a parameter of this type."""
    return wanted.name in ("any", go_type(value)) or (wanted == types.LIST and type(value) is list)


def plain(value: Any) -> Any:
    """A value as libraries know it: ranges as lists."""
    return list(value) if isinstance(value, range) else value
