"""The contract that the API server's controllers stand on, kept in memory, and a loop whose time passes at once."""

from __future__ import annotations

import asyncio
import copy
import itertools
import selectors
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from events.local.apiserver import kinds
from events.local.apiserver.access.refusals import forbidden_because, not_found
from events.local.apiserver.controllers.base import Object
from events.local.apiserver.objects.deleting import FOREGROUND, ORPHAN
from events.local.apiserver.objects.hooks import CLEANUP
from events.local.apiserver.resources import STATUS, Resource, Resources
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import Kinds

Place = tuple[str, str, str]
_KINDS = Kinds()
_NOW = "2026-01-01T00:00:00Z"
_INSTANT = 1e-5


class Crash(BaseException):
    """The process ends here."""


class Kept:
    """Objects by storage key, namespace and name. `writes_left`: how many are kept before the process ends."""

    def __init__(self, earlier: Kept | None = None) -> None:
        self.resources = Resources(kinds.builtin(_KINDS))
        self._kept: dict[Place, Object] = dict(earlier._kept) if earlier else {}
        self._versions = itertools.count(1 + (next(earlier._versions) if earlier else 0))
        self._followers: list[Callable[[Resource, Object | None, Object | None], None]] = []
        self.asked = 0
        """Writes that were asked for, with those that were none."""
        self.written = 0
        self.writes_left: int | None = None
        self.refuse: Callable[[str, Resource, str, str], StatusError | None] = lambda *_: None
        """By verb, resource, namespace and name."""

    # -- the contract

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self._kept.get((resource.storage, namespace, name)))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        found = [it for key, it in self._kept.items() if key[0] == resource.storage and namespace in ("", key[1])]
        return copy.deepcopy(found)

    async def create(self, resource: Resource, it: Object, *, manager: str) -> Object:
        metadata = it["metadata"]
        place = (resource.storage, metadata.get("namespace", ""), metadata["name"])
        self._ask("create", resource, place, manager)
        if place in self._kept:
            raise StatusError(409, "AlreadyExists", f'{resource.qualified} "{place[2]}" already exists')
        if resource.namespaced:
            home = self._kept.get(("namespaces", "", place[1]))
            if home is None:
                raise not_found("", "namespaces", place[1])
            if home["metadata"].get("deletionTimestamp"):
                raise forbidden_because(resource.group, resource.plural, place[2], "it is being terminated")
        new = {**it, "metadata": {**metadata, "uid": str(uuid.uuid4()), "creationTimestamp": _NOW}}
        if place[0] == "namespaces":
            new |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        return self._write(resource, place, new)

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object | None],
        *,
        manager: str,
        subresource: str = "",
    ) -> Object | None:
        place = (resource.storage, namespace, name)
        old = self.get(resource, namespace, name)
        if old is None:
            return None
        new = change(copy.deepcopy(old))
        self._ask("update", resource, place, manager, counts=new is not None)
        if new is None:
            return None
        if subresource == STATUS:
            new = {**old, "status": new.get("status")}
        elif subresource == "finalize":
            new = {**old, "spec": {**old["spec"], "finalizers": new["spec"]["finalizers"]}}
        elif resource.has_status and "status" in old:
            new = {**new, "status": old["status"]}
        return old if new == old else self._write(resource, place, new)

    async def apply(self, resource: Resource, it: Object, *, manager: str, force: bool = True) -> Object:
        assert force
        place = (resource.storage, it["metadata"].get("namespace", ""), it["metadata"]["name"])
        self._ask("patch", resource, place, manager)
        old = self._kept[place]
        return self._write(resource, place, {**old, **it, "metadata": old["metadata"]})

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", propagation: str = ""
    ) -> None:
        place = (resource.storage, namespace, name)
        self._ask("delete", resource, place, "")
        old = self._kept.get(place)
        if old is None or (uid and old["metadata"]["uid"] != uid):
            return
        finalizers = list(old["metadata"].get("finalizers") or ())
        if propagation:
            finalizers = [one for one in finalizers if one not in (FOREGROUND, ORPHAN)]
            finalizers += {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(propagation, [])
        if resource.plural == "customresourcedefinitions" and CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        metadata = {"deletionTimestamp": _NOW} | old["metadata"] | {"finalizers": finalizers}
        self._write(resource, place, {**old, "metadata": metadata})

    def follow(self, changed: Callable[[Resource, Object | None, Object | None], None]) -> None:
        self._followers.append(changed)

    # -- for tests

    def of(self, plural: str, group: str = "") -> Resource:
        found = next(one for one in self.resources.every() if (one.group, one.plural) == (group, plural))
        assert found.storage
        return found

    async def make(self, plural: str, name: str, namespace: str = "", group: str = "", **more: Any) -> Object:
        """A new object, as by a client; `owners` become references."""
        resource = self.of(plural, group)
        metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
        it = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **more}
        return await self.create(resource, it, manager="test")

    async def edit(self, it: Object, **metadata: Any) -> None:
        """Set fields of metadata; None takes one away."""
        resource = self._resource_of(it)

        def edited(old: Object) -> Object:
            both = {**old["metadata"], **metadata}
            return {**old, "metadata": {key: value for key, value in both.items() if value is not None}}

        where = (resource, it["metadata"].get("namespace", ""), it["metadata"]["name"])
        await self.change(*where, edited, manager="test")

    async def remove(self, it: Object, propagation: str = "") -> None:
        where = (self._resource_of(it), it["metadata"].get("namespace", ""), it["metadata"]["name"])
        await self.delete(*where, propagation=propagation)

    def now(self, it: Object) -> Object | None:
        """The object as it is now; None when it is gone, or another of the name is there."""
        metadata = it["metadata"]
        found = self.get(self._resource_of(it), metadata.get("namespace", ""), metadata["name"])
        return found if found and found["metadata"]["uid"] == metadata["uid"] else None

    def _resource_of(self, it: Object) -> Resource:
        group, _, version = it["apiVersion"].rpartition("/")
        found = self.resources.of_kind(group, version, it["kind"])
        assert found is not None, f"{it['kind']} is not served"
        return found

    def _ask(self, verb: str, resource: Resource, place: Place, _manager: str, *, counts: bool = True) -> None:
        self.asked += 1
        if not counts:
            return
        refusal = self.refuse(verb, resource, place[1], place[2])
        if refusal is not None:
            raise refusal

    def _write(self, resource: Resource, place: Place, it: Object) -> Object:
        if self.writes_left is not None:
            if self.writes_left <= 0:
                raise Crash
            self.writes_left -= 1
        self.written += 1
        old = self._kept.get(place)
        new: Object | None = copy.deepcopy(it)
        assert new is not None
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        held = new["metadata"].get("finalizers") or (place[0] == "namespaces" and new["spec"].get("finalizers"))
        if new["metadata"].get("deletionTimestamp") and not held:
            del self._kept[place]
            new = None
        else:
            self._kept[place] = new
        for follower in self._followers:
            follower(resource, copy.deepcopy(old), copy.deepcopy(new))
        return copy.deepcopy(new if new is not None else it)


def owned_by(*owners: Object, blocks: bool = True) -> dict[str, Any]:
    """The metadata of who belongs to them."""
    return {
        "ownerReferences": [
            {
                "apiVersion": one["apiVersion"],
                "kind": one["kind"],
                "name": one["metadata"]["name"],
                "uid": one["metadata"]["uid"],
                "blockOwnerDeletion": blocks,
            }
            for one in owners
        ]
    }


def definition(plural: str, kind: str, **spec: Any) -> dict[str, Any]:
    """Spec and name of a CustomResourceDefinition of the group example.com, with the defaults that a server writes."""
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    whole = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version], **spec}
    return {"name": f"{plural}.example.com", "spec": whole}


class _Hurrying(selectors.DefaultSelector):
    """Waits for nothing: the time that it was to wait has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nothing will ever happen"
        self.passed += max(timeout, _INSTANT)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Its time passes as soon as there is nothing to do; a bit of it with each round, so that nobody runs for ever."""

    def __init__(self) -> None:
        self._hurrying = _Hurrying()
        super().__init__(self._hurrying)

    def time(self) -> float:
        return self._hurrying.passed


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of that kind."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
