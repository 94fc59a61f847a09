"""Objects that triggers change or delete (step 11). Contract: sensors D.1.

All three may be repeated: an update and a patch say how the object shall be, and what is gone is deleted.
"""

from __future__ import annotations

from typing import Any

from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeError, Object, Resource, find
from sensors.base import TriggerContext

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "keryx"
_TRIES = 5
"""Of an update whose object others change at the same time."""


async def live(obj: Object, context: TriggerContext) -> Object:
    """The object as the cluster has it; ActionError unless `obj` says exactly which one."""
    resource = await context.kube().resource(*objects.kind_of(obj))
    name = _name(obj)
    namespace = obj["metadata"].get("namespace")
    if resource.namespaced and not namespace:
        raise ActionError("the resource's metadata.namespace is required to read the live object")
    return await context.kube().get(resource, name, namespace=namespace)


async def update(obj: Object, context: TriggerContext) -> Object:
    """The object merged over the live one, which is made when it is missing.

    Maps are merged, everything else is replaced, null too. When somebody else writes meanwhile, it is merged again.
    """
    kube, name = context.kube(), _name(obj)
    resource, namespace = await _place(obj, context)
    for attempt in range(1, _TRIES + 1):
        found = await find(context.kube(), resource, name, namespace=namespace)
        if found is None:
            return await kube.create(obj, namespace=context.namespace)
        version = found["metadata"].get("resourceVersion")
        wanted = merged(found, obj)
        if version is not None:
            wanted["metadata"]["resourceVersion"] = version
        try:
            return await kube.replace(wanted, namespace=context.namespace)
        except KubeError as error:
            if error.status != 409 or attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


async def patch(obj: Object, context: TriggerContext, strategy: str) -> Object:
    """The object sent as a patch of the live one, which is made when it is missing."""
    kube, name = context.kube(), _name(obj)
    resource, namespace = await _place(obj, context)
    params = {"fieldManager": FIELD_MANAGER}
    if strategy == APPLY:
        params["force"] = "true"  # the fields that the Sensor names are the Sensor's
    elif await find(context.kube(), resource, name, namespace=namespace) is None:
        return await kube.create(obj, namespace=context.namespace)
    return await kube.patch(resource, name, obj, content_type=strategy or MERGE, namespace=namespace, params=params)


async def delete(obj: Object, context: TriggerContext) -> None:
    """Returns when the object is gone, or on its way."""
    resource, namespace = await _place(obj, context)
    name = _name(obj)
    if await find(context.kube(), resource, name, namespace=namespace) is None:
        return
    try:
        await context.kube().delete(resource, name, namespace=namespace)
    except KubeError as error:
        if error.status != 404:
            raise


def merged(live: Object, obj: Object) -> Object:
    """`obj` over `live`: maps are merged, everything else is replaced, null too."""
    result: dict[str, Any] = dict(live)
    for key, value in obj.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def _name(obj: Object) -> str:
    name = obj["metadata"].get("name")
    if not (isinstance(name, str) and name):
        raise ActionError("the resource has no metadata.name: there is nothing to change")
    return name


async def _place(obj: Object, context: TriggerContext) -> tuple[Resource, str | None]:
    resource = await context.kube().resource(*objects.kind_of(obj))
    return resource, objects.home(obj, context.namespace)
