"""Objects under a structural schema: unknown fields pruned, nulls dropped, defaults filled in, list maps checked.

Schemas are nodes as a CustomResourceDefinition has them. Functions that change their argument say so in their name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Node = Mapping[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
LIST_TYPE, MAP_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
META = frozenset({"apiVersion", "kind", "metadata"})
_NOTHING: Node = {}

MetaReader = Callable[[Any, str], tuple[Any, list[str]]]
"""Reads the metadata of an embedded resource, at a path: what is valid in it, and its unknown fields."""


def item_node(node: Node) -> Node | None:
    """The schema of a list's items."""
    items = node.get("items")
    return items if isinstance(items, dict) else None


def values_node(node: Node) -> Node | None:
    """The schema of the values of a map."""
    extra = node.get("additionalProperties")
    return extra if isinstance(extra, dict) else None


def has_values(node: Node) -> bool:
    """Whether keys that are no properties have a place; `false` counts, as it does for a real server."""
    return node.get("additionalProperties") is not None


def has_inside(node: Node | None) -> bool:
    """Whether a schema says anything about what is inside its values: a free-form one does not."""
    if node is None:
        return False
    return bool(node.get("properties") or node.get("items") or node.get(EMBEDDED)) or has_values(node)


def pruned_in_place(value: Any, node: Node, *, root: bool, meta: MetaReader | None = None) -> list[str]:
    """Take unknown fields out of an object; their paths, sorted. `root` has `apiVersion`, `kind` and `metadata` anyway.

    With `meta`, the metadata of embedded resources is read by it.
    """
    unknown: list[str] = []
    _prune(value, {**node, EMBEDDED: True} if root else node, "", unknown)
    if meta:
        _read_meta(value, node, "", unknown, meta)
    return sorted(unknown)


def _prune(value: Any, node: Node | None, path: str, unknown: list[str]) -> None:
    if isinstance(value, dict):
        if node is None:
            for key in list(value):
                unknown.append(_child(path, key))
                del value[key]
            return
        keeps = node.get(PRESERVE)
        properties, embedded = node.get("properties") or _NOTHING, node.get(EMBEDDED)
        for key in list(value):
            if embedded and key in META:
                continue
            if key in properties:
                if not (properties[key].get(PRESERVE) and not has_inside(properties[key])):
                    _prune(value[key], properties[key], _child(path, key), unknown)
            elif has_values(node):
                _prune(value[key], values_node(node), _child(path, key), unknown)
            elif not keeps:
                if key not in META or path:
                    unknown.append(_child(path, key))
                del value[key]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            child = None if node is None else item_node(node)
            if node is not None and node.get(PRESERVE) and (child is None or not child.get(PRESERVE)):
                if child is not None:
                    _prune(item, {**child, PRESERVE: True}, f"{path}[{index}]", unknown)
                continue
            _prune(item, child, f"{path}[{index}]", unknown)


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _read_meta(value: Any, node: Node | None, path: str, unknown: list[str], meta: MetaReader) -> None:
    if node is None or not has_inside(node):
        return
    if isinstance(value, dict):
        if node.get(EMBEDDED):
            for key in ("apiVersion", "kind"):
                if key in value and not isinstance(value[key], str):
                    del value[key]
            if value.get("metadata") is not None:
                value["metadata"], extra = meta(value["metadata"], _child(path, "metadata"))
                unknown += extra
        properties = node.get("properties") or _NOTHING
        for key, item in value.items():
            if isinstance(item, dict | list):
                _read_meta(item, properties.get(key, values_node(node)), _child(path, key), unknown, meta)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _read_meta(item, item_node(node), f"{path}[{index}]", unknown, meta)


def defaulted_in_place(value: Any, node: Node | None) -> None:
    """Drop nulls that may not be there, then fill in what is missing."""
    _drop_nulls(value, node)
    _default(value, node)


def _null_stays(item: Any, node: Node | None) -> bool:
    return item is not None or node is None or bool(node.get("nullable"))


def _drop_nulls(value: Any, node: Node | None) -> None:
    if isinstance(value, dict):
        properties = (node.get("properties") if node else None) or _NOTHING
        rest = values_node(node) if node else None
        for key in list(value):
            child = properties.get(key, rest)
            if not _null_stays(value[key], child) and (child or _NOTHING).get("default") is None:
                del value[key]
            elif isinstance(value[key], dict | list) and has_inside(child):
                _drop_nulls(value[key], child)
    elif isinstance(value, list):
        child = item_node(node) if node else None
        for item in value:
            if isinstance(item, dict | list) and has_inside(child):
                _drop_nulls(item, child)


def _default(value: Any, node: Node | None) -> None:
    if node is None:
        return
    if isinstance(value, dict):
        properties = node.get("properties") or _NOTHING
        for key, child in properties.items():
            default = child.get("default")
            if default is not None and (key not in value or not _null_stays(value[key], child)):
                value[key] = copy.deepcopy(default)
        rest = values_node(node)
        for key, item in value.items():
            child = properties.get(key, rest)
            if key not in properties and child is not None and not _null_stays(item, child):
                value[key] = item = copy.deepcopy(child.get("default"))
            if isinstance(item, dict | list) and has_inside(child):
                _default(item, child)
    elif isinstance(value, list):
        child = item_node(node)
        for index, item in enumerate(value):
            if not _null_stays(item, child) and (child or _NOTHING).get("default") is not None:
                value[index] = copy.deepcopy((child or _NOTHING)["default"])
            _default(value[index], child)


def duplicates(value: Any, node: Node | None, path: str = "") -> list[Cause]:
    """Items of sets and of list maps that are there twice."""
    found: list[Cause] = []
    if node is None or not has_inside(node):
        return found
    if isinstance(value, dict):
        properties, rest = node.get("properties") or _NOTHING, values_node(node)
        for key, item in value.items():
            if isinstance(item, dict | list):
                if rest is not None:
                    found += duplicates(item, rest, f"{path}[{key}]")
                if key in properties:
                    found += duplicates(item, properties[key], _child(path, key))
    elif isinstance(value, list):
        kind = node.get(LIST_TYPE)
        if kind == "set":
            found += [causes.duplicate(f"{path}[{index}]", value[index]) for index in _twice(value)]
        elif kind == "map":
            found += _duplicate_keys(value, list(node.get(MAP_KEYS) or ()), path)
        child = item_node(node)
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                found += duplicates(item, child, f"{path}[{index}]")
    return found


def _duplicate_keys(items: list[Any], keys: list[str], path: str) -> list[Cause]:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            return [causes.invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")]
    named = [{key: item[key] for key in keys if key in (item or _NOTHING)} for item in items]
    return [causes.duplicate(f"{path}[{index}]", named[index]) for index in _twice(named)]


def _twice(items: Iterable[Any]) -> list[int]:
    """The second place of each item that is there more than once."""
    seen: dict[bytes, int] = {}
    found = []
    for index, item in enumerate(items):
        key = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            found.append(index)
    return found
