"""Between an object as it lies in the store and as a resource shows it: its version, its words, its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson

from events.local.apiserver.entries import Entry
from events.local.apiserver.resources import Resource

if TYPE_CHECKING:
    from events.local.apiserver.validation.custom.kind import CustomKind

Object = dict[str, Any]

_EVENTS = "events"


def shown(resource: Resource, entry: Entry) -> Object:
    """The object of an entry, as the resource shows it; the caller's own."""
    found = entry.parsed()
    if resource.storage == _EVENTS and resource.group:
        return _as_event(resource, found)
    head: Object = {"kind": resource.kind, "apiVersion": resource.api_version}
    it = {**head, **found}
    return _completed(resource, it) if resource.is_custom else it


def text(resource: Resource, entry: Entry) -> bytes:
    """The JSON of `shown`, made without parsing where nothing has to be changed."""
    if not _must_change(resource):
        return b'{"kind":"%b","apiVersion":"%b",%b' % (
            resource.kind.encode(),
            resource.api_version.encode(),
            entry.body[1:],
        )
    if entry.rendered is None or entry.rendered[0] is not resource:
        entry.rendered = (resource, orjson.dumps(shown(resource, entry)))
    return entry.rendered[1]


def item_text(resource: Resource, entry: Entry) -> bytes:
    """The JSON of an item of a list: items of built-in kinds do not say what they are."""
    if resource.is_custom:
        return text(resource, entry)
    if resource.storage == _EVENTS and resource.group:
        it = shown(resource, entry)
        return orjson.dumps({key: value for key, value in it.items() if key not in ("kind", "apiVersion")})
    return entry.body


def lies_otherwise(resource: Resource) -> bool:
    """Whether objects are stored in other words, or in another version, than they are shown in."""
    return resource.version != resource.stored_version or (resource.storage == _EVENTS and bool(resource.group))


def stored(resource: Resource, it: Mapping[str, Any]) -> Object:
    """An object of the resource as it is to be stored."""
    if resource.storage == _EVENTS and resource.group:
        from events.local.apiserver.validation.builtin import events

        return events.converted(it, "v1")
    if resource.is_custom and resource.version != resource.stored_version:
        return cast("CustomKind", resource.stored_rules).converted(dict(it))
    return dict(it)


def _must_change(resource: Resource) -> bool:
    if resource.is_custom:
        return resource.has_defaults or resource.version != resource.stored_version
    return resource.storage == _EVENTS and bool(resource.group)


def _completed(resource: Resource, it: Object) -> Object:
    """With the defaults of the version in which it lies, and without what the shown version does not have."""
    if resource.has_defaults:
        cast("CustomKind", resource.stored_rules).default_in_place(it)
    if resource.version != resource.stored_version:
        stored_as = f"{resource.group}/{resource.stored_version}"
        return cast("CustomKind", resource.rules).converted({**it, "apiVersion": stored_as})
    return it


def _as_event(resource: Resource, found: Object) -> Object:
    from events.local.apiserver.validation.builtin import events

    words = events.converted({"kind": resource.kind, **found}, resource.api_version)
    return resource.rules.decode(words, defaulting=False).object
