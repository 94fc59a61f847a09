"""Calling what is a value: methods of times, functions of the environment. Arguments must fit exactly, as in Go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from events.errors import FilterError
from events.expressions.expr import builtins, types
from events.expressions.expr.builtins import fetch
from events.expressions.expr.frame import Frame
from events.expressions.expr.layouts import formatted, written
from events.expressions.expr.signatures import METHODS
from events.expressions.expr.times import DURATION_METHODS, TIME_METHODS
from events.expressions.expr.types import Type
from events.expressions.expr.values import Function, fits, go_type

_METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "time.Time": {**TIME_METHODS, "String": written, "Format": formatted},
    "time.Duration": DURATION_METHODS,
    "time.Month": {"String": str},
    "time.Weekday": {"String": str},
    "*time.Location": {"String": str},
}


def member_of(value: Any, name: str) -> Any:
    """`value.name`: a method of a time, otherwise an element."""
    kind = go_type(value)
    call = _METHODS.get(kind, {}).get(name)
    if call is None:
        return fetch(value, name)
    return Function(name, types.parse(METHODS[kind][name]), partial(_method, call, value))


def _method(call: Callable[..., Any], value: Any, _frame: Frame, *given: Any) -> Any:
    try:
        return call(value, *given)
    except (OverflowError, ValueError) as error:
        raise FilterError(f"the time is out of range: {error}") from error


def called(frame: Frame, function: Any, given: list[Any]) -> Any:
    """The result of a call; FilterError when it is no function or the arguments do not fit."""
    if not isinstance(function, Function):
        raise FilterError(f"{go_type(function)} is no function")
    _check(function.name, function.signature, given)
    return function.call(frame, *given)


def _check(name: str, signature: Type, given: list[Any]) -> None:
    expected = len(signature.params)
    if len(given) < expected - signature.variadic or (len(given) > expected and not signature.variadic):
        raise FilterError(f"{name} takes {expected} arguments, not {len(given)}")
    for index, value in enumerate(given):
        wanted = signature.params[min(index, expected - 1)]
        if not fits(value, wanted):
            raise FilterError(f"{name} takes {wanted} as argument {index + 1}, not {go_type(value)}")


def _json_path(frame: Frame, document: str, path: str) -> Any:
    from events.expressions.expr.jsonpath import query

    frame.spend(document.count(",") + document.count("[") + (len(document) >> 7))
    return query(document, path, frame.spend)


EXTRA: dict[str, Function] = {
    "asInt": Function("asInt", types.parse("func(any) any"), builtins.integer),
    "asFloat": Function("asFloat", types.parse("func(any) any"), builtins.floating),
    "jsonpath": Function("jsonpath", types.parse("func(string, string) any"), _json_path),
    "toJson": Function("toJson", types.parse("func(any) string"), builtins.to_compact_json),
}
"""Names every filter has, over keys of the data (eventsources 1.9); `sprig` is in its own module."""
