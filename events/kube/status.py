"""Writes to the objects that people made: their status and their finalizers, and nothing else.

Each names the version that was read; where somebody wrote first it is a conflict (KubeError 409), and the object is
reconciled again as it is now. The rest of the object is not sent: what is kept of it here was trimmed.
"""

from __future__ import annotations

from typing import Any

from events.kube import objects, patches
from events.kube.api import KubeApi, KubeError, Object


async def write(api: KubeApi, obj: Object, status: Object) -> Object:
    """`obj` with this status; no request when it has it. An object that is gone has no status to be written."""
    if obj.get("status") == status:
        return obj
    return await _patch(api, obj, [{"op": "add", "path": "/status", "value": status}], status=True)


async def ensure_finalizer(api: KubeApi, obj: Object, name: str) -> Object:
    """`obj` with the finalizer; one that is being deleted gets none, the server would refuse it."""
    metadata = obj["metadata"]
    found = metadata.get("finalizers") or []
    if name in found or metadata.get("deletionTimestamp"):
        return obj
    return await _patch(api, obj, [{"op": "add", "path": "/metadata/finalizers", "value": [*found, name]}])


async def remove_finalizer(api: KubeApi, obj: Object, name: str) -> Object:
    """`obj` without the finalizer; those of others stay."""
    found = obj["metadata"].get("finalizers") or []
    if name not in found:
        return obj
    left = [one for one in found if one != name]
    return await _patch(api, obj, [{"op": "replace", "path": "/metadata/finalizers", "value": left}])


async def _patch(api: KubeApi, obj: Object, change: list[Any], *, status: bool = False) -> Object:
    metadata = obj["metadata"]
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    try:
        return await api.patch(
            await api.resource(*objects.kind_of(obj)),
            metadata["name"],
            [version, *change],
            content_type=patches.JSON,
            namespace=metadata.get("namespace"),
            status=status,
        )
    except KubeError as error:
        if error.status == 404:
            return obj
        raise
