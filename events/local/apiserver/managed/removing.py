"""Taking fields out of an object."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed import elements, fieldsets
from events.local.apiserver.managed.fieldsets import FieldSet, is_member
from events.local.apiserver.managed.types import UNTYPED, ListForm, MapForm, Type


def remove(value: Any, fields: FieldSet, kind: Type) -> Any:
    """The value without these fields. What is emptied by that stays empty, or becomes null where the type says so."""
    if not fields:
        return value
    form = kind.narrowed(value)
    if form.map is not None and isinstance(value, dict) and not form.map.is_atomic:
        left: Any = _remove_from_map(form.map, value, fields)
        return None if value and not left and kind.empties_to_null else left
    if form.list is not None and isinstance(value, list) and not form.list.is_atomic:
        left = _remove_from_list(form.list, value, fields)
        return None if value and not left and kind.empties_to_null else left
    return value


def _remove_from_map(form: MapForm, value: dict[str, Any], fields: FieldSet) -> dict[str, Any]:
    result = {}
    for name, item in value.items():
        node = fields.get(f"f:{name}")
        if node is None:
            result[name] = item
        elif not is_member(node):
            result[name] = remove(item, node, form.field(name) or UNTYPED)
    return result


def _remove_from_list(form: ListForm, value: list[Any], fields: FieldSet) -> list[Any]:
    result = []
    for item in value:
        try:
            node = fields.get(elements.of(form, item))
        except elements.BadElement:
            node = None
        if node is None:
            result.append(item)
        elif not is_member(node):
            result.append(remove(item, node, form.element))
    return result


def with_parents(fields: FieldSet, kind: Type | None) -> FieldSet:
    """The set with the fields of objects on the way as members too: whoever owns `spec.replicas` holds `spec`.

    Keys of free maps are no such fields.
    """
    result: FieldSet = {}
    form = kind.map if kind else None
    for key, node in fields.items():
        if key == fieldsets.SELF or not node:
            result[key] = node
            continue
        below: Type | None = None
        is_field = False
        if key.startswith("f:") and form is not None:
            below, is_field = form.field(key[2:]), form.has_field(key[2:])
        elif key.startswith("k:") and kind is not None and kind.list is not None:
            below = kind.list.element
        node = with_parents(node, below)
        result[key] = fieldsets.with_member(node) if is_field and fieldsets.SELF not in node else node
    return result
