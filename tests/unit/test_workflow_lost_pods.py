"""What becomes of nodes whose pods were cut off with the machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from support.workflow_world import CREATED

from events.local.workflows.engine import Given, Result, lost, operate

NOW = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)
SAYS = "the node was stopped, or ended, while the pod ran"
LEAF = {"name": "leaf", "container": {"image": "busybox", "command": ["true"]}}


def workflow(*templates: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "w", "namespace": "ns", "uid": "uid", "creationTimestamp": CREATED}
    spec = {"entrypoint": templates[0]["name"], "templates": [*templates], **spec}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": meta, "spec": spec}


def cut_off(pod: dict[str, Any], uid: str = "1", reason: str = "ContainerStatusUnknown") -> dict[str, Any]:
    ended = {"exitCode": 137, "reason": reason, "message": SAYS, "finishedAt": "2026-01-02T03:04:09Z"}
    status = {
        "phase": "Failed",
        "reason": "Terminated",
        "message": SAYS,
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
        "containerStatuses": [
            {"name": one["name"], "state": {"terminated": ended}} for one in pod["spec"]["containers"]
        ],
    }
    return pod | {"metadata": {**pod["metadata"], "uid": uid}, "status": status}


def look(obj: dict[str, Any], *pods: dict[str, Any], **given: Any) -> Result:
    return operate(Given(workflow=obj, now=NOW, pods={one["metadata"]["name"]: one for one in pods}, **given))


def begun(obj: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Workflow whose only pod was made, and the pod."""
    first = look(obj)
    return first.workflow, first.pods[0]


def only(result: Result) -> dict[str, Any]:
    (found,) = (one for one in result.workflow["status"]["nodes"].values() if one["type"] == "Pod")
    return dict(found)


def test_a_pod_that_was_cut_off_gives_way_to_another_one_of_the_same_node() -> None:
    obj, pod = begun(workflow(LEAF))
    second = look(obj, cut_off(pod))
    assert (second.replaced, second.pods) == ({"w": "1"}, [])
    node = only(second)
    assert (node["phase"], node["failedPodRestarts"], node["restartingPodUID"]) == ("Pending", 1, "1")
    again = look(second.workflow, cut_off(pod))
    assert (again.replaced, again.workflow) == ({"w": "1"}, second.workflow), "it waits until the former is gone"
    third = look(second.workflow)
    assert [one["metadata"]["name"] for one in third.pods] == ["w"]
    done = pod | {"metadata": {**pod["metadata"], "uid": "2"}, "status": {"phase": "Succeeded"}}
    fourth = look(third.workflow, done)
    assert fourth.workflow["status"]["phase"] == "Succeeded"
    assert only(fourth)["message"] == "its pod was cut off, and is made again (1 of at most 10 times)"


def test_a_node_is_not_begun_again_for_ever() -> None:
    obj, pod = begun(workflow(LEAF))
    for number in range(lost.MOST):
        result = look(obj, cut_off(pod, uid=str(number)))
        assert result.replaced == {"w": str(number)}
        obj = result.workflow
    result = look(obj, cut_off(pod, uid="last"))
    assert not result.replaced
    assert (result.workflow["status"]["phase"], result.workflow["status"]["message"]) == ("Failed", SAYS)


def test_a_workflow_that_is_to_run_at_most_once_does() -> None:
    obj, pod = begun(workflow({**LEAF, "retryStrategy": {"limit": 0}}))
    result = look(obj, cut_off(pod))
    assert not result.replaced
    assert result.workflow["status"]["phase"] == "Failed"


def test_attempts_of_a_retry_are_not_used_up() -> None:
    obj, pod = begun(workflow({**LEAF, "retryStrategy": {"limit": "1"}}))
    result = look(obj, cut_off(pod))
    assert result.replaced == {pod["metadata"]["name"]: "1"}
    third = look(result.workflow)
    assert [one["metadata"]["name"] for one in third.pods] == [pod["metadata"]["name"]]


def test_a_workflow_that_is_stopped_begins_nothing_again() -> None:
    obj, pod = begun(workflow(LEAF))
    obj["spec"]["shutdown"] = "Stop"
    result = look(obj, cut_off(pod))
    assert not result.replaced
    assert result.workflow["status"]["phase"] == "Failed"


def test_what_the_pod_left_tells_how_it_ended_when_nobody_saw_it() -> None:
    obj, pod = begun(workflow(LEAF))
    for code, phase, message in ((0, "Succeeded", ""), (3, "Failed", "main: Error (exit code 3)")):
        left = {"w": {"codes": {"main": code}, "result": "said"}}
        result = look(obj, cut_off(pod), reported=left)
        node = only(result)
        assert not result.replaced
        assert (node["phase"], node.get("message", "")) == (phase, message)
        assert node["outputs"] == {"exitCode": str(code), "result": "said"}


def test_a_code_of_a_container_that_was_asked_to_end_says_nothing() -> None:
    obj, pod = begun(workflow(LEAF))
    for code, reason in ((143, "ContainerStatusUnknown"), (143, "Error"), (0, "Completed")):
        result = look(obj, cut_off(pod, reason=reason), reported={"w": {"codes": {"main": code}}})
        assert result.replaced == {"w": "1"}, (code, reason)


def test_all_containers_of_a_set_are_begun_again() -> None:
    containers = [
        {"name": "a", "image": "busybox", "command": ["true"]},
        {"name": "b", "image": "busybox", "command": ["true"], "dependencies": ["a"]},
    ]
    obj, pod = begun(workflow({"name": "main", "containerSet": {"containers": containers}}))
    result = look(obj, cut_off(pod), reported={"w": {"codes": {"a": 0}}})
    assert result.replaced == {"w": "1"}
    inner = [one for one in result.workflow["status"]["nodes"].values() if one["type"] == "Container"]
    assert [one["phase"] for one in inner] == ["Pending", "Pending"]


def test_those_that_need_a_daemon_wait_until_it_is_there_again() -> None:
    daemon = {"name": "server", "daemon": True, "container": {"image": "busybox", "command": ["sleep", "9"]}}
    use = {**LEAF, "inputs": {"parameters": [{"name": "ip"}]}}
    use["container"] = {"image": "busybox", "command": ["echo", "{{inputs.parameters.ip}}"]}
    given = {"parameters": [{"name": "ip", "value": "{{steps.s.ip}}"}]}
    groups = [[{"name": "s", "template": "server"}], [{"name": "u", "template": "leaf", "arguments": given}]]
    obj, server = begun(workflow({"name": "main", "steps": groups}, daemon, use))

    def runs(ip: str, uid: str) -> dict[str, Any]:
        status = {"phase": "Running", "podIP": ip, "containerStatuses": [{"name": "main", "ready": True}]}
        return server | {"metadata": {**server["metadata"], "uid": uid}, "status": status}

    second = look(obj, runs("10.0.0.1", "1"))
    (user,) = second.pods
    third = look(second.workflow, cut_off(server, "1"), cut_off(user, "2"))
    assert len(third.replaced) == 2
    fourth = look(third.workflow)
    assert [one["metadata"]["name"] for one in fourth.pods] == [server["metadata"]["name"]]
    fifth = look(fourth.workflow, runs("10.0.0.2", "3"))
    assert [one["spec"]["containers"][0]["command"] for one in fifth.pods] == [["echo", "10.0.0.2"]]


def test_a_pod_of_a_workflow_that_is_full_is_made_again() -> None:
    tasks = [{"name": "A", "template": "leaf"}, {"name": "B", "template": "leaf"}]
    main = {"name": "main", "dag": {"tasks": tasks}}
    for given, within in (({"parallelism": 1}, {}), ({}, {"parallelism": 1})):
        obj, pod = begun(workflow({**main, **within}, LEAF, **given))
        second = look(obj, cut_off(pod))
        assert second.replaced == {pod["metadata"]["name"]: "1"}
        third = look(second.workflow)
        assert [one["metadata"]["name"] for one in third.pods] == [pod["metadata"]["name"]], given
