"""StatefulSets: pods with names and claims of their own, one after the other or all at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.errors import ActionError
from events.kube import objects, status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned
from events.local.workloads.owned import Owned, Say

Object = dict[str, Any]

REVISION = "controller-revision-hash"
_NAME, _INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


class StatefulSets:
    """`reconcile` takes the next step: of growth, of shrinking, of an update."""

    def __init__(self, api: KubeApi, sets: Informer, pods: Informer, say: Say) -> None:
        self._api, self._sets, self._say = api, sets, say
        self._pods = Owned(api, pods)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._sets.get(key.namespace, key.name)
        if it is None:
            return None
        revision = revision_of(it)
        pods = {number: pod for pod in await self._pods.fresh(it) if (number := ordinal(it, pod)) is not None}
        if not owned.is_going(it):
            await self._step(it, pods, revision)
        now = datetime.now(UTC)
        await status.write(self._api, it, status_of(it, pods, revision, now))
        seconds = it["spec"].get("minReadySeconds") or 0
        waits = [rest for pod in pods.values() if (rest := owned.available_in(pod, seconds, now))]
        return min(waits) + 0.1 if waits else None

    async def _step(self, it: Object, pods: dict[int, Object], revision: str) -> None:
        spec = it["spec"]
        is_parallel = spec.get("podManagementPolicy") == "Parallel"
        first = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(first, first + spec.get("replicas", 1))
        now, seconds = datetime.now(UTC), spec.get("minReadySeconds") or 0
        for number in wanted:
            pod = pods.get(number)
            if pod is not None and owned.is_over(pod) and not owned.is_going(pod):
                await self._pods.remove(pod)  # made anew once it is gone
                return
            if pod is None:
                await self._make(it, number, _revision_for(it, number, revision), pods)
            elif owned.available_in(pod, seconds, now) == 0:
                continue
            if not is_parallel:
                return
        for number in sorted((one for one in pods if one not in wanted), reverse=True):
            if not owned.is_going(pods[number]):
                await self._remove(it, pods[number])
            if not is_parallel:
                return
        await self._update(it, pods, revision)

    async def _update(self, it: Object, pods: dict[int, Object], revision: str) -> None:
        """From the last one to the first, each when those before it are well again."""
        strategy = it["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        least = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        for number in sorted(pods, reverse=True):
            pod = pods[number]
            if number < least:
                return
            if pod["metadata"]["labels"].get(REVISION) != revision:
                if not owned.is_going(pod):
                    await self._remove(it, pod)
                return
            if not owned.is_ready(pod):
                return

    async def _remove(self, it: Object, pod: Object) -> None:
        await self._pods.remove(pod)
        name, own = pod["metadata"]["name"], it["metadata"]["name"]
        self._say(it, "Normal", "SuccessfulDelete", f"delete Pod {name} in StatefulSet {own} successful")

    async def _make(self, it: Object, number: int, revision: str, pods: dict[int, Object]) -> None:
        name = f"{it['metadata']['name']}-{number}"
        for claim in claims(it, name):
            await self._pods.make(claim)
        pod, own = pod_of(it, number, revision), it["metadata"]["name"]
        try:
            made = await self._pods.make(pod)
        except ActionError as error:
            text = f"create Pod {name} in StatefulSet {own} failed error: {error}"
            self._say(it, "Warning", "FailedCreate", text)
            raise
        if made is not None:
            pods[number] = made
            self._say(it, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {own} successful")


def revision_of(it: Object) -> str:
    """The name of the present template."""
    return f"{it['metadata']['name']}-{owned.template_hash(it['spec']['template'])}"


def _revision_for(it: Object, number: int, revision: str) -> str:
    """Those below the partition keep their label, but this server keeps no former templates: they get the present."""
    partition = ((it["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    current = (it.get("status") or {}).get("currentRevision")
    return str(current) if number < partition and current else revision


def ordinal(it: Object, pod: Object) -> int | None:
    """The number of a pod, if it is one of the set's."""
    prefix, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if prefix == it["metadata"]["name"] and number.isdigit() else None


def claims(it: Object, pod: str) -> list[Object]:
    """The claims of one pod. They outlive it."""
    found = []
    for template in it["spec"].get("volumeClaimTemplates") or ():
        metadata = template["metadata"]
        labels = {**(it["spec"]["selector"].get("matchLabels") or {}), **(metadata.get("labels") or {})}
        names = {"name": f"{metadata['name']}-{pod}", "namespace": it["metadata"]["namespace"], "labels": labels}
        if metadata.get("annotations"):
            names["annotations"] = metadata["annotations"]
        spec = objects.copied(template["spec"])
        found.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": names, "spec": spec})
    return found


def pod_of(it: Object, number: int, revision: str) -> Object:
    """One pod of the set."""
    name = f"{it['metadata']['name']}-{number}"
    labels = {REVISION: revision, _NAME: name, _INDEX: str(number)}
    pod = owned.pod_from(it["spec"]["template"], it, name, labels)
    spec = pod["spec"]
    spec["hostname"] = name
    if it["spec"].get("serviceName"):
        spec["subdomain"] = it["spec"]["serviceName"]
    own = [one["metadata"]["name"] for one in it["spec"].get("volumeClaimTemplates") or ()]
    volumes = [one for one in spec.get("volumes") or () if one["name"] not in own]
    claimed = [{"name": one, "persistentVolumeClaim": {"claimName": f"{one}-{name}"}} for one in own]
    if volumes or claimed:
        spec["volumes"] = [*volumes, *claimed]
    return pod


def status_of(it: Object, pods: dict[int, Object], revision: str, now: datetime) -> Object:
    """What a set says of its pods. Pure."""
    seconds = it["spec"].get("minReadySeconds") or 0
    alive = [pod for pod in pods.values() if not owned.is_over(pod)]
    updated = [pod for pod in alive if pod["metadata"]["labels"].get(REVISION) == revision]
    before = it.get("status") or {}
    wanted = it["spec"].get("replicas", 1)
    ready = [pod for pod in updated if owned.is_ready(pod)]
    is_complete = len(ready) == len(alive) == wanted
    current = revision if is_complete or not before.get("currentRevision") else before["currentRevision"]
    of_current = [pod for pod in alive if pod["metadata"]["labels"].get(REVISION) == current]
    found = {
        "replicas": len(alive),
        "readyReplicas": sum(map(owned.is_ready, alive)),
        "availableReplicas": sum(owned.available_in(pod, seconds, now) == 0 for pod in alive),
        "currentReplicas": len(of_current),
        "updatedReplicas": len(updated),
        "currentRevision": current,
        "updateRevision": revision,
        "observedGeneration": it["metadata"].get("generation", 0),
        "collisionCount": 0,
    }
    always = ("replicas", "availableReplicas", "collisionCount", "observedGeneration")
    return {key: value for key, value in found.items() if value or key in always}
