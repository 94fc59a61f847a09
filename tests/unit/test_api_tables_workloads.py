"""Cells of pods and of what makes them, as `kubectl get` shows them."""

from __future__ import annotations

from typing import Any

import pytest
from support.tables import AGE, BUILTIN, CREATED, SELECTED, SELECTOR, an, cells, row

from events.local.apiserver import tables

# Pods


def pod(**members: Any) -> dict[str, Any]:
    """The cells of a pod, by column."""
    spec = {"containers": [{"name": "c", "image": "i"}], **members.pop("spec", {})}
    going = {"deletionTimestamp": CREATED} if members.pop("going", False) else {}
    it = an(spec=spec, status=members)
    it["metadata"].update(going)
    names = [one.name for one in tables.columns(BUILTIN["", "Pod"])]
    return dict(zip(names, row("", "Pod", it)["cells"], strict=True))


RUNNING = {"state": {"running": {}}, "ready": True}
BACK_OFF = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 5}


def ended(code: int = 0, **members: Any) -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, **members}}}


def before(finished: str, count: int = 1) -> dict[str, Any]:
    return {"restartCount": count, "lastState": {"terminated": {"exitCode": 1, "finishedAt": finished}}}


SIDECAR = {"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]}


@pytest.mark.parametrize(
    ("members", "ready", "status"),
    [
        ({"phase": "Pending"}, "0/1", "Pending"),
        ({"phase": "Running", "containerStatuses": [RUNNING]}, "1/1", "Running"),
        ({"phase": "Running", "containerStatuses": [RUNNING | {"ready": False}]}, "0/1", "Running"),
        ({"phase": "Running", "containerStatuses": [BACK_OFF]}, "0/1", "CrashLoopBackOff"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "0/1",
            "ErrImagePull",
        ),
        ({"phase": "Succeeded", "containerStatuses": [ended(reason="Completed")]}, "0/1", "Completed"),
        ({"phase": "Failed", "containerStatuses": [ended(1, reason="Error")]}, "0/1", "Error"),
        ({"phase": "Failed", "containerStatuses": [ended(137, signal=9)]}, "0/1", "Signal:9"),
        ({"phase": "Failed", "containerStatuses": [ended(3)]}, "0/1", "ExitCode:3"),
        ({"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted"),
        (
            {"phase": "Running", "containerStatuses": [ended(reason="Completed"), RUNNING]},
            "1/1",
            "NotReady",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [ended(reason="Completed"), RUNNING],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
            "1/1",
            "Running",
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            "0/1",
            "SchedulingGated",
        ),
        ({"phase": "Running", "containerStatuses": [RUNNING], "going": True}, "1/1", "Terminating"),
        ({"phase": "Succeeded", "containerStatuses": [ended(reason="Completed")], "going": True}, "0/1", "Completed"),
        ({"phase": "Running", "reason": "NodeLost", "going": True}, "0/1", "Unknown"),
        (
            {
                "phase": "Pending",
                "spec": {"initContainers": [{"name": "i"}, {"name": "j"}]},
                "initContainerStatuses": [{"name": "i", **ended()}, {"name": "j", "state": {"running": {}}}],
            },
            "0/1",
            "Init:1/2",
        ),
        (
            {
                "phase": "Pending",
                "spec": {"initContainers": [{"name": "i"}]},
                "initContainerStatuses": [{"name": "i", **ended(2)}],
            },
            "0/1",
            "Init:ExitCode:2",
        ),
        (
            {
                "phase": "Pending",
                "spec": {"initContainers": [{"name": "i"}]},
                "initContainerStatuses": [{"name": "i", **BACK_OFF}],
            },
            "0/1",
            "Init:CrashLoopBackOff",
        ),
        (
            {
                "phase": "Running",
                "spec": SIDECAR,
                "initContainerStatuses": [{"name": "s", "started": True, **RUNNING}, {"name": "i", **ended()}],
                "containerStatuses": [RUNNING],
            },
            "2/2",
            "Running",
        ),
    ],
)
def test_a_pod_says_what_its_containers_do(members: dict[str, Any], ready: str, status: str) -> None:
    shown = pod(**members)
    assert (shown["Ready"], shown["Status"]) == (ready, status)


def test_restarts_say_when_the_last_one_was() -> None:
    assert pod(containerStatuses=[RUNNING])["Restarts"] == "0"
    assert pod(containerStatuses=[RUNNING | {"restartCount": 2}])["Restarts"] == "2"
    several = [RUNNING | before("2024-01-01T00:05:00Z"), RUNNING | before("2024-01-01T00:02:00Z", 3)]
    assert pod(containerStatuses=several)["Restarts"] == "4 (5m ago)"
    starting = [{"name": "i", **BACK_OFF}]
    assert pod(spec={"initContainers": [{"name": "i"}]}, initContainerStatuses=starting)["Restarts"] == "5"
    of_sidecar = [{"name": "s", "started": True, **RUNNING, **before("2024-01-01T00:09:00Z")}, {"name": "i", **ended()}]
    shown = pod(spec=SIDECAR, initContainerStatuses=of_sidecar, containerStatuses=[RUNNING])
    assert shown["Restarts"] == "1 (60s ago)"


def test_where_a_pod_is() -> None:
    shown = pod(spec={"nodeName": "n", "readinessGates": [{"conditionType": "x"}]}, podIPs=[{"ip": "1.2.3.4"}])
    assert (shown["IP"], shown["Node"], shown["Nominated Node"], shown["Readiness Gates"]) == (
        "1.2.3.4",
        "n",
        "<none>",
        "0/1",
    )
    assert pod(podIP="1.2.3.5")["IP"] == "1.2.3.5"
    assert pod()["Node"] == pod()["Readiness Gates"] == "<none>"


def test_rows_of_pods_that_ran_to_their_end_say_so() -> None:
    done = row("", "Pod", an(status={"phase": "Succeeded"}))
    assert done["conditions"] == [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ]
    assert "conditions" not in row("", "Pod", an(status={"phase": "Running"}))


# Workloads

TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j:2"}]}}
WIDE = ["c,d", "i:1,j:2"]


def test_deployments_and_replica_sets() -> None:
    spec = {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}
    status = {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}
    assert cells("apps", "Deployment", spec=spec, status=status) == ["2/3", 1, 2, AGE, *WIDE, SELECTED]
    assert cells("apps", "Deployment", spec={"replicas": 1}) == ["0/1", 0, 0, AGE, "", "", ""]
    assert cells("apps", "ReplicaSet", spec=spec, status=status) == [3, 3, 2, AGE, *WIDE, SELECTED]
    assert cells("apps", "StatefulSet", spec=spec, status=status) == ["2/3", AGE, *WIDE]
    assert cells("", "ReplicationController", spec=spec | {"selector": {"a": "b"}}) == [3, 0, 0, AGE, *WIDE, "a=b"]


def test_selectors_are_shown_as_queries_have_them() -> None:
    wanted = [
        {"key": "d", "operator": "Exists"},
        {"key": "c", "operator": "DoesNotExist"},
        {"key": "b", "operator": "NotIn", "values": ["x"]},
    ]
    got = cells("apps", "ReplicaSet", spec={"selector": {"matchLabels": {"a": "1"}, "matchExpressions": wanted}})
    assert got[-1] == "a=1,b notin (x),!c,d"


def test_daemon_sets() -> None:
    status = {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2}
    template = {"spec": TEMPLATE["spec"] | {"nodeSelector": {"os": "linux"}}}
    got = cells("apps", "DaemonSet", spec={"template": template, "selector": {}}, status=status)
    assert got == [5, 4, 3, 2, 0, "os=linux", AGE, *WIDE, "<none>"]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, ["Running", "0/1", ""]),
        ({"completions": 3}, {"succeeded": 2, "startTime": CREATED}, ["Running", "2/3", "10m"]),
        ({"parallelism": 4}, {"succeeded": 2}, ["Running", "2/1 of 4", ""]),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": CREATED,
                "completionTime": "2024-01-01T00:00:42Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "42s"],
        ),
        ({}, {"conditions": [{"type": "Failed", "status": "True"}]}, ["Failed", "0/1", ""]),
        ({}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ["Suspended", "0/1", ""]),
        ({}, {"conditions": [{"type": "Suspended", "status": "False"}]}, ["Running", "0/1", ""]),
    ],
)
def test_jobs(spec: Any, status: Any, expected: Any) -> None:
    assert cells("batch", "Job", spec=spec | {"template": TEMPLATE}, status=status) == [*expected, AGE, *WIDE, "<none>"]


def test_cron_jobs() -> None:
    spec = {"schedule": "* * * * *", "suspend": False, "jobTemplate": {"spec": {"template": TEMPLATE}}}
    never = cells("batch", "CronJob", spec=spec)
    assert never == ["* * * * *", "<none>", "False", 0, "<none>", AGE, *WIDE, "<none>"]
    status = {"lastScheduleTime": "2024-01-01T00:09:30Z", "active": [{}, {}]}
    got = cells("batch", "CronJob", spec=spec | {"suspend": True, "timeZone": "UTC"}, status=status)
    assert got[:6] == ["* * * * *", "UTC", "True", 2, "30s", AGE]


def test_revisions_name_their_controller() -> None:
    it = an(revision=3)
    assert row("apps", "ControllerRevision", it)["cells"][1:] == ["<none>", 3, AGE]
    it["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Node", "name": "n"},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "controller": True},
    ]
    assert row("apps", "ControllerRevision", it)["cells"][1] == "statefulset.apps/s"


def test_disruption_budgets() -> None:
    assert cells("policy", "PodDisruptionBudget", spec={"minAvailable": "50%"}) == ["50%", "N/A", 0, AGE]
    got = cells("policy", "PodDisruptionBudget", spec={"maxUnavailable": 0}, status={"disruptionsAllowed": 2})
    assert got == ["N/A", "0", 2, AGE]


def resource_metric(name: str, target: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


@pytest.mark.parametrize(
    ("metrics", "current", "expected"),
    [
        ([], [], "<none>"),
        ([resource_metric("cpu", {"averageUtilization": 80})], [], "cpu: <unknown>/80%"),
        (
            [resource_metric("cpu", {"averageUtilization": 80}), resource_metric("memory", {"averageValue": "1024Mi"})],
            [
                {"resource": {"current": {"averageUtilization": 7}}},
                {"resource": {"current": {"averageValue": "512Mi"}}},
            ],
            "cpu: 7%/80%, memory: 512Mi/1Gi",
        ),
        (
            [{"type": "External", "external": {"target": {"averageValue": "5"}}}, {"type": "Odd"}, {"type": "Odd"}],
            [],
            "<unknown>/5 (avg), <unknown type> + 1 more...",
        ),
        (
            [{"type": "Object", "object": {"target": {"value": "2k"}}}],
            [{"object": {"current": {"value": "1500"}}}],
            "1500/2k",
        ),
        ([{"type": "Pods", "pods": {"target": {"averageValue": "5"}}}], [], "<unknown>/5"),
    ],
)
def test_autoscalers(metrics: Any, current: Any, expected: str) -> None:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "x"},
        "maxReplicas": 5,
        "minReplicas": 2,
        "metrics": metrics,
    }
    status = {"currentReplicas": 3, "currentMetrics": current}
    got = cells("autoscaling", "HorizontalPodAutoscaler", spec=spec, status=status)
    assert got == ["Deployment/x", expected, "2", 5, 3, AGE]
