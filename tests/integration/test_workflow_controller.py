"""The controllers of workflows on an API in memory, with pods that really run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.pod_player import PodPlayer
from support.workflow_installation import ARGO, SHELL, Installation, memory, named, shell, workflow

from events.kube import patches
from events.kube.api import Object

ARCHIVED = "workflows.argoproj.io/workflow-archiving-status"


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
    artifact = {"name": "p", "path": "/tmp/p", "gcs": {"bucket": "b", "key": "x"}}
    status = await installation.result(workflow("w", shell("main", "true", inputs={"artifacts": [artifact]})))
    assert status["phase"] == "Error"
    assert "artifacts of gcs are not available here; use s3 with endpoint: storage.googleapis.com" in status["message"]


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


def configured(**data: str) -> Object:
    meta = {"name": "workflow-controller-configmap", "namespace": "argo"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def test_limits_keep_workflows_pending_until_others_have_ended(installation: Installation) -> None:
    await installation.api.create(configured(parallelism="1"))
    await asyncio.sleep(0)
    wait = {"name": "main", "suspend": {}}
    await installation.api.create(workflow("first", wait))
    await installation.until("first", lambda one: one.get("status", {}).get("phase") == "Running")
    await installation.api.create(workflow("second", wait))
    found = await installation.until("second", lambda one: one.get("status", {}).get("phase"))
    assert (found["status"]["phase"], found["status"]["message"]) == (
        "Pending",
        "Workflow processing has been postponed because too many workflows are already running",
    )
    await installation.patch("first", {"spec": {"shutdown": "Terminate"}})
    found = await installation.until("second", lambda one: one["status"]["phase"] == "Running")
    assert "message" not in found["status"]


async def test_the_label_of_a_namespace_is_its_limit_and_is_followed(installation: Installation) -> None:
    await installation.api.create(configured(namespaceParallelism="1"))
    labels = {"workflows.argoproj.io/parallelism-limit": "2"}
    await installation.api.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": labels}}
    )
    for name in ("a", "b"):
        await installation.api.create(workflow(name, {"name": "main", "suspend": {}}))
        await installation.until(name, lambda one: one.get("status", {}).get("phase") == "Running")
    await installation.api.create(workflow("c", {"name": "main", "suspend": {}}))
    await installation.until("c", lambda one: one.get("status", {}).get("phase") == "Pending")
    namespaces = await installation.api.resource("v1", "Namespace")
    patch = {"metadata": {"labels": {"workflows.argoproj.io/parallelism-limit": "3"}}}
    await installation.api.patch(namespaces, "ns", patch, content_type=patches.MERGE)
    await installation.until("c", lambda one: one["status"]["phase"] == "Running")


async def test_a_limit_holds_over_the_death_of_the_controller(tmp_path: Path) -> None:
    installation = Installation(memory(), tmp_path)
    await installation.api.create(configured(parallelism="1"))
    async with installation.controlling():
        await installation.api.create(workflow("z", {"name": "main", "suspend": {}}))
        await installation.until("z", lambda one: one.get("status", {}).get("phase") == "Running")
    await installation.api.create(workflow("a", {"name": "main", "suspend": {}}))
    async with installation.controlling():
        found = await installation.until("a", lambda one: one.get("status", {}).get("phase"))
        assert found["status"]["phase"] == "Pending"


async def test_only_so_many_ended_workflows_are_kept(installation: Installation) -> None:
    await installation.api.create(configured(retentionPolicy="completed: 1"))
    for name in ("a", "b", "c"):
        await installation.result(workflow(name, {"name": "main", "suspend": {"duration": "1ms"}}))
        await installation.until(name, lambda one: one["metadata"]["labels"].get(ARCHIVED))
    ends = time.monotonic() + 60
    while [one["metadata"]["name"] for one in await installation.all("Workflow")] != ["c"]:
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)
    assert len(installation.controllers.archive.list("ns")) == 3
