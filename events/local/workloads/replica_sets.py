"""ReplicaSets: as many pods as are wanted, alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from events.errors import ActionError
from events.kube import status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned
from events.local.workloads.owned import Owned, Say

Object = dict[str, Any]

_AT_ONCE = 50


class ReplicaSets:
    """`reconcile` brings one set to its number."""

    def __init__(self, api: KubeApi, sets: Informer, pods: Informer, say: Say) -> None:
        self._api, self._sets, self._say = api, sets, say
        self._pods = Owned(api, pods)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._sets.get(key.namespace, key.name)
        if it is None:
            return None
        failure: ActionError | None = None
        pods = self._pods.of(it)
        if not owned.is_going(it) and len(_counted(pods)) != it["spec"].get("replicas", 1):
            try:
                pods = await self._scale(it, await self._pods.fresh(it))
            except ActionError as error:
                failure = error
                self._say(it, "Warning", "FailedCreate", f"Error creating: {_alike(it, error)}")
        await status.write(self._api, it, self._status(it, pods, failure))
        if failure:
            raise failure
        return _next_look(it, pods)

    async def _scale(self, it: Object, pods: list[Object]) -> list[Object]:
        await owned.attempt_all(
            self._pods.remove(pod) for pod in pods if owned.is_over(pod) and not owned.is_going(pod)
        )
        alive = _counted(pods)
        missing = it["spec"].get("replicas", 1) - len(alive)
        made = []
        for _ in range(min(missing, _AT_ONCE)):
            name = owned.random_name(it["metadata"]["name"])
            if pod := await self._pods.make(owned.pod_from(it["spec"]["template"], it, name)):
                made.append(pod)
                self._say(it, "Normal", "SuccessfulCreate", f"Created pod: {name}")
        for pod in sorted(alive, key=owned.order_of_removal)[: max(0, -missing)]:
            await self._pods.remove(pod)
            self._say(it, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
            alive.remove(pod)
        return [*alive, *made]

    def _status(self, it: Object, pods: list[Object], failure: ActionError | None) -> Object:
        alive, now = _counted(pods), datetime.now(UTC)
        labels = (it["spec"]["template"].get("metadata") or {}).get("labels") or {}
        seconds = it["spec"].get("minReadySeconds") or 0
        alike = [pod for pod in alive if labels.items() <= (pod["metadata"].get("labels") or {}).items()]
        found: Object = {
            "replicas": len(alive),
            "fullyLabeledReplicas": len(alike),
            "readyReplicas": sum(map(owned.is_ready, alive)),
            "availableReplicas": sum(owned.available_in(pod, seconds, now) == 0 for pod in alive),
            "observedGeneration": it["metadata"].get("generation", 0),
        }
        if failure:
            old = (it.get("status") or {}).get("conditions") or ()
            said = owned.condition("ReplicaFailure", is_true=True, reason="FailedCreate", message=_alike(it, failure))
            found["conditions"] = owned.with_times(old, [said], owned.now_text())
        return {key: value for key, value in found.items() if value or key in ("replicas", "observedGeneration")}


def _alike(it: Object, failure: ActionError) -> str:
    """What went wrong, without the name that each attempt makes up: else each would be news, and tried again for it."""
    return re.sub(rf"\b({re.escape(it['metadata']['name'])}-)[a-z0-9]{{5}}\b", r"\1", str(failure))


def _counted(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if not owned.is_going(pod) and not owned.is_over(pod)]


def _next_look(it: Object, pods: list[Object]) -> float | None:
    """When a pod becomes available by time alone."""
    now, seconds = datetime.now(UTC), it["spec"].get("minReadySeconds") or 0
    waits = [rest for pod in pods if (rest := owned.available_in(pod, seconds, now))]
    return min(waits) + 0.1 if waits else None
