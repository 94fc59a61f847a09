"""Owners of `replicas`, shown on the scale subresource and brought back to the object it scales."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed import entries, fieldsets
from events.local.apiserver.managed.entries import InvalidEntries, Manager, Managers, Owned

SCALE_VERSION = "autoscaling/v1"
_REPLICAS = fieldsets.of_paths("spec.replicas")


def to_scale(parent: Any, path: str) -> list[dict[str, Any]]:
    """The entries a Scale shows: everybody who owns the object's field `path` (`spec.replicas`)."""
    found, shown = _decoded(parent), Managers()
    for manager, owned in found.owned.items():
        if fieldsets.has(owned.fields, *_names(path)):
            same = _in_version(manager, SCALE_VERSION)
            shown.owned[same] = Owned(_REPLICAS, SCALE_VERSION)
            shown.times[same] = found.times.get(manager)
    return entries.encode(shown)


def to_parent(parent: Any, scale: Any, path: str, api_version: str) -> list[dict[str, Any]]:
    """The object's entries after its Scale was written: who lost `replicas` there loses `path` here."""
    found, written = _decoded(parent), _decoded(scale)
    replicas = fieldsets.of_paths(path.lstrip("."))
    holders = {
        _in_version(manager, ""): manager
        for manager, owned in written.owned.items()
        if fieldsets.has(owned.fields, "spec", "replicas")
    }
    result = Managers(times=dict(found.times))
    for manager, owned in found.owned.items():
        if not fieldsets.has(owned.fields, *_names(path)) or holders.pop(_in_version(manager, ""), None) is not None:
            result.owned[manager] = owned
        else:
            result.hold(manager, owned.holding(fieldsets.difference(owned.fields, replicas)))
    for manager in holders.values():
        own = _in_version(manager, api_version)
        before = result.owned.get(own)
        result.owned[own] = Owned(fieldsets.union(before.fields, replicas) if before else replicas, api_version)
        result.times[own] = written.times.get(manager)
    return entries.encode(result)


def _in_version(manager: Manager, api_version: str) -> Manager:
    return Manager.of(manager.name, manager.operation, api_version, manager.subresource)


def _names(path: str) -> list[str]:
    return path.lstrip(".").split(".")


def _decoded(found: Any) -> Managers:
    try:
        return entries.decode(found)
    except InvalidEntries:
        return Managers()
