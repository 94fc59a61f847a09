"""HorizontalPodAutoscalers: nothing is measured here, and that is what they say."""

from __future__ import annotations

from typing import Any

from events.kube import status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned

Object = dict[str, Any]

_SAYS = "this machine has no metrics: the number of replicas stays as it is"


class Scalers:
    """`reconcile` says so."""

    def __init__(self, api: KubeApi, scalers: Informer) -> None:
        self._api, self._scalers = api, scalers

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._scalers.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        before = it.get("status") or {}
        said = owned.condition("ScalingActive", is_true=False, reason="NotSupported", message=_SAYS)
        timed = owned.with_times(before.get("conditions") or (), [said], owned.now_text())
        conditions = [{key: one[key] for key in one if key != "lastUpdateTime"} for one in timed]
        counts = {
            "currentReplicas": before.get("currentReplicas", 0),
            "desiredReplicas": before.get("desiredReplicas", 0),
        }
        await status.write(self._api, it, before | counts | {"conditions": conditions})
        return None
