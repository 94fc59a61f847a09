"""Tables: what `kubectl get` shows. Columns by kind, cells by object; a client that asks for `as=Table` gets these.

The columns of built-in kinds and the words in their cells are upstream's; those of custom kinds are their definitions'.
Every kind that is not in `_LOOKS` is shown with its name and the time it was created at, as upstream does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from events.local.apiserver.resources import Column, Object, Resource
from events.local.apiserver.schemas import builtin
from events.local.apiserver.status import StatusError
from events.local.apiserver.tables import core, network, pods, storage, workloads
from events.local.apiserver.tables.ages import INVALID, UNKNOWN, Clock
from events.local.apiserver.tables.looks import AGE, CREATED, NAME, Key, Look
from events.local.apiserver.tables.texts import name_of
from events.local.apiserver.validation import causes, times
from events.local.apiserver.validation.custom.columns import cell

METADATA, OBJECT, NONE = "Metadata", "Object", "None"
"""What a row carries beside its cells: the object's metadata, the object, nothing."""
API_VERSION = "meta.k8s.io/v1"

_LOOKS: dict[Key, Look] = {**core.LOOKS, **pods.LOOKS, **workloads.LOOKS, **network.LOOKS, **storage.LOOKS}
_PARAGRAPH = re.compile(r"(?<! )  (?! )")
"""What the published data has where a text had an empty line."""
_NEVER = "0001-01-01T00:00:00Z"
_CREATED_PATH = ".metadata.creationTimestamp"
_DEFINITIONS = {"@ObjectMeta": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_MADE: WeakKeyDictionary[Resource, tuple[Look, list[Object]]] = WeakKeyDictionary()


def include(text: str) -> str:
    """The value of `includeObject`, `Metadata` when it is empty. Raises `StatusError` 400."""
    if text in ("", METADATA, OBJECT, NONE):
        return text or METADATA
    wrong = causes.invalid("includeObject", text, "must be 'Metadata', 'Object', 'None', or empty")
    says = f"Unable to convert to Table as requested: includeObject: {wrong['message']}"
    raise StatusError(400, "BadRequest", says)


def columns(resource: Resource) -> tuple[Column, ...]:
    """The columns of a kind, in their order; those of a priority above 0 are shown with `-o wide` only."""
    return _made(resource)[0].columns


def table(
    resource: Resource,
    items: Iterable[Object],
    *,
    metadata: Object,
    include: str = METADATA,
    now: float,
    api_version: str = API_VERSION,
    with_columns: bool = True,
) -> Object:
    """A Table of objects. `metadata` is that of the list; `now` is in seconds since the epoch.

    A watch gives the columns with its first table only.
    """
    look, definitions = _made(resource)
    clock = Clock(now)
    is_pod = (resource.group, resource.kind) == ("", "Pod")
    rows: list[Object] = []
    for it in items:
        row: Object = {"cells": look.cells(it, clock)}
        if is_pod and (said := pods.conditions(it)):
            row["conditions"] = said
        rows.append({**row, "object": _carried(it, include, api_version)})
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": metadata,
        "columnDefinitions": definitions if with_columns else None,
        "rows": rows,
    }


def _carried(it: Object, include: str, api_version: str) -> Object | None:
    if include == METADATA:
        return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": it["metadata"]}
    return it if include == OBJECT else None


def _made(resource: Resource) -> tuple[Look, list[Object]]:
    """How a kind looks, its texts looked up, and its columns as a table has them; made once."""
    found = _MADE.get(resource)
    if found is None:
        look = _custom(resource) if resource.is_custom else _LOOKS.get((resource.group, resource.kind), _PLAIN)
        look = replace(look, columns=tuple(replace(one, description=_described(one)) for one in look.columns))
        found = _MADE[resource] = look, [_definition(one) for one in look.columns]
    return found


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _described(column: Column) -> str:
    """The text of a column; that of a published field where it refers to one."""
    if not column.description.startswith("@") or column.path:
        return column.description
    name, _, field = column.description.rpartition(".")
    node = builtin().full(_DEFINITIONS.get(name) or f"io.k8s.api.{name[1:]}")
    found: str = node["properties"][field]["description"]
    return _PARAGRAPH.sub("\n\n", found)


def _plain(it: Object, _: Clock) -> list[Any]:
    return [name_of(it), it["metadata"].get("creationTimestamp", _NEVER)]


_PLAIN = Look((NAME, CREATED), _plain)


# Custom kinds


def _custom(resource: Resource) -> Look:
    given = resource.columns or (replace(AGE, type="date"),)
    shown = [_custom_column(one) for one in given]
    read = [{"type": one.type, "jsonPath": one.path or _CREATED_PATH} for one in given]

    def cells(it: Object, clock: Clock) -> list[Any]:
        return [name_of(it), *(_cell(it, one, clock) for one in read)]

    return Look((NAME, *shown), cells)


def _custom_column(column: Column) -> Column:
    if column.description or not column.path:
        return column
    return replace(column, description=f"Custom resource definition column (in JSONPath format): {column.path}")


def _cell(it: Object, column: Object, clock: Clock) -> Any:
    found = cell(it, column)
    if column["type"] != "date" or found is None:
        return found
    if found in ("", "null"):
        return UNKNOWN
    try:
        return clock.since(times.normal(found))
    except times.TimeError:
        return INVALID
