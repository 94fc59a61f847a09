"""Values of a running template, where Python's own types would say less than Go's.

| Go | here |
|---|---|
| nil, bool, float64, string, int | None, bool, float, str, int |
| int64, []string, []int, [][]any | those of `events.expressions.expr.values` |
| map[string]any, map[string]string | `Map`, `StringMap` |
| what a missing key gives | `MISSING` |
| time.Time, time.Duration | `Moment`, `Span` |

gotpl asks an object for its members through `__gotemplate_lookup__`; only the classes here have it, so a template sees
nothing else of them, and nothing at all of Python's own types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from events.expressions.expr import layouts, times
from events.expressions.expr.values import Chunks, Int64, Ints, Strings, Uint8

_NAMES: dict[type, str] = {
    type(None): "<nil>",
    bool: "bool",
    int: "int",
    float: "float64",
    complex: "complex128",
    str: "string",
    list: "[]interface {}",
    Int64: "int64",
    Uint8: "uint8",
    Ints: "[]int",
    Strings: "[]string",
    Chunks: "[][]interface {}",
    times.Month: "time.Month",
    times.Weekday: "time.Weekday",
}
_KINDS = {"time.Month": "int", "time.Weekday": "int", "time.Duration": "int64", "time.Time": "struct"}


class _Missing(float):
    """A float because gotpl then takes it for false, prints it by the rule below, and can be told what a range sees."""

    __slots__ = ()

    def __go_format_value__(self, kind: str, _mode: str, *, nested: bool) -> str:
        return "<nil>" if kind == "type" or nested else "<no value>"

    def __gotemplate_lookup__(self, _name: str) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())


MISSING: Final = _Missing(0.0)
"""What a missing key is: prints `<no value>`, is false, has missing members; nil to functions."""


class Map(dict[Any, Any]):
    """map[string]interface {}."""

    go_name = "map[string]interface {}"

    def __gotemplate_lookup__(self, name: str) -> Any:
        return self.get(name, MISSING)


class StringMap(Map):
    """map[string]string."""

    go_name = "map[string]string"


class Method:
    """A method of an object; gotpl takes it for one because it is bound."""

    def __init__(self, of: Any, name: str, call: Callable[..., Any]) -> None:
        self.__self__, self.__name__, self._call = of, name, call

    def __call__(self, *given: Any) -> Any:
        return wrapped(self._call(*(unwrapped(value) for value in given)))


class Moment:
    """time.Time, with the methods that its Go type has."""

    __slots__ = ("time",)
    go_name = "time.Time"

    def __init__(self, time: times.Time) -> None:
        self.time = time

    def __str__(self) -> str:
        return layouts.written(self.time)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and self.time == other.time

    def __hash__(self) -> int:
        return hash(self.time)

    def __gotemplate_lookup__(self, name: str) -> Any:
        if name == "Format":
            return Method(self, name, lambda layout: layouts.formatted(self.time, _text(layout)))
        if name == "String":
            return Method(self, name, lambda: str(self))
        return _method(self, self.time, name, times.TIME_METHODS)


class Span:
    """time.Duration, with the methods that its Go type has."""

    __slots__ = ("duration",)
    go_name = "time.Duration"

    def __init__(self, duration: times.Duration) -> None:
        self.duration = duration

    def __str__(self) -> str:
        return str(self.duration)

    def __gotemplate_lookup__(self, name: str) -> Any:
        return _method(self, self.duration, name, times.DURATION_METHODS)


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise TypeError(f"expected string, not {go_type(value)}")


def _method(of: Any, inner: Any, name: str, methods: dict[str, Any]) -> Method:
    call = methods.get(name)
    if call is None:
        raise TypeError(f"can't evaluate field {name} in type {of.go_name}")
    return Method(of, name, lambda *given: call(inner, *given))


def wrapped(value: Any) -> Any:
    """A result of a method as a value of templates."""
    if isinstance(value, times.Time):
        return Moment(value)
    return Span(value) if isinstance(value, times.Duration) else value


def unwrapped(value: Any) -> Any:
    """The other way round."""
    if isinstance(value, Moment):
        return value.time
    return value.duration if isinstance(value, Span) else value


def decoded(value: Any) -> Any:
    """JSON data as Go decodes it: numbers are float64; dictionaries know what a missing key gives."""
    root = [value]
    pending: list[tuple[Any, Any]] = [([value], root)]  # no recursion: documents may be nested deeply
    while pending:
        old, new = pending.pop()
        for key, item in old.items() if type(old) is dict else enumerate(old):
            kind = type(item)
            if kind is dict or kind is list:
                new[key] = made = Map() if kind is dict else [None] * len(item)
                pending.append((item, made))
            else:
                new[key] = _float(item) if kind is int else item
    return root[0]


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def go_type(value: Any) -> str:
    """The Go type of a value, as %T has it."""
    if value is MISSING:
        return "<nil>"
    return _NAMES.get(type(value)) or str(getattr(value, "go_name", "*semver.Version"))


def go_kind(value: Any) -> str:
    """The kind of that type, as reflection has it."""
    name = go_type(value)
    if name == "<nil>":
        return "invalid"
    if name.startswith(("[]", "map[")):
        return "map" if name[0] == "m" else "slice"
    return "ptr" if name[0] == "*" else _KINDS.get(name, name)


def is_true(value: Any) -> bool:
    """What `if` and `not` make of a value."""
    if value is None or value is MISSING:
        return False
    if isinstance(value, (bool, int, float, complex)):
        return value != 0
    return len(value) > 0 if isinstance(value, (str, list, dict)) else True
