"""`jsonpath(text, path)`: the dialect upstream's function reads. Facts from its published consensus table.

A path of keys and indexes gives one value, and it is an error when there is none; behind `*`, `..`, a slice, a union
or a filter there is a list, and what has no value is left out. Keys of objects go in alphabetical order. Ours: filters
compare paths and literals, joined by && and ||; they do not calculate, and there are no script expressions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from events.errors import FilterError
from events.expressions.expr import operators
from events.expressions.expr.data import parse
from events.expressions.expr.values import encoded

_MAX_TOKENS = 64
_MAX_FOUND = 100_000
_TOKEN = re.compile(
    r"(?P<deep>\.{2,})?(?:\.?\[\s*(?P<inside>(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\?\([^\]]*\)|[^\]'\"])*)\]"
    r"|(?(deep)|\.)\s*(?P<name>[^.\[\]]+))",
    re.DOTALL,
)
_PART = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?[0-9]+))\s*(?:,|$)")
_SLICE = re.compile(r"(-?[0-9]*)\s*:\s*(-?[0-9]*)\s*(?::\s*(-?[0-9]*))?")
_CONDITION = re.compile(r"\s*(!?)\s*(.+?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?))?\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operators.equal,
    "!=": lambda left, right: not operators.equal(left, right),
    "<": operators.less,
    "<=": operators.at_most,
    ">": operators.more,
    ">=": operators.at_least,
}
Spend = Callable[[int], None]


class _Missing(Exception):
    """There is no such value."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One token: `kind` is key, index, all, union, slice or filter; `deep` when `..` stands before it."""

    kind: str
    value: Any = None
    deep: bool = False


def query(document: str, path: str, spend: Spend) -> Any:
    """The value of a path in a JSON text; FilterError when either is wrong or there is none."""
    try:
        return _apply(_compiled(path), 0, parse(encoded(document)), spend)
    except _Missing as error:
        raise FilterError(f"jsonpath: {path[:80]!r} finds nothing") from error


@lru_cache(maxsize=128)
def _compiled(path: str) -> tuple[_Step, ...]:
    text = path.strip()
    if text[:1] not in ("$", "@"):
        raise FilterError(f"jsonpath: {path[:80]!r} does not start with $")
    steps: list[_Step] = []
    at = 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or len(steps) >= _MAX_TOKENS:
            raise FilterError(f"jsonpath: {path[:80]!r} cannot be read at {text[at : at + 20]!r}")
        inside = found["inside"]
        deep = bool(found["deep"])
        steps.append(_named(found["name"].strip(), deep) if inside is None else _inside(inside.strip(), deep))
        at = found.end()
    return tuple(steps)


def _named(name: str, deep: bool) -> _Step:  # noqa: FBT001
    return _Step("all", None, deep) if name == "*" else _Step("key", name, deep)


def _inside(text: str, deep: bool) -> _Step:  # noqa: FBT001
    if text == "*":
        return _Step("all", None, deep)
    if text.startswith("?(") and text.endswith(")"):
        return _Step("filter", _filter(text[2:-1]), deep)
    if found := _SLICE.fullmatch(text):
        return _Step("slice", tuple(int(part) if part else None for part in found.groups()), deep)
    parts: list[Any] = []
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise FilterError(f"jsonpath: [{text[:40]}] cannot be read")
        single, double, number = part.groups()
        parts.append(int(number) if number else re.sub(r"\\(.)", r"\1", single if single is not None else double))
        at = part.end()
    if not parts:
        raise FilterError("jsonpath: [] is empty")
    if len(parts) > 1:
        return _Step("union", tuple(parts), deep)
    return _Step("index" if isinstance(parts[0], int) else "key", parts[0], deep)


def _apply(steps: tuple[_Step, ...], at: int, value: Any, spend: Spend) -> Any:
    """What the steps from `at` find in a value."""
    while at < len(steps):
        step = steps[at]
        at += 1
        if not step.deep and step.kind in ("key", "index"):
            value = _one(step.value, value)
            continue
        found = _deep(step, value, spend) if step.deep else _many(step, value, spend)
        spend(len(found) >> 2)
        if at == len(steps):
            return found
        results = []
        for item in found:
            try:
                results.append(_apply(steps, at, item, spend))
            except _Missing:
                continue
        return results
    return value


def _one(key: Any, value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(key, str) and key in value:
            return value[key]
        if isinstance(key, int):
            ordered = sorted(value, key=encoded)
            if -len(ordered) <= key < len(ordered):
                return value[ordered[key]]
    elif isinstance(value, list | str) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    if key == "length" and isinstance(value, dict | list | str):
        return len(value)
    raise _Missing


def _many(step: _Step, value: Any, spend: Spend) -> list[Any]:
    if step.kind == "union":
        found = []
        for key in step.value:
            try:
                found.append(_one(key, value))
            except _Missing:
                continue
        return found
    if step.kind == "slice":
        return _sliced(value, *step.value)
    if not isinstance(value, dict | list):
        raise _Missing
    items = [value[key] for key in sorted(value, key=encoded)] if isinstance(value, dict) else value
    spend(len(items) >> 2)
    return [item for item in items if step.value(item, spend)] if step.kind == "filter" else list(items)


def _sliced(value: Any, start: int | None, end: int | None, step: int | None) -> list[Any]:
    """A part of a list; a negative step gives it from its end."""
    if not isinstance(value, list) or step == 0:
        raise _Missing
    part = value[start:end]
    return part[:: step or 1]


def _deep(step: _Step, value: Any, spend: Spend) -> list[Any]:
    """What a step finds in a value and everything below it."""
    found: list[Any] = []
    pending = [value]
    for _ in range(_MAX_FOUND):
        if not pending:
            return found
        current = pending.pop()
        spend(1)
        with contextlib.suppress(_Missing):
            found += [_one(step.value, current)] if step.kind in ("key", "index") else _many(step, current, spend)
        if isinstance(current, dict):
            pending += [current[key] for key in sorted(current, key=encoded, reverse=True)]
        elif isinstance(current, list):
            pending += reversed(current)
    raise FilterError("jsonpath: the document is too large for `..`")


Test = Callable[[Any, Spend], bool]


def _filter(text: str) -> Test:
    """A filter as a function of an element."""
    ways = [[_condition(part) for part in way.split("&&")] for way in text.split("||")]
    return lambda item, spend: any(all(test(item, spend) for test in way) for way in ways)


def _condition(text: str) -> Test:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise FilterError(f"jsonpath: the filter {text[:40]!r} cannot be read")
    negated, left, operator, right = found.groups()
    one, two = _operand(left), _operand(right) if right else None

    def test(item: Any, spend: Spend) -> bool:
        try:
            value = one(item, spend)
            if two is None:
                return (value is not None and value is not False) is not bool(negated)
            return _COMPARE[operator](value, two(item, spend))
        except (_Missing, FilterError):
            return bool(negated) and two is None

    return test


def _operand(text: str) -> Callable[[Any, Spend], Any]:
    if text.startswith("@"):
        steps = _compiled(text)
        return lambda item, spend: _apply(steps, 0, item, spend)
    if text[:1] == "'" and text[-1:] == "'" and len(text) > 1:
        literal: Any = re.sub(r"\\(.)", r"\1", text[1:-1])
    else:
        literal = parse(encoded(text))
    return lambda _item, _spend: literal
