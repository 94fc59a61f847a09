"""Small writes of controllers, where what is done already is as good."""

from __future__ import annotations

from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object


async def create(api: KubeApi, obj: Object) -> None:
    """Create; what is there already is as good."""
    try:
        await api.create(obj)
    except KubeError as error:
        if error.status != 409:
            raise


async def delete(api: KubeApi, version: str, kind: str, name: str, namespace: str | None, *, uid: str = "") -> None:
    """Delete; what is gone already, or is another one than that with `uid`, is as good."""
    options = {"preconditions": {"uid": uid}} if uid else None
    try:
        resource = await api.resource(version, kind)
        await api.delete(resource, name, namespace=namespace, options=options)
    except KubeError as error:
        if error.status != 404 and not (uid and error.status == 409):
            raise


async def merge(api: KubeApi, version: str, kind: str, obj: Object, patch: Object) -> None:
    """Merge a patch into an object that may be gone."""
    meta = obj["metadata"]
    try:
        resource = await api.resource(version, kind)
        await api.patch(resource, meta["name"], patch, content_type=patches.MERGE, namespace=meta.get("namespace"))
    except KubeError as error:
        if error.status != 404:
            raise


async def label(api: KubeApi, version: str, kind: str, obj: Object, name: str, value: str) -> None:
    """Give an object a label."""
    await merge(api, version, kind, obj, {"metadata": {"labels": {name: value}}})
