"""Workflows and CronWorkflows of an API server, carried out: watches, asks the engine, writes. Contract: workflows.

A look is: read the Workflow, let `engine.operate` decide, write the status under the version that was read, then make
the pods. Names of pods follow from nodes, so whatever a crash leaves out is done by the next look, and nothing twice.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.kube.controller import Controller, Key, owner_keys
from events.kube.informer import Informer
from events.kube.recording import Recorder
from events.local.workflows import caching, completing, cron, handover, packing, requests, validation
from events.local.workflows.archive import Archive
from events.local.workflows.definitions import API_VERSION
from events.local.workflows.engine import Given, Locks, Result, operate
from events.local.workflows.engine.operating import COMPLETED, is_completed
from events.local.workflows.errors import WorkflowError
from events.local.workflows.handover import Folders
from events.logs import Log
from events.metrics import ControllerMetrics
from events.threads import in_thread

LABELS = "workflows.argoproj.io/"
ARCHIVED = f"{LABELS}workflow-archiving-status"
_BY_WORKFLOW = "workflow"
_AT_ONCE = 16
_SOON = (408, 409, 429, 500, 502, 503, 504)
_FINAL = ("Succeeded", "Failed", "Error")


class Workflows:
    """The controllers of workflows. `data` holds what steps hand over, artifacts and the archive."""

    def __init__(
        self,
        api: KubeApi,
        data: Path,
        *,
        metrics: ControllerMetrics,
        log: Log,
        namespace: str | None = None,
        defaults: Object | None = None,
        workers: int = 8,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._data, self._log, self._clock = api, data, log, clock
        self._defaults = defaults or {}
        self.archive = Archive(data / "archive.db")
        self.locks = Locks()
        self._released = 0
        self._is_restored = False
        self._answers: dict[str, dict[str, Object]] = {}
        self._refused: dict[str, dict[str, str]] = {}
        self._asked: set[str] = set()
        self._uids: dict[Key, str] = {}
        self._recorder = Recorder(api, "workflow-controller", log=log)
        self._creating = asyncio.Semaphore(_AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._session: aiohttp.ClientSession | None = None

        def informer(version: str, kind: str, **more: Any) -> Informer:
            return Informer(api, version, kind, namespace=namespace, log=log, **more)

        self._workflows = informer(API_VERSION, "Workflow")
        self._templates = informer(API_VERSION, "WorkflowTemplate")
        self._cluster_templates = Informer(api, API_VERSION, "ClusterWorkflowTemplate", log=log)
        self._crons = informer(API_VERSION, "CronWorkflow")
        self._config_maps = informer("v1", "ConfigMap")
        by_workflow = {_BY_WORKFLOW: _workflow_of}
        self._pods = informer("v1", "Pod", label_selector=f"{LABELS}workflow", indexes=by_workflow)
        self._main = Controller("workflow", self._reconcile, workers=workers, metrics=metrics, log=log)
        self._main.on(self._workflows)
        self._main.on(self._pods, _workflow_keys)
        self._ticks = Controller("cronworkflow", self._tick, workers=2, metrics=metrics, log=log)
        self._ticks.on(self._crons)
        self._ticks.on(self._workflows, owner_keys("CronWorkflow"))
        self._config_maps.subscribe(lambda _old, _new: self._wake(is_forced=True))

    async def run(self) -> None:
        """Until cancelled."""
        informers = (
            self._workflows,
            self._templates,
            self._cluster_templates,
            self._crons,
            self._config_maps,
            self._pods,
        )
        async with aiohttp.ClientSession(auto_decompress=True) as self._session, asyncio.TaskGroup() as self._tasks:
            for one in informers:
                self._tasks.create_task(one.run())
            self._tasks.create_task(self._recorder.run())
            for one in (self._templates, self._cluster_templates, self._config_maps, self._workflows):
                await one.synced()
            await self._sweep()
            self._tasks.create_task(self._main.run())
            self._tasks.create_task(self._ticks.run())

    async def _sweep(self) -> None:
        """Folders of Workflows that were deleted while nobody watched."""
        known = {one["metadata"]["uid"] for one in self._workflows.all()}
        folder = self._data / "nodes"

        def remove() -> None:
            for one in folder.iterdir() if folder.is_dir() else ():
                if one.name not in known:
                    shutil.rmtree(one, ignore_errors=True)

        await in_thread(remove, "sweep")

    # --- one Workflow

    async def _reconcile(self, key: Key) -> float | None:
        resource = await self._resource("Workflow")
        try:
            workflow = packing.unpacked(await self._api.get(resource, key.name, namespace=key.namespace))
        except KubeError as error:
            if error.status != 404:
                raise
            await self._forget(key)
            return None
        if workflow["metadata"].get("deletionTimestamp"):
            return None
        self._uids[key] = workflow["metadata"]["uid"]
        if is_completed(workflow):
            return await self._complete(key, workflow)
        self._restore()
        given = await self._given(workflow)
        result = operate(given)
        self._wake()
        return await self._carry_out(key, workflow, given, result)

    async def _given(self, workflow: Object) -> Given:
        meta = workflow["metadata"]
        namespace, uid = meta["namespace"], meta["uid"]
        pods = {one["metadata"]["name"]: one for one in self._pods.by(_BY_WORKFLOW, f"{namespace}/{meta['name']}")}
        owned = {name: pod for name, pod in pods.items() if _is_owned(pod, uid)}
        templates = {one["metadata"]["name"]: one for one in self._templates.all(namespace)}
        cluster = {one["metadata"]["name"]: one for one in self._cluster_templates.all()}
        return Given(
            workflow=workflow,
            now=self._clock(),
            pods=owned,
            reported=await self._reported(workflow, owned),
            answers=self._answers.get(uid, {}),
            refused=self._refused.get(uid, {}),
            workflow_templates=templates,
            cluster_templates=cluster,
            config_maps={one["metadata"]["name"]: one for one in self._config_maps.all(namespace)},
            defaults=self._defaults,
            locks=self.locks,
            validate=lambda one: validation.check_workflow(one, templates, cluster),
        )

    async def _reported(self, workflow: Object, pods: dict[str, Object]) -> dict[str, Object]:
        """What pods that have ended left, of nodes that do not know yet."""
        nodes, found = (workflow.get("status") or {}).get("nodes") or {}, {}
        for pod in pods.values():
            identity = pod["metadata"].get("annotations", {}).get(f"{LABELS}node-id", "")
            is_over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if is_over and nodes.get(identity, {}).get("phase") not in _FINAL and handover.hands_over(pod):
                collect = partial(handover.collected, pod, self._folders(workflow, pod))
                found[identity] = await in_thread(collect, "outputs")
        return found

    def _folders(self, workflow: Object, pod: Object) -> Folders:
        meta = workflow["metadata"]
        place = self._data / "nodes" / meta["uid"] / pod["metadata"]["name"]
        return Folders(place.absolute(), (self._data / "artifacts" / meta["namespace"]).absolute())

    async def _carry_out(self, key: Key, former: Object, given: Given, result: Result) -> float | None:
        """Write, then do: a write that comes too late must have done nothing."""
        workflow = result.workflow
        if workflow != former:
            workflow = packing.unpacked(await self._api.replace(packing.packed(workflow)))
            self._tell(former, workflow)
        for claim in result.claims if former.get("status", {}).get("phase") != "Running" else ():
            await self._create(claim)
        again = result.look_again
        if result.pods and not await self._make_pods(workflow, result):
            again = 0.0
        for name in result.stopped:
            await self._delete("v1", "Pod", name, key.namespace)
        for name, uid in result.replaced.items():
            await self._delete("v1", "Pod", name, key.namespace, uid=uid)
        for name, entry, value in result.caches:
            await caching.save(self._api, key.namespace, name, entry, value)
        self._ask(key, workflow, result)
        doomed, wait = completing.superfluous(workflow, given.pods.values(), self._clock())
        for name in doomed:
            await self._delete("v1", "Pod", name, key.namespace)
        if is_completed(workflow):
            return 0.0
        return min((one for one in (again, wait) if one is not None), default=None)

    def _tell(self, former: Object, workflow: Object) -> None:
        """Events at changes of the phase."""
        before = (former.get("status") or {}).get("phase")
        phase, message = workflow["status"].get("phase"), workflow["status"].get("message", "")
        if phase == before or phase not in ("Running", *_FINAL):
            return
        reason = "WorkflowFailed" if phase in ("Failed", "Error") else f"Workflow{phase}"
        text = message or {"Running": "Workflow Running", "Succeeded": "Workflow completed"}.get(phase, phase)
        self._recorder.event(workflow, "Warning" if reason == "WorkflowFailed" else "Normal", reason, text)

    # --- pods

    async def _make_pods(self, workflow: Object, result: Result) -> bool:
        """Create pods, several at once; whether none was refused."""
        text = str(workflow["spec"]) + str((workflow.get("status") or {}).get("storedTemplates", ""))
        text += str((workflow.get("status") or {}).get("storedWorkflowTemplateSpec", ""))
        keeps = "outputs.result" in text
        uid, before = workflow["metadata"]["uid"], len(self._refused.get(workflow["metadata"]["uid"], ()))
        try:
            async with asyncio.TaskGroup() as tasks:
                for pod in result.pods:
                    template = result.templates[pod["metadata"]["name"]]
                    tasks.create_task(self._make_pod(workflow, pod, template, keeps_result=keeps))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None  # one reason is enough; the next look makes what is missing
        return len(self._refused.get(uid, ())) == before

    async def _make_pod(self, workflow: Object, pod: Object, template: Object, *, keeps_result: bool) -> None:
        name, uid = pod["metadata"]["name"], workflow["metadata"]["uid"]
        try:
            folders = self._folders(workflow, pod)
            plan = handover.planned(pod, template, folders, keeps_result=keeps_result)
            if plan.files:
                await in_thread(lambda: handover.write(plan.files), "handover")
            async with self._creating:
                await self._create(plan.pod)
        except WorkflowError as error:
            self._refused.setdefault(uid, {})[name] = error.message
        except KubeError as error:
            if error.status in _SOON or "exceeded quota" in error.message:
                raise
            self._refused.setdefault(uid, {})[name] = error.message

    async def _create(self, obj: Object) -> None:
        """Create; what is there already is as good."""
        try:
            await self._api.create(obj)
        except KubeError as error:
            if error.status != 409:
                raise

    async def _delete(self, version: str, kind: str, name: str, namespace: str | None, *, uid: str = "") -> None:
        """Delete; what is gone already, or is another one than that with `uid`, is as good."""
        options = {"preconditions": {"uid": uid}} if uid else None
        try:
            resource = await self._api.resource(version, kind)
            await self._api.delete(resource, name, namespace=namespace, options=options)
        except KubeError as error:
            if error.status != 404 and not (uid and error.status == 409):
                raise

    async def _resource(self, kind: str) -> Resource:
        return await self._api.resource(API_VERSION, kind)

    # --- HTTP nodes

    def _ask(self, key: Key, workflow: Object, result: Result) -> None:
        """Begin the requests that no answer is known of."""
        uid = workflow["metadata"]["uid"]
        for identity, template in result.requests.items():
            name = f"{uid}/{identity}"
            if name not in self._asked and identity not in self._answers.get(uid, {}) and self._tasks is not None:
                self._asked.add(name)
                self._tasks.create_task(self._answer(key, uid, identity, template))

    async def _answer(self, key: Key, uid: str, identity: str, template: Object) -> None:
        assert self._session is not None

        async def secret(name: str, entry: str) -> str:
            return await caching.secret(self._api, key.namespace, name, entry)

        try:
            found = await requests.ask(self._session, template, secret)
        except ActionError as error:
            found = {"phase": "Error", "message": str(error), "outputs": {}}
        except Exception as error:  # noqa: BLE001 - a defect here is this node's, not that of all Workflows
            self._log.exception("A request met a defect", error, workflow=str(key))
            found = {"phase": "Error", "message": f"{type(error).__name__}: {error}", "outputs": {}}
        self._answers.setdefault(uid, {})[identity] = found
        self._asked.discard(f"{uid}/{identity}")
        self._main.queue.add(key)

    # --- the end

    async def _complete(self, key: Key, workflow: Object) -> float | None:
        """Archive, clean up, and delete when its time is over."""
        self.locks.release_workflow(str(key))
        self._wake()
        uid, now = workflow["metadata"]["uid"], self._clock()
        self._answers.pop(uid, None)
        self._refused.pop(uid, None)
        pods = [one for one in self._pods.by(_BY_WORKFLOW, str(key)) if _is_owned(one, uid)]
        doomed, wait = completing.superfluous(workflow, pods, now)
        for name in doomed:
            await self._delete("v1", "Pod", name, key.namespace)
        for pod in pods:
            if pod["metadata"]["labels"].get(COMPLETED) != "true" and pod["metadata"]["name"] not in doomed:
                await self._label("v1", "Pod", pod, COMPLETED, "true")
        if (workflow["metadata"].get("labels") or {}).get(ARCHIVED) != "Archived":
            await in_thread(lambda: self.archive.put(workflow), "archive")
            if completing.drops_claims(workflow):
                for one in (workflow["status"].get("persistentVolumeClaims")) or ():
                    name = one["persistentVolumeClaim"]["claimName"]
                    await self._delete("v1", "PersistentVolumeClaim", name, key.namespace)
            await self._label(API_VERSION, "Workflow", workflow, ARCHIVED, "Archived")
        expires = completing.expires(workflow)
        if expires is not None:
            if expires <= now:
                await self._delete(API_VERSION, "Workflow", key.name, key.namespace)
                return None
            left = (expires - now).total_seconds() + 0.05
            wait = left if wait is None else min(wait, left)
        return wait

    async def _label(self, version: str, kind: str, obj: Object, label: str, value: str) -> None:
        meta = obj["metadata"]
        patch = {"metadata": {"labels": {label: value}}}
        try:
            resource = await self._api.resource(version, kind)
            await self._api.patch(
                resource, meta["name"], patch, content_type=patches.MERGE, namespace=meta.get("namespace")
            )
        except KubeError as error:
            if error.status != 404:
                raise

    async def _forget(self, key: Key) -> None:
        """A Workflow that is gone leaves locks and folders."""
        self.locks.release_workflow(str(key))
        self._wake()
        uid = self._uids.pop(key, "")
        self._answers.pop(uid, None)
        self._refused.pop(uid, None)
        if uid:
            folder = self._data / "nodes" / uid
            await in_thread(lambda: shutil.rmtree(folder, ignore_errors=True), "forget")

    # --- locks

    def _restore(self) -> None:
        """After a start: what statuses say is held."""
        if self._is_restored:
            return
        self._is_restored = True
        for workflow in self._workflows.all():
            if not is_completed(workflow):
                self.locks.restore((workflow.get("status") or {}).get("synchronization") or {})

    def _wake(self, *, is_forced: bool = False) -> None:
        """Look at those that wait for a lock, when one became free."""
        if self.locks.releases == self._released and not is_forced:
            return
        self._released = self.locks.releases
        for name in self.locks.waiting_workflows():
            namespace, _, workflow = name.partition("/")
            self._main.queue.add(Key(namespace, workflow))

    # --- CronWorkflows

    async def _tick(self, key: Key) -> float | None:
        resource = await self._resource("CronWorkflow")
        try:
            found = await self._api.get(resource, key.name, namespace=key.namespace)
        except KubeError as error:
            if error.status == 404:
                return None
            raise
        mine = [one for one in self._workflows.all(key.namespace) if _is_owned(one, found["metadata"]["uid"])]
        tick = cron.look(found, mine, self._clock())
        for name in tick.terminate:
            patch = {"spec": {"shutdown": "Terminate"}}
            workflows = await self._resource("Workflow")
            await self._api.patch(workflows, name, patch, content_type=patches.MERGE, namespace=key.namespace)
        if tick.create is not None:
            await self._submit(tick)
        for name in tick.delete:
            await self._delete(API_VERSION, "Workflow", name, key.namespace)
        if tick.cron != found:
            await self._api.replace(tick.cron)
        return tick.look_again

    async def _submit(self, tick: cron.Tick) -> None:
        """Create the Workflow of a run; one that is refused counts as failed."""
        assert tick.create is not None
        try:
            await self._create(tick.create)
        except KubeError as error:
            if error.status in _SOON:
                raise
            cron.note_refusal(tick.cron, error.message)


def _workflow_of(pod: Object) -> Iterator[str]:
    meta = pod["metadata"]
    name = (meta.get("labels") or {}).get(f"{LABELS}workflow")
    if name:
        yield f"{meta.get('namespace', '')}/{name}"


def _workflow_keys(pod: Object) -> Iterable[Key]:
    for name in _workflow_of(pod):
        namespace, _, workflow = name.partition("/")
        yield Key(namespace, workflow)


def _is_owned(obj: Object, uid: str) -> bool:
    return any(one.get("uid") == uid for one in obj["metadata"].get("ownerReferences") or ())
