"""Making objects so: server-side apply under our own name, and no request where nothing would change.

What others add to an object (labels, sidecars, defaults) stays theirs. Fields that we said once and say no more are
removed by the server, which knows from the field manager that they were ours.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from events.bounded import Bounded
from events.kube import objects, patches
from events.kube.api import KubeApi, KubeError, Object
from events.logs import Log

FIELD_MANAGER = "keryx-controller"
HASH = "resource-spec-hash"
"""Annotation: what we wrote, as a hash. Argo Events has its own under the same name: a decimal number."""
_FORMER_MANAGERS = ("argo-events", "eventbus-controller", "eventsource-controller", "sensor-controller")
_LIST_KEYS = ("uid", "mountPath", "containerPort", "port", "name", "key", "type")
"""What tells the elements of a list apart, tried in this order: a mount has a name too, but not for itself alone."""
_KNOWN = 100_000
_AT_ONCE, _PAUSE, _LONGEST = 5, 10.0, 600.0
"""Corrections without a pause, the first pause after them in seconds, and the longest."""

Difference = list[tuple[str, Any]]


@dataclass(slots=True)
class _Written:
    """What became of our last write of one object."""

    uid: str
    hash: str
    left: Difference
    """How the server's answer differed from what was written: its own spelling, not a drift."""
    at: float
    corrections: int = 0
    is_told: bool = False


class Applier:
    """Applies objects for one controller process; safe to share by all its reconciles."""

    def __init__(self, api: KubeApi, *, manager: str = FIELD_MANAGER, log: Log | None = None) -> None:
        self._api, self._manager, self._log = api, manager, log or Log("apply")
        self._written: Bounded[tuple[str, str, str, str], _Written] = Bounded(_KNOWN, _KNOWN)

    async def apply(self, desired: Object, existing: Object | None) -> Object:
        """The object as it is once all of `desired` is in it; `existing` is what is known of it, if anything.

        KubeError 409 when `desired` has a uid that is not the object's any more.
        """
        desired = objects.copied(desired)
        digest = _digest(desired)
        desired["metadata"].setdefault("annotations", {})[HASH] = digest
        if existing is not None:
            if self._is_settled(desired, digest, existing):
                return existing
            if _is_former(existing):
                await self._take_over(existing)
        return await self._apply(desired, digest)

    async def delete(self, obj: Object) -> None:
        """Delete this very object; one of the same name that came after it is left alone."""
        metadata = obj["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        resource = await self._api.resource(*objects.kind_of(obj))
        try:
            await self._api.delete(resource, metadata["name"], namespace=metadata.get("namespace"), options=options)
        except KubeError as error:
            if error.status not in (404, 409):
                raise

    async def _apply(self, desired: Object, digest: str) -> Object:
        metadata = desired["metadata"]
        answer = await self._api.patch(
            await self._api.resource(*objects.kind_of(desired)),
            metadata["name"],
            desired,
            content_type=patches.APPLY,
            namespace=metadata.get("namespace"),
            params={"fieldManager": self._manager, "force": "true"},
        )
        uid, now, key = answer["metadata"]["uid"], asyncio.get_running_loop().time(), _key(desired)
        before = self._written.get(key)
        written = _Written(uid, digest, list(differences(desired, answer)), now)
        if before is not None and (before.uid, before.hash) == (uid, digest) and now - before.at <= 2 * _LONGEST:
            written.corrections, written.is_told = before.corrections + 1, before.is_told
        self._written.put(key, written, 1)
        return answer

    def _is_settled(self, desired: Object, digest: str, existing: Object) -> bool:
        """Whether nothing is to be written: all is there, as far as it can be; or somebody fights us for it."""
        if (existing["metadata"].get("annotations") or {}).get(HASH) != digest:
            return False
        found = list(differences(desired, existing))
        written = self._written.get(_key(desired))
        if not found:
            return True
        if written is None or (written.uid, written.hash) != (existing["metadata"].get("uid"), digest):
            return False
        return found == written.left or self._is_contested(existing, written, found)

    def _is_contested(self, existing: Object, written: _Written, found: Difference) -> bool:
        """Whether our correction has to wait, because the last ones did not hold."""
        excess = written.corrections - _AT_ONCE
        if excess < 0:
            return False
        pause = min(_LONGEST, _PAUSE * 2 ** min(excess, 30))
        if asyncio.get_running_loop().time() - written.at >= pause:
            return False
        if not written.is_told:
            written.is_told = True
            self._log.warning(
                "Somebody else keeps changing what we apply; correcting it less and less often",
                object=objects.describe(existing),
                fields=[path for path, _ in found][:5],
            )
        return True

    async def _take_over(self, existing: Object) -> None:
        """Make what Argo Events wrote ours, so that its fields that we do not have go away when we apply."""
        metadata = existing["metadata"]
        resource = await self._api.resource(*objects.kind_of(existing))
        live = await self._api.get(resource, metadata["name"], namespace=metadata.get("namespace"))
        body = adopting(live["metadata"], self._manager, _is_by_former)
        if body is None:
            return
        self._log.info("Taking over what Argo Events made", object=objects.describe(existing))
        await self._api.patch(
            resource, metadata["name"], body, content_type=patches.JSON, namespace=metadata.get("namespace")
        )


def adopting(metadata: Object, manager: str, is_former: Callable[[Object], bool]) -> list[Object] | None:
    """A JSON patch that makes the fields of former managers those of `manager`; None when they have none."""
    entries = metadata.get("managedFields") or []
    ours = [one for one in entries if is_former(one) or _is_by(one, manager)]
    if not any(is_former(one) for one in ours):
        return None
    fields: dict[str, Any] = {}
    for one in ours:
        _unite(fields, one.get("fieldsV1") or {})
    united = ours[0] | {"manager": manager, "operation": "Apply", "fieldsV1": fields}
    rest = [one for one in entries if one not in ours]
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": [united, *rest]},
    ]


def differences(desired: Any, existing: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Where `existing` has not what `desired` says: the path, and what is there instead. What it has beyond is fine."""
    if desired is None or desired == existing or (existing is None and desired in ({}, [])):
        return
    if isinstance(desired, dict) and isinstance(existing, dict):
        for name, value in desired.items():
            yield from differences(value, existing.get(name), f"{path}.{name}" if path else name)
    elif isinstance(desired, list) and isinstance(existing, list):
        for index, (one, other) in enumerate(_pairs(desired, existing)):
            yield from differences(one, other, f"{path}[{index}]")
    else:
        yield path, existing


def _pairs(desired: list[Any], existing: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Each element of `desired` with its partner: of the same key where they have one, else of the same place."""
    for name in _LIST_KEYS:
        keys = [one.get(name) if isinstance(one, dict) else None for one in desired]
        if None not in keys and len(set(map(str, keys))) == len(keys):
            partners = {str(one.get(name)): one for one in existing if isinstance(one, dict)}
            yield from ((one, partners.get(str(key))) for one, key in zip(desired, keys, strict=True))
            return
    if len(desired) == len(existing):
        yield from zip(desired, existing, strict=True)
    else:
        yield desired, existing if not isinstance(existing, list) else None


def _digest(desired: Object) -> str:
    return hashlib.sha256(orjson.dumps(desired, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _key(obj: Object) -> tuple[str, str, str, str]:
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata.get("namespace") or "", metadata["name"]


def _is_former(obj: Object) -> bool:
    """Whether Argo Events made it: its hashes are numbers of 32 bits."""
    text = str((obj["metadata"].get("annotations") or {}).get(HASH, ""))
    return text.isdecimal() and len(text) <= 10


def _is_by(entry: Object, manager: str) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (manager, "Apply", "")


def _is_by_former(entry: Object) -> bool:
    by = (entry.get("operation"), entry.get("subresource") or "")
    return by == ("Update", "") and entry.get("manager") in _FORMER_MANAGERS


def _unite(fields: dict[str, Any], more: dict[str, Any]) -> None:
    for name, inner in more.items():
        _unite(fields.setdefault(name, {}), inner or {})
