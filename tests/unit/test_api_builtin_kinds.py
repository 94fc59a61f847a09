"""Built-in kinds: how objects are read, what is filled in, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.local.apiserver import names
from events.local.apiserver.validation import DecodeError, Kind, Kinds, duplicates
from events.local.apiserver.validation.builtin import events
from events.local.apiserver.validation.builtin.prepare import (
    prepare_change_in_place,
    prepare_in_place,
    quality,
    with_address,
)

KINDS = Kinds()
CLUSTER = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingWebhookConfiguration",
    "CustomResourceDefinition",
}
POD = {"containers": [{"name": "a", "image": "a:1"}]}


def kind(group: str, name: str) -> Kind:
    return KINDS.builtin(group, "v1", name, namespaced=name not in CLUSTER)


def read(group: str, name: str, **members: Any) -> dict[str, Any]:
    it = {"metadata": {"name": "x", "namespace": "d"}, **members}
    if name in CLUSTER:
        it["metadata"].pop("namespace", None)
    return kind(group, name).decode(it).object


def said(found: list[dict[str, str]]) -> list[str]:
    return [f"{cause['field']}: {cause['message']}" for cause in found]


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {**POD, **spec}}


@pytest.mark.parametrize(
    ("group", "name", "members", "expected"),
    [
        ("", "ConfigMap", {"data": None}, {}),
        ("", "ConfigMap", {"data": {"a": None}, "immutable": False}, {"data": {"a": ""}, "immutable": False}),
        ("", "Secret", {"stringData": {"a": "x"}}, {"data": {"a": "eA=="}, "type": "Opaque"}),
        ("", "Secret", {"data": {"a": "eA=\n="}}, {"data": {"a": "eA=="}, "type": "Opaque"}),
        ("coordination.k8s.io", "Lease", {}, {"spec": {}}),
        (
            "coordination.k8s.io",
            "Lease",
            {"spec": {"renewTime": "2021-01-01T02:00:00.123456+02:00"}},
            {"spec": {"renewTime": "2021-01-01T00:00:00.123456Z"}},
        ),
        ("rbac.authorization.k8s.io", "Role", {"rules": []}, {"rules": None}),
        ("", "Namespace", {}, {"spec": {}, "status": {"phase": "Active"}}),
        (
            "",
            "Service",
            {"spec": {"ports": [{"port": 80}]}},
            {
                "spec": {
                    "type": "ClusterIP",
                    "sessionAffinity": "None",
                    "internalTrafficPolicy": "Cluster",
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                },
                "status": {"loadBalancer": {}},
            },
        ),
    ],
)
def test_an_object_is_read_as_a_typed_server_reads_it(
    group: str, name: str, members: dict[str, Any], expected: dict[str, Any]
) -> None:
    it = read(group, name, **members)
    it.pop("metadata")
    assert it == expected


def test_a_deployment_gets_its_defaults() -> None:
    spec = read("apps", "Deployment", spec={"selector": {"matchLabels": {"a": "b"}}, "template": template()})["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    pod = spec["template"]["spec"]
    assert pod | POD == pod | {"containers": POD["containers"]}
    assert pod["restartPolicy"] == "Always"
    assert pod["dnsPolicy"] == "ClusterFirst"
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["containers"][0] == {
        "name": "a",
        "image": "a:1",
        "resources": {},
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("r:5000/a", "Always"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = read("", "Pod", spec={"containers": [{"name": "a", "image": image}]})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_pod_asks_for_what_it_is_limited_to() -> None:
    limits = {"cpu": "0.5", "memory": "1024Mi"}
    pod = read("", "Pod", spec={"containers": [{"name": "a", "image": "a", "resources": {"limits": limits}}]})
    expected = {"cpu": "500m", "memory": "1Gi"}
    assert pod["spec"]["containers"][0]["resources"] == {"limits": expected, "requests": expected}
    assert quality(pod) == "Guaranteed"


def test_unknown_fields_are_named_in_the_order_of_the_text() -> None:
    found = kind("apps", "Deployment").decode(
        {"metadata": {"zz": 1}, "spec": {"template": {"spec": {"containers": [{"imag": 1}]}}}, "extra": 2}
    )
    assert found.unknown == ["metadata.zz", "spec.template.spec.containers[0].imag", "extra"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"data": {"k": 1}}, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (
            {"metadata": 5},
            "json: cannot unmarshal number into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        ),
        (
            {"metadata": {"labels": {"a": True}}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ({"binaryData": {"a": "***"}}, "illegal base64 data at input byte 0"),
        ({"immutable": "yes"}, "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
    ],
)
def test_a_value_of_another_type_is_refused(members: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError) as refused:
        kind("", "ConfigMap").decode(members)
    assert str(refused.value) == says


def test_an_object_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"properties": {"a": deep}}
    body = {"spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}}
    with pytest.raises(DecodeError, match="depth"):
        kind("apiextensions.k8s.io", "CustomResourceDefinition").decode(body)


MOUNTING = {"name": "a", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
CLAIM = {
    "metadata": {"name": "v"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
DEPLOYMENT = {"selector": {"matchLabels": {"a": "b"}}, "template": template()}


@pytest.mark.parametrize(
    ("group", "name", "members", "expected"),
    [
        ("apps", "Deployment", {"spec": DEPLOYMENT}, []),
        (
            "apps",
            "Deployment",
            {"spec": {**DEPLOYMENT, "replicas": -1}},
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "apps",
            "Deployment",
            {"spec": {**DEPLOYMENT, "selector": {"matchLabels": {"a": "c"}}}},
            [
                'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
            ],
        ),
        (
            "apps",
            "Deployment",
            {"spec": {**DEPLOYMENT, "template": template(containers=[{"name": "A b"}])}},
            [
                f'spec.template.spec.containers[0].name: Invalid value: "A b": {names.LABEL_SAYS}',
                "spec.template.spec.containers[0].image: Required value",
            ],
        ),
        (
            "",
            "Pod",
            {"spec": {"containers": [{"name": "a", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}},
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        ("", "Pod", {"spec": {}}, ["spec.containers: Required value"]),
        (
            "apps",
            "StatefulSet",
            {"spec": {**DEPLOYMENT, "template": template(containers=[MOUNTING]), "volumeClaimTemplates": [CLAIM]}},
            [],
        ),
        (
            "apps",
            "StatefulSet",
            {"spec": {**DEPLOYMENT, "template": template(containers=[MOUNTING])}},
            ['spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            "",
            "Service",
            {"spec": {"ports": [{"port": 70000}], "type": "Odd"}},
            [
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
                '"NodePort"',
            ],
        ),
        (
            "batch",
            "Job",
            {"spec": {"template": {"spec": POD}}},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            "batch",
            "CronJob",
            {
                "spec": {
                    "schedule": "* *",
                    "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
                }
            },
            ['spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2: [* *]'],
        ),
        ("", "ConfigMap", {"data": {"a": "x" * (1 << 20) + "x"}}, [": Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_what_is_wrong_is_said_as_a_real_server_says_it(
    group: str, name: str, members: dict[str, Any], expected: list[str]
) -> None:
    assert said(kind(group, name).created(read(group, name, **members))) == expected


@pytest.mark.parametrize(
    ("group", "name", "before", "after", "expected"),
    [
        (
            "apps",
            "Deployment",
            {"spec": DEPLOYMENT},
            {
                "spec": {
                    "selector": {"matchLabels": {"a": "c"}},
                    "template": {"metadata": {"labels": {"a": "c"}}, "spec": POD},
                }
            },
            ['spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'],
        ),
        (
            "",
            "ConfigMap",
            {"data": {"a": "1"}, "immutable": True},
            {"data": {"a": "2"}},
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        ),
        ("", "Secret", {"type": "a/b"}, {"type": "c/d"}, ['type: Invalid value: "c/d": field is immutable']),
        (
            "",
            "Pod",
            {"spec": POD},
            {"spec": {"containers": [{"name": "a", "image": "b:2"}]}},
            [],
        ),
    ],
)
def test_what_may_not_change_stays(
    group: str, name: str, before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    old, new = read(group, name, **before), read(group, name, **after)
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"] = "1"
    assert said(kind(group, name).updated(new, old)) == expected


def test_a_job_is_told_from_others_by_its_uid() -> None:
    it = read("batch", "Job", spec={"template": {"spec": {**POD, "restartPolicy": "Never"}}})
    it["metadata"]["uid"] = "u"
    prepare_in_place("batch", "Job", it)
    assert it["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    labels = it["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "x"


@pytest.mark.parametrize("name", ["PersistentVolume", "PersistentVolumeClaim"])
def test_volumes_and_claims_begin_pending(name: str) -> None:
    it = read("", name, spec={})
    it["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    prepare_in_place("", name, it)
    assert it["status"]["phase"] == "Pending"


def test_a_service_gets_an_address_and_what_follows() -> None:
    it = read("", "Service", spec={"ports": [{"port": 80}]})
    with_address(it, "127.0.0.9")
    assert (
        it["spec"].items()
        >= {"clusterIPs": ["127.0.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}.items()
    )


def test_a_service_that_is_applied_again_keeps_its_address() -> None:
    old = read("", "Service", spec={"ports": [{"port": 80, "nodePort": 30080}], "type": "NodePort"})
    with_address(old, "127.0.0.9")
    new = read("", "Service", spec={"ports": [{"port": 80}], "type": "NodePort"})
    prepare_change_in_place("", "Service", new, old)
    assert new["spec"] == old["spec"]


@pytest.mark.parametrize(("number", "left"), [(30080, {}), (30081, {"nodePort": 30081})])
def test_a_service_that_goes_inside_loses_the_ports_it_was_given(number: int, left: dict[str, int]) -> None:
    old = read("", "Service", spec={"ports": [{"port": 80, "nodePort": 30080}], "type": "NodePort"})
    new = read("", "Service", spec={"ports": [{"port": 80, "nodePort": number}], "type": "ClusterIP"})
    prepare_change_in_place("", "Service", new, old)
    assert new["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80, **left}]


def test_an_event_is_one_object_in_two_groups() -> None:
    old = read(
        "", "Event", involvedObject={"kind": "Pod", "namespace": "d"}, message="m", count=2, reportingComponent="x.io/y"
    )
    new = kind("events.k8s.io", "Event").decode(events.converted(old, "events.k8s.io/v1")).object
    assert (new["regarding"], new["note"], new["deprecatedCount"]) == (old["involvedObject"], "m", 2)
    back = kind("", "Event").decode(events.converted(new, "v1")).object
    assert back == {**old, "apiVersion": "v1"}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('{"a": 1, "a": 2}', ["a"]),
        ('{"spec": {"a": {"b": 1, "b": 2}, "c": [{"d": 1, "d": 1}]}}', ["spec.a.b", "spec.c[0].d"]),
        ('{"a": {"b": 1}, "c": {"b": 1}}', []),
        ("{", []),
    ],
)
def test_keys_that_stand_twice_are_named(text: str, paths: list[str]) -> None:
    assert duplicates.duplicated(text) == paths


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["metadata", "spec", "data", "name", "labels", "containers", "ports", "rules", "template", "type"]
)
OBJECTS = st.dictionaries(
    NAMES, JSON | st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=3), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(
    OBJECTS,
    st.sampled_from([("", "Pod"), ("", "ConfigMap"), ("", "Service"), ("apps", "Deployment"), ("batch", "Job")]),
)
def test_whatever_is_sent_is_judged_or_refused(body: dict[str, Any], which: tuple[str, str]) -> None:
    one = kind(*which)
    try:
        it = one.decode(body).object
    except DecodeError:
        return
    assert all(set(cause) == {"field", "reason", "message"} for cause in one.created(it))
    assert one.decode(it).object == it  # reading again changes nothing
