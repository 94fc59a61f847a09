"""The filter of an event source: an expression over the event's data. Contract: eventsources 1.9."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from events.errors import FilterError, UserError
from events.expressions.expr import sprig
from events.expressions.expr.data import parse
from events.expressions.expr.expression import Expression, compile
from events.expressions.expr.functions import EXTRA
from events.expressions.expr.values import go_type

_NO_DATA: dict[str, Any] = {}


class Filter:
    """Decides which events are published."""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def passes(self, data: bytes) -> bool:
        """Whether the event with this data is published; FilterError when it cannot be decided."""
        found = self._expression.evaluate(environment(data))
        if found is True or found is False:
            return bool(found)
        raise FilterError(f"the expression gives {go_type(found)}, not a boolean")


def filter(text: str, *, clock: Callable[[], int] = time.time_ns) -> Filter:
    """Compile a filter expression; UserError with the place and a cure."""
    if not text.strip():
        raise UserError("an empty expression would drop every event", cure="write an expression, or leave filter out")
    return Filter(compile(text, clock=clock))


def environment(data: bytes) -> dict[str, Any]:
    """What an expression sees of an event: the top-level keys of its data, and functions over them."""
    found = parse(data)
    if found is None:
        found = _NO_DATA
    if type(found) is not dict:
        raise FilterError(f"the event's data is {go_type(found)}, not an object")
    names = {key.replace("-", "_"): value for key, value in found.items()}
    if len(names) < len(found):  # `a-b` and `a_b`: the key as written wins
        names.update((key, value) for key, value in found.items() if "-" not in key)
    if any("." in name for name in names):
        names = _expanded(_without_parents(names))
    names.update(EXTRA)
    names["sprig"] = sprig.functions()
    return names


def _without_parents(names: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that others go deeper into: `a` when there is `a.b`."""
    parents = {name[:at] for name in names for at in range(len(name)) if name[at] == "."}
    return {name: value for name, value in names.items() if name not in parents}


def _expanded(names: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested maps."""
    found: dict[str, Any] = {}
    for name, value in names.items():
        *path, last = name.split(".")
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return found
