"""DaemonSets: one pod on the one node."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.kube import status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned
from events.local.workloads.owned import Owned, Say

Object = dict[str, Any]

_REVISION = "controller-revision-hash"


class DaemonSets:
    """`reconcile` keeps one pod of the present template."""

    def __init__(self, api: KubeApi, sets: Informer, pods: Informer, nodes: Informer, say: Say) -> None:
        self._api, self._sets, self._nodes, self._say = api, sets, nodes, say
        self._pods = Owned(api, pods)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._sets.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        revision = owned.template_hash(it["spec"]["template"])
        pods = await self._pods.fresh(it)
        nodes = [one for one in self._nodes.all() if fits(it, one)]
        for pod in pods:
            await self._check(it, pod, nodes, revision)
        taken = {pod["spec"].get("nodeName") for pod in pods}
        for node in nodes:
            if node["metadata"]["name"] not in taken:
                pod = owned.pod_from(it["spec"]["template"], it, owned.random_name(key.name), {_REVISION: revision})
                pod["spec"]["nodeName"] = node["metadata"]["name"]
                if made := await self._pods.make(pod):
                    pods.append(made)
                    self._say(it, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        await status.write(self._api, it, status_of(it, pods, len(nodes), revision))
        return None

    async def _check(self, it: Object, pod: Object, nodes: list[Object], revision: str) -> None:
        """Remove what is of no use: ended, misplaced, or of a former template."""
        is_placed = any(node["metadata"]["name"] == pod["spec"].get("nodeName") for node in nodes)
        is_old = pod["metadata"]["labels"].get(_REVISION) != revision
        rolls = (it["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
        if not owned.is_going(pod) and (owned.is_over(pod) or not is_placed or (is_old and rolls)):
            await self._pods.remove(pod)


def fits(it: Object, node: Object) -> bool:
    """Whether a pod of the set may run there. Pure."""
    selector = it["spec"]["template"]["spec"].get("nodeSelector") or {}
    return bool(selector.items() <= (node["metadata"].get("labels") or {}).items())


def status_of(it: Object, pods: list[Object], wanted: int, revision: str) -> Object:
    """What a set says of its pods. Pure."""
    alive = [pod for pod in pods if not owned.is_going(pod)]
    ready = [pod for pod in alive if owned.is_ready(pod)]
    seconds, now = it["spec"].get("minReadySeconds") or 0, datetime.now(UTC)
    available = sum(owned.available_in(pod, seconds, now) == 0 for pod in ready)
    found = {
        "currentNumberScheduled": len(alive),
        "desiredNumberScheduled": wanted,
        "numberReady": len(ready),
        "numberAvailable": available,
        "numberUnavailable": wanted - available,
        "updatedNumberScheduled": sum(pod["metadata"]["labels"].get(_REVISION) == revision for pod in alive),
        "numberMisscheduled": 0,
        "observedGeneration": it["metadata"].get("generation", 0),
    }
    always = ("currentNumberScheduled", "desiredNumberScheduled", "numberReady", "numberMisscheduled")
    return {key: value for key, value in found.items() if value or key in always}
