"""The server's own writes: the way of every client's, without the HTTP. What its controllers stand on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from events.local.apiserver.access.identity import MASTERS, User
from events.local.apiserver.entries import Change
from events.local.apiserver.managed import tracking
from events.local.apiserver.objects import bodies, versions
from events.local.apiserver.objects.deleting import DeleteOptions, Deleting
from events.local.apiserver.objects.operations import Operations
from events.local.apiserver.objects.options import Options
from events.local.apiserver.resources import Resource, Resources
from events.local.apiserver.status import StatusError

Object = dict[str, Any]
Followed = Callable[[Resource, Object | None, Object | None], None]

USER = User("system:apiserver", groups=(MASTERS,))
_TRIES = 10


class _Unchanged(Exception):
    """There is nothing to write."""


class Inside:
    """Objects, for those who live in the server."""

    def __init__(self, operations: Operations) -> None:
        self._operations, self._store = operations, operations.store
        self._deleting = Deleting(operations)
        self._followers: list[Followed] = []
        operations.store.follow(self._tell)

    @property
    def resources(self) -> Resources:
        return self._operations.resources

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """None when it is not there."""
        entry = self._store.get(resource.storage, namespace, name)
        return versions.shown(resource, entry) if entry is not None else None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All of them, or those of a namespace."""
        entries = self._store.all(resource.storage).items()
        return [versions.shown(resource, entry) for key, entry in entries if not namespace or key[0] == namespace]

    async def create(self, resource: Resource, it: Object, *, manager: str) -> Object:
        """Raises StatusError."""
        options = self._options("CreateOptions", manager)
        namespace = (it.get("metadata") or {}).get("namespace", "")
        new = bodies.decoded_object(resource, it, [], options)
        return await self._operations.create(resource, namespace, new, options)

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
        """Read, change, write; again after a conflict. None when there is nothing to write or the object is gone."""
        options = self._options("UpdateOptions", manager)
        writer = options.writer(resource, "" if subresource == "finalize" else subresource)

        def changing(old: Object) -> Object:
            new = change({**old, "metadata": dict(old["metadata"])})
            if new is None:
                raise _Unchanged
            return tracking.update(old, bodies.read(resource, new).object, resource.managed, writer)

        for attempt in range(_TRIES):
            try:
                where = (resource, namespace, name, subresource)
                return (await self._operations.change(*where, changing, options)).object
            except _Unchanged:
                return None
            except StatusError as error:
                if error.code == 404:
                    return None
                if error.reason != "Conflict" or attempt + 1 == _TRIES:
                    raise
        return None

    async def apply(self, resource: Resource, it: Object, *, manager: str, force: bool = True) -> Object:
        """Server-side apply. Raises StatusError."""
        options = self._options("PatchOptions", manager)
        options.force = force
        metadata = it["metadata"]
        where = (resource, metadata.get("namespace", ""), metadata["name"], "")
        return (await self._operations.apply(*where, it, options)).object

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", propagation: str = ""
    ) -> None:
        """Gone already, or another object by now, is fine. Raises StatusError."""
        try:
            wanted = DeleteOptions(propagation, uid=uid)
            await self._deleting.delete(resource, namespace, name, wanted, self._options("DeleteOptions", ""))
        except StatusError as error:
            if error.code != 404 and not (uid and error.reason == "Conflict"):
                raise

    def follow(self, changed: Followed) -> None:
        """Call `changed(resource, old, new)` after each kept write."""
        self._followers.append(changed)

    def _tell(self, change: Change) -> None:
        if not self._followers:
            return
        resource = self.resources.of_storage(change.storage)
        if resource is None:
            return
        old = versions.shown(resource, change.old) if change.old else None
        new = versions.shown(resource, change.new) if change.new else None
        for follower in self._followers:
            follower(resource, old, new)

    def _options(self, kind: str, manager: str) -> Options:
        return Options(kind, USER, manager, datetime.now(UTC), validation="Ignore")
