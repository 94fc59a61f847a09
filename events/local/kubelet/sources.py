"""What a pod's containers are made of, from the API: config maps, secrets, tokens, claims."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from events.kube.api import KubeApi, Resource, find

Object = dict[str, Any]

_RENEW_AT = 0.8
_LONGEST_REST = 24 * 3600.0
_AUTHORITY, _AUTHORITY_SECONDS = "kube-root-ca.crt", 60.0


class NodeApi(KubeApi, Protocol):
    """What the node needs besides: the subresources that are created, such as a token or a binding."""

    async def create_at(
        self, resource: Resource, name: str, subresource: str, body: Object, *, namespace: str
    ) -> Object:
        """POST to a subresource of an object."""
        ...


@dataclass(frozen=True)
class Token:
    """A token of a service account, and when (in Unix seconds) to ask for the next."""

    text: str
    renew_at: float


class Authorities:
    """The config map with the CA of each namespace, which every pod mounts: read once a minute for all of them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Object]] = {}

    def get(self, namespace: str) -> Object | None:
        """As it was within the last minute."""
        since, found = self._known.get(namespace, (0.0, None))
        return found if time.monotonic() - since < _AUTHORITY_SECONDS else None

    def put(self, namespace: str, it: Object) -> None:
        """As it is now."""
        self._known[namespace] = (time.monotonic(), it)


class Sources:
    """Reads for one pod, with the permissions of the node."""

    def __init__(self, api: NodeApi, namespace: str, authorities: Authorities) -> None:
        self._api, self._namespace, self._authorities = api, namespace, authorities

    async def find(self, kind: str, name: str) -> Object | None:
        """A config map, secret or claim of the pod's namespace."""
        is_authority = (kind, name) == ("ConfigMap", _AUTHORITY)
        if is_authority and (known := self._authorities.get(self._namespace)) is not None:
            return known
        found = await find(self._api, await self._api.resource("v1", kind), name, namespace=self._namespace)
        if found is None:
            return None
        found |= {"kind": kind}
        if is_authority:
            self._authorities.put(self._namespace, found)
        return found

    async def volume(self, name: str) -> Object | None:
        """A persistent volume."""
        return await find(self._api, await self._api.resource("v1", "PersistentVolume"), name)

    async def token(self, pod: Object, audience: str, seconds: int) -> Token:
        """A token of the pod's account, bound to the pod."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {"expirationSeconds": max(600, seconds), "boundObjectRef": bound}
        if audience:
            spec["audiences"] = [audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        accounts = await self._api.resource("v1", "ServiceAccount")
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._api.create_at(accounts, account, "token", body, namespace=self._namespace)
        return Token(answer["status"]["token"], time.time() + min(_LONGEST_REST, seconds * _RENEW_AT))
