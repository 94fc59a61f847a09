"""An API server and a namespace, and what can be done to Workflows there. Contract: workflows G.8, H, N."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from events import workflow_retry
from events.errors import ActionError, UserError
from events.kube import objects, patches
from events.kube.api import KubeError, Object, Resource
from events.kube.client import KubeClient, connect
from events.local.workflows import caching, names, packing, suspending, variables
from events.local.workflows.archive import Archive
from events.local.workflows.artifacts.stores import Stores
from events.local.workflows.definitions import API_VERSION
from events.local.workflows.errors import WorkflowError
from events.threads import in_thread
from events.workflow_resubmit import memoized, resubmitted
from sensors import workflow_options
from sensors.workflow_operations import merge_diff

LATEST = "@latest"
COMPLETED = "workflows.argoproj.io/completed"
_TRIES = 10
_FOLDER = "workflows"
"""Of a data directory: what belongs to workflows."""
_FINAL = ("Succeeded", "Failed", "Error")


@dataclass
class Session:
    """One run of a command."""

    api: KubeClient
    namespace: str
    data: Path | None = None
    """The data directory of `keryx up`, for what lies beside the API server: the archive, the local store."""
    resources: dict[str, Resource] = field(default_factory=dict)

    async def resource(self, kind: str = "Workflow") -> Resource:
        return await self.api.resource(API_VERSION, kind)

    async def get(self, name: str, kind: str = "Workflow") -> Object:
        """A Workflow; `@latest` is the newest."""
        if name == LATEST:
            several = await self.list()
            if not several:
                raise ActionError(f"there are no workflows in the namespace {self.namespace}")
            return max(several, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
        found = await self.api.get(await self.resource(kind), name, namespace=self.namespace)
        found = {"apiVersion": API_VERSION, "kind": kind, **found}
        return packing.unpacked(found)

    async def get_or_archived(self, name: str) -> Object:
        """A Workflow, also one that was deleted, where the archive is within reach."""
        try:
            return await self.get(name)
        except KubeError as error:
            if error.status != 404 or self.data is None:
                raise
            found = await in_thread(lambda: self.archive().find(self.namespace, name), "archive")
            if found is None:
                raise
            return found

    async def list(self, *, everywhere: bool = False, selector: str = "", kind: str = "Workflow") -> list[Object]:
        """Workflows of the namespace, or of all; or objects of another kind."""
        resource = await self.resource(kind)
        home = None if everywhere or not resource.namespaced else self.namespace
        found = await self.api.list(resource, namespace=home, label_selector=selector)
        given = {"apiVersion": API_VERSION, "kind": kind}
        return [packing.unpacked({**given, **one}) for one in found["items"]]

    async def change(self, name: str, edit: Callable[[Object], Object]) -> Object:
        """Write what `edit` makes of the Workflow; again when somebody wrote first."""
        for _ in range(_TRIES):
            before = await self.get(name)
            after = edit(before)
            try:
                return await self.api.replace(packing.packed(after))
            except KubeError as error:
                if error.status != 409:
                    raise
        raise ActionError(f"workflow {name} is changed by others all the time")

    # --- operations

    async def submit(self, obj: Object) -> Object:
        return await self.api.create(obj, namespace=self.namespace)

    async def create(self, obj: Object) -> Object:
        """Create a Workflow that may bring its status."""
        return packing.unpacked(await self.api.create(packing.packed(obj), namespace=self.namespace))

    async def put(self, obj: Object, *, updates: bool) -> Object:
        """Create an object of any kind, or replace the one that is there."""
        if not updates:
            return await self.api.create(obj, namespace=self.namespace)
        former = await self.get(obj["metadata"]["name"], obj["kind"])
        version = {"resourceVersion": former["metadata"]["resourceVersion"]}
        kept = {"status": former["status"]} if "status" in former else {}
        return await self.api.replace(
            {**obj, **kept, "metadata": {**obj["metadata"], **version}}, namespace=self.namespace
        )

    async def merge(self, name: str, kind: str, patch: Object) -> Object:
        where = await self.resource(kind)
        return await self.api.patch(where, name, patch, content_type=patches.MERGE, namespace=self.namespace)

    async def submit_from(self, place: str, options: workflow_options.Options) -> Object:
        """The Workflow that `kind/name` makes, not created yet."""
        kind, slash, name = place.partition("/")
        known = _FROM.get(kind.lower())
        if not slash or known is None:
            raise ActionError(f"--from takes KIND/NAME with one of {', '.join(sorted(_FROM))}, not {place!r}")
        made: Object = {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"generateName": f"{name}-"}}
        if known == "CronWorkflow":
            cron = await self.get(name, known)
            given = cron["spec"].get("workflowMetadata") or {}
            label = {"workflows.argoproj.io/cron-workflow": name}
            made["metadata"]["labels"] = {**(given.get("labels") or {}), **label}
            made["spec"] = cron["spec"].get("workflowSpec") or {}
        else:
            await self.get(name, known)
            is_cluster = known == "ClusterWorkflowTemplate"
            made["spec"] = {"workflowTemplateRef": {"name": name} | ({"clusterScope": True} if is_cluster else {})}
        workflow_options.apply(options, made)
        return made

    async def suspend(self, name: str) -> Object:
        def edit(one: Object) -> Object:
            if _is_over(one):
                raise ActionError("cannot suspend completed workflows")
            return {**one, "spec": {**one["spec"], "suspend": True}}

        return await self.change(name, edit)

    async def resume(self, name: str, selector: str, message: str = "") -> Object:
        return await self.change(name, lambda one: suspending.resumed(one, _stamp(), selector, message))

    async def set_nodes(
        self, name: str, selector: str, parameters: Mapping[str, str], phase: str, message: str
    ) -> Object:
        def edit(one: Object) -> Object:
            return suspending.changed(one, _stamp(), selector, parameters, phase, message)

        return await self.change(name, edit)

    async def stop(self, name: str, selector: str, message: str) -> Object:
        if selector:
            return await self.change(name, lambda one: suspending.failed(one, _stamp(), selector, message))
        return await self.shut_down(name, "Stop")

    async def shut_down(self, name: str, strategy: str) -> Object:
        def edit(one: Object) -> Object:
            if _is_over(one):
                where = f'workflow: "{one["metadata"]["name"]}", namespace: "{self.namespace}"'
                raise ActionError(f"cannot shutdown a completed workflow: {where}")
            return {**one, "spec": {**one["spec"], "shutdown": strategy}}

        return await self.change(name, edit)

    async def retry(self, name: str, options: workflow_retry.Options) -> Object:
        former = await self.get(name)
        found = workflow_retry.retried(former, _stamp(), options)
        pods = await self.api.resource("v1", "Pod")
        for pod in found.pods:
            await self._delete(pods, pod)
        patch = merge_diff(former, found.workflow)
        patch.setdefault("metadata", {})["resourceVersion"] = former["metadata"]["resourceVersion"]
        where, meta = await self.resource(), former["metadata"]
        return await self.api.patch(
            where, meta["name"], patch, content_type=patches.MERGE, namespace=meta.get("namespace")
        )

    async def resubmit(self, name: str, options: workflow_options.Options, *, keeps: bool) -> Object:
        former = await self.get(name)
        made = resubmitted(former)
        if keeps:
            suffix = "".join(random.choices(objects.SUFFIX_ALPHABET, k=5))
            made = memoized(former, f"{made['metadata']['generateName']}{suffix}", names.node_id, _stamp())
        workflow_options.apply(options, made)
        return await self.submit(made)

    async def delete(self, name: str, kind: str = "Workflow") -> None:
        await self.api.delete(await self.resource(kind), name, namespace=self.namespace)

    # --- beside the API server

    def archive(self) -> Archive:
        """The archive of finished Workflows; UserError when there is none within reach."""
        return Archive(self.folder() / "archive.db")

    def folder(self) -> Path:
        """What the controllers of workflows keep; UserError when it is not on this machine."""
        if self.data is None:
            cure = "give --data DIR, the data directory of keryx up"
            raise UserError(
                "the archive is a file of the machine where the workflows run, and none is found", cure=cure
            )
        return self.data / _FOLDER

    def stores(self) -> Stores:
        """Where artifacts lie; keys of buckets are read with the rights of this user."""
        folder = self.data / _FOLDER if self.data else Path(os.devnull)

        async def secret(namespace: str, name: str, key: str) -> str:
            return await caching.secret(self.api, namespace, name, key)

        return Stores(folder / "artifacts", secret)

    async def _delete(self, resource: Resource, name: str) -> None:
        try:
            await self.api.delete(resource, name, namespace=self.namespace)
            ends = time.monotonic() + 60
            while time.monotonic() < ends:  # the same name is made again: it must be gone
                await self.api.get(resource, name, namespace=self.namespace)
                await asyncio.sleep(0.1)
        except KubeError as error:
            if error.status != 404:
                raise

    async def finished(self, name: str) -> Object:
        """The Workflow, once it has ended."""
        while True:
            found = await self.get(name)
            if (found.get("status") or {}).get("phase") in _FINAL:
                return found
            await asyncio.sleep(0.5)


_FROM: Mapping[str, str] = {
    "cronwf": "CronWorkflow",
    "cronworkflow": "CronWorkflow",
    "cwf": "CronWorkflow",
    "workflowtemplate": "WorkflowTemplate",
    "wftmpl": "WorkflowTemplate",
    "clusterworkflowtemplate": "ClusterWorkflowTemplate",
    "cwft": "ClusterWorkflowTemplate",
}


def _is_over(workflow: Object) -> bool:
    return (workflow["metadata"].get("labels") or {}).get(COMPLETED) == "true"


def _stamp() -> str:
    return variables.instant(datetime.now(UTC))


@asynccontextmanager
async def opened(kubeconfig: str | None, namespace: str, data: Path | None = None) -> AsyncIterator[Session]:
    """A session with the API server of a kubeconfig; without one, as kubectl finds it."""
    api = await connect(kubeconfig)
    try:
        yield Session(api, namespace, data)
    finally:
        await api.aclose()


__all__ = ["LATEST", "Session", "WorkflowError", "opened"]
