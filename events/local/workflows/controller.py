"""Workflows and CronWorkflows of an API server, carried out: watches, asks the engine, writes. Contract: workflows.

A look is: read the Workflow, let `engine.operate` decide, write the status under the version that was read, then make
the pods. Names of pods follow from nodes, so whatever a crash leaves out is done by the next look, and nothing twice.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.kube.controller import Controller, Key, owner_keys
from events.kube.informer import Informer
from events.kube.recording import Recorder
from events.local.workflows import caching, completing, configuration, cron, packing, requests, validation, writing
from events.local.workflows.archive import Archive
from events.local.workflows.artifacts.stores import Stores
from events.local.workflows.configuration import Configuration
from events.local.workflows.custom_metrics import CustomMetrics
from events.local.workflows.definitions import API_VERSION
from events.local.workflows.ending import Ending
from events.local.workflows.engine import Given, Locks, Result, operate
from events.local.workflows.engine.operating import PHASE, is_completed
from events.local.workflows.errors import WorkflowError
from events.local.workflows.pod_making import LogReader, PodMaking
from events.local.workflows.throttle import LIMIT_LABEL, POSTPONED, Throttle
from events.logs import Log
from events.metrics import ControllerMetrics
from events.threads import in_thread

LABELS = "workflows.argoproj.io/"
_BY_WORKFLOW = "workflow"
_OVER = ("Succeeded", "Failed")
_ON_THE_WAY = 0.5
_SWEEP = 3600.0
"""Seconds between looks at what the archive may forget."""
_SOON = (408, 409, 429, 500, 502, 503, 504)
_FINAL = ("Succeeded", "Failed", "Error")


class Workflows:
    """The controllers of workflows. `data` holds what steps hand over, artifacts and the archive.

    `logs` reads logs of pods, for archiveLogs; `registry` gets the metrics that Workflows define; `defaults` are
    workflowDefaults below those of the ConfigMap.
    """

    def __init__(
        self,
        api: KubeApi,
        data: Path,
        *,
        metrics: ControllerMetrics,
        log: Log,
        namespace: str | None = None,
        defaults: Object | None = None,
        logs: LogReader | None = None,
        registry: CollectorRegistry | None = None,
        workers: int = 8,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._data, self._log, self._clock = api, data, log, clock
        self._defaults = defaults or {}
        self._config = Configuration()
        self._custom = CustomMetrics(registry or CollectorRegistry(), clock)
        self.archive = Archive(data / "archive.db")
        self.locks = Locks()
        self.throttle = Throttle(self._limit)
        self._released = 0
        self._is_restored = False
        self._answers: dict[str, dict[str, Object]] = {}
        self._asked: set[str] = set()
        self._uids: dict[Key, str] = {}
        self._written: dict[str, int] = {}
        self._recorder = Recorder(api, "workflow-controller", log=log)
        self._tasks: asyncio.TaskGroup | None = None
        self.ready = asyncio.Event()
        """Everything is known."""
        self._session: aiohttp.ClientSession | None = None

        def informer(version: str, kind: str, **more: Any) -> Informer:
            return Informer(api, version, kind, namespace=namespace, log=log, **more)

        self._workflows = informer(API_VERSION, "Workflow", trim=_without_owners)
        self._templates = informer(API_VERSION, "WorkflowTemplate")
        self._cluster_templates = Informer(api, API_VERSION, "ClusterWorkflowTemplate", log=log)
        self._crons = informer(API_VERSION, "CronWorkflow")
        self._config_maps = informer("v1", "ConfigMap")
        by_workflow = {_BY_WORKFLOW: _workflow_of}
        self._pods = informer("v1", "Pod", label_selector=f"{LABELS}workflow", indexes=by_workflow)
        self._main = Controller("workflow", self._reconcile, workers=workers, metrics=metrics, log=log)
        self._main.on(self._workflows)
        self._main.on(self._pods, _workflow_keys, _may_wait)
        self._ticks = Controller("cronworkflow", self._tick, workers=2, metrics=metrics, log=log)
        self._ticks.on(self._crons)
        self._ticks.on(self._workflows, owner_keys("CronWorkflow"))
        stores = Stores(data / "artifacts", self._secret)
        self._making = PodMaking(api, data, stores, log, self._main.queue.add, logs)
        self._ending = Ending(api, data, self.archive, stores, self._making.transfers, self._main.queue.add)
        self._home = namespace or configuration.NAMESPACE
        self._namespaces = Informer(api, "v1", "Namespace", log=log) if namespace is None else None
        self._config_maps.subscribe(self._note_config_map)
        if self._namespaces is not None:
            self._namespaces.subscribe(lambda _old, _new: self._let(self.throttle.admitted()))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._run()
        finally:
            self.archive.close()

    async def _run(self) -> None:
        informers = (
            self._workflows,
            self._templates,
            self._cluster_templates,
            self._crons,
            self._config_maps,
            self._pods,
            *([self._namespaces] if self._namespaces is not None else ()),
        )
        async with aiohttp.ClientSession(auto_decompress=True) as self._session, asyncio.TaskGroup() as self._tasks:
            for one in informers:
                self._tasks.create_task(one.run())
            self._making.transfers.start = self._tasks.create_task
            self._tasks.create_task(self._recorder.run())
            for one in informers:
                if one not in (self._pods, self._crons):
                    await one.synced()
            await self._sweep()
            self._tasks.create_task(self._shorten())
            self.ready.set()
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

    async def _shorten(self) -> None:
        """The archive, now and then."""
        while True:
            seconds = self._config.archive_seconds
            before = self._clock() - timedelta(seconds=seconds) if seconds else None
            try:
                count = await in_thread(partial(self.archive.sweep, before), "archive")
            except ActionError as error:
                self._log.warning("The archive of workflows cannot be shortened", reason=str(error))
            else:
                if count:
                    self._log.info("Archived workflows are forgotten", count=count)
            await asyncio.sleep(_SWEEP)

    # --- what holds for all

    def _note_config_map(self, old: Object | None, new: Object | None) -> None:
        meta = (new or old or {})["metadata"]
        if (meta.get("namespace"), meta["name"]) == (self._home, configuration.NAME):
            try:
                self._config = configuration.of(new)
            except WorkflowError as error:
                self._log.warning("The configuration of workflows is wrong; the former one holds", reason=error.message)
            self._let(self.throttle.admitted())
        self._wake(is_forced=True)

    def _limit(self, namespace: str) -> int:
        """How many Workflows run at once in a namespace, or in all."""
        if not namespace:
            return self._config.parallelism
        found = self._namespaces.get("", namespace) if self._namespaces is not None else None
        text = str((((found or {}).get("metadata") or {}).get("labels") or {}).get(LIMIT_LABEL, ""))
        return int(text) if text.isdecimal() else self._config.namespace_parallelism

    def _let(self, several: Iterable[str]) -> None:
        """Look at those that may run now."""
        for name in several:
            namespace, _, workflow = name.partition("/")
            self._main.queue.add(Key(namespace, workflow))

    async def _secret(self, namespace: str, name: str, key: str) -> str:
        return await caching.secret(self._api, namespace, name, key)

    # --- one Workflow

    def _known(self, key: Key) -> Object | None:
        """The Workflow as it was told, unless that is older than what was written here."""
        found = self._workflows.get(key.namespace, key.name)
        if found is None or int(found["metadata"]["resourceVersion"]) < self._written.get(found["metadata"]["uid"], 0):
            return None
        return found

    async def _get(self, key: Key) -> Object:
        return await self._api.get(await self._resource("Workflow"), key.name, namespace=key.namespace)

    async def _reconcile(self, key: Key) -> float | None:
        try:
            workflow = packing.unpacked(self._known(key) or await self._get(key))
        except KubeError as error:
            if error.status != 404:
                raise
            await self._forget(key)
            return None
        self._uids[key] = workflow["metadata"]["uid"]
        if workflow["metadata"].get("deletionTimestamp"):
            return await self._ending.deleting(key, workflow)
        if is_completed(workflow):
            return await self._complete(key, workflow)
        self._restore()
        if not self._admitted(key, workflow):
            await self._postpone(workflow)
            return None
        given = await self._given(workflow)
        result = operate(given)
        self._wake()
        return await self._carry_out(key, workflow, given, result)

    def _admitted(self, key: Key, workflow: Object) -> bool:
        """Whether limits let it run; what is to end does so in any case."""
        meta, spec = workflow["metadata"], workflow["spec"]
        created = str(meta.get("creationTimestamp", ""))
        return bool(spec.get("shutdown")) or self.throttle.admits(str(key), int(spec.get("priority") or 0), created)

    async def _postpone(self, workflow: Object) -> None:
        status = workflow.setdefault("status", {})
        if not status.get("phase"):
            status |= {"phase": "Pending", "message": POSTPONED}
            workflow["metadata"].setdefault("labels", {})[PHASE] = "Pending"
            await self._write(workflow)

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
            reported=await self._making.reported(workflow, owned),
            pods=owned,
            answers=self._answers.get(uid, {}),
            refused=self._making.refused.get(uid, {}),
            workflow_templates=templates,
            cluster_templates=cluster,
            config_maps={one["metadata"]["name"]: one for one in self._config_maps.all(namespace)},
            defaults={**self._defaults, **self._config.defaults},
            repository=dict(self._config.repository),
            locks=self.locks,
            validate=lambda one: validation.check_workflow(one, templates, cluster),
        )

    async def _carry_out(self, key: Key, former: Object, given: Given, result: Result) -> float | None:
        """Write, then do: a write that comes too late must have done nothing."""
        workflow = result.workflow
        if workflow != former:
            workflow = await self._write(workflow)
            self._tell(former, workflow)
        self._count(workflow, result)
        for claim in result.claims if former.get("status", {}).get("phase") != "Running" else ():
            await writing.create(self._api, claim)
        again = result.look_again
        if result.pods and not await self._making.make(workflow, result):
            again = 0.0
        for name in result.stopped:
            await writing.delete(self._api, "v1", "Pod", name, key.namespace)
        for name, uid in result.replaced.items():
            await writing.delete(self._api, "v1", "Pod", name, key.namespace, uid=uid)
        for name, entry, value in result.caches:
            await caching.save(self._api, key.namespace, name, entry, value)
        self._ask(key, workflow, result)
        doomed, wait = completing.superfluous(workflow, given.pods.values(), self._clock())
        for name in doomed:
            await writing.delete(self._api, "v1", "Pod", name, key.namespace)
        if is_completed(workflow):
            return 0.0
        return min((one for one in (again, wait) if one is not None), default=None)

    async def _write(self, workflow: Object) -> Object:
        """Store it; what was told before is older from now on."""
        meta = (stored := await self._api.replace(packing.packed(workflow)))["metadata"]
        self._written[meta["uid"]] = int(meta["resourceVersion"])
        return packing.unpacked(stored)

    def _tell(self, former: Object, workflow: Object) -> None:
        """Events at changes of the phase."""
        before = (former.get("status") or {}).get("phase")
        phase, message = workflow["status"].get("phase"), workflow["status"].get("message", "")
        if phase == before or phase not in ("Running", *_FINAL):
            return
        reason = "WorkflowFailed" if phase in ("Failed", "Error") else f"Workflow{phase}"
        text = message or {"Running": "Workflow Running", "Succeeded": "Workflow completed"}.get(phase, phase)
        self._recorder.event(workflow, "Warning" if reason == "WorkflowFailed" else "Normal", reason, text)

    def _count(self, workflow: Object, result: Result) -> None:
        """What was measured, now that nobody measures it again."""
        for one in result.metrics:
            if problem := self._custom.add(one):
                self._recorder.event(workflow, "Warning", "MetricsError", problem)

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
        """What is left to do for one that has ended."""
        self._release(key)
        uid = workflow["metadata"]["uid"]
        self._answers.pop(uid, None)
        pods = [one for one in self._pods.by(_BY_WORKFLOW, str(key)) if _is_owned(one, uid)]
        others = self._workflows.all() if self._config.retention else ()
        wait = await self._ending.complete(key, workflow, pods, others, self._config, self._clock())
        self._making.forget(uid)
        return wait

    def _release(self, key: Key) -> None:
        """It holds no lock and no place any more."""
        self.locks.release_workflow(str(key))
        self._wake()
        self._let(self.throttle.released(str(key)))

    async def _forget(self, key: Key) -> None:
        """A Workflow that is gone leaves locks and folders."""
        self._release(key)
        uid = self._uids.pop(key, "")
        self._written.pop(uid, None)
        self._answers.pop(uid, None)
        self._making.forget(uid)
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
                status, meta = workflow.get("status") or {}, workflow["metadata"]
                self.locks.restore(status.get("synchronization") or {})
                if status.get("phase") == "Running":
                    self.throttle.restore([f"{meta['namespace']}/{meta['name']}"])

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
            await writing.delete(self._api, API_VERSION, "Workflow", name, key.namespace)
        if tick.cron != found:
            await self._api.replace(tick.cron)
        return tick.look_again

    async def _submit(self, tick: cron.Tick) -> None:
        """Create the Workflow of a run; one that is refused counts as failed."""
        assert tick.create is not None
        try:
            await writing.create(self._api, tick.create)
        except KubeError as error:
            if error.status in _SOON:
                raise
            cron.note_refusal(tick.cron, error.message)


def _may_wait(pod: Object) -> float:
    """What goes on is looked at now and then, what has ended at once."""
    return 0.0 if (pod.get("status") or {}).get("phase") in _OVER else _ON_THE_WAY


def _without_owners(obj: Object) -> Object:
    """What is written back whole needs its notes; who owns which field is kept by the server."""
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


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
