"""Pods are made, and what they left is taken over; with the transfers around them. Called by `controller`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from events.errors import ActionError
from events.kube.api import KubeApi, KubeError, Object
from events.kube.controller import Key
from events.local.workflows import handover, writing
from events.local.workflows.artifacts.scripts import Save
from events.local.workflows.artifacts.stores import Stores
from events.local.workflows.artifacts.transfers import Transfers
from events.local.workflows.engine import Result
from events.local.workflows.errors import WorkflowError
from events.local.workflows.handover import Folders, Left
from events.logs import Log
from events.threads import in_thread

LABELS = "workflows.argoproj.io/"
LOG_SECONDS = 600.0
_CHUNK = 1024 * 1024
_AT_ONCE = 16
_SOON = (408, 409, 429, 500, 502, 503, 504)
_FINAL = ("Succeeded", "Failed", "Error")
_OVER = ("Succeeded", "Failed")


class LogReader(Protocol):
    """Lines of a container's log, as `KubeClient.logs`."""

    def __call__(
        self, name: str, *, namespace: str, params: Mapping[str, str], seconds: float | None = None
    ) -> AsyncIterator[bytes]: ...


class PodMaking:
    """`look` has a Workflow looked at again; `refused` says, by uid and name, why a pod cannot be made."""

    def __init__(
        self, api: KubeApi, data: Path, stores: Stores, log: Log, look: Callable[[Key], object], logs: LogReader | None
    ) -> None:
        self._api, self._data, self._stores, self._log, self._look, self._logs = api, data, stores, log, look, logs
        self.transfers = Transfers(stores, log)
        self.refused: dict[str, dict[str, str]] = {}
        self._creating = asyncio.Semaphore(_AT_ONCE)

    def folders(self, workflow: Object, pod: Object) -> Folders:
        """Where things of a pod lie."""
        meta = workflow["metadata"]
        place = self._data / "nodes" / meta["uid"] / pod["metadata"]["name"]
        return Folders(place.absolute(), self._stores.local(meta["namespace"]))

    def forget(self, uid: str) -> None:
        """Nothing more is made for this Workflow."""
        self.refused.pop(uid, None)
        self.transfers.forget(f"{uid}/")

    # --- before

    async def make(self, workflow: Object, result: Result) -> bool:
        """Create pods, several at once; whether none was refused."""
        text = str(workflow["spec"]) + str((workflow.get("status") or {}).get("storedTemplates", ""))
        text += str((workflow.get("status") or {}).get("storedWorkflowTemplateSpec", ""))
        keeps = "outputs.result" in text
        uid = workflow["metadata"]["uid"]
        before = len(self.refused.get(uid, ()))
        try:
            async with asyncio.TaskGroup() as tasks:
                for pod in result.pods:
                    template = result.templates[pod["metadata"]["name"]]
                    tasks.create_task(self._make(workflow, pod, template, keeps_result=keeps))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None  # one reason is enough; the next look makes what is missing
        return len(self.refused.get(uid, ())) == before

    async def _make(self, workflow: Object, pod: Object, template: Object, *, keeps_result: bool) -> None:
        name, uid = pod["metadata"]["name"], workflow["metadata"]["uid"]
        try:
            plan = handover.planned(pod, template, self.folders(workflow, pod), keeps_result=keeps_result)
            if plan.fetches and not self._fetched(workflow, name, plan):
                return
            if plan.files:
                await in_thread(lambda: handover.write(plan.files), "handover")
            async with self._creating:
                await writing.create(self._api, plan.pod)
        except WorkflowError as error:
            self.refused.setdefault(uid, {})[name] = str(error)
        except KubeError as error:
            if error.status in _SOON or "exceeded quota" in error.message:
                raise
            self.refused.setdefault(uid, {})[name] = error.message

    def _fetched(self, workflow: Object, name: str, plan: handover.Plan) -> bool:
        """Whether the inputs lie where the pod looks for them; WorkflowError when they cannot."""
        meta = workflow["metadata"]
        work = partial(self.transfers.fetch, meta["namespace"], plan.fetches)
        problem = self.transfers.outcome(f"{meta['uid']}/{name}/inputs", work, _looking(self._look, meta))
        if problem:
            raise WorkflowError(problem)
        return problem is not None

    # --- after

    async def reported(self, workflow: Object, pods: dict[str, Object]) -> dict[str, Object]:
        """What pods that have ended left, by node; pods whose outputs are under way are shown as running on."""
        nodes, found = (workflow.get("status") or {}).get("nodes") or {}, {}
        for name, pod in list(pods.items()):
            identity = pod["metadata"].get("annotations", {}).get(f"{LABELS}node-id", "")
            is_over = (pod.get("status") or {}).get("phase") in _OVER
            if is_over and nodes.get(identity, {}).get("phase") not in _FINAL and handover.hands_over(pod):
                report = await self._left(workflow, pod)
                if report is None:
                    pods[name] = {**pod, "status": {**pod["status"], "phase": "Running"}}
                else:
                    found[identity] = report
        return found

    async def _left(self, workflow: Object, pod: Object) -> Object | None:
        folders, meta = self.folders(workflow, pod), workflow["metadata"]
        collect = partial(handover.collected, pod, folders)
        left = await in_thread(collect, "outputs")
        if not (left.saves or left.logs):
            return left.report
        key = f"{meta['uid']}/{pod['metadata']['uid']}/outputs"
        problem = self.transfers.outcome(key, partial(self._store, pod, left), _looking(self._look, meta))
        if problem is None:
            return None
        report = (await in_thread(collect, "outputs")).report if left.logs else left.report
        return {**report, "problem": problem} if problem else report

    async def _store(self, pod: Object, left: Left) -> None:
        """Outputs and logs; a log that cannot be had is no failure of the node."""
        namespace = pod["metadata"]["namespace"]
        kept = [one for container, one in left.logs.items() if await self._log_of(pod, container, one)]
        await self.transfers.save(namespace, [*left.saves, *kept])

    async def _log_of(self, pod: Object, container: str, one: Save) -> bool:
        meta = pod["metadata"]
        if self._logs is None:
            return False
        lines, size = list[bytes](), 0
        await in_thread(lambda: _begun(one.source), "logs")
        try:
            params = {"container": container}
            async for line in self._logs(meta["name"], namespace=meta["namespace"], params=params, seconds=LOG_SECONDS):
                lines.append(line + b"\n")
                size += len(line)
                if size > _CHUNK:
                    await in_thread(partial(_added, one.source, lines), "logs")
                    lines, size = [], 0
        except ActionError as error:
            self._log.warning("A log cannot be archived", pod=meta["name"], container=container, reason=str(error))
            await in_thread(lambda: one.source.unlink(missing_ok=True), "logs")
            return False
        await in_thread(partial(_added, one.source, lines), "logs")
        return True


def _looking(look: Callable[[Key], object], meta: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: look(Key(meta["namespace"], meta["name"]))


def _begun(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def _added(path: Path, lines: list[bytes]) -> None:
    with path.open("ab") as file:
        file.writelines(lines)
