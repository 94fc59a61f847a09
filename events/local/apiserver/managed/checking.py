"""Whether an applied configuration fits its schema, in a real server's words."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed import elements, fieldsets
from events.local.apiserver.managed.types import ListForm, MapForm, Type
from events.local.apiserver.managed.values import go_text

MOST_PROBLEMS = 50
"""One answer names no more than these."""


def problems(config: Any, kind: Type) -> list[str]:
    """What does not fit, as `path: reason`; empty when all does."""
    found: list[str] = []
    _check(config, kind, "", found)
    return found


def summary(found: list[str]) -> str:
    """One text of several problems."""
    if len(found) == 1:
        return found[0]
    return "\n".join(["errors:", *(f"  {problem}" for problem in found)])


def _say(found: list[str], path: str, text: str) -> None:
    if len(found) < MOST_PROBLEMS:
        found.append(f"{path}: {text}" if path else text)


def _check(value: Any, kind: Type, path: str, found: list[str]) -> None:
    if value is None or len(found) >= MOST_PROBLEMS:
        return
    form = kind.narrowed(value)
    if form.map is not None:
        if isinstance(value, dict):
            _check_map(value, form.map, path, found)
        else:
            _say(found, path, f"expected map, got &{{{go_text(value, most=20)}}}")
    elif form.scalar is not None:
        if text := _misfit(form.scalar, value):
            _say(found, path, text)
    elif form.list is not None:
        if isinstance(value, list):
            _check_list(value, form.list, path, found)
        else:
            _say(found, path, f"expected list, got &{{{go_text(value, most=20)}}}")


def _check_map(value: dict[str, Any], form: MapForm, path: str, found: list[str]) -> None:
    for name, item in value.items():
        kind = form.field(name)
        if kind is None:
            _say(found, f"{path}.{name}", "field not declared in schema")
        else:
            _check(item, kind, f"{path}.{name}", found)


def _check_list(value: list[Any], form: ListForm, path: str, found: list[str]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        place = f"{path}[{index}]"
        if not form.is_atomic:
            try:
                element = elements.of(form, item)
            except elements.BadElement as error:
                _say(found, path, f"element {index}: {error}")
                return
            shown = fieldsets.shown(element)
            if element in seen:
                _say(found, path, f"duplicate entries for key {shown}")
            seen.add(element)
            place = path + shown
        _check(item, form.element, place, found)


def _misfit(scalar: str, value: Any) -> str:
    """Why a value is not this scalar; empty when it is."""
    if scalar == "numeric" and not _is_number(value):
        return f"expected numeric (int or float), got {_go_type(value)}"
    if scalar == "string" and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{go_text(value, most=20)}}}"
    if scalar == "boolean" and not isinstance(value, bool):
        return f"expected boolean, got &{{{go_text(value, most=20)}}}"
    if scalar == "untyped" and not isinstance(value, str | bool | int | float):
        return f"expected any scalar, got &{{{go_text(value, most=20)}}}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _go_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return "bool" if isinstance(value, bool) else "string"
