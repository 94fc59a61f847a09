"""What the webhook keeps in the cluster: its certificates and the configuration that has it called. Contract: G.4.

Several replicas do the same at the same time and agree: every write names the version that was read, and who comes
late reads again. The configuration is read before the Secret, so that nobody overwrites newer authorities with older.
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from events.app.admission import certificates
from events.app.admission.certificates import Chain
from events.errors import ActionError
from events.kube.api import KubeApi, KubeError, Object
from events.resources import API_VERSION

CONFIGURATION = "webhook.argo-events.argoproj.io"
SECRET = "events-webhook-certs"  # noqa: S105 - a name
TIMEOUT_SECONDS = 10
_TRIES = 8
PLURALS = ("eventbus", "eventsources", "sensors")
_CLIENT_CA = ("kube-system", "extension-apiserver-authentication", "requestheader-client-ca-file")


@dataclass(frozen=True, slots=True)
class Names:
    """Where the webhook lives."""

    namespace: str
    service: str = "events-webhook"
    deployment: str = "events-webhook"
    cluster_role: str = "argo-events-webhook"
    port: int = 443

    @property
    def dns(self) -> tuple[str, ...]:
        """What the API server calls it."""
        host = f"{self.service}.{self.namespace}.svc"
        return host, f"{host}.cluster.local"


class Keeper:
    """Brings Secret and configuration up to date; called again and again."""

    def __init__(self, api: KubeApi, names: Names) -> None:
        self._api, self._names = api, names

    async def keep(self, now: datetime | None = None) -> Chain:
        """The certificates to serve, everything written that was due. ActionError when the API server is away."""
        for _ in range(_TRIES):
            try:
                configuration = await self._get("admissionregistration.k8s.io/v1", _KIND, CONFIGURATION, None)
                chain = await self._chain(now or datetime.now(UTC))
                await self._configure(configuration, chain)
            except KubeError as error:
                if error.status != 409:
                    raise
            else:
                return chain
        raise ActionError(f"{SECRET} or {CONFIGURATION} was changed by others again and again")

    async def client_authority(self) -> str:
        """The authority of an API server's own requests, as PEM; empty when it cannot be read."""
        namespace, name, key = _CLIENT_CA
        with contextlib.suppress(ActionError):
            found = await self._get("v1", "ConfigMap", name, namespace)
            return str(((found or {}).get("data") or {}).get(key) or "")
        return ""

    async def _chain(self, now: datetime) -> Chain:
        """The certificates of the Secret, renewed when due; a new Secret when there is none."""
        namespace = self._names.namespace
        secret = await self._get("v1", "Secret", SECRET, namespace)
        stored = _data(secret)
        chain = certificates.ensured(Chain.of(stored), self._names.dns, now)
        if secret is not None and chain.data() == {key: value for key, value in stored.items() if key in _KEYS}:
            return chain
        others = {key: value for key, value in stored.items() if key not in _KEYS}
        coded = {key: base64.b64encode(value).decode() for key, value in (others | chain.data()).items()}
        if secret is not None:
            await self._api.replace(secret | {"data": coded}, namespace=namespace)
            return chain
        metadata: Object = {"name": SECRET, "namespace": namespace}
        owner = await self._owner("apps/v1", "Deployment", self._names.deployment, namespace)
        metadata |= {"ownerReferences": [owner]} if owner else {}
        await self._api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": coded})
        return chain

    async def _configure(self, found: Object | None, chain: Chain) -> None:
        """Create the configuration, or bring up to date what is ours in it."""
        if found is None:
            role = self._names.cluster_role
            owner = await self._owner("rbac.authorization.k8s.io/v1", "ClusterRole", role, None)
            metadata: Object = {"name": CONFIGURATION} | ({"ownerReferences": [owner]} if owner else {})
            await self._api.create(
                {
                    "apiVersion": "admissionregistration.k8s.io/v1",
                    "kind": _KIND,
                    "metadata": metadata,
                    "webhooks": [_DEFAULTS | self._ours(chain)],
                }
            )
            return
        listed = [one for one in found.get("webhooks") or () if one.get("name") == CONFIGURATION]
        before = listed[0] if listed else _DEFAULTS
        after = before | self._ours(chain)
        if found.get("webhooks") != [after]:
            await self._api.replace(found | {"webhooks": [after]})

    def _ours(self, chain: Chain) -> Object:
        """The fields that only this program sets. What else there is may be changed by those who run the cluster."""
        names = self._names
        return {
            "name": CONFIGURATION,
            "clientConfig": {
                "service": {"name": names.service, "namespace": names.namespace, "port": names.port},
                "caBundle": base64.b64encode(chain.authorities.encode()).decode(),
            },
            "rules": [
                {
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                    "apiGroups": [API_VERSION.partition("/")[0]],
                    "apiVersions": [API_VERSION.partition("/")[2]],
                    "resources": list(PLURALS),
                    "scope": "*",
                }
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
        }

    async def _owner(self, api_version: str, kind: str, name: str, namespace: str | None) -> Object | None:
        """A reference that has something go with its owner; None when the owner cannot be read."""
        with contextlib.suppress(ActionError):
            if (found := await self._get(api_version, kind, name, namespace)) is not None:
                return {"apiVersion": api_version, "kind": kind, "name": name, "uid": found["metadata"]["uid"]}
        return None

    async def _get(self, api_version: str, kind: str, name: str, namespace: str | None) -> Object | None:
        resource = await self._api.resource(api_version, kind)
        try:
            return await self._api.get(resource, name, namespace=namespace)
        except KubeError as error:
            if error.status != 404:
                raise
            return None


_KIND = "ValidatingWebhookConfiguration"
_KEYS = frozenset(Chain(*["-"] * 5).data())
_DEFAULTS: Object = {"failurePolicy": "Ignore", "matchPolicy": "Equivalent", "timeoutSeconds": TIMEOUT_SECONDS}


def _data(secret: Object | None) -> dict[str, bytes]:
    raw: dict[str, Any] = (secret or {}).get("data") or {}
    found = {}
    for key, value in raw.items():
        with contextlib.suppress(ValueError, TypeError):
            found[key] = base64.b64decode(value, validate=True)
    return found
