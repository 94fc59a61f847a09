"""What a real cluster's controllers of Deployments and StatefulSets do, as far as others see it: statuses, volumes.

An ordinary client. It stamps what it finds ready, late or never, and makes the claims of a StatefulSet, which stay when
it goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from events.errors import KeryxError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object

Judge = Callable[[Object], float | None]
"""Seconds after which a workload is ready; None: never."""
_LOOK = 0.05


def at_once(_workload: Object) -> float | None:
    return 0.0


class StandInWorkloads:
    """Looks at all workloads again and again."""

    def __init__(self, kube: KubeApi, judge: Judge = at_once) -> None:
        self._kube, self._judge = kube, judge
        self._since: dict[tuple[str, int], float] = {}

    async def run(self) -> None:
        while True:
            with contextlib.suppress(KeryxError):  # an object that went meanwhile; a server that is away
                for kind in ("Deployment", "StatefulSet"):
                    await self._look(kind)
            await asyncio.sleep(_LOOK)

    async def _look(self, kind: str) -> None:
        resource = await self._kube.resource("apps/v1", kind)
        now = asyncio.get_running_loop().time()
        for item in (await self._kube.list(resource))["items"]:
            one = {"kind": kind} | item  # which is not said in lists
            meta = one["metadata"]
            since = self._since.setdefault((meta["uid"], meta["generation"]), now)
            after = self._judge(one)
            status = _status(one, is_ready=after is not None and now - since >= after)
            if meta.get("deletionTimestamp") or status.items() <= (one.get("status") or {}).items():
                continue
            with contextlib.suppress(KubeError):
                if kind == "StatefulSet":
                    await self._claims(one)
                await self._kube.patch(
                    resource,
                    meta["name"],
                    {"status": status},
                    content_type=patches.MERGE,
                    namespace=meta["namespace"],
                    status=True,
                )

    async def _claims(self, one: Object) -> None:
        meta = one["metadata"]
        for template in one["spec"].get("volumeClaimTemplates") or ():
            for ordinal in range(one["spec"].get("replicas", 1)):
                name = f"{template['metadata']['name']}-{meta['name']}-{ordinal}"
                labels = (one["spec"]["selector"].get("matchLabels") or {}) | (template["metadata"].get("labels") or {})
                claim = {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels},
                    "spec": template["spec"],
                }
                with contextlib.suppress(KubeError):
                    await self._kube.create(claim)


def _status(one: Object, *, is_ready: bool) -> Object:
    replicas = one["spec"].get("replicas", 1)
    ready = replicas if is_ready else 0
    status: Object = {
        "observedGeneration": one["metadata"]["generation"],
        "replicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": replicas,
    }
    if one["kind"] == "StatefulSet":
        return status | {"currentReplicas": replicas}
    return status | {"unavailableReplicas": replicas - ready}


@asynccontextmanager
async def workloads(kube: KubeApi, judge: Judge = at_once) -> AsyncIterator[StandInWorkloads]:
    """Beside what a test does."""
    stand_in = StandInWorkloads(kube, judge)
    task = asyncio.create_task(stand_in.run())
    try:
        yield stand_in
    finally:
        assert not task.done(), task
        task.cancel()
        await asyncio.wait({task})
