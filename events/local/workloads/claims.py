"""Claims for volumes: each gets a folder of this machine, as a PersistentVolume with that path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from events.kube import patches, status
from events.kube.api import KubeApi, KubeError
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned

Object = dict[str, Any]

CLASS = "local-folder"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class Claims:
    """`reconcile` binds one claim. Folders are kept when their claim is deleted: they may hold what somebody misses."""

    def __init__(self, api: KubeApi, claims: Informer, folder: Path) -> None:
        self._api, self._claims, self._folder = api, claims, folder

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._claims.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        name = it["spec"].get("volumeName") or f"pvc-{it['metadata']['uid']}"
        if not it["spec"].get("volumeName"):
            await self._make(
                volume_of(it, name, self._folder / f"{key.namespace}_{key.name}_{it['metadata']['uid'][:8]}")
            )
            claims = await self._api.resource("v1", "PersistentVolumeClaim")
            body = {"spec": {"volumeName": name}}
            it = await self._api.patch(claims, key.name, body, content_type=patches.MERGE, namespace=key.namespace)
        amount = ((it["spec"].get("resources") or {}).get("requests") or {}).get("storage", "1Gi")
        bound = {"phase": "Bound", "accessModes": it["spec"].get("accessModes") or [], "capacity": {"storage": amount}}
        await status.write(self._api, it, bound)
        return None

    async def _make(self, volume: Object) -> None:
        try:
            made = await self._api.create(volume)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            await status.write(self._api, made | {"apiVersion": "v1", "kind": "PersistentVolume"}, {"phase": "Bound"})


def volume_of(claim: Object, name: str, folder: Path) -> Object:
    """The volume of a claim. Pure."""
    spec, metadata = claim["spec"], claim["metadata"]
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi")
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    reference |= {key: metadata[key] for key in ("name", "namespace", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": amount},
            "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
            "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
            "claimRef": reference,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec.get("storageClassName") or CLASS,
        },
    }
