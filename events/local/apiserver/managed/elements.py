"""How an element of a list is named in a path: by its keys, or by its value in a set."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed import fieldsets
from events.local.apiserver.managed.types import ListForm


class BadElement(ValueError):
    """An element that cannot be named."""


def of(form: ListForm, item: Any) -> str:
    """The path element of an item of a set or list map; raises BadElement."""
    if not form.keys:
        return _in_set(item)
    if item is None:
        raise BadElement("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise BadElement("associative list with keys may not have non-map elements")
    keys = {}
    for name in form.keys:
        if name in item:
            keys[name] = item[name]
        elif name in form.defaults:
            keys[name] = form.defaults[name]
    if not keys:
        names = " ".join(f'"{name}"' for name in form.keys)
        raise BadElement(
            f"associative list with keys has an element that omits all key fields [{names}]"
            " (and doesn't have default values for any key fields)"
        )
    return fieldsets.key_element(keys)


def _in_set(item: Any) -> str:
    if isinstance(item, dict):
        raise BadElement("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise BadElement("not supported: associative list with lists as elements")
    if item is None:
        raise BadElement("associative list without keys has an element that's an explicit null")
    return "v:" + fieldsets.text_of(item)


def named(form: ListForm, items: list[Any]) -> dict[str, list[Any]]:
    """Items by path element, in order of first appearance; what cannot be named is left out."""
    found: dict[str, list[Any]] = {}
    for item in items:
        try:
            element = of(form, item)
        except BadElement:
            continue
        found.setdefault(element, []).append(item)
    return found
