"""`metadata.managedFields`: the entries of an object, and who stands behind each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from events.local.apiserver.managed import fieldsets
from events.local.apiserver.managed.fieldsets import FieldSet

APPLY, UPDATE = "Apply", "Update"
MOST_UPDATERS = 10
"""Entries of updates an object keeps; older ones are put together."""
OLD_UPDATES = "ancient-changes"
MOST_ENTRIES = 5_000
"""Entries one object of a client may bring along."""
_KEYS = frozenset({"manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"})


class InvalidEntries(ValueError):
    """Not entries of managedFields."""


@dataclass(frozen=True)
class Manager:
    """Who changed fields, and how. An applier is the same one in every version of the API."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, name: str, operation: str, api_version: str, subresource: str = "") -> Manager:
        return cls(name or "unknown", operation, "" if operation == APPLY else api_version, subresource)

    @cached_property
    def order(self) -> str:
        """By this text managers are sorted in messages and among entries of the same age."""
        parts = {"manager": self.name, "operation": self.operation}
        if self.api_version:
            parts["apiVersion"] = self.api_version
        if self.subresource:
            parts["subresource"] = self.subresource
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))

    def __str__(self) -> str:
        """As messages about conflicts name it."""
        text = json.dumps(self.name, ensure_ascii=False)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource, ensure_ascii=False)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True)
class Owned:
    """The fields of one manager, as of one version of the API."""

    fields: FieldSet
    api_version: str
    raw: Mapping[str, Any] | None = field(default=None, compare=False)
    """The entry it came from, while nothing has changed in it."""

    def holding(self, fields: FieldSet) -> Owned:
        return self if fields is self.fields else Owned(fields, self.api_version)


@dataclass
class Managers:
    """All managers of an object, with the time of their last change (None: they never changed anything)."""

    owned: dict[Manager, Owned] = field(default_factory=dict)
    times: dict[Manager, str | None] = field(default_factory=dict)

    def copy(self) -> Managers:
        return Managers(dict(self.owned), dict(self.times))

    def hold(self, manager: Manager, owned: Owned) -> None:
        """Let a manager hold exactly this; one that holds nothing is none."""
        if owned.fields:
            self.owned[manager] = owned
        else:
            self.owned.pop(manager, None)


def decode(entries: Any) -> Managers:
    """The managers of an object's entries; raises InvalidEntries."""
    managers = Managers()
    if entries is None:
        return managers
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise InvalidEntries("managedFields must be a list of entries")
    for index, entry in enumerate(entries):
        manager, owned = _decode_entry(index, entry)
        if manager in managers.owned:
            owned = Owned(fieldsets.union(managers.owned[manager].fields, owned.fields), owned.api_version)
        managers.owned[manager] = owned
        managers.times[manager] = entry.get("time")
    return managers


def _decode_entry(index: int, entry: Any) -> tuple[Manager, Owned]:
    if not isinstance(entry, Mapping):
        raise InvalidEntries(f"entry {index} is no map")
    operation, api_version = entry.get("operation"), entry.get("apiVersion")
    if operation not in (APPLY, UPDATE):
        raise InvalidEntries("operation must be `Apply` or `Update`")
    texts = (api_version, entry.get("manager", ""), entry.get("subresource", ""), entry.get("time") or "")
    if not api_version or not all(isinstance(text, str) for text in texts):
        raise InvalidEntries(f"entry {index} lacks an apiVersion, or has a field that is no text")
    if entry.get("fieldsType") != "FieldsV1":
        raise InvalidEntries(f"invalid fieldsType in managed fields entry {index}")
    try:
        fields = fieldsets.canonical(entry.get("fieldsV1") or {})
    except fieldsets.InvalidFieldSet as error:
        raise InvalidEntries(f"entry {index}: {error}") from error
    manager = Manager.of(entry.get("manager", ""), str(operation), str(api_version), entry.get("subresource", ""))
    is_plain = entry.keys() <= _KEYS and fields is entry.get("fieldsV1")
    return manager, Owned(fields, str(api_version), raw=entry if is_plain else None)


def encode(managers: Managers) -> list[dict[str, Any]]:
    """The entries: appliers before updaters, then by age, then by name."""
    return [
        _encode_entry(manager, managers.owned[manager], managers.times.get(manager))
        for manager in sorted(managers.owned, key=lambda one: _place(one, managers))
    ]


def _place(manager: Manager, managers: Managers) -> tuple[Any, ...]:
    version = managers.owned[manager].api_version
    return (manager.operation, _seconds(managers.times.get(manager)), manager.name, version, manager.subresource)


def _encode_entry(manager: Manager, owned: Owned, time: str | None) -> dict[str, Any]:
    raw = owned.raw
    if raw is not None and raw.get("time") == time:
        return dict(raw)
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": owned.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.fields,
        "subresource": manager.subresource,
    }
    return {key: value for key, value in entry.items() if value not in ("", None)}


def _seconds(time: str | None) -> int:
    if not time:
        return 0
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except (ValueError, OverflowError):
        return 0


def timestamp(now: datetime) -> str:
    """A time as entries carry it: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cap(managers: Managers) -> None:
    """Put the oldest updates of each version together until at most `MOST_UPDATERS` are left. In place."""
    updaters = [manager for manager in managers.owned if manager.operation == UPDATE]
    left = len(updaters)
    if left <= MOST_UPDATERS:
        return
    updaters.sort(key=lambda one: (_seconds(managers.times.get(one)), one.order))
    firsts: dict[str, Manager] = {}
    for manager in updaters:
        if left <= MOST_UPDATERS:
            return
        version = managers.owned[manager].api_version
        if version not in firsts:
            firsts[version] = manager
            continue
        bucket = Manager(OLD_UPDATES, UPDATE, version)
        if bucket not in managers.owned:
            managers.owned[bucket] = managers.owned.pop(firsts[version])
        merged = firsts[version] if manager == bucket else manager
        fields = fieldsets.union(managers.owned.pop(merged).fields, managers.owned[bucket].fields)
        managers.owned[bucket] = Owned(fields, version)
        managers.times[bucket] = managers.times.get(manager)
        left -= 1


def same_but_times(one: Any, other: Any) -> bool:
    """Whether two lists of entries say the same but for the times."""
    if one is other:
        return True
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return not one and not other
    return list(_timeless(one)) == list(_timeless(other))


def _timeless(entries: Iterable[Any]) -> Iterable[Any]:
    return ({key: value for key, value in entry.items() if key != "time"} for entry in entries)
