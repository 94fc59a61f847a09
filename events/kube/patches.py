"""Merge patch (RFC 7386) and JSON patch (RFC 6902) on raw objects."""

from __future__ import annotations

import copy
from typing import Any

from events.kube.api import KubeError

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def merge(target: Any, patch: Any) -> Any:
    """`target` with `patch` merged in; neither is changed. null removes a key."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """`target`, which is changed, after the operations; KubeError 400 or 422 when one does not apply."""
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise KubeError(400, "BadRequest", "a JSON patch is a list of operations")
    for operation in operations:
        try:
            target = _step(target, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            text = f"{operation.get('op')} {operation.get('path')}"
            raise KubeError(422, "Invalid", f"the server rejected our request: {text} does not apply") from error
    return target


def _step(target: Any, operation: dict[str, Any]) -> Any:
    op, path = operation["op"], _pointer(operation["path"])
    if op == "test":
        if _read(target, path) != operation["value"]:
            raise ValueError("test failed")
        return target
    if op in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_read(target, source))
        target = _remove(target, source) if op == "move" else target
        return _add(target, path, value)
    if op == "remove":
        return _remove(target, path)
    if op == "replace":
        _read(target, path)
        return _add(_remove(target, path), path, operation["value"]) if path else operation["value"]
    if op == "add":
        return _add(target, path, operation["value"])
    raise ValueError(op)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read(target: Any, path: list[str]) -> Any:
    for step in path:
        target = target[_index(target, step)]
    return target


def _add(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _read(target, path[:-1])
    if isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else int(path[-1])
        if not 0 <= at <= len(parent):
            raise IndexError(at)
        parent.insert(at, value)
    else:
        parent[path[-1]] = value
    return target


def _remove(target: Any, path: list[str]) -> Any:
    parent = _read(target, path[:-1])
    del parent[_index(parent, path[-1])]
    return target


def _index(target: Any, step: str) -> Any:
    if not isinstance(target, list):
        return step
    if not step.isdigit():
        raise ValueError(step)
    return int(step)
