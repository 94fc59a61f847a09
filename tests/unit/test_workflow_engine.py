"""The engine of workflows beyond the recorded cases: purity, locks between workflows, answers from outside."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.workflow_world import CREATED, WorkflowWorld

from events.local.workflows.engine import Given, Locks, operate

NOW = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)
LEAF = {"name": "leaf", "container": {"image": "busybox", "command": ["echo"], "args": ["hi"]}}
ECHO = {
    "name": "echo",
    "inputs": {"parameters": [{"name": "m"}]},
    "container": {"image": "busybox", "command": ["echo"], "args": ["{{inputs.parameters.m}}"]},
}


def workflow(*templates: dict[str, Any], name: str = "w", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": CREATED},
        "spec": {"entrypoint": "main", "templates": [*templates, LEAF, ECHO], **spec},
    }


def steps(*groups: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"name": "main", "steps": [list(group) for group in groups], **more}


def played(obj: dict[str, Any], **given: Any) -> WorkflowWorld:
    world = WorkflowWorld({"workflow": obj, **given})
    world.play()
    return world


def node(world: WorkflowWorld, name: str) -> dict[str, Any]:
    return next(one for one in world.workflow["status"]["nodes"].values() if one["name"] == name)


def test_a_look_changes_nothing_that_it_was_given() -> None:
    obj = workflow(steps([{"name": "a", "template": "leaf"}]), parallelism=1)
    before = copy.deepcopy(obj)
    operate(Given(workflow=obj, now=NOW))
    assert obj == before


def test_a_second_look_with_nothing_new_decides_nothing_new() -> None:
    obj = workflow(
        {
            "name": "main",
            "dag": {"tasks": [{"name": "A", "template": "leaf"}, {"name": "B", "template": "leaf", "depends": "A"}]},
        }
    )
    first = operate(Given(workflow=obj, now=NOW))
    made = {pod["metadata"]["name"]: {**pod, "status": {"phase": "Pending"}} for pod in first.pods}
    second = operate(Given(workflow=first.workflow, now=NOW, pods=made))
    assert second.workflow == first.workflow
    assert second.pods == []


def test_a_pod_that_was_never_made_is_made_at_the_next_look_under_the_same_name() -> None:
    first = operate(Given(workflow=workflow(steps([{"name": "a", "template": "leaf"}])), now=NOW))
    again = operate(Given(workflow=first.workflow, now=NOW + timedelta(minutes=5)))
    assert [pod["metadata"]["name"] for pod in again.pods] == [pod["metadata"]["name"] for pod in first.pods]


def test_a_mutex_lets_one_workflow_at_a_time_through_in_order_of_creation() -> None:
    locks, sync = Locks(), {"synchronization": {"mutexes": [{"name": "one"}]}}
    one, two = (workflow(steps([{"name": "a", "template": "leaf"}]), name=name, **sync) for name in ("one", "two"))
    first = operate(Given(workflow=one, now=NOW, locks=locks))
    second = operate(Given(workflow=two, now=NOW, locks=locks))
    assert second.workflow["status"]["phase"] == "Pending"
    assert second.workflow["status"]["message"] == "Waiting for default/Mutex/one lock. Lock status: 0/1"
    first.workflow["spec"]["shutdown"] = "Terminate"
    pods = {pod["metadata"]["name"]: {**pod, "status": {"phase": "Running"}} for pod in first.pods}
    ended = operate(Given(workflow=first.workflow, now=NOW, locks=locks, pods=pods))
    assert ended.workflow["status"]["phase"] == "Failed"
    assert operate(Given(workflow=second.workflow, now=NOW, locks=locks)).workflow["status"]["phase"] == "Running"


def test_what_a_status_says_is_held_is_held_after_a_restart() -> None:
    sync = {"synchronization": {"mutexes": [{"name": "one"}]}}
    first = operate(Given(workflow=workflow(steps([{"name": "a", "template": "leaf"}]), **sync), now=NOW))
    locks = Locks()
    locks.restore(first.workflow["status"]["synchronization"])
    other = workflow(steps([{"name": "a", "template": "leaf"}]), name="other", **sync)
    assert operate(Given(workflow=other, now=NOW, locks=locks)).workflow["status"]["phase"] == "Pending"


def test_an_http_node_waits_for_its_answer_and_hands_on_the_body() -> None:
    get = {"name": "get", "http": {"url": "http://127.0.0.1/{{workflow.name}}"}}
    use = {"name": "m", "value": "{{steps.a.outputs.result}}"}
    obj = workflow(
        steps(
            [{"name": "a", "template": "get"}], [{"name": "b", "template": "echo", "arguments": {"parameters": [use]}}]
        ),
        get,
    )
    first = operate(Given(workflow=obj, now=NOW))
    ((identity, template),) = first.requests.items()
    assert template["http"]["url"] == "http://127.0.0.1/w"
    answer = {"phase": "Succeeded", "message": "", "outputs": {"result": "body"}}
    second = operate(Given(workflow=first.workflow, now=NOW, answers={identity: answer}))
    assert [pod["spec"]["containers"][0]["args"] for pod in second.pods] == [["body"]]


def test_an_artifact_goes_from_step_to_step_by_its_location() -> None:
    write = {
        "name": "write",
        "container": {"image": "x", "command": ["x"]},
        "outputs": {"artifacts": [{"name": "f", "path": "/tmp/f"}]},
    }
    read = {
        "name": "read",
        "container": {"image": "x", "command": ["x"]},
        "inputs": {"artifacts": [{"name": "g", "path": "/in/g"}]},
    }
    arguments = {"artifacts": [{"name": "g", "from": "{{steps.a.outputs.artifacts.f}}"}]}
    obj = workflow(
        steps([{"name": "a", "template": "write"}], [{"name": "b", "template": "read", "arguments": arguments}]),
        write,
        read,
    )
    world = WorkflowWorld({"workflow": obj})
    world.look()
    first = node(world, "w[0].a")
    world.turn_pods()
    world.reported[first["id"]] = {"artifacts": [{"name": "f", "path": "/tmp/f", "s3": {"key": "w/w-write/f.tgz"}}]}
    world.look()
    assert node(world, "w[1].b")["inputs"]["artifacts"] == [
        {"name": "g", "s3": {"key": "w/w-write/f.tgz"}, "path": "/in/g"}
    ]


def test_a_daemon_offers_its_address_and_ends_with_what_is_around_it() -> None:
    server = {"name": "srv", "daemon": True, "container": {"image": "x", "command": ["x"]}}
    use = {"parameters": [{"name": "m", "value": "{{steps.d.ip}}"}]}
    obj = workflow(
        steps([{"name": "d", "template": "srv"}], [{"name": "b", "template": "echo", "arguments": use}]), server
    )
    world = played(obj, outcomes={"d": [{"phase": "Running"}]})
    assert world.workflow["status"]["phase"] == "Succeeded"
    assert world.shown()["pods"][1]["args"] == ["10.0.0.9"]
    assert "daemoned" not in node(world, "w[0].d")


def test_a_back_off_is_waited_for_and_the_time_of_the_next_look_is_told() -> None:
    retry = {
        "name": "main",
        "container": {"image": "x", "command": ["x"]},
        "retryStrategy": {"limit": 2, "backoff": {"duration": "60", "factor": 2}},
    }
    world = WorkflowWorld({"workflow": workflow(retry), "outcomes": {"*": [{"phase": "Failed"}]}})
    world.look()
    world.turn_pods()
    world.look()
    assert node(world, "w")["message"] == "Backoff for 1 minute 0 seconds"
    assert len(world.made) == 1
    world.elapse(61)
    world.look()
    assert len(world.made) == 2
    assert "message" not in node(world, "w")


def test_a_timed_suspend_goes_on_by_itself() -> None:
    world = WorkflowWorld(
        {
            "workflow": workflow(
                steps([{"name": "a", "template": "nap"}]), {"name": "nap", "suspend": {"duration": "20s"}}
            )
        }
    )
    world.look()
    assert node(world, "w[0].a")["phase"] == "Running"
    world.elapse(21)
    world.look()
    assert world.workflow["status"]["phase"] == "Succeeded"


def test_outputs_of_a_miss_are_saved_and_serve_the_next_workflow() -> None:
    mem = {
        "name": "main",
        "memoize": {"key": "k", "cache": {"configMap": {"name": "cc"}}},
        "outputs": {"parameters": [{"name": "o", "valueFrom": {"path": "/o"}}]},
        "container": {"image": "x", "command": ["x"]},
    }
    first = operate(Given(workflow=workflow(mem), now=NOW))
    (pod,) = first.pods
    done = {pod["metadata"]["name"]: {**pod, "status": {"phase": "Succeeded"}}}
    reported = {"w": {"parameters": [{"name": "o", "value": "v"}]}}
    ended = operate(Given(workflow=first.workflow, now=NOW, pods=done, reported=reported))
    ((name, key, entry),) = ended.caches
    assert (name, key, entry["outputs"]) == ("cc", "k", {"parameters": [{"name": "o", "value": "v"}]})


@pytest.mark.parametrize("strategy", ["Stop", "Terminate"])
def test_a_workflow_that_is_shut_down_ends_its_pods(strategy: str) -> None:
    obj = workflow(steps([{"name": "a", "template": "leaf"}]), onExit="leaf")
    world = WorkflowWorld({"workflow": obj, "outcomes": {"w[0].a": [{"phase": "Running"}]}})
    world.look()
    world.turn_pods()
    world.workflow["spec"]["shutdown"] = strategy
    world.look()
    world.turn_pods()
    world.look()
    assert world.workflow["status"]["phase"] == "Failed"
    assert world.workflow["status"]["message"] == f"Stopped with strategy '{strategy}'"
    assert any(one["name"] == "w.onExit" for one in world.workflow["status"]["nodes"].values()) == (strategy == "Stop")


def test_a_patch_of_the_pod_merges_containers_by_name() -> None:
    patch = 'containers: [{name: main, resources: {limits: {memory: "{{workflow.parameters.mem}}"}}}]'
    spec = {"podSpecPatch": patch, "arguments": {"parameters": [{"name": "mem", "value": "1Gi"}]}}
    (pod,) = operate(Given(workflow=workflow(steps([{"name": "a", "template": "leaf"}]), **spec), now=NOW)).pods
    (main,) = pod["spec"]["containers"]
    assert main["resources"] == {"limits": {"memory": "1Gi"}}
    assert main["command"] == ["echo"]


def test_a_loop_of_a_thousand_items_is_looked_at_in_reasonable_time() -> None:
    loop = {"name": "a", "template": "echo", "withSequence": {"count": "1000"}}
    obj = workflow(steps([loop | {"arguments": {"parameters": [{"name": "m", "value": "{{item}}"}]}}]))
    result = operate(Given(workflow=obj, now=NOW))
    assert len(result.pods) == 1000


NOD = {
    "name": "nod",
    "container": {"image": "x", "command": ["x"]},
    "outputs": {"parameters": [{"name": "o", "valueFrom": {"path": "/o"}}]},
}


@pytest.mark.parametrize(
    ("value", "phase", "args"),
    [
        ("{{=steps.a.outputs.parameters.o ?? 'dd'}}", "Succeeded", [["dd"]]),
        ("x {{steps.a.outputs.parameters.o}}", "Failed", []),
        ("{{steps.a.outputs.parameters.o}}", "Failed", []),
    ],
)
def test_an_output_of_a_step_that_did_not_run_is_absent(value: str, phase: str, args: list[list[str]]) -> None:
    use = {"parameters": [{"name": "m", "value": value}]}
    skipped = {"name": "a", "template": "nod", "when": "false"}
    world = played(workflow(steps([skipped], [{"name": "b", "template": "echo", "arguments": use}]), NOD))
    assert world.workflow["status"]["phase"] == phase
    assert [pod["args"] for pod in world.shown()["pods"]] == args


def test_outputs_of_a_loop_come_as_lists_in_order() -> None:
    use = {"parameters": [{"name": "m", "value": "{{tasks.A.outputs.parameters.o}} {{tasks.A.outputs.result}}"}]}
    tasks = [
        {"name": "A", "template": "nod", "withItems": [1, 2]},
        {"name": "B", "template": "echo", "depends": "A", "arguments": use},
    ]
    outcomes = {
        "A(0:1)": [{"phase": "Succeeded", "result": "1", "parameters": {"o": "x"}}],
        "A(1:2)": [{"phase": "Succeeded", "result": '{"a":2}', "parameters": {"o": "y"}}],
    }
    world = played(workflow({"name": "main", "dag": {"tasks": tasks}}, NOD), outcomes=outcomes)
    assert world.shown()["pods"][-1]["args"] == ['["x","y"] [1,{"a":2}]']


def test_an_exit_handler_of_a_task_sees_its_outputs_and_is_waited_for() -> None:
    hook = {
        "template": "echo",
        "arguments": {"parameters": [{"name": "m", "value": "{{tasks.A.outputs.parameters.o}}"}]},
    }
    tasks = [
        {"name": "A", "template": "nod", "hooks": {"exit": hook}},
        {"name": "B", "template": "leaf", "depends": "A"},
    ]
    outcomes = {"A": [{"phase": "Succeeded", "parameters": {"o": "P"}}]}
    world = played(workflow({"name": "main", "dag": {"tasks": tasks}}, NOD), outcomes=outcomes)
    made = world.shown()["pods"]
    assert [pod["node"] for pod in made] == ["w.A", "w.A.onExit", "w.B"]
    assert made[1]["args"] == ["P"]
