"""Kubernetes objects that come, change and go. Contract: eventsources 3.32.

Ours: which version of which object was published is kept in the bus's state. A restart goes on where the last process
ended; when the server has forgotten what happened since, the objects there are now are compared with those that were:
what came, changed and went is published once, the latest of it. A deletion that was missed has the object as it was
last seen, after a restart its metadata alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC
from typing import Any

import orjson
from pydantic import Field

from events import rawjson
from events.backoff import Endless
from events.errors import ActionError, UserError
from events.event import now_text, parse_time
from events.kube.api import KubeApi, KubeError, Object, Resource, WatchEvent
from events.problems import Problems, did_you_mean
from eventsources.base import Source, SourceContext, Spec
from eventsources.fields import require
from eventsources.holding import Holding
from eventsources.object_filter import ResourceFilter, created
from eventsources.object_table import ObjectTable, Published

EVENT_TYPES = ("ADD", "UPDATE", "DELETE")
_AT_ONCE = 256
"""Changes that are published before what was published is kept."""
_WATCH_SECONDS = 290
_TRIES = 5
"""Watches that may break off one after the other."""
_SHORT_SECONDS = 1.0
"""A watch that ends sooner is not begun again at once."""


class ResourceSpec(Spec):
    """Changes of Kubernetes objects. Contract: eventsources 3.32."""

    namespace: str = Field("", description="Namespace; all when absent.")
    group: str = Field("", description="API group; the core group when absent.")
    version: str = Field("", description="API version.")
    resource: str = Field("", description="Name of the resource, in the plural.")
    event_types: list[str] | None = Field(None, description="ADD, UPDATE and DELETE.")
    filter: ResourceFilter | None = Field(None, description="Which objects.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")

    def check(self, problems: Problems) -> None:
        """Contract 3.32."""
        require(problems, version=self.version, resource=self.resource, eventTypes=self.event_types)
        for index, kind in enumerate(self.event_types or ()):
            if kind not in EVENT_TYPES:
                cure = did_you_mean(kind, EVENT_TYPES) or f"one of {', '.join(EVENT_TYPES)}"
                problems.warn(f"eventTypes[{index}]", f"{kind!r} is none: the source never starts", cure)
        if self.filter is not None:
            self.filter.check(problems.at("filter"))

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`…"""
        return f"{self.group}/{self.version}" if self.group else self.version


class ResourceSource(Source[ResourceSpec]):
    """One event: what happens to the objects of one resource."""

    Spec, event_type, active_passive = ResourceSpec, "resource", True

    @classmethod
    def validate(cls, spec: ResourceSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        for kind in self.spec.event_types or ():
            if kind not in EVENT_TYPES:
                raise UserError(f"{kind!r} is none", path="eventTypes", cure=f"one of {', '.join(EVENT_TYPES)}")
        kube = context.kube()
        resource = await kube.resource_named(self.spec.api_version, self.spec.resource)
        table = ObjectTable(context.state, self._selection(resource))
        await table.read(now_text(context.clock.now()))
        await Following(self.spec, context, kube, resource, table).run()

    def _selection(self, resource: Resource) -> str:
        """What decides which objects the server shows."""
        labels = self.spec.filter.label_selector if self.spec.filter else ""
        return f"{resource.api_version}/{resource.plural} {self.spec.namespace} {labels}"


class Following:
    """From a list on, through watches and further lists, until something fails that waiting a little does not mend."""

    def __init__(
        self, spec: ResourceSpec, context: SourceContext, kube: KubeApi, resource: Resource, table: ObjectTable
    ) -> None:
        chosen = spec.filter or ResourceFilter.parse({})
        self._spec, self._context, self._kube, self._resource, self._table = spec, context, kube, resource, table
        self._passes, self._labels = chosen.compiled(), chosen.label_selector
        self._is_after_start = bool(chosen.after_start)
        self._holding = Holding(context)
        self._last: dict[str, bytes] = {}
        """By uid: the objects as they were last seen, as far as this process knows them."""

    async def run(self) -> None:
        """KubeError, ActionError, and BusError when what was published cannot be kept."""
        listed = await self._list()
        kept = self._table.cursor.version
        if kept and not _is_newer(kept, listed["metadata"]["resourceVersion"]):
            self._remember(listed)
        else:  # nothing is known yet, or this is another server
            await self._compare(listed)
        del listed
        self._context.started()
        pauses = Endless(0.2, 5)
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._watch()
            except KubeError as error:
                if error.status != 410:
                    raise
                self._context.log.info("The API server has forgotten what happened meanwhile; the objects are compared")
                await self._compare(await self._list())
            except ActionError as error:  # connections break: what was seen of the objects is worth keeping
                if pauses.count >= _TRIES:
                    raise
                self._context.log.debug("A watch broke off", reason=error)
            if asyncio.get_running_loop().time() - began >= _SHORT_SECONDS:
                pauses.reset()
            else:
                await asyncio.sleep(pauses.next())

    async def _list(self) -> Object:
        return await self._kube.list(
            self._resource, namespace=self._spec.namespace or None, label_selector=self._labels
        )

    def _whole(self, obj: Object) -> Object:
        """An item of a list, which does not say what it is."""
        return {"apiVersion": self._resource.api_version, "kind": self._resource.kind} | obj

    def _remember(self, listed: Object) -> None:
        """Keep the objects that are what they were when they were last published."""
        for item in listed["items"]:
            row = self._table.get(item["metadata"]["uid"])
            if row is not None and row.version == item["metadata"]["resourceVersion"]:
                self._keep(self._whole(item))

    def _keep(self, obj: Object) -> None:
        self._last[obj["metadata"]["uid"]] = orjson.dumps(obj)

    async def _compare(self, listed: Object) -> None:
        """Publish what differs from the table."""
        is_first = not self._table.cursor.version
        here = {item["metadata"]["uid"] for item in listed["items"]}
        # First what went: what came may have the same name.
        for uid, former in self._table.rows().items():
            if uid not in here:
                await self._missed(uid, former)
        count = 0
        for item in listed["items"]:
            row = self._table.get(item["metadata"]["uid"])
            if row is not None and row.version == item["metadata"]["resourceVersion"]:
                self._keep(self._whole(item))
                continue
            await self._changed("UPDATE" if row else "ADD", self._whole(item), is_first=is_first)
            count += 1
            if count % _AT_ONCE == 0:
                await self._table.write()
        self._table.cursor.version = listed["metadata"]["resourceVersion"]
        await self._table.write()

    async def _missed(self, uid: str, row: Published) -> None:
        """A deletion that nobody told of."""
        last = self._last.pop(uid, None)
        names = {"name": row.name, "namespace": row.namespace, "uid": uid, "resourceVersion": row.version}
        obj = orjson.loads(last) if last else self._whole({"metadata": {k: v for k, v in names.items() if v}})
        if row.passed:
            await self._publish("DELETE", obj, None, f"{uid}.{row.version}.deleted")
        self._table.set(uid, None)

    async def _watch(self) -> None:
        """One watch, until the server ends it."""
        async with aclosing(self._batches()) as batches:
            async for changes in batches:
                for change in changes:
                    await self._told(change)
                await self._table.write()

    async def _batches(self) -> AsyncGenerator[list[WatchEvent]]:
        """What the server tells, as much of it at once as there is."""
        queue: asyncio.Queue[WatchEvent | None] = asyncio.Queue(_AT_ONCE)
        watch = self._kube.watch(
            self._resource,
            namespace=self._spec.namespace or None,
            resource_version=self._table.cursor.version,
            label_selector=self._labels,
            timeout_seconds=_WATCH_SECONDS,
        )

        async def read() -> None:
            try:
                async with aclosing(watch):  # type: ignore[type-var]
                    async for event in watch:
                        await queue.put(event)
            finally:
                await queue.put(None)

        task = asyncio.create_task(read())
        try:
            is_over = False
            while not is_over:
                found = [await queue.get()]
                while not queue.empty() and len(found) < _AT_ONCE:
                    found.append(queue.get_nowait())
                is_over = found[-1] is None
                yield [event for event in found if event is not None]
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _told(self, change: WatchEvent) -> None:
        kind, obj = change["type"], change["object"]
        version = obj["metadata"]["resourceVersion"]
        if kind in ("ADDED", "MODIFIED"):
            row = self._table.get(obj["metadata"]["uid"])
            if row is None or _is_newer(version, row.version):
                await self._changed("ADD" if kind == "ADDED" else "UPDATE", obj)
        elif kind == "DELETED":
            await self._gone(obj)
        self._table.cursor.version = version

    async def _changed(self, kind: str, obj: Object, *, is_first: bool = False) -> None:
        meta = obj["metadata"]
        uid, version = meta["uid"], meta["resourceVersion"]
        passed = self._passes(obj)
        if passed and not (is_first and self._is_old(obj)):
            old = self._last.get(uid) if kind == "UPDATE" else None
            await self._publish(kind, obj, old, f"{uid}.{version}")
        self._keep(obj)
        self._table.set(uid, Published(version, meta.get("namespace", ""), meta["name"], passed))

    async def _gone(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        row = self._table.get(uid)
        if self._passes(obj):
            version = row.version if row else obj["metadata"]["resourceVersion"]
            await self._publish("DELETE", obj, None, f"{uid}.{version}.deleted")
        self._last.pop(uid, None)
        self._table.set(uid, None)

    def _is_old(self, obj: Object) -> bool:
        """Whether afterStart leaves it out. Its time is in whole seconds: one of the first second is new."""
        made = created(obj)
        started = parse_time(self._table.cursor.started).astimezone(UTC).replace(microsecond=0)
        return self._is_after_start and made is not None and made < started

    async def _publish(self, kind: str, obj: Object, old: bytes | None, id: str) -> None:
        if kind not in (self._spec.event_types or ()):
            return
        data: dict[str, Any] = {
            "type": kind,
            "body": obj,
            "oldBody": orjson.loads(old) if old else None,
            "group": self._spec.group,
            "version": self._spec.version,
            "resource": self._spec.resource,
        }
        if self._spec.metadata:
            data["metadata"] = self._spec.metadata
        await self._holding.emit(rawjson.dumps(data), id)


def _is_newer(version: str, than: str) -> bool:
    """Versions are numbers on every known server; elsewhere another one is a newer one."""
    return int(version) > int(than) if version.isdigit() and than.isdigit() else version != than
