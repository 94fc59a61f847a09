"""Triggers that change and delete objects, act on Workflows, and wait for labels. Over memory and the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.kube_world import WORKFLOWS, World, fire, local_world, served_world

from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object, Resource
from events.kube.memory import MemoryKube
from sensors import kubernetes_changes, policies, types
from sensors.base import Result

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
OBJECT: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "ns"}}
LIVE = {**OBJECT, "metadata": {**OBJECT["metadata"], "labels": {"live": "1"}}, "data": {"b": "old", "c": "3"}}


@pytest.fixture(params=["memory", "client", "server"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryKube())
        return
    made = served_world(tmp_path) if request.param == "client" else local_world(tmp_path)
    async with made as world:
        yield world


async def stored(world: World) -> Object:
    return await world.kube.get(CONFIG_MAPS, "cm", namespace="ns")


async def act(world: World, operation: str, resource: dict[str, Any], **raw: Any) -> Any:
    return await fire(world.trigger("k8s", operation=operation, source={"resource": resource}, **raw))


# ---- update


@pytest.mark.parametrize(
    ("live", "resource", "expected"),
    [
        ({"b": "old", "c": "3"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}),
        ({"b": "old", "c": "3"}, {}, {"b": "old", "c": "3"}),
        ({"b": "old"}, {"b": ""}, {"b": ""}),
        ({"l": ["y", "z"], "o": {"k": {"b": 2}}, "n": 0}, {"l": ["x"], "o": {"k": {"a": 1}}}, None),
        ({"n": 5, "f": True}, {"n": 0, "f": False}, {"n": 0, "f": False}),
        ({"b": "old", "c": "3"}, {"b": None}, {"b": None, "c": "3"}),
    ],
)
def test_maps_are_merged_and_everything_else_is_replaced(
    live: dict[str, Any], resource: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    merged = kubernetes_changes.merged({"data": live}, {"data": resource})
    assert merged == {"data": expected or {"l": ["x"], "o": {"k": {"a": 1, "b": 2}}, "n": 0}}


async def test_an_update_is_merged_over_the_live_object(world: World) -> None:
    await world.kube.create(LIVE)
    made = await act(world, "update", OBJECT | {"data": {"a": "1", "b": "2"}})
    assert made["data"] == (await stored(world))["data"] == {"a": "1", "b": "2", "c": "3"}
    assert made["metadata"]["labels"] == {"live": "1"}


@pytest.mark.parametrize("operation", ["update", "patch"])
async def test_what_is_missing_is_made_without_labels_of_ours(world: World, operation: str) -> None:
    made = await act(world, operation, OBJECT | {"data": {"a": "1"}})
    assert made["data"] == {"a": "1"}
    assert "labels" not in made["metadata"]


async def test_an_update_is_made_again_when_somebody_else_writes_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.kube.create(LIVE)
    really, others = world.kube.replace, ["x", "y"]

    async def replace(obj: Object, **more: Any) -> Object:
        if others:
            await world.kube.patch(
                CONFIG_MAPS,
                "cm",
                {"data": {others.pop(): "theirs"}},
                content_type=kubernetes_changes.MERGE,
                namespace="ns",
            )
        return await really(obj, **more)

    monkeypatch.setattr(world.kube, "replace", replace)
    made = await act(world, "update", OBJECT | {"data": {"a": "1"}})
    assert made["data"] == {"a": "1", "b": "old", "c": "3", "x": "theirs", "y": "theirs"}


async def test_a_live_object_is_what_parameters_are_applied_to(world: World) -> None:
    await world.kube.create(LIVE)
    trigger = world.trigger("k8s", operation="update", liveObject=True, source={"resource": OBJECT})
    text = await trigger.fetch()
    assert '"b":"old"' in text
    assert (await trigger.execute(text.replace("old", "new"), _firing())).value["data"] == {"b": "new", "c": "3"}


@pytest.mark.parametrize(
    ("meta", "says"),
    [({"name": "cm"}, "namespace is required"), ({"namespace": "ns"}, "no metadata.name")],
)
async def test_a_live_object_must_be_named_in_full(world: World, meta: dict[str, str], says: str) -> None:
    trigger = world.trigger(
        "k8s", operation="update", liveObject=True, source={"resource": OBJECT | {"metadata": meta}}
    )
    with pytest.raises(ActionError, match=says):
        await trigger.fetch()


async def test_a_live_object_that_is_missing_fails_the_fetch(world: World) -> None:
    trigger = world.trigger("k8s", operation="update", liveObject=True, source={"resource": OBJECT})
    with pytest.raises(KubeError, match="not found"):
        await trigger.fetch()


# ---- patch and delete


@pytest.mark.parametrize("strategy", [None, "application/merge-patch+json", "application/apply-patch+yaml"])
async def test_the_object_is_sent_as_the_patch(world: World, strategy: str | None) -> None:
    await world.kube.create(LIVE)
    for _ in range(2):  # a repeat changes nothing
        made = await act(world, "patch", OBJECT | {"data": {"a": "1"}}, patchStrategy=strategy)
    assert made["data"]["a"] == "1"
    assert made["metadata"]["labels"] == {"live": "1"}


async def test_what_is_gone_is_deleted(world: World) -> None:
    await world.kube.create(LIVE)
    for _ in range(2):
        assert await act(world, "delete", OBJECT) is None
    with pytest.raises(KubeError, match="not found"):
        await stored(world)


@pytest.mark.parametrize("operation", ["update", "patch", "delete"])
async def test_without_a_name_there_is_nothing_to_change(world: World, operation: str) -> None:
    with pytest.raises(ActionError, match=r"no metadata\.name"):
        await act(world, operation, OBJECT | {"metadata": {"generateName": "x-"}})


# ---- Workflows


WORKFLOW: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "w1", "namespace": "ns"},
}


async def on_workflow(world: World, operation: str, **raw: Any) -> Any:
    return await fire(world.trigger("argoWorkflow", operation=operation, source={"resource": WORKFLOW}, **raw))


@pytest.mark.parametrize(
    ("operation", "spec"),
    [
        ("suspend", {"entrypoint": "main", "suspend": True}),
        ("stop", {"entrypoint": "main", "shutdown": "Stop"}),
        ("terminate", {"entrypoint": "main", "shutdown": "Terminate"}),
    ],
)
async def test_a_workflow_is_told_what_to_do(world: World, operation: str, spec: dict[str, Any]) -> None:
    await world.kube.create(WORKFLOW | {"spec": {"entrypoint": "main"}})
    made = await on_workflow(world, operation)
    assert made["spec"] == spec


async def test_a_workflow_goes_on_and_so_do_its_waiting_nodes(world: World) -> None:
    nodes = {
        "w1-1": {"type": "Suspend", "phase": "Running"},
        "w1-2": {"type": "Suspend", "phase": "Succeeded"},
        "w1-3": {"type": "Pod", "phase": "Running"},
    }
    await world.kube.create(WORKFLOW | {"spec": {"suspend": True}, "status": {"nodes": nodes}})
    made = await on_workflow(world, "resume")
    assert made["spec"] == {}
    phases = {name: node["phase"] for name, node in made["status"]["nodes"].items()}
    assert phases == {"w1-1": "Succeeded", "w1-2": "Succeeded", "w1-3": "Running"}


@pytest.mark.parametrize("operation", ["suspend", "stop", "resume", "terminate", "resubmit", "retry"])
async def test_a_workflow_that_is_not_there_is_an_error(world: World, operation: str) -> None:
    with pytest.raises(KubeError, match="not found"):
        await on_workflow(world, operation)


async def test_a_workflow_that_is_over_cannot_be_stopped(world: World) -> None:
    meta = WORKFLOW["metadata"] | {"labels": {"workflows.argoproj.io/completed": "true"}}
    await world.kube.create(WORKFLOW | {"metadata": meta})
    with pytest.raises(ActionError, match=r'completed workflow: workflow: "w1", namespace: "ns"'):
        await on_workflow(world, "stop")


async def test_a_workflow_begins_again_where_it_failed(world: World) -> None:
    nodes = {
        "w1": {"id": "w1", "name": "w1", "type": "Steps", "phase": "Failed", "children": ["w1-1"]},
        "w1-1": {
            "id": "w1-1",
            "name": "w1[0]",
            "type": "StepGroup",
            "phase": "Failed",
            "boundaryID": "w1",
            "children": ["w1-2"],
        },
        "w1-2": {
            "id": "w1-2",
            "name": "w1[0].a",
            "type": "Pod",
            "phase": "Failed",
            "boundaryID": "w1",
            "templateName": "a",
        },
    }
    status = {"phase": "Failed", "message": "child failed", "finishedAt": "2026-01-01T00:00:00Z", "nodes": nodes}
    labels = {"workflows.argoproj.io/completed": "true"}
    it = WORKFLOW | {
        "metadata": WORKFLOW["metadata"] | {"labels": labels},
        "spec": {"shutdown": "Stop"},
        "status": status,
    }
    await world.kube.create(it)
    pod = {"name": "w1-a-2", "namespace": "ns"}
    spec = {"containers": [{"name": "main", "image": "busybox"}]}
    await world.kube.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner", "namespace": "ns"}}
    )
    await world.kube.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": {**spec, "serviceAccountName": "runner"}}
    )
    for _ in range(2):  # a repeated firing finds it begun
        made = await on_workflow(world, "retry")
        assert made["status"]["phase"] == ""
        assert {name: node["phase"] for name, node in made["status"]["nodes"].items()} == {
            "w1": "Running",
            "w1-1": "Running",
        }
        assert "finishedAt" not in made["status"]
        assert "shutdown" not in made["spec"]
        assert "workflows.argoproj.io/completed" not in (made["metadata"].get("labels") or {})
    with pytest.raises(KubeError, match="not found"):
        await world.kube.get(await world.kube.resource("v1", "Pod"), "w1-a-2", namespace="ns")


async def test_a_workflow_that_runs_cannot_begin_again(world: World) -> None:
    await world.kube.create(WORKFLOW | {"spec": {}, "status": {"phase": "Running"}})
    with pytest.raises(ActionError, match="Cannot retry a workflow in phase Running"):
        await on_workflow(world, "retry")


async def test_a_workflow_submitted_again_is_made_once_per_firing(world: World) -> None:
    labels = {"team": "a", "workflows.argoproj.io/phase": "Failed", "workflows.argoproj.io/completed": "true"}
    spec = {"entrypoint": "main", "shutdown": "Stop", "activeDeadlineSeconds": 0}
    await world.kube.create(WORKFLOW | {"metadata": WORKFLOW["metadata"] | {"labels": labels}, "spec": spec})
    first, second = [await on_workflow(world, "resubmit") for _ in range(2)]
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert first["metadata"]["name"].startswith("w1-")
    assert first["spec"] == {"entrypoint": "main"}
    kept = {name: value for name, value in first["metadata"]["labels"].items() if "argoproj.io/" not in name}
    assert kept == {"team": "a"}
    assert first["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"] == "w1"
    assert len((await world.kube.list(WORKFLOWS))["items"]) == 2


async def test_a_template_is_submitted_by_reference_and_a_cron_workflow_by_copy(world: World) -> None:
    template = {**WORKFLOW, "kind": "WorkflowTemplate", "metadata": {"name": "build", "namespace": "ns"}}
    cron = {**WORKFLOW, "kind": "CronWorkflow", "metadata": {"name": "nightly", "namespace": "ns"}}
    await world.kube.create(cron | {"spec": {"workflowSpec": {"entrypoint": "main"}, "schedule": "@daily"}})
    made = []
    for resource in (template, cron):
        trigger = world.trigger(
            "argoWorkflow", operation="submit-from", source={"resource": resource}, args=["-p", "ref=main"]
        )
        made.append(await fire(trigger))
    parameters = {"arguments": {"parameters": [{"name": "ref", "value": "main"}]}}
    assert [one["spec"] for one in made] == [
        {"workflowTemplateRef": {"name": "build"}, **parameters},
        {"entrypoint": "main", **parameters},
    ]
    assert [one["metadata"]["name"].rpartition("-")[0] for one in made] == ["build", "nightly"]


async def test_nothing_else_is_submitted_from(world: World) -> None:
    with pytest.raises(ActionError, match="takes a WorkflowTemplate or a CronWorkflow"):
        await on_workflow(world, "submit-from")


# ---- waiting for labels


def policy(**raw: Any) -> Any:
    backoff = {"steps": 3, "duration": 1_000_000, "factor": 1, "jitter": 0}
    return policies.compile(types.TriggerPolicy.parse({"k8s": {"backoff": backoff, **raw}}), "k8s")


async def look(world: World, check: Any) -> None:
    await check(Result(value=await stored(world)), world.trigger().context)


async def test_a_policy_is_content_once_the_object_carries_the_labels(world: World) -> None:
    await world.kube.create(LIVE)

    async def label_it_later() -> None:
        await asyncio.sleep(0.02)
        patch = {"metadata": {"labels": {"done": "yes"}}}
        await world.kube.patch(CONFIG_MAPS, "cm", patch, content_type=kubernetes_changes.MERGE, namespace="ns")

    labelling = asyncio.create_task(label_it_later())
    check = policy(labels={"done": "yes", "live": "1"}, backoff={"steps": 100, "duration": "10ms", "jitter": 0})
    await look(world, check)
    await labelling


@pytest.mark.parametrize(("strict", "fails"), [(True, True), (False, False), (None, False)])
async def test_labels_that_never_come_are_a_failure_where_the_policy_says_so(
    world: World, strict: bool | None, fails: bool
) -> None:
    await world.kube.create(LIVE)
    check = policy(labels={"done": "yes"}, errorOnBackoffTimeout=strict)
    if not fails:
        await look(world, check)
        return
    with pytest.raises(ActionError, match="has not come to carry done=yes"):
        await look(world, check)


async def test_an_object_that_cannot_be_read_is_a_failure_at_once(world: World) -> None:
    with pytest.raises(KubeError, match="not found"):
        await policy(labels={"done": "yes"})(Result(value=LIVE), world.trigger().context)


async def test_without_labels_or_an_object_there_is_nothing_to_wait_for(world: World) -> None:
    assert policy() is None
    await policy(labels={"done": "yes"})(Result(), world.trigger().context)


async def test_a_backoff_that_cannot_be_read_is_said(world: World) -> None:
    with pytest.raises(UserError, match="zz"):
        await policy(labels={"a": "b"}, backoff={"duration": "zz"})(Result(value=LIVE), world.trigger().context)


def _firing() -> Any:
    from sensors.base import Firing

    return Firing("f-1", {})
