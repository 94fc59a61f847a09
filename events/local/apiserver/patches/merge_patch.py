"""Merge patch (RFC 7396): objects are merged, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.patches import documents

Object = dict[str, Any]


def decode(body: bytes) -> tuple[Object, list[str]]:
    """The patch of a request, and warnings about fields that are there twice. Raises StatusError 400."""
    found, warnings = documents.decode(body)
    if found is None:
        return {}, warnings
    if not isinstance(found, dict):
        kind = documents.name_of(found)
        raise documents.undecodable(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    return found, warnings


def apply(document: Object, patch: Object) -> Object:
    """The patched document; neither argument is changed."""
    result = dict(document)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
            continue
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            result[name] = apply(before, value)
        elif isinstance(before, dict):
            result[name] = value
        else:
            result[name] = without_nulls(value)
    return result


def without_nulls(value: Any) -> Any:
    """A new value: nothing is there to be removed, so its nulls say nothing."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
