"""Other shapes of an answer: a table, or metadata alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from events.local.apiserver import tables
from events.local.apiserver.entries import Entry
from events.local.apiserver.http.negotiation import PARTIAL, PARTIAL_LIST, TABLE, Form
from events.local.apiserver.objects import versions
from events.local.apiserver.objects.listing import Listed
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError

Object = dict[str, Any]


def partial(it: Object, api_version: str) -> Object:
    """Metadata alone."""
    return {"kind": PARTIAL, "apiVersion": api_version, "metadata": it.get("metadata") or {}}


def of_one(resource: Resource, it: Object, form: Form, include: str, now: float) -> Object:
    """Raises StatusError 400 and 406."""
    if not form.shape or it.get("kind") == "Status":
        return it
    if form.shape == PARTIAL:
        return partial(it, form.api_version)
    if form.shape == PARTIAL_LIST:
        raise _unfit(form, f"is not a list (*{_go_name(resource)})")
    metadata = {"resourceVersion": (it.get("metadata") or {}).get("resourceVersion", "")}
    return tables.table(
        resource, [it], metadata=metadata, include=tables.include(include), now=now, api_version=form.api_version
    )


def of_list(resource: Resource, found: Listed, form: Form, include: str, now: float) -> bytes:
    """The JSON of a list. Raises StatusError 400 and 406."""
    metadata = found.metadata()
    if form.shape == TABLE:
        items = (versions.shown(resource, entry) for entry in found.entries)
        shown = tables.include(include)
        it = tables.table(resource, items, metadata=metadata, include=shown, now=now, api_version=form.api_version)
        return orjson.dumps(it)
    if form.shape == PARTIAL:
        raise _unfit(form, f"is a list (*{_go_name(resource)}List)")
    if form.shape == PARTIAL_LIST:
        items = (partial(versions.shown(resource, entry), form.api_version) for entry in found.entries)
        return orjson.dumps(
            {"kind": PARTIAL_LIST, "apiVersion": form.api_version, "metadata": metadata, "items": list(items)}
        )
    if resource.is_custom:
        metadata.setdefault("continue", "")
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
    texts = b",".join(versions.item_text(resource, entry) for entry in found.entries)
    return b'%b,"items":[%b]}' % (orjson.dumps(head)[:-1], texts)


def of_events(resource: Resource, form: Form, include: str, clock: Callable[[], float]) -> Callable[[Entry], bytes]:
    """How a watch shows objects. A table says its columns once. Raises StatusError 400 and 406."""
    if not form.shape:
        return lambda entry: versions.text(resource, entry)
    if form.shape != TABLE:
        if form.shape == PARTIAL_LIST:
            raise _unfit(form, f"is not a list (*{_go_name(resource)})")
        return lambda entry: orjson.dumps(partial(versions.shown(resource, entry), form.api_version))
    shown = tables.include(include)
    is_first = True

    def line(entry: Entry) -> bytes:
        nonlocal is_first
        it = versions.shown(resource, entry)
        metadata = {"resourceVersion": str(entry.version)}
        made = tables.table(
            resource,
            [it],
            metadata=metadata,
            include=shown,
            now=clock(),
            api_version=form.api_version,
            with_columns=is_first,
        )
        is_first = False
        return orjson.dumps(made)

    return line


def _go_name(resource: Resource) -> str:
    if resource.is_custom:
        return "unstructured.Unstructured"
    group = resource.group.partition(".")[0] or "core"
    return f"{group}.{resource.kind}"


def _unfit(form: Form, why: str) -> StatusError:
    return StatusError(406, "NotAcceptable", f"you requested {form.shape}, but the requested object {why}")
