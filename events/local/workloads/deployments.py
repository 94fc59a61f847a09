"""Deployments: a ReplicaSet for each template, rolled over within the limits of the strategy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.kube import patches, status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned, rollouts
from events.local.workloads.owned import Owned, Say
from events.local.workloads.rollouts import Part

Object = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FAILURE = "ReplicaFailure"
_KEPT, _DEADLINE = 10, 600


class Deployments:
    """`reconcile` takes one step of a rollout."""

    def __init__(self, api: KubeApi, deployments: Informer, sets: Informer, pods: Informer, say: Say) -> None:
        self._api, self._deployments, self._say, self._pods = api, deployments, say, Owned(api, pods)
        self._sets = Owned(api, sets)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._deployments.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        sets = sorted(await self._sets.fresh(it), key=revision_of)
        new = next((one for one in sets if _is_of(one, it)), None)
        old = [one for one in sets if new is None or one["metadata"]["uid"] != new["metadata"]["uid"]]
        revision = max([0, *map(revision_of, old)]) + 1
        if not it["spec"].get("paused"):
            new = await self._new(it, new, old, revision)
            await self._clean_up(it, old)
        if new is not None:
            await self._resize(it, new, old)
            await self._show_revision(it, revision_of(new))
        return await self._tell(it, new, old)

    async def _new(self, it: Object, new: Object | None, old: list[Object], revision: int) -> Object | None:
        """The set of the present template, the newest of all."""
        if new is not None:
            if revision_of(new) < revision:
                await self._patch(new, {"metadata": {"annotations": {REVISION: str(revision)}}})
                new["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
            return new
        if it["spec"].get("strategy", {}).get("type") == "Recreate" and await self._old_pods(old):
            return None
        made = replica_set(it, revision)
        made["spec"]["replicas"] = _first_size(it, old)
        found = await self._sets.make(made)
        if found is not None:
            name = found["metadata"]["name"]
            self._say(it, "Normal", "ScalingReplicaSet", f"Scaled up replica set {name} to {made['spec']['replicas']}")
        return found

    async def _old_pods(self, old: list[Object]) -> bool:
        """Whether there are pods of former templates; they are to go before new ones come."""
        for one in old:
            if one["spec"].get("replicas"):
                await self._patch(one, {"spec": {"replicas": 0}})
        return any(not owned.is_over(pod) for one in old for pod in self._pods.of(one))

    async def _resize(self, it: Object, new: Object, old: list[Object]) -> None:
        replicas = it["spec"].get("replicas", 1)
        strategy = it["spec"].get("strategy") or {}
        if strategy.get("type") == "Recreate":
            sizes = [replicas, *(0 for _ in old)]
        elif it["spec"].get("paused"):
            return
        else:
            grown, down = rollouts.rolled(
                replicas, _part(new), [_part(one) for one in old], rollouts.limits(strategy, replicas)
            )
            sizes = [grown, *down]
        for one, size in zip((new, *old), sizes, strict=True):
            before = one["spec"].get("replicas", 1)
            if before != size:
                way = "up" if size > before else "down"
                text = f"Scaled {way} replica set {one['metadata']['name']} from {before} to {size}"
                self._say(it, "Normal", "ScalingReplicaSet", text)
                await self._patch(one, {"spec": {"replicas": size}})
                one["spec"]["replicas"] = size

    async def _patch(self, one: Object, body: Object) -> None:
        metadata, sets = one["metadata"], await self._api.resource("apps/v1", "ReplicaSet")
        await self._api.patch(sets, metadata["name"], body, content_type=patches.MERGE, namespace=metadata["namespace"])

    async def _show_revision(self, it: Object, revision: int) -> None:
        metadata = it["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) != str(revision):
            body = {"metadata": {"annotations": {REVISION: str(revision)}}}
            kind = await self._api.resource("apps/v1", "Deployment")
            changed = await self._api.patch(
                kind, metadata["name"], body, content_type=patches.MERGE, namespace=metadata["namespace"]
            )
            it["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]

    async def _clean_up(self, it: Object, old: list[Object]) -> None:
        limit = it["spec"].get("revisionHistoryLimit", _KEPT)
        done = [one for one in old if not one["spec"].get("replicas") and not (one.get("status") or {}).get("replicas")]
        for one in done[: max(0, len(done) - limit)]:
            await self._sets.remove(one)

    async def _tell(self, it: Object, new: Object | None, old: list[Object]) -> float | None:
        """Write the status; seconds until it changes by time alone."""
        found = status_of(it, new, old, datetime.now(UTC))
        await status.write(self._api, it, found)
        deadline = it["spec"].get("progressDeadlineSeconds", _DEADLINE)
        is_waiting = any(one["reason"] == "ReplicaSetUpdated" for one in found["conditions"])
        return float(deadline) if is_waiting else None


def revision_of(one: Object) -> int:
    """Of a set."""
    text = (one["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _is_of(one: Object, it: Object) -> bool:
    """Whether a set has the present template of the deployment."""
    template = one["spec"]["template"]
    labels = {
        key: value for key, value in (template.get("metadata") or {}).get("labels", {}).items() if key != owned.HASH
    }
    bare = {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}
    wanted = it["spec"]["template"]
    return _plain(bare) == _plain(wanted)


def _plain(template: Object) -> Object:
    """Without what is empty: a server writes that differently at times."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    return {**template, "metadata": metadata}


def replica_set(it: Object, revision: int) -> Object:
    """The set of the present template."""
    metadata, template = it["metadata"], it["spec"]["template"]
    digest = owned.template_hash(template)
    inner = template.get("metadata") or {}
    labels = {**(inner.get("labels") or {}), owned.HASH: digest}
    selector = dict(it["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), owned.HASH: digest}
    notes = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != _LAST_APPLIED}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": notes | {REVISION: str(revision)},
            "ownerReferences": [owned.owner_reference(it)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "minReadySeconds": it["spec"].get("minReadySeconds") or 0,
            "template": {**template, "metadata": {**inner, "labels": labels}},
        },
    }


def _first_size(it: Object, old: list[Object]) -> int:
    """What fits beside the old ones."""
    replicas, strategy = int(it["spec"].get("replicas", 1)), it["spec"].get("strategy") or {}
    present = sum(int(one["spec"].get("replicas", 1)) for one in old)
    if strategy.get("type") == "Recreate" or not present:
        return replicas
    return max(0, min(replicas, replicas + rollouts.limits(strategy, replicas).surge - present))


def _part(one: Object) -> Part:
    found = one.get("status") or {}
    return Part(one["spec"].get("replicas", 1), found.get("replicas", 0), found.get("availableReplicas", 0))


def status_of(it: Object, new: Object | None, old: list[Object], now: datetime) -> Object:
    """What a deployment says of its sets. Pure."""
    every = [*old, *([new] if new else [])]

    def total(key: str) -> int:
        return sum((one.get("status") or {}).get(key, 0) for one in every)

    replicas, available = it["spec"].get("replicas", 1), total("availableReplicas")
    updated = ((new or {}).get("status") or {}).get("replicas", 0)
    counts = {
        "replicas": total("replicas"),
        "updatedReplicas": updated,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, replicas - available),
    }
    least = replicas - rollouts.limits(it["spec"].get("strategy") or {}, replicas).unavailable
    is_available = available >= least
    name = new["metadata"]["name"] if new else ""
    is_complete = updated == replicas == available == total("replicas") and new is not None
    conditions = [
        owned.condition(
            "Available",
            is_true=is_available,
            reason="MinimumReplicasAvailable" if is_available else "MinimumReplicasUnavailable",
            message=f"Deployment {'has' if is_available else 'does not have'} minimum availability.",
        ),
        _progress(it, name, counts, now, is_complete=is_complete),
    ]
    told = [] if is_complete else [failed for one in every if (failed := _failure(one))]
    known = (it.get("status") or {}).get("conditions") or ()
    old_ones = [one for one in known if told or one["type"] != _FAILURE]
    text = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "observedGeneration": it["metadata"].get("generation", 0),
        **{key: value for key, value in counts.items() if value},
        "conditions": owned.with_times(old_ones, [*conditions, *told[-1:]], text),
    }


def _failure(one: Object) -> Object | None:
    """That pods of a set cannot be made, and why: its owner says so, too."""
    found = (one.get("status") or {}).get("conditions") or ()
    failed = next((it for it in found if it["type"] == _FAILURE and it["status"] == "True"), None)
    if failed is None:
        return None
    return owned.condition(_FAILURE, is_true=True, reason=failed["reason"], message=failed["message"])


def _progress(it: Object, name: str, counts: Object, now: datetime, *, is_complete: bool) -> Object:
    if is_complete:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return owned.condition("Progressing", is_true=True, reason="NewReplicaSetAvailable", message=text)
    before = it.get("status") or {}
    former = next((one for one in before.get("conditions") or () if one["type"] == "Progressing"), None)
    deadline = it["spec"].get("progressDeadlineSeconds", _DEADLINE)
    has_moved = any(before.get(key, 0) != value for key, value in counts.items())
    if former and not has_moved and former["reason"] in ("ReplicaSetUpdated", "ProgressDeadlineExceeded"):
        waited = (now - owned.moment(former["lastUpdateTime"])).total_seconds()
        if former["reason"] == "ProgressDeadlineExceeded" or waited >= deadline:
            text = f'ReplicaSet "{name}" has timed out progressing.'
            return owned.condition("Progressing", is_true=False, reason="ProgressDeadlineExceeded", message=text)
    text = f'ReplicaSet "{name}" is progressing.'
    return owned.condition("Progressing", is_true=True, reason="ReplicaSetUpdated", message=text)
