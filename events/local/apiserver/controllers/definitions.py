"""CustomResourceDefinitions: names accepted, resources served, and taken away with their objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.local.apiserver.controllers.base import Controller, Object, Objects, needed
from events.local.apiserver.objects.hooks import CLEANUP
from events.local.apiserver.objects.life import EVERYTHING, timestamp
from events.local.apiserver.resources import CUSTOM_VERBS, SCALE, STATUS, Column, Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation.custom import accepting
from events.local.apiserver.validation.custom.resources import CustomResource, served, stored_version
from events.logs import Log

GROUP = "apiextensions.k8s.io"
MANAGER = "kube-apiserver"


class Definitions(Controller[str]):
    """By the name of the definition."""

    name = "custom resource definitions"

    def __init__(self, objects: Objects, log: Log) -> None:
        super().__init__(log)
        self._objects = objects
        self._resource = needed(objects.resources, GROUP, "customresourcedefinitions")
        self._served: dict[str, str] = {}
        objects.follow(self._changed)
        for it in objects.list(self._resource):
            self._serve(it)
            self.wake(it["metadata"]["name"])

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if resource is self._resource:
            it = new or old
            assert it is not None
            name = it["metadata"]["name"]
            if new is None:
                self._served.pop(name, None)
                self._objects.resources.forget(name)
                for other in self._objects.list(self._resource):
                    self.wake(other["metadata"]["name"])  # a name may have become free
            else:
                self._serve(new)
            self.wake(name)
        elif resource.definition is not None and new is None:
            name = resource.definition["metadata"]["name"]
            definition = self._objects.get(self._resource, "", name)
            if definition is not None and definition["metadata"].get("deletionTimestamp"):
                self.wake(name)

    def _serve(self, it: Object) -> None:
        """What is established is served at once, by the text of its definition."""
        name = it["metadata"]["name"]
        metadata = it["metadata"]
        known = f"{metadata.get('uid')} {metadata.get('resourceVersion')}"
        if self._served.get(name) == known:
            return
        self._served[name] = known
        self._objects.resources.define(name, [_resource(self._resource, it, one) for one in served(it)])

    async def work(self, key: str) -> None:
        """Write the status; empty and release one that is being deleted."""
        it = self._objects.get(self._resource, "", key)
        if it is None:
            return
        if it["metadata"].get("deletionTimestamp"):
            await self._end(it)
            return
        others = self._objects.list(self._resource)
        now = timestamp(datetime.now(UTC))

        def judged(found: Object) -> Object | None:
            status = accepting.status(found, others, now)
            return None if status == (found.get("status") or {}) else {**found, "status": status}

        where = (self._resource, "", key)
        written = await self._objects.change(*where, judged, manager=MANAGER, subresource=STATUS)
        if written is None or _names(written) == _names(it):
            return  # no name has become free; two that are refused would wake each other for ever
        for other in others:
            conditions = (other.get("status") or {}).get("conditions") or ()
            is_refused = any(one["type"] == "NamesAccepted" and one["status"] == "False" for one in conditions)
            if is_refused and other["metadata"]["name"] != key:
                self.wake(other["metadata"]["name"])

    async def _end(self, it: Object) -> None:
        """All its objects first, then the finalizer that held it."""
        name = it["metadata"]["name"]
        if CLEANUP not in (it["metadata"].get("finalizers") or ()):
            return
        now = timestamp(datetime.now(UTC))

        def told(found: Object) -> Object | None:
            status = accepting.terminating(found, now)
            return None if status == found.get("status") else {**found, "status": status}

        await self._objects.change(self._resource, "", name, told, manager=MANAGER, subresource=STATUS)
        mine = [one for one in self._objects.resources.every() if one.definition and _is_of(one, it)]
        if mine:
            await self._empty(mine[0])
            if self._objects.list(mine[0]):
                return  # their finalizers hold it; the last removal wakes it

        def released(found: Object) -> Object | None:
            finalizers = [one for one in found["metadata"].get("finalizers") or () if one != CLEANUP]
            return {**found, "metadata": {**found["metadata"], "finalizers": finalizers}}

        await self._objects.change(self._resource, "", name, released, manager=MANAGER)

    async def _empty(self, resource: Resource) -> None:
        """Delete all objects; what was refused is raised when all others are deleted."""
        refused: StatusError | None = None
        for found in self._objects.list(resource):
            metadata = found["metadata"]
            if not metadata.get("deletionTimestamp"):
                where = (resource, metadata.get("namespace", ""), metadata["name"])
                try:
                    await self._objects.delete(*where, uid=metadata["uid"])
                except StatusError as error:
                    refused = error
        if refused is not None:
            raise refused


def _names(it: Object) -> Any:
    return (it.get("status") or {}).get("acceptedNames") or {}


def _is_of(resource: Resource, it: Object) -> bool:
    return resource.definition is not None and resource.definition["metadata"]["name"] == it["metadata"]["name"]


def _resource(like: Resource, it: Object, one: CustomResource) -> Resource:
    subresources = tuple(name for name, is_there in ((SCALE, one.scale), (STATUS, one.has_status)) if is_there)
    return Resource(
        kinds=like.kinds,
        group=one.group,
        version=one.version,
        plural=one.plural,
        kind=one.kind,
        namespaced=one.namespaced,
        singular=one.singular,
        list_kind=one.list_kind,
        short_names=one.short_names,
        categories=one.categories,
        verbs=CUSTOM_VERBS,
        subresources=subresources,
        storage=f"{one.group}/{one.plural}",
        stored_version=stored_version(it),
        counted=EVERYTHING,
        selectable=one.selectable,
        scale_paths=_paths(one.scale),
        columns=tuple(_column(row) for row in one.columns),
        definition=it,
        deprecation=one.deprecation,
    )


def _paths(scale: Any) -> dict[str, str]:
    return {key: value for key, value in (scale or {}).items() if isinstance(value, str)}


def _column(row: Any) -> Column:
    return Column(
        row["name"],
        row["type"],
        row.get("description", ""),
        row.get("format", ""),
        row.get("priority", 0),
        row["jsonPath"],
    )
