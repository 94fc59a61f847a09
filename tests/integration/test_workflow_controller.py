"""The controllers of workflows on an API in memory, with pods that really run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.pod_player import PodPlayer

from events.kube import patches
from events.kube.api import KubeApi, Object, Resource
from events.kube.memory import MemoryKube
from events.local.workflows.controller import Workflows
from events.local.workflows.definitions import KINDS
from events.logs import Log
from events.metrics import ControllerMetrics

ARGO = "argoproj.io/v1alpha1"
SHELL = {"image": "busybox", "command": ["sh", "-c"]}


def memory() -> MemoryKube:
    api = MemoryKube()
    for kind in KINDS:
        api.register(Resource("argoproj.io", "v1alpha1", kind.plural, kind.kind, kind.scope == "Namespaced"))
    return api


def workflow(name: str, *templates: Object, **spec: Any) -> Object:
    return {
        "apiVersion": ARGO,
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"entrypoint": "main", "templates": list(templates), **spec},
    }


def shell(name: str, text: str, **more: Any) -> Object:
    return {"name": name, "container": {**SHELL, "args": [text]}, **more}


class Installation:
    """The controllers and a node on one API; may be started several times."""

    def __init__(self, api: KubeApi, data: Path, *, runs: bool = True) -> None:
        self.api, self.data, self.runs = api, data, runs
        self.controllers: Workflows
        self.player: PodPlayer

    @asynccontextmanager
    async def controlling(self) -> AsyncIterator[None]:
        metrics = ControllerMetrics(CollectorRegistry())
        self.controllers = Workflows(self.api, self.data, metrics=metrics, log=Log("workflows"))
        task = asyncio.create_task(self.controllers.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Installation]:
        self.player = PodPlayer(self.api, runs=self.runs)
        async with self.player.playing(), self.controlling():
            yield self

    async def get(self, kind: str, name: str) -> Object:
        return await self.api.get(await self.api.resource(*kind_of(kind)), name, namespace="ns")

    async def all(self, kind: str) -> list[Object]:
        found = await self.api.list(await self.api.resource(*kind_of(kind)), namespace="ns")
        return list(found["items"])

    async def patch(self, name: str, body: Object) -> None:
        resource = await self.api.resource(ARGO, "Workflow")
        await self.api.patch(resource, name, body, content_type=patches.MERGE, namespace="ns")

    async def until(self, name: str, is_met: Callable[[Object], Any], seconds: float = 60) -> Object:
        ends = time.monotonic() + seconds
        while True:
            found = await self.get("Workflow", name)
            if is_met(found):
                return found
            assert time.monotonic() < ends, found.get("status")
            await asyncio.sleep(0.02)

    async def ended(self, name: str) -> Object:
        return await self.until(name, lambda one: one["metadata"].get("labels", {}).get(COMPLETED) == "true")

    async def result(self, obj: Object) -> Object:
        await self.api.create(obj)
        found: Object = (await self.ended(obj["metadata"]["name"]))["status"]
        return found


COMPLETED = "workflows.argoproj.io/completed"


def kind_of(kind: str) -> tuple[str, str]:
    return ("v1", kind) if kind in ("Pod", "ConfigMap", "Event") else (ARGO, kind)


def named(status: Object, name: str) -> Object:
    return next(one for one in status["nodes"].values() if one["displayName"] == name)


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    async with Installation(memory(), tmp_path).running() as found:
        yield found


async def test_parameters_results_and_artifacts_go_from_step_to_step(
    installation: Installation, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    write = shell(
        "write",
        f"mkdir -p {made}; echo inside > {made}/file; printf 'a b' > {tmp_path}/parameter; echo printed",
        outputs={
            "parameters": [{"name": "p", "valueFrom": {"path": f"{tmp_path}/parameter"}}],
            "artifacts": [{"name": "f", "path": str(made)}],
        },
    )
    read = {
        "name": "read",
        "inputs": {
            "parameters": [{"name": "p"}, {"name": "r"}],
            "artifacts": [
                {"name": "f", "path": f"{tmp_path}/other"},
                {"name": "raw", "path": f"{tmp_path}/raw", "raw": {"data": "raw\n"}},
            ],
        },
        "script": {
            "image": "busybox",
            "command": ["sh"],
            "source": "echo '{{inputs.parameters.p}}/{{inputs.parameters.r}}'; "
            + f"cat {tmp_path}/other/file {tmp_path}/raw",
        },
    }
    use = {
        "parameters": [
            {"name": "p", "value": "{{steps.a.outputs.parameters.p}}"},
            {"name": "r", "value": "{{steps.a.outputs.result}}"},
        ],
        "artifacts": [{"name": "f", "from": "{{steps.a.outputs.artifacts.f}}"}],
    }
    main = {
        "name": "main",
        "steps": [[{"name": "a", "template": "write"}], [{"name": "b", "template": "read", "arguments": use}]],
    }
    status = await installation.result(workflow("w", main, write, read))
    assert status["phase"] == "Succeeded", status
    assert named(status, "a")["outputs"]["result"] == "printed"
    assert named(status, "b")["outputs"]["result"] == "a b/printed\ninside\nraw"


async def test_an_output_that_is_missing_is_an_error_of_the_node(installation: Installation, tmp_path: Path) -> None:
    outputs = {"parameters": [{"name": "p", "valueFrom": {"path": f"{tmp_path}/never"}}]}
    status = await installation.result(workflow("w", shell("main", "true", outputs=outputs)))
    assert (status["phase"], status["message"]) == (
        "Error",
        f"output parameter p: {tmp_path}/never does not exist and there is no default",
    )


async def test_the_exit_code_is_that_of_the_command(installation: Installation, tmp_path: Path) -> None:
    outputs = {"parameters": [{"name": "p", "valueFrom": {"path": f"{tmp_path}/never", "default": "d"}}]}
    status = await installation.result(workflow("w", shell("main", "exit 7", outputs=outputs)))
    assert status["message"] == "main: Error (exit code 7)"
    assert status["nodes"]["w"]["outputs"] == {
        "parameters": [{"name": "p", "value": "d"}],
        "result": "",
        "exitCode": "7",
    }


async def test_containers_of_a_set_wait_for_each_other_and_one_that_fails_ends_those_after_it(
    installation: Installation, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    containers = [
        {"name": "second", **SHELL, "args": [f"echo 2 >> {log}; exit 3"], "dependencies": ["first"]},
        {"name": "first", **SHELL, "args": [f"sleep 0.2; echo 1 >> {log}"]},
        {"name": "third", **SHELL, "args": [f"echo 3 >> {log}"], "dependencies": ["second"]},
    ]
    status = await installation.result(workflow("w", {"name": "main", "containerSet": {"containers": containers}}))
    assert status["phase"] == "Failed"
    assert log.read_text().split() == ["1", "2"]
    assert {one["displayName"]: one["phase"] for one in status["nodes"].values() if one["type"] == "Container"} == {
        "first": "Succeeded",
        "second": "Failed",
        "third": "Failed",
    }


async def test_sidecars_end_with_the_main_container(installation: Installation) -> None:
    sidecar = {"name": "s", **SHELL, "args": ["exec sleep 600"]}
    status = await installation.result(workflow("w", shell("main", "sleep 0.1", sidecars=[sidecar])))
    assert status["phase"] == "Succeeded", status


async def test_a_workflow_is_suspended_and_goes_on(installation: Installation) -> None:
    main = {"name": "main", "steps": [[{"name": "a", "template": "wait"}], [{"name": "b", "template": "leaf"}]]}
    await installation.api.create(workflow("w", main, {"name": "wait", "suspend": {}}, shell("leaf", "true")))
    found = await installation.until("w", lambda one: one.get("status", {}).get("phase") == "Running" and _waits(one))
    node = named(found["status"], "a")
    ended = {"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:00Z"}
    await installation.patch("w", {"status": {"nodes": {node["id"]: ended}}})
    assert (await installation.ended("w"))["status"]["phase"] == "Succeeded"


def _waits(obj: Object) -> bool:
    return any(one["type"] == "Suspend" and one["phase"] == "Running" for one in obj["status"]["nodes"].values())


async def test_terminating_ends_the_pods(installation: Installation) -> None:
    await installation.api.create(workflow("w", shell("main", "sleep 600")))
    await installation.until(
        "w", lambda one: one.get("status", {}).get("nodes", {}).get("w", {}).get("phase") == "Running"
    )
    await installation.patch("w", {"spec": {"shutdown": "Terminate"}})
    status = (await installation.ended("w"))["status"]
    assert status["message"] == "Stopped with strategy 'Terminate'"
    assert await installation.all("Pod") == []


async def test_a_pod_that_cannot_be_made_is_an_error_of_its_node(installation: Installation) -> None:
    data = {"source": {"artifactPaths": {"name": "p", "s3": {"key": "x"}}}, "transformation": [{"expression": "data"}]}
    status = await installation.result(workflow("w", {"name": "main", "data": data}))
    assert status["phase"] == "Error"
    assert "data templates are not available here" in status["message"]


async def test_a_hundred_workflows_at_once_survive_the_death_of_the_controller(tmp_path: Path) -> None:
    installation = Installation(memory(), tmp_path, runs=False)
    main = {
        "name": "main",
        "dag": {
            "tasks": [
                {"name": "A", "template": "leaf"},
                {"name": "B", "template": "leaf", "depends": "A"},
                {"name": "C", "template": "leaf", "depends": "A"},
            ]
        },
    }
    installation.player = PodPlayer(installation.api, runs=False)
    async with installation.player.playing():
        async with installation.controlling():
            for number in range(100):
                await installation.api.create(workflow(f"w{number}", main, shell("leaf", "true")))
            await installation.until("w20", lambda one: one.get("status", {}).get("nodes"))
        async with installation.controlling():
            for number in range(100):
                status = (await installation.ended(f"w{number}"))["status"]
                assert (status["phase"], status["progress"]) == ("Succeeded", "3/3")
    assert sorted(installation.player.started) == sorted(set(installation.player.started))
    assert len(installation.player.started) == 300


async def test_finished_workflows_are_archived_and_deleted_when_their_time_is_over(installation: Installation) -> None:
    obj = workflow(
        "w",
        shell("main", "true"),
        ttlStrategy={"secondsAfterCompletion": 1},
        podGC={"strategy": "OnPodCompletion", "deleteDelayDuration": "0s"},
    )
    await installation.api.create(obj)
    ends = time.monotonic() + 60
    while await installation.all("Workflow"):
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)
    (kept,) = installation.controllers.archive.list("ns")
    assert (kept["metadata"]["name"], kept["status"]["phase"]) == ("w", "Succeeded")


async def test_a_cron_workflow_makes_a_workflow_at_each_tick(installation: Installation) -> None:
    spec = {"schedules": ["@every 1s"], "workflowSpec": {"entrypoint": "main", "templates": [shell("main", "true")]}}
    obj = {"apiVersion": ARGO, "kind": "CronWorkflow", "metadata": {"name": "c", "namespace": "ns"}, "spec": spec}
    await installation.api.create(obj)
    ends = time.monotonic() + 60
    while (found := await installation.get("CronWorkflow", "c")).get("status", {}).get("succeeded", 0) < 2:
        assert time.monotonic() < ends, found
        await asyncio.sleep(0.05)
    made = [one for one in await installation.all("Workflow") if one["metadata"]["name"].startswith("c-")]
    assert made
    assert made[0]["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "c"


async def test_events_say_how_a_workflow_went(installation: Installation) -> None:
    await installation.result(workflow("w", shell("main", "exit 1")))
    ends = time.monotonic() + 30
    while {one["reason"] for one in await installation.all("Event")} != {"WorkflowRunning", "WorkflowFailed"}:
        assert time.monotonic() < ends, await installation.all("Event")
        await asyncio.sleep(0.05)


async def test_folders_of_workflows_that_are_gone_are_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "nodes" / "gone" / "pod"
    left.mkdir(parents=True)
    async with Installation(memory(), tmp_path).running() as installation:
        outputs = {"parameters": [{"name": "p", "valueFrom": {"path": f"{tmp_path}/never", "default": "d"}}]}
        await installation.result(workflow("w", shell("main", "true", outputs=outputs)))
        assert not left.exists()
        assert len(list((tmp_path / "nodes").iterdir())) == 1
