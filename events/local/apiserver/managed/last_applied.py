"""Handing over from client-side apply: the annotation `kubectl apply` leaves, when `kubectl` applies server-side.

Any other manager has opted out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from events.local.apiserver.managed import checking, fieldsets
from events.local.apiserver.managed.comparing import compare
from events.local.apiserver.managed.entries import Manager
from events.local.apiserver.managed.fieldsets import FieldSet
from events.local.apiserver.managed.merging import field_set

if TYPE_CHECKING:
    from events.local.apiserver.managed.tracking import Kind, Writer

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
MOST_BYTES = 256 * 1024
"""All annotations of an object together."""

Object = dict[str, Any]


def foreign(conflicts: dict[Manager, FieldSet], live: Object, kind: Kind, writer: Writer) -> dict[Manager, FieldSet]:
    """The conflicts that client-side apply does not explain: it set these fields, and they are as it set them."""
    if writer.manager != KUBECTL:
        return conflicts
    allowed = _still_as_applied(live, kind, writer)
    left = {manager: fieldsets.difference(fields, allowed) for manager, fields in conflicts.items()}
    return {manager: fields for manager, fields in left.items() if fields}


def _still_as_applied(live: Object, kind: Kind, writer: Writer) -> FieldSet:
    found = kind.type_of(writer.api_version)
    text = _annotations(live).get(ANNOTATION)
    if found is None or not text or not isinstance(text, str):
        return {}
    try:
        applied = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(applied, dict) or applied.get("apiVersion") != writer.api_version:
        return {}
    if checking.problems(applied, found):
        return {}
    fields = field_set(applied, found)
    compared = compare(applied, live, found)
    for part in (compared.modified, compared.added, compared.removed):
        fields = fieldsets.difference(fields, part)
    return fields


def synchronised(new: Object, config: Object, writer: Writer) -> Object:
    """The object with the annotation showing what was applied now, if it has one."""
    annotations = _annotations(new)
    if writer.manager != KUBECTL or not annotations.get(ANNOTATION):
        return new
    annotations = {**annotations, ANNOTATION: _text(config)}
    if sum(len(str(key).encode()) + len(str(value).encode()) for key, value in annotations.items()) > MOST_BYTES:
        del annotations[ANNOTATION]
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}}


def _text(config: Object) -> str:
    metadata = dict(config.get("metadata") or {})
    others = {key: value for key, value in _annotations(config).items() if key != ANNOTATION}
    metadata.pop("annotations", None)
    if others:
        metadata["annotations"] = others
    text = json.dumps({**config, "metadata": metadata}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for sign in "<>&\u2028\u2029":  # as Go encodes JSON
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text + "\n"


def _annotations(value: Object) -> dict[str, Any]:
    metadata = value.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}
