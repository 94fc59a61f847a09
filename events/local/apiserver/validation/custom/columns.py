"""Printer columns of a custom resource: what stands in a cell, by the simple JSONPath that a definition gives.

Understood: `.a.b`, `['a.b']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `.*`, `..a`, and filters such as `[?(@.a=="x")]` with
`== != < <= > >=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from events.local.apiserver.validation import causes

Step = Callable[[Any], Iterable[Any]]

_STEP = re.compile(
    r"""\.\.(?P<deep>[^.\[\]]+)
  | \.(?P<name>(?:\\.|[^.\[\]\\])+)
  | \[(?:'(?P<quoted>(?:\\.|[^'])*)'|"(?P<double>(?:\\.|[^"])*)")\]
  | \[(?P<slice>-?\d*:-?\d*)\]
  | \[(?P<index>-?\d+)\]
  | \[(?P<every>\*)\]
  | \[\?\(\s*(?P<filter>.+?)\s*\)\]
  | (?P<root>[$@])""",
    re.VERBOSE,
)
_TEST = re.compile(r"@(?P<path>[^=!<>]*?)\s*(?:(?P<sign>==|!=|<=|>=|<|>)\s*(?P<value>.+))?\Z")
_CUT = {
    "==": lambda one, two: one == two,
    "!=": lambda one, two: one != two,
    "<": lambda one, two: one < two,
    "<=": lambda one, two: one <= two,
    ">": lambda one, two: one > two,
    ">=": lambda one, two: one >= two,
}


class PathError(ValueError):
    """Not a path that is understood."""


@lru_cache(maxsize=512)
def path(text: str) -> tuple[Step, ...]:
    """The steps of a path, with or without braces. Raises `PathError`."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    steps: list[Step] = []
    place = 0
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            raise PathError(f"unrecognized column definition {text!r}")
        steps.append(_step(found))
        place = found.end()
    return tuple(steps)


def find(value: Any, text: str) -> list[Any]:
    """Everything at a path; nothing where it is missing."""
    found: list[Any] = [value]
    for step in path(text):
        found = [item for one in found for item in step(one)]
    return found


def cell(it: Mapping[str, Any], column: Mapping[str, Any]) -> Any:
    """The raw value of a column, by its type; a date is its text (the caller says how long ago), None shows nothing."""
    try:
        found = find(it, column["jsonPath"])
    except (PathError, TypeError):
        return None
    if not found:
        return None
    value, kind = found[0], column.get("type")
    if kind == "string":
        return shown(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return int(value) if is_number else None
    if kind == "number":
        return float(value) if is_number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    return value if kind == "date" and isinstance(value, str) else None


def shown(value: Any) -> str:
    """A value as a text, as JSONPath prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return causes.as_json(value)
    return causes.shown(value)


def _step(found: re.Match[str]) -> Step:
    if found["root"]:
        return lambda value: (value,)
    if found["deep"]:
        return lambda value: _deep(value, found["deep"])
    if found["name"]:
        name = re.sub(r"\\(.)", r"\1", found["name"])
        return _every if name == "*" else _member(name)
    if found["quoted"] is not None or found["double"] is not None:
        return _member(re.sub(r"\\(.)", r"\1", found["quoted"] if found["quoted"] is not None else found["double"]))
    if found["index"]:
        return _place(int(found["index"]))
    if found["slice"]:
        start, _, end = found["slice"].partition(":")
        return _slice(int(start) if start else None, int(end) if end else None)
    return _every if found["every"] else _filter(found["filter"])


def _member(name: str) -> Step:
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _place(index: int) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if not isinstance(value, list) or not -len(value) <= index < len(value):
            return ()
        return (value[index],)

    return step


def _slice(start: int | None, end: int | None) -> Step:
    return lambda value: value[start:end] if isinstance(value, list) else ()


def _every(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _deep(value: Any, name: str) -> Iterable[Any]:
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for one in value.values():
            yield from _deep(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _deep(one, name)


def _filter(text: str) -> Step:
    test = _TEST.match(text)
    if test is None:
        raise PathError(f"unrecognized filter {text!r}")
    where, sign, wanted = test["path"].strip(), test["sign"], _literal(test["value"] or "")

    def passes(item: Any) -> bool:
        found = find(item, where) if where else [item]
        if not found or sign is None:
            return bool(found)
        try:
            return bool(_CUT[sign](found[0], wanted))
        except TypeError:
            return False

    return lambda value: [one for one in value if passes(one)] if isinstance(value, list) else ()


def _literal(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
