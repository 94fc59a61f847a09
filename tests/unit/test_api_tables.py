"""Tables of kinds: the recorded ones of a real server, and the cells that `kubectl get` shows of everything else."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.core import Case, read
from support.tables import AGE, BUILTIN, CREATED, KINDS, NOW, an, cells, cells_by_name, row

from events.local.apiserver import tables
from events.local.apiserver.resources import Column, Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.tables import ages

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "kubernetes" / "http.table.jsonl.gz"


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
