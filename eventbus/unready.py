"""Why the servers of a bus are not ready: what its pods say, its volumes, or who refused the pods.

Used by the controller of buses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from events.kube.api import KubeApi, Object
from events.kube.rollout import PROGRESSING, UNSCHEDULABLE, why_not

VOLUMES_PENDING, PODS_REFUSED = "VolumesPending", "FailedCreate"
Why = tuple[str, str]
"""Reason and message."""


async def why(api: KubeApi, servers: Object, pods: Sequence[Object], claims: Sequence[Object]) -> Why | None:
    """The reason that a person can act on; None: there is nothing to say but that they are not ready (yet).

    `pods` and `claims` are the bus's own. Raises ActionError.
    """
    found = why_not(pods, lambda _: "its log says why")
    if found is not None and found[0] not in (PROGRESSING, UNSCHEDULABLE):
        return found
    if pending := _pending(claims):
        return VOLUMES_PENDING, pending
    if found is None and len(pods) < (servers["spec"].get("replicas") or 0):
        refused = await _refusal(api, servers)
        return (PODS_REFUSED, refused) if refused else None
    return found


def _pending(claims: Sequence[Object]) -> str:
    """What a claim that has no volume says of itself."""
    for claim in claims:
        status, spec, name = claim.get("status") or {}, claim.get("spec") or {}, claim["metadata"]["name"]
        if status.get("phase") == "Lost":
            return f"PersistentVolumeClaim {name} has lost its volume"
        if status.get("phase", "Pending") == "Pending":
            wanted = spec.get("storageClassName")
            of_class = f"of StorageClass {wanted!r}" if wanted else "of the default StorageClass"
            size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "")
            return f"PersistentVolumeClaim {name} waits for a volume of {size} {of_class}: does the class exist?"
    return ""


async def _refusal(api: KubeApi, servers: Object) -> str:
    """Why no pod could be made (a quota, pod security): a StatefulSet says it by Events alone."""
    metadata = servers["metadata"]
    selector = f"involvedObject.uid={metadata['uid']},reason={PODS_REFUSED}"
    listed = await api.list(
        await api.resource("v1", "Event"), namespace=metadata.get("namespace"), field_selector=selector
    )
    found = sorted(listed.get("items") or [], key=_last)
    return str(found[-1].get("message") or "") if found else ""


def _last(event: Object) -> Any:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
