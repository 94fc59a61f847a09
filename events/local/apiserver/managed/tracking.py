"""What the server calls around a write: `create`, `update` and `apply`.

Each takes whole objects and gives a whole object with `metadata.managedFields` as it is to be stored. Validation,
defaults and `resourceVersion` are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.local.apiserver.managed import checking, entries, fieldsets, last_applied, ownership
from events.local.apiserver.managed.entries import APPLY, UPDATE, InvalidEntries, Manager, Managers
from events.local.apiserver.managed.fieldsets import FieldSet
from events.local.apiserver.managed.ownership import Conflicts, Endpoint, Object
from events.local.apiserver.managed.types import Compiler, Resolve, Type
from events.local.apiserver.managed.values import same
from events.local.apiserver.status import StatusError

BEFORE_FIRST_APPLY = "before-first-apply"
_NEVER_OWNED = fieldsets.of_paths(
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
)


def _relabelled(value: Object, api_version: str) -> Object:
    return value if value.get("apiVersion") == api_version else {**value, "apiVersion": api_version}


@dataclass
class Kind:
    """What field management knows of one kind: the schema of each version that objects were ever written in.

    `nodes`: OpenAPI v3 nodes by apiVersion (`apps/v1`). `is_custom`: the nodes come from a CustomResourceDefinition.
    `empty`: the object with nothing set, where the API shows fields that nobody set (`spec: {}`): what the kind's
    decoder makes of `{}` without defaults.
    Made once per kind and kept: types are compiled as they are met.
    """

    kind: str
    nodes: Mapping[str, Any]
    resolve: Resolve
    is_custom: bool = False
    empty: Object = field(default_factory=dict)
    converter: Callable[[Object, str], Object] = _relabelled
    _types: dict[str, Type | None] = field(default_factory=dict, init=False, repr=False)

    def type_of(self, api_version: str) -> Type | None:
        if api_version not in self._types:
            node = self.nodes.get(api_version)
            if node is None:
                return None  # not remembered: the names come from clients
            self._types[api_version] = Compiler(self.resolve, is_custom=self.is_custom).root(node)
        return self._types[api_version]

    def convert(self, value: Object, api_version: str) -> Object:
        return self.converter(value, api_version)


@dataclass(frozen=True)
class Writer:
    """Who writes through which endpoint.

    `manager` is the fieldManager asked for, or what stands for it in the User-Agent; `reset` are the fields that this
    endpoint never stores (`reset.py`).
    """

    manager: str
    api_version: str
    now: datetime
    subresource: str = ""
    reset: FieldSet = field(default_factory=dict)

    def as_(self, operation: str) -> Manager:
        return Manager.of(self.manager, operation, self.api_version, self.subresource)

    def endpoint(self, kind: Kind) -> Endpoint:
        return Endpoint(self.api_version, kind, self.reset)


def create(new: Object, kind: Kind, writer: Writer) -> Object:
    """A new object with its first entry."""
    return update(_blank(kind, writer), new, kind, writer)


def update(live: Object, new: Object, kind: Kind, writer: Writer) -> Object:
    """`new` with the entries after a plain write (POST, PUT, any patch but apply) over `live`.

    Both as they were decoded: unknown fields dropped, defaults set.
    Entries that `new` brings along win over those of `live`; `[]` and `[{}]` clear them. An object without entries
    that exists already (it has a uid) is not tracked until it is applied for the first time.
    """
    try:
        managers = _brought_along(live, new, writer)
        bare_live, bare_new = without_entries(live), without_entries(new)
        if managers.owned or not _metadata(live).get("uid"):
            _track(bare_live, bare_new, managers, writer, kind)
        return with_entries(bare_new, entries.encode(managers))
    except RecursionError as error:
        raise _too_deep() from error


def apply(live: Object | None, config: Object, kind: Kind, writer: Writer, *, force: bool = False) -> Object:
    """The object after a server-side apply of `config` (None: it does not exist yet).

    Raises StatusError: 409 with a cause per conflicting field, 400 for a configuration that does not fit.
    """
    _check_config(config, kind, writer)
    try:
        return _apply(live, config, kind, writer, force=force)
    except RecursionError as error:
        raise _too_deep() from error
    except Conflicts as conflicts:
        raise conflict_error(conflicts.by_manager) from None


def settle(old: Object, new: Object) -> Object:
    """`new` with the entries of `old` where only times differ and the rest is the same: then nothing was written."""
    before, after = _metadata(old).get("managedFields"), _metadata(new).get("managedFields")
    if not entries.same_but_times(before, after) or not same(without_entries(old), without_entries(new)):
        return new
    return with_entries(without_entries(new), list(before or []))


def _apply(live: Object | None, config: Object, kind: Kind, writer: Writer, *, force: bool) -> Object:
    live = _blank(kind, writer) if live is None else live
    try:
        managers = entries.decode(_metadata(live).get("managedFields"))
    except InvalidEntries as error:
        raise StatusError(400, "BadRequest", f"failed to decode managed fields: {error}") from error
    bare = without_entries(live)
    config = without_entries(config)
    if not managers.owned:
        first = Writer(BEFORE_FIRST_APPLY, writer.api_version, writer.now, reset=writer.reset)
        _track(_blank(kind, writer), bare, managers, first, kind)
    ownership.reconcile(managers, kind)
    before, manager = managers, writer.as_(APPLY)

    def once(*, force: bool) -> tuple[Object | None, Managers]:
        trial = managers.copy()
        return ownership.apply(bare, config, trial, manager, writer.endpoint(kind), force=force), trial

    try:
        new, managers = once(force=force)
    except Conflicts as conflicts:
        left = last_applied.foreign(conflicts.by_manager, bare, kind, writer)
        if left:
            raise Conflicts(left) from None
        new, managers = once(force=True)
    _strip(managers, manager)
    if manager in managers.owned and (new is not None or _is_news(before, managers, manager)):
        managers.times[manager] = entries.timestamp(writer.now)
    result = last_applied.synchronised(bare if new is None else new, config, writer)
    return with_entries(result, entries.encode(managers))


def _is_news(before: Managers, after: Managers, manager: Manager) -> bool:
    """Whether an apply that changed nothing in the object gets a time.

    A real server gives one to a new entry beside entries of plain writes, and none beside those of other appliers.
    """
    last = before.owned.get(manager)
    is_alone = all(one.operation == APPLY for one in before.owned)
    return not is_alone and (last is None or last.fields != after.owned[manager].fields)


def _track(live: Object, new: Object, managers: Managers, writer: Writer, kind: Kind) -> None:
    ownership.reconcile(managers, kind)
    manager = writer.as_(UPDATE)
    written = ownership.track_update(live, new, managers, manager, writer.endpoint(kind))
    if fieldsets.difference(written, _NEVER_OWNED):
        managers.times[manager] = entries.timestamp(writer.now)
    _strip(managers, manager)
    entries.cap(managers)


def _strip(managers: Managers, manager: Manager) -> None:
    """Identity and bookkeeping belong to nobody."""
    owned = managers.owned.get(manager)
    if owned is not None:
        managers.hold(manager, owned.holding(fieldsets.difference(owned.fields, _NEVER_OWNED)))


def _brought_along(live: Object, new: Object, writer: Writer) -> Managers:
    """The entries to start from: those of the new object if it has usable ones, else those of the live one."""
    if not writer.subresource:
        brought = _metadata(new).get("managedFields")
        if brought in ([], [{}]):
            return Managers()
        try:
            managers = entries.decode(brought)
        except InvalidEntries:
            managers = Managers()
        if managers.owned:
            return managers
    try:
        return entries.decode(_metadata(live).get("managedFields"))
    except InvalidEntries:
        return Managers()


def _check_config(config: Object, kind: Kind, writer: Writer) -> None:
    group, _, version = writer.api_version.rpartition("/")
    asked, name = config.get("apiVersion"), config.get("kind")
    asked = asked if isinstance(asked, str) else ""
    name = name if isinstance(name, str) else ""
    if (asked, name) != (writer.api_version, kind.kind):
        group, _, version = asked.rpartition("/") if name and asked else ("", "", asked if name or asked else "")
        raise StatusError(400, "BadRequest", f"invalid object type: {group}/{version}, Kind={name}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise StatusError(400, "BadRequest", "metadata.managedFields must be nil")
    found = kind.type_of(writer.api_version)
    assert found is not None
    try:
        if problems := checking.problems(config, found):
            raise _unfit(config, group, version, checking.summary(problems))
    except RecursionError as error:
        raise _too_deep() from error


def _unfit(config: Object, group: str, version: str, text: str) -> StatusError:
    # The real server answers 500 here; it is the client's mistake, so we say 400 with its words.
    metadata = _metadata(config)
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    place = f"{name}; {group}/{version}, Kind={config['kind']}"
    return StatusError(400, "BadRequest", f"failed to create typed patch object ({place}): {text}")


def conflict_error(by_manager: Mapping[Manager, FieldSet]) -> StatusError:
    """409 with one cause per field, managers in order."""
    found = [
        (str(manager), path)
        for manager in sorted(by_manager, key=lambda one: one.order)
        for path in fieldsets.paths(by_manager[manager])
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    if len(found) == 1:
        text = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines: list[str] = []
        for manager in dict.fromkeys(manager for manager, _ in found):
            lines += [f"conflicts with {manager}:", *(f"- {path}" for owner, path in found if owner == manager)]
        text = f"{len(found)} conflicts: " + "\n".join(lines)
    return StatusError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _too_deep() -> StatusError:
    return StatusError(400, "BadRequest", "the object is nested too deeply; flatten it")


def _blank(kind: Kind, writer: Writer) -> Object:
    return {**kind.empty, "apiVersion": writer.api_version, "kind": kind.kind}


def _metadata(value: Object) -> dict[str, Any]:
    found = value.get("metadata")
    return found if isinstance(found, dict) else {}


def without_entries(value: Object) -> Object:
    """The object without `metadata.managedFields`."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return value
    return {**value, "metadata": {key: item for key, item in metadata.items() if key != "managedFields"}}


def with_entries(value: Object, found: list[dict[str, Any]]) -> Object:
    """The object with these entries; without the field when there are none."""
    if not found:
        return without_entries(value)
    return {**value, "metadata": {**_metadata(value), "managedFields": found}}
