"""Who owns which fields after a write: the rules, on managers and objects that are already taken apart.

The object may be owned in several versions of the API at a time; `Versions` shows it in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from events.local.apiserver.managed import fieldsets
from events.local.apiserver.managed.comparing import Comparison, compare
from events.local.apiserver.managed.entries import Manager, Managers, Owned
from events.local.apiserver.managed.fieldsets import SELF, FieldSet
from events.local.apiserver.managed.merging import field_set, merge
from events.local.apiserver.managed.removing import remove, with_parents
from events.local.apiserver.managed.types import MapForm, Type
from events.local.apiserver.managed.values import same

Object = dict[str, Any]


class Versions(Protocol):
    """One kind of object in every version its managers may speak of; `is_custom`: its schema may change."""

    is_custom: bool

    def type_of(self, api_version: str) -> Type | None:
        """What an object of that version looks like; None when there is no such version (any more)."""

    def convert(self, value: Object, api_version: str) -> Object:
        """The object in another version."""


@dataclass(frozen=True)
class Endpoint:
    """Where a write comes in: the version it speaks, and `reset`, what is never stored and so nobody owns."""

    version: str
    versions: Versions
    reset: FieldSet

    @property
    def kind(self) -> Type:
        found = self.versions.type_of(self.version)
        assert found is not None, "an endpoint is of a version that is served"
        return found


class Conflicts(Exception):
    """Fields that an apply would take away from others."""

    def __init__(self, by_manager: dict[Manager, FieldSet]) -> None:
        super().__init__("conflicts")
        self.by_manager = by_manager


def track_update(live: Object, new: Object, managers: Managers, manager: Manager, endpoint: Endpoint) -> FieldSet:
    """Hand over what a plain write changed, and say what that is. The manager keeps what it had; in place."""
    taken = fieldsets.in_order(_hand_over(live, new, managers, None, endpoint, force=True).written)
    if taken:
        before = managers.owned.get(manager)
        fields = fieldsets.union(taken, before.fields) if before else taken
        managers.owned[manager] = Owned(fields, endpoint.version)
    return taken


def apply(
    live: Object, config: Object, managers: Managers, manager: Manager, endpoint: Endpoint, *, force: bool
) -> Object | None:
    """The object after an apply, None when nothing changed. `managers` is changed; raises Conflicts."""
    merged = merge(live, config, endpoint.kind)
    last = managers.owned.get(manager)
    fields = fieldsets.without_subtrees(field_set(config, endpoint.kind), endpoint.reset)
    managers.owned[manager] = Owned(fieldsets.in_order(fields), endpoint.version)
    new = _prune(merged, managers, manager, last, endpoint.versions)
    _hand_over(live, new, managers, manager, endpoint, force=force)
    return None if same(live, new) else new


def _hand_over(
    live: Object, new: Object, managers: Managers, writer: Manager | None, endpoint: Endpoint, *, force: bool
) -> Comparison:
    """Take changed and removed fields from everybody but the writer; raises Conflicts unless forced."""
    versions = endpoint.versions
    compared = {endpoint.version: compare(live, new, endpoint.kind).ignoring(endpoint.reset)}
    conflicts: dict[Manager, FieldSet] = {}
    for manager, owned in list(managers.owned.items()):
        if manager == writer:
            continue
        at = owned.api_version
        if at not in compared:
            kind = versions.type_of(at)
            if kind is None:  # nobody can say any more what these fields are
                del managers.owned[manager]
                continue
            compared[at] = compare(versions.convert(live, at), versions.convert(new, at), kind)
        if lost := fieldsets.intersection(owned.fields, compared[at].written):
            conflicts[manager] = lost
    if conflicts and not force:
        raise Conflicts(conflicts)
    for manager, owned in list(managers.owned.items()):
        left = fieldsets.difference(owned.fields, conflicts.get(manager, {}))
        if manager != writer:
            left = fieldsets.difference(left, compared[owned.api_version].removed)
        managers.hold(manager, owned.holding(left) if left != owned.fields else owned)
    return compared[endpoint.version]


def _prune(merged: Object, managers: Managers, manager: Manager, last: Owned | None, versions: Versions) -> Object:
    """Take out what the applier named last time, does not name now, and nobody else owns."""
    kind = versions.type_of(last.api_version) if last else None
    if last is None or kind is None:
        return merged
    version = managers.owned[manager].api_version
    if last.api_version == version and not fieldsets.difference(last.fields, managers.owned[manager].fields):
        return merged  # nothing was given up
    merged = versions.convert(merged, last.api_version)
    given_up = with_parents(last.fields, kind)
    pruned = remove(merged, given_up, kind)
    by_version: dict[str, FieldSet] = {last.api_version: {}}
    for owned in managers.owned.values():
        by_version[owned.api_version] = fieldsets.union(by_version.get(owned.api_version, {}), owned.fields)
    shown = merged
    for at, fields in by_version.items():  # the last version first: others may need what it holds
        kind_at = versions.type_of(at)
        if kind_at is not None:
            shown, pruned = versions.convert(shown, at), versions.convert(pruned, at)
            pruned = _put_back(shown, pruned, fields, kind_at)
    pruned = versions.convert(pruned, last.api_version)
    lost = fieldsets.difference(
        with_parents(field_set(merged, kind), kind), with_parents(field_set(pruned, kind), kind)
    )
    kept = remove(merged, fieldsets.intersection(lost, given_up), kind)
    return versions.convert(kept, version) if isinstance(kept, dict) else {}


def _put_back(merged: Object, pruned: Any, fields: FieldSet, kind: Type) -> Any:
    """Of what was pruned, only what none of these fields is: everything else comes back."""
    lost = fieldsets.difference(
        with_parents(field_set(merged, kind), kind), with_parents(field_set(pruned, kind), kind)
    )
    return remove(merged, fieldsets.difference(lost, with_parents(fields, kind)), kind)


def reconcile(managers: Managers, versions: Versions) -> None:
    """Bring managers' fields in line with a schema that has changed since: what is one value now is owned as one.

    The other way there is nothing to do: who owned a map as one value owns the map, not what is in it.
    """
    if not versions.is_custom:
        return  # built-in kinds come with one schema
    for manager, owned in list(managers.owned.items()):
        kind = versions.type_of(owned.api_version)
        if kind is None:
            del managers.owned[manager]
            continue
        fields = _reconciled(owned.fields, kind)
        if fields is not owned.fields:
            managers.hold(manager, Owned(fields, owned.api_version))


def _reconciled(fields: FieldSet, kind: Type) -> FieldSet:
    """The set as this type sees it; the very same one when nothing has to change."""
    changed: FieldSet = {}
    for key, node in fields.items():
        below = _type_below(kind, key) if node and key != SELF else None
        form = (below.map or below.list) if below and below.scalar is None else None
        if below is None or form is None:
            continue
        new = fieldsets.LEAF if form.is_atomic else _reconciled(node, below)
        if new is not node:
            changed[key] = new
    return {**fields, **changed} if changed else fields


def _type_below(kind: Type, key: str) -> Type | None:
    if key.startswith("f:"):
        form: MapForm | None = kind.map
        return form.field(key[2:]) if form else None
    return kind.list.element if key.startswith("k:") and kind.list else None
