"""The node as an object of the API, and the lease that says it is alive."""

from __future__ import annotations

import asyncio
import os
import platform
from datetime import UTC, datetime
from typing import Any

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError
from events.local.kubelet.addresses import HOST
from events.local.kubelet.settings import Settings
from events.version import VERSION

Object = dict[str, Any]

LEASES = "kube-node-lease"
_LEASE_SECONDS, _RENEW_SECONDS = 40, 10.0
_PODS = "1000"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def labels(settings: Settings) -> dict[str, str]:
    """What selectors find the node by."""
    machine = platform.machine().lower()
    architecture, system = _ARCHITECTURES.get(machine, machine), platform.system().lower()
    return {
        "kubernetes.io/hostname": settings.name,
        "kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": system,
        "beta.kubernetes.io/arch": architecture,
    }


def status(settings: Settings, now: str, *, is_ready: bool) -> Object:
    """What the node says of itself."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    amounts = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": _PODS}
    ready = (
        ("True", "KubeletReady", "pods run as processes") if is_ready else ("False", "NodeStopped", "the node stops")
    )
    fine = [
        ("MemoryPressure", "KubeletHasSufficientMemory"),
        ("DiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "KubeletHasSufficientPID"),
    ]
    rows = [(kind, "False", reason, "not measured on this node") for kind, reason in fine] + [("Ready", *ready)]
    system = platform.machine().lower()
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": HOST}, {"type": "Hostname", "address": settings.hostname}],
        "conditions": [
            {
                "type": kind,
                "status": state,
                "reason": reason,
                "message": text,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            for kind, state, reason, text in rows
        ],
        "nodeInfo": {
            "kubeletVersion": f"keryx-{VERSION}",
            "kubeProxyVersion": f"keryx-{VERSION}",
            "containerRuntimeVersion": f"process://{VERSION}",
            "osImage": platform.platform(),
            "kernelVersion": platform.release(),
            "operatingSystem": platform.system().lower(),
            "architecture": _ARCHITECTURES.get(system, system),
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }


def _text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def register(api: KubeApi, settings: Settings) -> Object:
    """Create or find the node, and say that it is ready. Raises ActionError."""
    nodes = await api.resource("v1", "Node")
    it = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": settings.name, "labels": labels(settings)},
        "spec": {},
    }
    try:
        await api.create(it)
    except KubeError as error:
        if error.status != 409:
            raise
        await api.patch(nodes, settings.name, {"metadata": {"labels": labels(settings)}}, content_type=patches.MERGE)
    await tell(api, settings, is_ready=True)
    return await api.get(nodes, settings.name)


async def tell(api: KubeApi, settings: Settings, *, is_ready: bool) -> None:
    """Write the status. Raises ActionError."""
    body = {"status": status(settings, _text(), is_ready=is_ready)}
    nodes = await api.resource("v1", "Node")
    await api.patch(nodes, settings.name, body, content_type=patches.MERGE, status=True)


async def keep_lease(api: KubeApi, settings: Settings) -> None:
    """Renew the lease until cancelled; a failure is tried again at the next turn."""
    while True:
        try:
            await _renew(api, settings)
        except ActionError:
            await asyncio.sleep(_RENEW_SECONDS / 5)
        else:
            await asyncio.sleep(_RENEW_SECONDS)


async def _renew(api: KubeApi, settings: Settings) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": settings.name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
    leases = await api.resource("coordination.k8s.io/v1", "Lease")
    try:
        await api.patch(leases, settings.name, {"spec": spec}, content_type=patches.MERGE, namespace=LEASES)
    except KubeError as error:
        if error.status != 404:
            raise
        metadata = {"name": settings.name, "namespace": LEASES}
        await api.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
