"""Tables of kinds: the recorded ones of a real server, and the cells that `kubectl get` shows of everything else."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conformance.core import Case, read

from events.local.apiserver import kinds, tables
from events.local.apiserver.resources import Column, Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.tables import ages
from events.local.apiserver.validation import Kinds

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "kubernetes" / "http.table.jsonl.gz"
KINDS = Kinds()
BUILTIN = {(one.group, one.kind): one for one in kinds.builtin(KINDS)}
CREATED = "2024-01-01T00:00:00Z"
NOW = datetime(2024, 1, 1, 0, 10, tzinfo=UTC).timestamp()
"""Ten minutes after everything was created."""
AGE = "10m"


def custom(*columns: Column) -> Resource:
    return Resource(
        group="example.com",
        version="v1",
        plural="widgets",
        kind="Widget",
        namespaced=True,
        kinds=KINDS,
        definition={},
        columns=columns,
    )


def an(name: str = "a", labels: Any = None, annotations: Any = None, **members: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "d", "creationTimestamp": CREATED, "labels": labels or {}}
    return {"metadata": metadata | {"annotations": annotations or {}}, **members}


def row(group: str, kind: str, it: dict[str, Any]) -> dict[str, Any]:
    shown = tables.table(BUILTIN[group, kind], [it], metadata={}, now=NOW)
    (found,) = shown["rows"]
    assert len(found["cells"]) == len(shown["columnDefinitions"])
    return dict(found)


def cells(group: str, kind: str, **members: Any) -> list[Any]:
    """The cells after the name."""
    first, *rest = row(group, kind, an(**members))["cells"]
    assert first == "a"
    return rest


def cells_by_name(group: str, kind: str, **members: Any) -> dict[str, Any]:
    names = [one.name for one in tables.columns(BUILTIN[group, kind])]
    return dict(zip(names, row(group, kind, an(**members))["cells"], strict=True))


# What was recorded


def recorded() -> Iterator[Any]:
    for case in read(CASES):
        for index, step in enumerate(case.input["steps"]):
            accepts = (step.get("headers") or {}).get("Accept", "")
            body = case.expect["steps"][index].get("body") or {}
            if "as=Table" in accepts and body.get("kind") == "Table":
                yield pytest.param(case, index, id=f"{case.name}-{index}")


def resource_of(case: Case, path: str) -> Resource:
    """The resource of a path, from the case's own definitions or the built-in ones."""
    _, prefix, *rest = path.split("/")
    group = "" if prefix == "api" else rest[0]
    rest = rest[1:] if prefix == "api" else rest[2:]
    plural = rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
    for definition in case.input.get("crds") or ():
        if definition["spec"]["group"] == group:
            given = definition["spec"]["versions"][0].get("additionalPrinterColumns") or ()
            return custom(
                *(
                    Column(
                        one["name"],
                        one["type"],
                        one.get("description", ""),
                        one.get("format", ""),
                        one.get("priority", 0),
                        one["jsonPath"],
                    )
                    for one in given
                )
            )
    return next(one for one in BUILTIN.values() if (one.group, one.plural) == (group, plural))


def dated(value: Any) -> Any:
    """A recorded object with times again, where they were hidden."""
    if isinstance(value, dict):
        return {key: dated(one) for key, one in value.items()}
    if isinstance(value, list):
        return [dated(one) for one in value]
    return CREATED if value == "<time>" else value


def created_before(case: Case, index: int) -> list[dict[str, Any]]:
    """The objects of the case at the path of a step, by name, as they were answered."""
    path = case.input["steps"][index]["path"]
    parts = path.replace("/apis/events.k8s.io/v1", "/api/v1")
    found = {}
    for step, answer in zip(case.input["steps"][:index], case.expect["steps"], strict=False):
        body = answer.get("body") or {}
        if step.get("method") != "POST" or body.get("kind") == "Status":
            continue
        place, name = step["path"], body["metadata"]["name"]
        if parts in (place, f"{place}/{name}"):
            found[name] = dated(body)
    return [found[name] for name in sorted(found)]


AGED = re.compile(r"(\d+[smhdy]){1,2}|<invalid>|<unknown>")


@pytest.mark.parametrize(("case", "index"), list(recorded()))
def test_recorded_tables(case: Case, index: int) -> None:
    step, wanted = case.input["steps"][index], dated(case.expect["steps"][index]["body"])
    items = created_before(case, index)
    carried = re.search(r"includeObject=(\w+)", step.get("query") or "")
    got = tables.table(
        resource_of(case, step["path"]),
        items[: len(wanted["rows"])],
        metadata=wanted["metadata"],
        include=tables.include(carried[1] if carried else ""),
        now=NOW,
    )
    for ours, theirs in zip(got["rows"], wanted["rows"], strict=True):
        ours["cells"] = [
            "<age>" if other == "<age>" and AGED.fullmatch(str(one)) else one
            for one, other in zip(ours["cells"], theirs["cells"], strict=True)
        ]
    assert got == wanted


def test_the_recorded_refusal_of_an_unknown_include() -> None:
    assert [tables.include(one) for one in ("", "Metadata", "Object", "None")] == [
        "Metadata",
        "Metadata",
        "Object",
        "None",
    ]
    with pytest.raises(StatusError) as refused:
        tables.include("Bad")
    assert (refused.value.code, refused.value.reason, refused.value.details) == (400, "BadRequest", None)
    assert refused.value.message == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "Bad": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )


# Tables


def test_every_column_is_described() -> None:
    for resource in BUILTIN.values():
        for one in tables.columns(resource):
            assert not one.description.startswith("@")
            assert one.description or (resource.kind, one.name) == ("RuntimeClass", "Handler")


def test_what_every_built_in_kind_shows() -> None:
    shown = {}
    for resource in BUILTIN.values():
        if resource.storage:
            bare = {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}
            made = tables.table(resource, [bare], metadata={}, now=NOW, include="None")
            assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])
            shown[resource.kind] = [one["name"].upper() for one in made["columnDefinitions"] if not one["priority"]]
    assert shown["Pod"] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert shown["Deployment"] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert shown["Job"] == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert shown["CustomResourceDefinition"] == shown["Role"] == shown["LimitRange"] == ["NAME", "CREATED AT"]


def test_a_watch_gives_columns_once() -> None:
    resource = BUILTIN["", "ConfigMap"]
    later = tables.table(resource, [an()], metadata={"resourceVersion": "5"}, now=NOW, with_columns=False)
    assert later["columnDefinitions"] is None
    assert later["metadata"] == {"resourceVersion": "5"}


def test_a_row_carries_what_was_asked_for() -> None:
    it = an(kind="ConfigMap", data={"k": "v"})
    resource = BUILTIN["", "ConfigMap"]

    def carried(include: str) -> Any:
        made = tables.table(resource, [it], metadata={}, now=NOW, include=include, api_version="meta.k8s.io/v1beta1")
        assert made["apiVersion"] == "meta.k8s.io/v1beta1"
        return made["rows"][0]["object"]

    assert carried("None") is None
    assert carried("Object") == it
    assert carried("Metadata") == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1beta1",
        "metadata": it["metadata"],
    }


def test_a_definition_that_is_gone_is_forgotten() -> None:
    resource = custom(Column("Size", "string", path=".spec.size"))
    assert [one.name for one in tables.columns(resource)] == ["Name", "Size"]
    gone = weakref.ref(resource)
    del resource
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        ("date", ".spec.x", CREATED, AGE),
        ("date", ".spec.x", "2024-01-01T01:00:00+01:00", AGE),
        ("date", ".spec.x", "20240101T000000Z", "<invalid>"),
        ("date", ".spec.x", "", "<unknown>"),
        ("date", ".spec.x", 5, None),
        ("integer", ".spec.x", 1.5, 1),
        ("integer", ".spec.x", "5", None),
        ("boolean", ".spec.x", False, False),
        ("string", ".spec.x[*].y", [{"y": "p"}, {"y": "q"}], "p"),
        ("string", ".spec.x", None, "<nil>"),
        ("string", ".spec.other", 1, None),
    ],
)
def test_cells_of_custom_kinds(kind: str, path: str, value: Any, expected: Any) -> None:
    resource = custom(Column("X", kind, path=path))
    made = tables.table(resource, [an(spec={"x": value})], metadata={}, now=NOW)
    assert made["rows"][0]["cells"] == ["a", expected]


def test_custom_kinds_without_columns_show_their_age() -> None:
    made = tables.table(custom(), [an()], metadata={}, now=NOW)
    assert made["rows"][0]["cells"] == ["a", AGE]
    assert [one["type"] for one in made["columnDefinitions"]] == ["string", "date"]


# Ages


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (179 * 60 + 59, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 1260, "3h21m"),
        (8 * 3600 + 59 * 60, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (8 * 86400 + 3600, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (735 * 86400, "2y5d"),
        (8 * 365 * 86400 + 5 * 86400, "8y"),
        (1e12, "292y"),
    ],
)
def test_spans_in_few_words(seconds: float, expected: str) -> None:
    assert ages.human(seconds) == expected


def test_times_that_say_nothing() -> None:
    clock = ages.Clock(NOW)
    assert clock.since(None) == clock.since("") == clock.since("0001-01-01T00:00:00Z") == "<unknown>"
    assert clock.since("soon") == "<invalid>"
    assert clock.since("2024-01-01T00:09:50.123456Z") == "9s"


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
SELECTOR = {
    "matchLabels": {"b": "2", "a": "1"},
    "matchExpressions": [{"key": "z", "operator": "In", "values": ["y", "x"]}],
}
SELECTED = "a=1,b=2,z in (x,y)"


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


# Network


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.0.0.1"}, {}, ["ClusterIP", "10.0.0.1", "<none>", "<none>"]),
        ({"type": "ClusterIP", "clusterIPs": ["None"]}, {}, ["ClusterIP", "None", "<none>", "<none>"]),
        (
            {
                "type": "NodePort",
                "clusterIP": "10.0.0.1",
                "externalIPs": ["1.1.1.1"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
            },
            {},
            ["NodePort", "10.0.0.1", "1.1.1.1", "80:30080/TCP,53/UDP"],
        ),
        ({"type": "LoadBalancer"}, {}, ["LoadBalancer", "<none>", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
            {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.2.3.4"}, {"hostname": "b"}]}},
            ["LoadBalancer", "<none>", "1.2.3.4,b,9.9.9.9", "<none>"],
        ),
        ({"type": "ExternalName", "externalName": "x.y"}, {}, ["ExternalName", "<none>", "x.y", "<none>"]),
    ],
)
def test_services(spec: Any, status: Any, expected: Any) -> None:
    assert cells("", "Service", spec=spec, status=status) == [*expected, AGE, "<none>"]


def test_ingresses() -> None:
    rules = [{"host": f"h{index}"} for index in range(5)]
    group = "networking.k8s.io"
    assert cells(group, "Ingress", spec={"rules": rules, "tls": [{}], "ingressClassName": "n"}) == [
        "n",
        "h0,h1,h2 + 2 more...",
        "",
        "80, 443",
        AGE,
    ]
    status = {"loadBalancer": {"ingress": [{"hostname": "a.long.name.of.a.balancer"}]}}
    assert cells(group, "Ingress", spec={}, status=status) == ["<none>", "*", "a.long.name.of.a.balancer", "80", AGE]
    parameters = {"kind": "P", "apiGroup": "x.y", "name": "p"}
    assert cells(group, "IngressClass", spec={"controller": "c", "parameters": parameters}) == ["c", "P.x.y/p", AGE]
    assert cells(group, "NetworkPolicy", spec={"podSelector": SELECTOR}) == [SELECTED, AGE]


def test_endpoints() -> None:
    addresses = [{"ip": "1.1.1.1"}, {"ip": "::1"}]
    assert cells("", "Endpoints") == ["<none>", AGE]
    assert cells("", "Endpoints", subsets=[{"addresses": addresses}]) == ["1.1.1.1,::1", AGE]
    got = cells("", "Endpoints", subsets=[{"addresses": addresses, "ports": [{"port": 80}, {"port": 81}]}])
    assert got == ["1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...", AGE]
    got = cells(
        "discovery.k8s.io",
        "EndpointSlice",
        addressType="IPv4",
        ports=[{"port": 80}, {"name": "x"}, {}],
        endpoints=[{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}],
    )
    assert got == ["IPv4", "80,x,*", "1.1.1.1,1.1.1.2", AGE]
    assert cells("discovery.k8s.io", "EndpointSlice", addressType="IPv4") == ["IPv4", "<unset>", "<unset>", AGE]


# Storage


def test_volumes_and_claims() -> None:
    spec = {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"]}
    status = {"phase": "Bound", "capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
    got = cells("", "PersistentVolumeClaim", spec=spec, status=status)
    assert got == ["Bound", "v", "1Gi", "RWO,RWX", "fast", "<unset>", AGE, "Filesystem"]
    waiting = cells("", "PersistentVolumeClaim", spec={}, status={"phase": "Pending"})
    assert waiting == ["Pending", "", "", "", "", "<unset>", AGE, "<unset>"]
    going = an(status={"phase": "Bound"})
    going["metadata"]["deletionTimestamp"] = CREATED
    assert row("", "PersistentVolumeClaim", going)["cells"][1] == "Terminating"
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadOnlyMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "n", "name": "c"},
    }
    old = {"volume.beta.kubernetes.io/storage-class": "old"}
    got = cells("", "PersistentVolume", spec=spec, status={"phase": "Bound"}, annotations=old)
    assert got == ["5Gi", "ROX", "Retain", "Bound", "n/c", "old", "<unset>", "", AGE, "<unset>"]


def test_classes_and_drivers() -> None:
    group = "storage.k8s.io"
    assert cells(group, "StorageClass", provisioner="p") == ["p", "Delete", "Immediate", False, AGE]
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert row(group, "StorageClass", an(annotations=default, provisioner="p"))["cells"][0] == "a (default)"
    assert cells(group, "CSIDriver", spec={}) == [True, False, False, "<unset>", False, "<none>", AGE]
    got = cells(
        group, "VolumeAttachment", spec={"attacher": "x", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    )
    assert got == ["x", "v", "n", False, AGE]


# The rest


def test_nodes() -> None:
    labels = {
        "node-role.kubernetes.io/worker": "",
        "node-role.kubernetes.io/control-plane": "",
        "kubernetes.io/role": "x",
    }
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1", "osImage": "os"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    }
    got = cells("", "Node", labels=labels, spec={"unschedulable": True}, status=status)
    ready = "Ready,SchedulingDisabled"
    assert got == [ready, "control-plane,worker,x", AGE, "v1", "10.0.0.1", "<none>", "os", "<unknown>", "<unknown>"]
    lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    assert cells("", "Node", status=lost)[0] == "NotReady"
    assert cells("", "Node")[:2] == ["Unknown", "<none>"]


def test_configuration_and_leases() -> None:
    assert cells("", "ConfigMap", data={"a": ""}, binaryData={"b": "", "c": ""}) == [3, AGE]
    assert cells("", "Secret", type="Opaque") == ["Opaque", 0, AGE]
    assert cells("", "ServiceAccount", secrets=[{"name": "x"}]) == [1, AGE]
    assert cells("", "Namespace", status={"phase": "Terminating"}) == ["Terminating", AGE]
    assert cells("coordination.k8s.io", "Lease", spec={"holderIdentity": "me"}) == ["me", AGE]
    assert cells("coordination.k8s.io", "Lease", spec={}) == ["", AGE]
    assert cells("scheduling.k8s.io", "PriorityClass", value=5) == [5, False, AGE, ""]
    assert cells("node.k8s.io", "RuntimeClass", handler="h") == ["h", AGE]
    assert cells("apiextensions.k8s.io", "CustomResourceDefinition") == [CREATED]


def test_quotas() -> None:
    hard = {"pods": "10", "limits.cpu": "2", "requests.cpu": "1000m"}
    got = cells("", "ResourceQuota", status={"hard": hard, "used": {"pods": "3"}})
    assert got == ["pods: 3/10, requests.cpu: 0/1", "limits.cpu: 0/2", AGE]


def test_events_of_both_groups_and_all_ages() -> None:
    old = {
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "kubelet", "host": "n"},
        "reason": "Why",
        "type": "Normal",
        "message": " said\n",
        "count": 2,
        "firstTimestamp": CREATED,
        "lastTimestamp": "2024-01-01T00:09:00Z",
    }
    shown = ["60s", "Normal", "Why", "pod/p", "spec.containers{c}", "kubelet, n", "said", AGE, 2, "a"]
    assert row("", "Event", an(**old))["cells"] == shown
    new = {
        "regarding": {"kind": "Node"},
        "note": "x",
        "reportingController": "c",
        "eventTime": "2024-01-01T00:09:30.000000Z",
        "series": {"count": 7, "lastObservedTime": "2024-01-01T00:09:55.000000Z"},
    }
    shown = ["5s", "", "", "node", "", "c", "x", "30s", 7, "a"]
    assert row("events.k8s.io", "Event", an(**new))["cells"] == shown
    single = cells_by_name("", "Event", eventTime="2024-01-01T00:09:30.000000Z")
    assert (single["Last Seen"], single["First Seen"], single["Count"]) == ("30s", "30s", 1)
    assert cells_by_name("", "Event")["Last Seen"] == "<unknown>"


def test_access_rules_and_admission() -> None:
    subjects = [
        {"kind": "User", "name": "u"},
        {"kind": "User", "name": "v"},
        {"kind": "Group", "name": "g"},
        {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
    ]
    group = "rbac.authorization.k8s.io"
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        got = cells(group, kind, roleRef={"kind": "ClusterRole", "name": "r"}, subjects=subjects)
        assert got == ["ClusterRole/r", AGE, "u, v", "g", "n/s"]
    assert cells(group, "Role") == cells(group, "ClusterRole") == [CREATED]
    group = "admissionregistration.k8s.io"
    assert cells(group, "MutatingWebhookConfiguration", webhooks=[{}, {}]) == [2, AGE]
    spec = {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    assert cells(group, "ValidatingAdmissionPolicy", spec=spec) == [1, "v1/ConfigMap", AGE]
    assert cells(group, "ValidatingAdmissionPolicy") == [0, "<unset>", AGE]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (None, "<unset>"),
        ({"name": "p"}, "*/p"),
        ({"name": "p", "namespace": "n"}, "n/p"),
        (
            {"selector": {"matchLabels": {"a": "b"}}},
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}",
        ),
    ],
)
def test_bindings_of_policies(reference: Any, expected: str) -> None:
    spec = {"policyName": "p", "paramRef": reference}
    assert cells("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", spec=spec) == ["p", expected, AGE]
