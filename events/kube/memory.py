"""A Kubernetes API in this process that keeps the contract of `api`: for tests, and wherever a cluster is too much.

Kept: optimistic concurrency, generation, status subresources, finalizers, generated names, selectors, watches from
a version, 410 for one that is forgotten. Not kept: schemas and defaults, namespaces need not exist, owners are not
collected, a strategic merge patch is a merge patch, and server-side apply merges without owning fields.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from events.kube import kinds, objects, patches
from events.kube.api import KubeApi, KubeError, Object, Resource, WatchEvent
from events.kube.objects import Match, copied

_KEPT = 1000
"""Changes that a watch can start from."""
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_RBAC_NAME = re.compile(r"[^/%]{1,253}")
_MAX_NAME = 253

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Change:
    """One entry of the log that watches read; `before` is the object as it was, if there was one."""

    version: int
    resource: Resource
    type: str
    object: Object
    before: Object | None


class MemoryKube(KubeApi):
    """Objects by resource, in memory. Everything handed in or out is a copy."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._with_status: set[Resource] = set()
        self._objects: dict[Resource, dict[Key, Object]] = {}
        self._version = 0
        self._log: deque[_Change] = deque(maxlen=_KEPT)
        self._forgotten = 0
        self._changed = asyncio.Event()
        self._closed = False
        for resource, status in kinds.known():
            self.register(resource, status=status)

    def register(self, resource: Resource, *, status: bool = False) -> None:
        """Serve another kind, as a custom resource definition would; `status`: it is a subresource."""
        self._kinds[resource.api_version, resource.kind] = resource
        self._objects.setdefault(resource, {})
        if status:
            self._with_status.add(resource)

    @property
    def resources(self) -> Sequence[Resource]:
        """All kinds served."""
        return list(self._kinds.values())

    async def resource(self, api_version: str, kind: str) -> Resource:
        found = self._kinds.get((api_version, kind))
        if found is None:
            raise KubeError(404, "NotFound", f"no matches for kind {kind!r} in version {api_version!r}")
        return found

    async def resource_named(self, api_version: str, plural: str) -> Resource:
        for one in self._kinds.values():
            if (one.api_version, one.plural) == (api_version, plural):
                return one
        raise KubeError(404, "NotFound", f"no matches for resource {plural!r} in version {api_version!r}")

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        obj = copied(obj)
        resource = await self.resource(*objects.kind_of(obj))
        meta = objects.metadata(obj)
        if not meta.get("name") and meta.get("generateName"):
            suffix = "".join(random.choices(objects.SUFFIX_ALPHABET, k=5))
            meta["name"] = objects.generated(meta["generateName"], suffix)
        self._check(obj, resource)
        key = self._key(resource, meta["name"], objects.home(obj, namespace))
        if key in self._objects[resource]:
            raise KubeError(409, "AlreadyExists", f"{_titled(resource, key[1])} already exists")
        meta.pop("namespace", None)
        meta |= {"namespace": key[0]} if key[0] else {}
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
        meta.pop("deletionTimestamp", None)
        if resource in self._with_status:
            obj.pop("status", None)
        return self._store(resource, key, obj, None)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        return copied(self._find(resource, name, namespace)[1])

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Object:
        matches = _selector(namespace, label_selector, field_selector)
        return {
            "apiVersion": resource.api_version,
            "kind": f"{resource.kind}List",
            "metadata": {"resourceVersion": str(self._version)},
            "items": [copied(obj) for obj in self._sorted(resource) if matches(obj)],
        }

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object:
        resource = await self.resource(*objects.kind_of(obj))
        key, before = self._find(resource, objects.metadata(obj).get("name"), objects.home(obj, namespace))
        return self._update(resource, key, before, copied(obj), status=status)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        *,
        content_type: str,
        namespace: str | None = None,
        params: Mapping[str, str] | None = None,
        status: bool = False,
    ) -> Object:
        body = copied(body)
        if content_type == patches.APPLY:
            return await self._apply(resource, name, body, namespace, params or {}, status=status)
        key, before = self._find(resource, name, namespace)
        if content_type == patches.JSON:
            after = patches.json_patch(copied(before), body)
        elif content_type == patches.MERGE or (
            content_type == patches.STRATEGIC and not kinds.is_custom(resource)
        ):  # API servers have no strategic merge for custom resources
            after = patches.merge(before, body)
        else:
            raise KubeError(
                415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {content_type}"
            )
        return self._update(resource, key, before, after, status=status)

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, options: Object | None = None
    ) -> Object:
        key, before = self._find(resource, name, namespace)
        meta = before["metadata"]
        for field, wanted in ((options or {}).get("preconditions") or {}).items():
            if meta.get(field) != wanted:
                message = f"Precondition failed: {field} in precondition: {wanted}, in object meta: {meta.get(field)}"
                raise _conflict(resource, key[1], message)
        if not meta.get("finalizers"):
            self._remove(resource, key, before)
            details = {"name": key[1], "kind": resource.plural, "uid": meta["uid"]}
            if resource.group:
                details["group"] = resource.group
            return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "details": details}
        if meta.get("deletionTimestamp"):
            return copied(before)
        marked = {"deletionTimestamp": _now(), "generation": meta["generation"] + 1}
        return self._store(resource, key, before | {"metadata": meta | marked}, before)

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncIterator[WatchEvent]:
        matches = _selector(namespace, label_selector, field_selector)
        end = asyncio.get_running_loop().time() + timeout_seconds
        position = self._version
        if resource_version not in ("", "0"):
            position = _number(resource_version)
        else:
            for obj in [copied(obj) for obj in self._sorted(resource) if matches(obj)]:
                yield {"type": "ADDED", "object": obj}
        while not self._closed:
            for change in self._since(position):
                position = change.version
                if change.resource == resource and (event := _seen(change, matches)):
                    yield event
            if position < self._version:
                continue
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                break
        meta = {"resourceVersion": str(position), "creationTimestamp": None}
        bookmark = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
        yield {"type": "BOOKMARK", "object": bookmark}

    def forget(self) -> None:
        """Drop all changes, as an API server does after some minutes: who watches from an older version gets 410."""
        self._log.clear()
        self._forgotten = self._version
        self._wake()

    async def aclose(self) -> None:
        """End all watches."""
        self._closed = True
        self._wake()

    async def _apply(
        self,
        resource: Resource,
        name: str,
        body: Any,
        namespace: str | None,
        params: Mapping[str, str],
        *,
        status: bool,
    ) -> Object:
        if not params.get("fieldManager"):
            raise KubeError(400, "BadRequest", "PatchOptions.fieldManager: Required value: is required for apply patch")
        try:
            key, before = self._find(resource, name, namespace)
        except KubeError as error:
            if error.status != 404 or status:
                raise
            return await self.create(body, namespace=namespace)
        return self._update(resource, key, before, patches.merge(before, body), status=status)

    def _key(self, resource: Resource, name: Any, namespace: str | None) -> Key:
        # Refuses what could not be part of a request's path.
        objects.path(resource, namespace=namespace, name=name)
        return (namespace or "" if resource.namespaced else "", name)

    def _find(self, resource: Resource, name: Any, namespace: str | None) -> tuple[Key, Object]:
        key = self._key(resource, name, namespace)
        obj = self._objects.get(resource, {}).get(key)
        if obj is None:
            raise KubeError(404, "NotFound", f"{_titled(resource, key[1])} not found")
        return key, obj

    def _sorted(self, resource: Resource) -> Sequence[Object]:
        return [obj for _, obj in sorted(self._objects.get(resource, {}).items(), key=lambda item: item[0])]

    def _check(self, obj: Object, resource: Resource) -> None:
        """What an API server refuses of any kind: names and labels that are none."""
        meta = objects.metadata(obj)
        name, wrong = meta.get("name"), ""
        pattern = _RBAC_NAME if resource.group == "rbac.authorization.k8s.io" else _NAME
        if not name:
            wrong = "metadata.name: Required value: name or generateName is required"
        elif not isinstance(name, str) or not pattern.fullmatch(name):
            wrong = f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain must consist of …"
        for label, value in (meta.get("labels") or {}).items():
            if not objects.is_label_value(value):
                wrong = f"metadata.labels: Invalid value: {value!r}: a valid label must be … ({label})"
        if wrong:
            raise KubeError(422, "Invalid", f"{resource.kind} {name or ''!r} is invalid: {wrong}")

    def _update(self, resource: Resource, key: Key, before: Object, wanted: Any, *, status: bool) -> Object:
        """Store `wanted` in place of `before`, with what clients cannot change kept."""
        if not isinstance(wanted, dict) or not isinstance(wanted.get("metadata"), dict):
            raise KubeError(422, "Invalid", f"{_titled(resource, key[1])} is invalid: it must stay an object")
        old, new = before["metadata"], wanted["metadata"]
        if new.get("name", old["name"]) != old["name"] or objects.kind_of(wanted) != objects.kind_of(before):
            raise KubeError(400, "BadRequest", "the name or kind of the object does not match the URL")
        for field in ("resourceVersion", "uid"):
            if new.get(field) not in (None, "", old[field]):
                raise _conflict(resource, key[1], _MODIFIED)
        if status:
            wanted = before | {"status": wanted.get("status")}
        elif resource in self._with_status:
            wanted = {name: value for name, value in wanted.items() if name != "status"}
            wanted |= {"status": before["status"]} if "status" in before else {}
        if not status:
            fixed = (
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "deletionTimestamp",
            )
            wanted["metadata"] = new = new | {name: old[name] for name in fixed if name in old}
            self._check(wanted, resource)
            if _content(wanted) != _content(before):
                new["generation"] = old["generation"] + 1
        if wanted == before:
            return copied(before)
        if wanted["metadata"].get("deletionTimestamp") and not wanted["metadata"].get("finalizers"):
            return self._remove(resource, key, wanted)
        return self._store(resource, key, wanted, before)

    def _store(self, resource: Resource, key: Key, obj: Object, before: Object | None) -> Object:
        obj = self._versioned(obj)
        self._objects[resource][key] = obj
        self._record(resource, "MODIFIED" if before else "ADDED", obj, before)
        return copied(obj)

    def _remove(self, resource: Resource, key: Key, obj: Object) -> Object:
        before = self._objects[resource].pop(key)
        obj = self._versioned(obj)
        self._record(resource, "DELETED", obj, before)
        return copied(obj)

    def _versioned(self, obj: Object) -> Object:
        self._version += 1
        return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self._version)}}

    def _record(self, resource: Resource, kind: str, obj: Object, before: Object | None) -> None:
        self._log.append(_Change(self._version, resource, kind, obj, before))
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _since(self, position: int) -> Sequence[_Change]:
        oldest = max(self._forgotten, self._log[0].version - 1 if self._log else 0)
        if position < oldest:
            message = f"too old resource version: {position} ({oldest})"
            raise KubeError(410, "Expired", message)
        return [change for change in self._log if change.version > position]


_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def _conflict(resource: Resource, name: str, why: str) -> KubeError:
    return KubeError(409, "Conflict", f"Operation cannot be fulfilled on {_titled(resource, name)}: {why}")


def _titled(resource: Resource, name: str) -> str:
    """`workflows.argoproj.io "build"`, as API servers name an object."""
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return f'{plural} "{name}"'


def _content(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _seen(change: _Change, matches: Match) -> WatchEvent | None:
    """A change as a watch with a selector sees it: what leaves the selection is deleted, what enters is added."""
    was = change.before is not None and matches(change.before)
    is_there = change.type != "DELETED" and matches(change.object)
    if not was and not is_there:
        return None
    kind = "MODIFIED" if was and is_there else "ADDED" if is_there else "DELETED"
    return {"type": kind, "object": copied(change.object)}


def _selector(namespace: str | None, labels: str, fields: str) -> Match:
    by_label, by_field = objects.label_selector(labels), objects.field_selector(fields)
    checks: list[Callable[[Object], bool]] = [
        lambda obj: by_label(obj["metadata"].get("labels") or {}),
        by_field,
        lambda obj: not namespace or obj["metadata"].get("namespace", namespace) == namespace,
    ]
    return lambda obj: all(check(obj) for check in checks)


def _number(version: str) -> int:
    if not version.isdigit():
        raise KubeError(400, "BadRequest", f"resourceVersion: Invalid value: {version!r}")
    return int(version)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
