"""Kubernetes Events about the objects that people made: what `kubectl describe` shows below an object.

What is said again is counted on one Event, also after a restart, because its name follows from what it says. Nobody
waits for them: a bounded number is kept until it can be written, an object that has too much to say is cut short.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from events.backoff import Endless
from events.bounded import Bounded
from events.errors import ActionError
from events.kube import objects, patches
from events.kube.api import KubeApi, KubeError, Object
from events.logs import Log

_KEPT = 1000
"""Events that wait to be written."""
_BURST, _REFILL = 25, 300.0
"""Events of one object at once, and the seconds after which it may have one more."""
_MAX_MESSAGE = 1024
"""Bytes of a message that servers take."""
_MAX_NAME = 253
_OBJECTS = 20_000

_Type = Literal["Normal", "Warning"]


@dataclass(slots=True)
class _Said:
    """One Event: of what object, what, how often since it was last written."""

    namespace: str
    name: str
    body: Object
    count: int = 1


class Recorder:
    """The Events of one component, written by `run`."""

    def __init__(self, api: KubeApi, component: str, *, instance: str = "", log: Log | None = None) -> None:
        self._api, self._component, self._instance = api, component, instance or component
        self._log = log or Log("events")
        self._waiting: OrderedDict[str, _Said] = OrderedDict()
        self._allowed: Bounded[str, tuple[float, float]] = Bounded(_OBJECTS, _OBJECTS)
        self._counts: Bounded[str, int] = Bounded(_OBJECTS, _OBJECTS)
        self._arrived = asyncio.Event()
        self._is_failing = False
        self.dropped = 0
        """Events that were not written: too many, or refused."""

    def event(self, obj: Object, type_: _Type, reason: str, message: str) -> None:
        """Say something about `obj`, soon; never an error, never a wait."""
        metadata = obj["metadata"]
        uid, message = str(metadata.get("uid", "")), _cut(message)
        text = "\0".join((self._component, uid, type_, reason, message))
        name = f"{metadata['name'][: _MAX_NAME - 18]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        said = self._waiting.get(name)
        if said is not None:
            said.count += 1
            said.body["lastTimestamp"] = _now()
            return
        if len(self._waiting) >= _KEPT or not self._may(uid):
            self.dropped += 1
            return
        # Events about objects without a namespace are kept in this one.
        namespace = metadata.get("namespace") or "default"
        self._waiting[name] = _Said(namespace, name, self._body(obj, namespace, name, type_, reason, message))
        self._arrived.set()

    async def run(self) -> None:
        """Write what is said, until cancelled; while the server is away, wait."""
        pauses = Endless(0.5, 30)
        while True:
            await self._arrived.wait()
            name = next(iter(self._waiting))
            try:
                await self._write(self._waiting[name])
            except ActionError as error:
                if not _is_refusal(error):
                    self._tell(error)
                    await asyncio.sleep(pauses.next())
                    continue
                self.dropped += 1
                self._waiting[name].count = 0
                self._tell(error)
            else:
                self._is_failing = False
            pauses.reset()
            self._written(name)

    async def drain(self, seconds: float = 2.0) -> None:
        """Write what is left, for so long; to be called when `run` has ended."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._write(next(iter(self._waiting.values())))
                    self._written(next(iter(self._waiting)))
        except (TimeoutError, ActionError) as error:
            self._log.debug("Events were not written", count=len(self._waiting), reason=str(error))

    def _written(self, name: str) -> None:
        said = self._waiting.pop(name)
        if said.count and self._may(str(said.body["involvedObject"].get("uid", ""))):
            self._waiting[name] = said  # said again while it was written
        if not self._waiting:
            self._arrived.clear()

    async def _write(self, said: _Said) -> None:
        """Create the Event, or count it on the one that is there."""
        count, said.count = said.count, 0
        try:
            known = self._counts.get(said.name)
            is_counted = known and await self._patch(said, {"count": count + known})
            total = count + known if known and is_counted else await self._made(said, count)
            self._counts.put(said.name, total, 1)
        except ActionError:
            said.count += count
            raise

    async def _made(self, said: _Said, count: int) -> int:
        """How often it was said, once it is created, or counted on one of an earlier life."""
        try:
            await self._api.create(said.body | {"count": count}, namespace=said.namespace)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            return count
        there = await self._patch(said, {})
        if there is None:
            return 0
        count += int(there.get("count") or 0)
        await self._patch(said, {"count": count})
        return count

    async def _patch(self, said: _Said, change: Object) -> Object | None:
        """The Event as it is then; None when it is gone: servers keep them for an hour."""
        resource = await self._api.resource("v1", "Event")
        change = change | {"lastTimestamp": said.body["lastTimestamp"]}
        try:
            return await self._api.patch(
                resource, said.name, change, content_type=patches.MERGE, namespace=said.namespace
            )
        except KubeError as error:
            if error.status != 404:
                raise
            return None

    def _may(self, uid: str) -> bool:
        """Whether this object may have another Event."""
        now = asyncio.get_running_loop().time()
        left, since = self._allowed.get(uid) or (float(_BURST), now)
        left = min(_BURST, left + (now - since) / _REFILL)
        self._allowed.put(uid, (left - 1 if left >= 1 else left, now), 1)
        return left >= 1

    def _tell(self, error: ActionError) -> None:
        if not self._is_failing:
            self._log.warning("Kubernetes Events cannot be written", reason=str(error), waiting=len(self._waiting))
        self._is_failing = True

    def _body(self, obj: Object, namespace: str, name: str, type_: _Type, reason: str, message: str) -> Object:
        metadata, now = obj["metadata"], _now()
        api_version, kind = objects.kind_of(obj)
        involved = {"apiVersion": api_version, "kind": kind, "name": metadata["name"]}
        for field in ("namespace", "uid", "resourceVersion"):
            if metadata.get(field):
                involved[field] = metadata[field]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "type": type_,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }


def _is_refusal(error: ActionError) -> bool:
    """Whether trying again would not help: forbidden, the namespace is going, not an Event to the server."""
    return isinstance(error, KubeError) and 400 <= error.status < 500 and error.status not in (408, 409, 410, 429)


def _cut(message: str) -> str:
    text = message.encode()
    return message if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3].decode(errors="ignore") + "…"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
