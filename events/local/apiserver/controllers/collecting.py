"""Garbage collection: objects go when all their owners are gone; owners wait for them, or let them live, if told so."""

from __future__ import annotations

from events.local.apiserver.controllers.base import Controller, Object, Objects
from events.local.apiserver.objects.deleting import FOREGROUND, ORPHAN
from events.local.apiserver.resources import Resource
from events.logs import Log

MANAGER = "kube-controller-manager"

_PATIENCE = 0.05
"""Seconds for who has just begun to delete an object, and still writes to it."""

Place = tuple[str, str, str]
"""Storage key, namespace and name of an object."""


class Collector(Controller[Place]):
    """By the place of an object: of one that has owners, or of an owner that is being deleted."""

    name = "garbage collector"

    def __init__(self, objects: Objects, log: Log) -> None:
        super().__init__(log)
        self._objects = objects
        self._alive: dict[str, Place] = {}
        """Every object's uid, and where it is."""
        self._dependents: dict[str, set[Place]] = {}
        """By the uid of an owner."""
        self._owners: dict[Place, set[str]] = {}
        self._gone: set[str] = set()
        """Uids of owners that went while they had dependents: also when their kind is not known any more."""
        objects.follow(self._changed)
        for resource in objects.resources.stored().values():
            for it in objects.list(resource):
                self._note(resource, it)
        for place in [*self._owners, *self._alive.values()]:
            self.wake(place)

    # -- what is known

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if new is not None:
            if old is not None and old["metadata"].get("ownerReferences") != new["metadata"].get("ownerReferences"):
                self._wake_owners(_place(resource, new))
            self._note(resource, new)
            if new["metadata"].get("ownerReferences"):
                self.wake(_place(resource, new))
            elif new["metadata"].get("deletionTimestamp"):
                self.wake_in(_PATIENCE, _place(resource, new))
            return
        assert old is not None
        uid, place = old["metadata"].get("uid", ""), _place(resource, old)
        if self._alive.get(uid) == place:
            del self._alive[uid]
        self._wake_owners(place)
        self._forget(place)
        for dependent in self._dependents.get(uid, ()):
            self._gone.add(uid)
            self.wake(dependent)

    def _wake_owners(self, place: Place) -> None:
        """An owner may wait for just this one to go, or to let go of it."""
        for owner in self._owners.get(place, ()):
            if owner in self._alive:
                self.wake(self._alive[owner])

    def _note(self, resource: Resource, it: Object) -> None:
        metadata, place = it["metadata"], _place(resource, it)
        self._alive[metadata.get("uid", "")] = place
        owners = {one.get("uid", "") for one in metadata.get("ownerReferences") or ()}
        if owners != self._owners.get(place, set()):
            self._forget(place)
            for owner in owners:
                self._dependents.setdefault(owner, set()).add(place)
            if owners:
                self._owners[place] = owners

    def _forget(self, place: Place) -> None:
        for owner in self._owners.pop(place, ()):
            places = self._dependents[owner]
            places.discard(place)
            if not places:
                del self._dependents[owner]
                self._gone.discard(owner)

    # -- what is done

    async def work(self, key: Place) -> None:
        """Collect it, or let go of it."""
        resource = self._objects.resources.of_storage(key[0])
        it = self._objects.get(resource, *key[1:]) if resource else None
        if resource is None or it is None:
            return
        finalizers = it["metadata"].get("finalizers") or ()
        if it["metadata"].get("deletionTimestamp"):
            if ORPHAN in finalizers:
                await self._let_live(resource, it)
            elif FOREGROUND in finalizers:
                await self._end_after_dependents(resource, it)
        elif it["metadata"].get("ownerReferences"):
            await self._collect(resource, it)

    async def _collect(self, resource: Resource, it: Object) -> None:
        metadata = it["metadata"]
        references = metadata["ownerReferences"]
        solid, waiting, gone = [], [], []
        for reference in references:
            owner = self._owner(resource, it, reference)
            if owner is None:
                gone.append(reference)
            elif _waits_for_dependents(owner) and reference.get("blockOwnerDeletion"):
                waiting.append(reference)
            else:
                solid.append(reference)
        if not gone and not waiting:
            return
        if solid:
            keep = {one["uid"] for one in solid}
            await self._change_owners(resource, it, lambda one: one["uid"] in keep)
            return
        where = (resource, metadata.get("namespace", ""), metadata["name"])
        dependents = self._dependents_of(it) if waiting else []
        if any(_waits_for_dependents(one) for one in dependents):
            await self._unblock(resource, it)  # they own each other: one must not wait, or both wait for ever
        policy = "Foreground" if dependents else "Background"
        if ORPHAN in (metadata.get("finalizers") or ()):
            policy = "Orphan"
        elif FOREGROUND in (metadata.get("finalizers") or ()):
            policy = "Foreground"
        await self._objects.delete(*where, uid=metadata["uid"], propagation=policy)

    def _owner(self, resource: Resource, it: Object, reference: Object) -> Object | None:
        """The owner; None when it is gone. One of a kind that is not known here counts as alive."""
        if reference.get("uid") in self._gone:
            return None
        group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
        kind = self._objects.resources.of_kind(group, version, str(reference.get("kind", "")))
        if kind is None or not kind.storage or (kind.namespaced and not resource.namespaced):
            return {"metadata": {}}
        namespace = it["metadata"].get("namespace", "") if kind.namespaced else ""
        found = self._objects.get(kind, namespace, str(reference.get("name", "")))
        return found if found is not None and found["metadata"]["uid"] == reference.get("uid") else None

    async def _end_after_dependents(self, resource: Resource, it: Object) -> None:
        uid = it["metadata"]["uid"]
        is_held = False
        for place in list(self._dependents.get(uid, ())):
            kind = self._objects.resources.of_storage(place[0])
            dependent = self._objects.get(kind, *place[1:]) if kind else None
            if dependent is None:
                continue
            reference = next(
                (one for one in dependent["metadata"].get("ownerReferences") or () if one.get("uid") == uid), None
            )
            if reference is not None and reference.get("blockOwnerDeletion"):
                is_held = True
            if not dependent["metadata"].get("deletionTimestamp"):
                self.wake(place)
        if not is_held:
            await self._release(resource, it, FOREGROUND)

    def _dependents_of(self, it: Object) -> list[Object]:
        found = []
        for place in self._dependents.get(it["metadata"]["uid"], ()):
            kind = self._objects.resources.of_storage(place[0])
            dependent = self._objects.get(kind, *place[1:]) if kind else None
            if dependent is not None:
                found.append(dependent)
        return found

    async def _unblock(self, resource: Resource, it: Object) -> None:
        """Its owners no longer wait for it."""

        def unblocked(found: Object) -> Object | None:
            references = found["metadata"].get("ownerReferences") or []
            free = [
                {**one, "blockOwnerDeletion": False} if one.get("blockOwnerDeletion") else one for one in references
            ]
            return None if free == references else {**found, "metadata": {**found["metadata"], "ownerReferences": free}}

        where = (resource, it["metadata"].get("namespace", ""), it["metadata"]["name"])
        await self._objects.change(*where, unblocked, manager=MANAGER)

    async def _let_live(self, resource: Resource, it: Object) -> None:
        uid = it["metadata"]["uid"]
        for place in list(self._dependents.get(uid, ())):
            kind = self._objects.resources.of_storage(place[0])
            dependent = self._objects.get(kind, *place[1:]) if kind else None
            if kind is not None and dependent is not None:
                await self._change_owners(kind, dependent, lambda one: one.get("uid") != uid)
        await self._release(resource, it, ORPHAN)

    async def _change_owners(self, resource: Resource, it: Object, keeps: object) -> None:
        def changed(found: Object) -> Object | None:
            references = found["metadata"].get("ownerReferences") or []
            kept = [one for one in references if keeps(one)]  # type: ignore[operator]
            if len(kept) == len(references):
                return None
            metadata = {key: value for key, value in found["metadata"].items() if key != "ownerReferences"}
            return {**found, "metadata": {**metadata, **({"ownerReferences": kept} if kept else {})}}

        where = (resource, it["metadata"].get("namespace", ""), it["metadata"]["name"])
        await self._objects.change(*where, changed, manager=MANAGER)

    async def _release(self, resource: Resource, it: Object, finalizer: str) -> None:
        def released(found: Object) -> Object | None:
            finalizers = [one for one in found["metadata"].get("finalizers") or () if one != finalizer]
            return {**found, "metadata": {**found["metadata"], "finalizers": finalizers}}

        where = (resource, it["metadata"].get("namespace", ""), it["metadata"]["name"])
        await self._objects.change(*where, released, manager=MANAGER)


def _place(resource: Resource, it: Object) -> Place:
    return resource.storage, it["metadata"].get("namespace", ""), it["metadata"]["name"]


def _waits_for_dependents(owner: Object) -> bool:
    metadata = owner["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or ())
