"""Workflows that have ended: archived, cleaned up, deleted in time; and those that are being deleted. Contract: K.

Called by `controller`. Everything here may be done twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path

from events.errors import KeryxError
from events.kube.api import KubeApi, KubeError, Object
from events.kube.controller import Key
from events.local.workflows import completing, packing, writing
from events.local.workflows.archive import Archive
from events.local.workflows.artifacts import collecting
from events.local.workflows.artifacts.collecting import FINALIZER, ON_COMPLETION, ON_DELETION
from events.local.workflows.artifacts.locations import Location
from events.local.workflows.artifacts.stores import Stores
from events.local.workflows.artifacts.transfers import Transfers
from events.local.workflows.configuration import Configuration
from events.local.workflows.definitions import API_VERSION
from events.local.workflows.engine.operating import COMPLETED
from events.threads import in_thread

ARCHIVED = "workflows.argoproj.io/workflow-archiving-status"
_AGAIN = 60.0
"""Seconds until artifacts that could not be deleted are tried again."""


class Ending:
    """`look` has a Workflow looked at again."""

    def __init__(
        self,
        api: KubeApi,
        data: Path,
        archive: Archive,
        stores: Stores,
        transfers: Transfers,
        look: Callable[[Key], object],
    ) -> None:
        self._api, self._data, self._archive, self._stores = api, data, archive, stores
        self._transfers, self._look = transfers, look
        self._labelled: dict[str, str] = {}
        """When those ended that were given the label, and were not told with it yet, by uid."""

    async def complete(
        self,
        key: Key,
        workflow: Object,
        pods: Iterable[Object],
        others: Iterable[Object],
        told: Configuration,
        now: datetime,
    ) -> float | None:
        """Archive, clean up, and delete when its time is over; `others` are the Workflows there are."""
        pods = list(pods)
        wait = await self._pods(key, workflow, pods, now)
        if not await self._collected(key, workflow):
            return wait
        uid, ended = workflow["metadata"]["uid"], str(workflow["status"].get("finishedAt"))
        if (workflow["metadata"].get("labels") or {}).get(ARCHIVED) == "Archived":
            self._labelled.pop(uid, None)
        elif self._labelled.get(uid) != ended:
            await self._archived(key, workflow, told)
            self._labelled[uid] = ended
            for name, namespace in completing.retired(others, told.retention):
                await writing.delete(self._api, API_VERSION, "Workflow", name, namespace)
        expires = completing.expires(workflow)
        if expires is not None:
            if expires <= now:
                await writing.delete(self._api, API_VERSION, "Workflow", key.name, key.namespace)
                return None
            left = (expires - now).total_seconds() + 0.05
            wait = left if wait is None else min(wait, left)
        return wait

    async def _pods(self, key: Key, workflow: Object, pods: list[Object], now: datetime) -> float | None:
        doomed, wait = completing.superfluous(workflow, pods, now)
        for name in doomed:
            await writing.delete(self._api, "v1", "Pod", name, key.namespace)
        for pod in pods:
            if pod["metadata"]["labels"].get(COMPLETED) != "true" and pod["metadata"]["name"] not in doomed:
                await writing.label(self._api, "v1", "Pod", pod, COMPLETED, "true")
        return wait

    async def _archived(self, key: Key, workflow: Object, told: Configuration) -> None:
        folder = self._data / "nodes" / workflow["metadata"]["uid"]

        def keep() -> None:
            if told.archives:
                self._archive.put(workflow)
            _without_copies(folder)

        await in_thread(keep, "archive")
        if completing.drops_claims(workflow):
            for one in (workflow["status"].get("persistentVolumeClaims")) or ():
                name = one["persistentVolumeClaim"]["claimName"]
                await writing.delete(self._api, "v1", "PersistentVolumeClaim", name, key.namespace)
        await writing.label(self._api, API_VERSION, "Workflow", workflow, ARCHIVED, "Archived")

    # --- artifacts

    async def _collected(self, key: Key, workflow: Object) -> bool:
        """Whether nothing of artifactGC is left to do at completion; what failed is tried again at the deletion."""
        spec, strategies = completing.spec_of(workflow), (ON_COMPLETION,)
        conditions = (workflow["status"].get("conditions")) or ()
        if any(one.get("type") == collecting.CONDITION for one in conditions):
            return True
        if not collecting.due(workflow, spec, strategies):
            return True
        problem = self._removed(key, workflow, strategies, "completion")
        if problem is not None:
            await self._write(collecting.noted(workflow, spec, strategies, problem))
            self._transfers.forget(f"gc/{workflow['metadata']['uid']}/")
        return False

    def _removed(self, key: Key, workflow: Object, strategies: tuple[str, ...], when: str) -> str | None:
        """None while artifacts are being deleted, then what went wrong."""
        try:
            several = collecting.due(workflow, completing.spec_of(workflow), strategies)
        except KeryxError as error:
            return str(error)
        work = partial(self._remove, key.namespace, several)
        return self._transfers.outcome(f"gc/{workflow['metadata']['uid']}/{when}", work, lambda: self._look(key))

    async def _remove(self, namespace: str, several: list[Location]) -> None:
        for location in several:
            await (await self._stores.of(namespace, location)).delete(location.key)

    async def _write(self, workflow: Object) -> None:
        try:
            await self._api.replace(packing.packed(workflow))
        except KubeError as error:
            if error.status not in (404, 409):  # somebody else wrote: the next look does it
                raise

    async def deleting(self, key: Key, workflow: Object) -> float | None:
        """A Workflow that waits for its finalizer."""
        meta = workflow["metadata"]
        if FINALIZER not in (meta.get("finalizers") or ()):
            return None
        spec, strategies = completing.spec_of(workflow), (ON_COMPLETION, ON_DELETION)
        problem = self._removed(key, workflow, strategies, "deletion")
        if problem is None:
            return None
        self._transfers.forget(f"gc/{meta['uid']}/")
        if problem and not (spec.get("artifactGC") or {}).get("forceFinalizerRemoval"):
            noted = collecting.noted(workflow, spec, strategies, problem)
            if noted != workflow:
                await self._write(noted)
            return _AGAIN
        finalizers = [one for one in meta["finalizers"] if one != FINALIZER]
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}}
        try:
            await writing.merge(self._api, API_VERSION, "Workflow", workflow, patch)
        except KubeError as error:
            if error.status != 409:
                raise
            return 0.1
        return None


def _without_copies(folder: Path) -> None:
    """What was fetched for pods, and what was stored elsewhere."""
    for pattern in ("*/inputs", "*/*/artifacts"):
        for one in folder.glob(pattern):
            shutil.rmtree(one, ignore_errors=True)
