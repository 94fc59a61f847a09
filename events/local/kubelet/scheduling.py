"""A scheduler for one node: pods are bound to it when their selector allows that. Pure but for the binding."""

from __future__ import annotations

from typing import Any

from events.kube import patches
from events.kube.api import KubeApi, KubeError
from events.local.kubelet.sources import NodeApi

Object = dict[str, Any]

_DEFAULT = "default-scheduler"


def is_waiting(pod: Object) -> bool:
    """Whether it is ours to place."""
    spec = pod["spec"]
    is_ours = (spec.get("schedulerName") or _DEFAULT) == _DEFAULT and not spec.get("schedulingGates")
    return is_ours and not spec.get("nodeName") and not pod["metadata"].get("deletionTimestamp")


def refusal(pod: Object, node: str, labels: dict[str, str]) -> str:
    """Why it does not fit; empty when it does."""
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return f"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector (this is {node})."
    return ""


async def bind(api: NodeApi, pod: Object, node: str) -> None:
    """Place it. Raises KubeError."""
    metadata = pod["metadata"]
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    names = {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": names, "target": target}
    pods = await api.resource("v1", "Pod")
    try:
        await api.create_at(pods, metadata["name"], "binding", body, namespace=metadata["namespace"])
    except KubeError as error:
        if error.status not in (404, 409):  # gone, or bound by now
            raise


async def refuse(api: KubeApi, pod: Object, why: str, now: str) -> None:
    """Say on the pod why it waits."""
    known = (pod.get("status") or {}).get("conditions") or []
    if any(one["type"] == "PodScheduled" and one.get("message") == why for one in known):
        return
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": why,
        "lastTransitionTime": now,
        "lastProbeTime": None,
    }
    others = [one for one in known if one["type"] != "PodScheduled"]
    metadata, pods = pod["metadata"], await api.resource("v1", "Pod")
    body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [*others, condition]}}
    await api.patch(
        pods, metadata["name"], body, content_type=patches.MERGE, namespace=metadata["namespace"], status=True
    )
