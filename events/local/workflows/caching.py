"""Config maps and secrets, read and written for the engine. Contract: workflows G.6, B.4."""

from __future__ import annotations

import base64
import json

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object
from events.local.workflows.engine import caches


async def save(api: KubeApi, namespace: str, name: str, key: str, entry: Object) -> None:
    """Put an entry into a memoization cache, which is made when there is none."""
    resource = await api.resource("v1", "ConfigMap")
    patch = {"data": {key: json.dumps(entry)}}
    for _ in range(2):
        try:
            await api.patch(resource, name, patch, content_type=patches.MERGE, namespace=namespace)
        except KubeError as error:
            if error.status != 404:
                raise
        else:
            return
        try:
            await api.create(caches.config_map(name, namespace))
        except KubeError as error:
            if error.status != 409:
                raise


async def secret(api: KubeApi, namespace: str, name: str, key: str) -> str:
    """The text at a key of a secret; ActionError when there is none."""
    resource = await api.resource("v1", "Secret")
    found = await api.get(resource, name, namespace=namespace)
    data = (found.get("data") or {}).get(key)
    if data is None:
        raise ActionError(f"secret {name} has no key {key}")
    return base64.b64decode(data).decode()
