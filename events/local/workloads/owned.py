"""What all workloads share: the pods of an owner, new ones from its template, hashes, counts. Pure but for `Pods`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeApi, KubeError
from events.kube.informer import Informer

Object = dict[str, Any]

OVER = ("Succeeded", "Failed")
HASH = "pod-template-hash"


def now_text() -> str:
    """As times stand in objects."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """A time of an object."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def owner_reference(owner: Object) -> Object:
    """That this one controls the object it stands in."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned(it: Object, owner: Object) -> bool:
    """Whether `owner` controls it."""
    found = it["metadata"].get("ownerReferences") or ()
    return any(one.get("controller") and one["uid"] == owner["metadata"]["uid"] for one in found)


def by_owner(it: Object) -> Iterable[str]:
    """An index: the uid of who controls an object."""
    for one in it["metadata"].get("ownerReferences") or ():
        if one.get("controller"):
            yield one["uid"]


def template_hash(template: Object, salt: str = "") -> str:
    """Ten letters that follow from a template."""
    text = orjson.dumps([template, salt], option=orjson.OPT_SORT_KEYS)
    number = int.from_bytes(hashlib.sha256(text).digest()[:8])
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(objects.SUFFIX_ALPHABET))
        letters.append(objects.SUFFIX_ALPHABET[rest])
    return "".join(letters)


def pod_from(template: Object, owner: Object, name: str, labels: Mapping[str, str] | None = None) -> Object:
    """A pod of an owner."""
    given = template.get("metadata") or {}
    metadata: Object = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(given.get("labels") or {}), **(labels or {})},
        "ownerReferences": [owner_reference(owner)],
    }
    for key in ("annotations", "finalizers"):
        if given.get(key):
            metadata[key] = given[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": objects.copied(template["spec"])}


def random_name(prefix: str) -> str:
    """`prefix-x7k2p`."""
    return objects.generated(f"{prefix}-", "".join(random.choices(objects.SUFFIX_ALPHABET, k=5)))


def is_ready(pod: Object) -> bool:
    """Whether it says so, and is not on its way out."""
    return _is_true(pod, "Ready") and not is_going(pod)


def _is_true(it: Object, kind: str) -> bool:
    found = (it.get("status") or {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in found)


def is_going(it: Object) -> bool:
    """Whether it is being deleted."""
    return bool(it["metadata"].get("deletionTimestamp"))


def is_over(pod: Object) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in OVER


def phase(pod: Object) -> str:
    """As its status has it."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def available_in(pod: Object, seconds: float, now: datetime) -> float | None:
    """Seconds until it has been ready for `seconds`: 0 when it has, None when it is not ready."""
    if not is_ready(pod):
        return None
    if not seconds:
        return 0.0
    found = (pod.get("status") or {}).get("conditions") or ()
    since = next(one["lastTransitionTime"] for one in found if one["type"] == "Ready")
    return max(0.0, seconds - (now - moment(since)).total_seconds())


def order_of_removal(pod: Object) -> tuple[bool, bool, float]:
    """Sorted by it, those come first that are missed least: not running, not ready, young."""
    born = moment(pod["metadata"]["creationTimestamp"]).timestamp()
    return phase(pod) == "Running", is_ready(pod), -born


class Owned:
    """The objects of one kind that an owner controls: from the cache, or fresh from the server before a decision."""

    def __init__(self, api: KubeApi, informer: Informer) -> None:
        self._api, self._informer = api, informer
        informer.add_index("owner", by_owner)

    def of(self, owner: Object) -> list[Object]:
        """As of a moment ago."""
        return self._informer.by("owner", owner["metadata"]["uid"])

    async def fresh(self, owner: Object) -> list[Object]:
        """As they are now: who counts before it makes more must not count too few."""
        resource = await self._api.resource(self._informer.api_version, self._informer.kind)
        found = await self._api.list(resource, namespace=owner["metadata"]["namespace"])
        kind = {"apiVersion": self._informer.api_version, "kind": self._informer.kind}
        return [kind | one for one in found["items"] if is_owned(one, owner)]

    async def make(self, it: Object) -> Object | None:
        """Create it; None when there is one of its name."""
        try:
            return await self._api.create(it)
        except KubeError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def remove(self, it: Object) -> None:
        """Delete this very object; gone already is good."""
        resource = await self._api.resource(self._informer.api_version, self._informer.kind)
        metadata = it["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._api.delete(resource, metadata["name"], namespace=metadata["namespace"], options=options)
        except KubeError as error:
            if error.status not in (404, 409):
                raise


def condition(kind: str, *, is_true: bool, reason: str, message: str) -> Object:
    """A condition without its times."""
    return {"type": kind, "status": "True" if is_true else "False", "reason": reason, "message": message}


def with_times(old: Iterable[Object], new: Iterable[Object], now: str) -> list[Object]:
    """`new` with the times of their changes; what others said stays."""
    former = {one["type"]: one for one in old}
    found = []
    for one in new:
        before = former.pop(one["type"], None)
        same = before is not None and all(before.get(key) == one.get(key) for key in ("status", "reason", "message"))
        if before is not None and same:
            found.append(before)
            continue
        kept = before is not None and before["status"] == one["status"]
        since = before["lastTransitionTime"] if before is not None and kept else now
        found.append({**one, "lastUpdateTime": now, "lastTransitionTime": since})
    return found + list(former.values())


Say = Callable[[Object, str, str, str], None]
"""(object, Normal or Warning, reason, message)."""


async def attempt_all(work: Iterable[Any]) -> None:
    """Await one after the other; the first refusal is raised once all were tried."""
    failure: ActionError | None = None
    for one in work:
        try:
            await one
        except ActionError as error:
            failure = failure or error
    if failure:
        raise failure
