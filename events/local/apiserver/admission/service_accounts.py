"""Each pod runs as a service account, whose token is mounted unless the pod or the account says otherwise."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from events.local.apiserver.access.tokens import ObjectLookup
from events.local.apiserver.admission.request import Object, Request

DEFAULT = "default"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a path
_PREFIX = "kube-api-access-"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_TOKEN_SECONDS = 3607
"""An hour, told from one that was asked for."""
_MODE = 0o644
_TRIES, _PAUSE = 20, 0.1
"""The account `default` is made a moment after its namespace."""
_MIRROR = "kubernetes.io/config.mirror"


def concerns(request: Request) -> bool:
    """Whether it is a pod being created."""
    return request.resource[::2] == ("", "pods") and not request.subresource and request.operation == "CREATE"


async def complete(request: Request, objects: ObjectLookup) -> Object:
    """The pod with its account, token volume and pull secrets. Raises StatusError 403."""
    pod = dict(request.new or {})
    spec: dict[str, Any] = dict(pod.get("spec") or {})
    if _MIRROR in ((pod.get("metadata") or {}).get("annotations") or {}):
        return pod
    name = spec.get("serviceAccountName") or DEFAULT
    account = await _account(request, objects, name)
    spec |= {"serviceAccountName": name, "serviceAccount": name}
    if _automounts(account, spec):
        _mount(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": one.get("name", "")} for one in account["imagePullSecrets"]]
    return pod | {"spec": spec}


async def _account(request: Request, objects: ObjectLookup, name: str) -> Object:
    for attempt in range(_TRIES if name == DEFAULT else 1):
        if attempt:
            await asyncio.sleep(_PAUSE)
        if account := objects.get("serviceaccounts", request.namespace, name):
            return account
    why = f'serviceaccount "{name}" not found'
    raise request.forbidden(f"error looking up service account {request.namespace}/{name}: {why}")


def _automounts(account: Object, spec: Mapping[str, Any]) -> bool:
    for it in (spec, account):
        if (wish := it.get("automountServiceAccountToken")) is not None:
            return bool(wish)
    return True


def _mount(spec: dict[str, Any]) -> None:
    volumes = list(spec.get("volumes") or ())
    known = next((one["name"] for one in volumes if one.get("name", "").startswith(_PREFIX)), None)
    name = known or _PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(5))
    mounted = False
    for key in ("initContainers", "containers"):
        if not spec.get(key):
            continue
        spec[key] = [_with_mount(container, name) for container in spec[key]]
        mounted = mounted or any(_mounts(container, name) for container in spec[key])
    if mounted and not known:
        spec["volumes"] = [*volumes, _volume(name)]


def _mounts(container: Object, name: str) -> bool:
    return any(one.get("name") == name for one in container.get("volumeMounts") or ())


def _with_mount(container: Object, name: str) -> Object:
    mounts = list(container.get("volumeMounts") or ())
    if any(one.get("mountPath") == TOKEN_PATH for one in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}]}


def _volume(name: str) -> Object:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": _MODE}}
