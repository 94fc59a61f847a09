"""The custom resource definitions: what they accept, what they refuse, what they teach. Judged by our API server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conformance.core import Case, read

from events.app import crds
from events.local.apiserver.validation import Kinds
from events.local.apiserver.validation.builtin.prepare import prepare_in_place
from events.local.apiserver.validation.custom.kind import CustomKind
from eventsources.registry import SOURCES
from sensors.registry import TRIGGERS

TESTS = Path(__file__).parents[1]
CASES = list(read(TESTS / "conformance/cases/validate.jsonl.gz"))
PUBLISHED = TESTS.parents[1] / "shared/upstream-examples"
MISTAKES = {
    "sensors/trigger-with-policy.yaml": ["spec.triggers[0].template.policy"],  # belongs beside the template
    "tutorials/09-http-trigger/sensor-02.yaml": ["spec.triggers[0].template.http.serverURL"],  # no field at all
}
"""Keys that Argo Events ignores although their authors mean something by them."""
ANNOTATION = 262144
"""Bytes of annotations that an object may have: client-side apply keeps the whole definition in one."""


@cache
def kinds() -> Mapping[str, CustomKind]:
    """The kinds as a server with these definitions serves them."""
    server = Kinds()
    definition = server.builtin("apiextensions.k8s.io", "v1", "CustomResourceDefinition", namespaced=False)
    served = {}
    for one in crds.definitions():
        decoded = definition.decode(one)
        assert decoded.unknown == []
        prepare_in_place("apiextensions.k8s.io", "CustomResourceDefinition", decoded.object)
        assert definition.created(decoded.object) == []
        served[one["spec"]["names"]["kind"]] = server.custom(decoded.object, crds.VERSION)
    return served


def judged(raw: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What a server says against an object, and which of its keys it does not know."""
    kind = kinds()[raw["kind"]]
    decoded = kind.decode({**raw, "metadata": {"name": "one", "namespace": "argo"}})
    return [f"{cause['field']}: {cause['message']}" for cause in kind.created(decoded.object)], decoded.unknown


def at(schema: Mapping[str, Any], *path: str) -> Any:
    for key in path:
        schema = schema.get("items", schema)
        schema = schema["additionalProperties"] if key == "*" else schema["properties"][key]
    return schema


def schema(kind: str) -> Any:
    (found,) = (one for one in crds.definitions() if one["spec"]["names"]["kind"] == kind)
    return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for name, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if name in node:
            yield from nodes(node[name], path + suffix)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_argo_events_can_read_can_be_stored_and_what_it_cannot_is_refused(case: Case) -> None:
    errors, unknown = judged(case.input["object"])
    could_be_read = case.expect.get("ok") or not str(case.expect.get("error", "")).startswith("decode:")
    assert not errors if could_be_read else errors
    assert unknown == [] or not could_be_read


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared/upstream-examples")
def test_published_manifests_are_accepted_but_for_keys_in_the_wrong_place() -> None:
    said = {}
    for path in sorted(PUBLISHED.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if one and one["kind"] in kinds():
                errors, unknown = judged(one)
                assert errors == [], path
                if unknown:
                    said[str(path.relative_to(PUBLISHED))] = unknown
    assert said == MISTAKES


@pytest.mark.parametrize(
    "backoff",
    [{"duration": "10s"}, {"duration": 1000}, {"factor": 1.5}, {"factor": 2}, {"jitter": "0.5"}, {"duration": None}],
)
def test_a_backoff_is_stored_in_every_form_that_argo_events_takes(backoff: dict[str, Any]) -> None:
    trigger = {"template": {"name": "t", "log": {}}, "retryStrategy": backoff}
    assert judged(sensor(trigger)) == ([], [])


@pytest.mark.parametrize("resource", [{"kind": "Job", "spec": {"any": [1, {"thing": None}]}}, {}, "text", 7])
def test_an_embedded_resource_may_be_any_json(resource: Any) -> None:
    assert judged(sensor({"template": {"name": "t", "k8s": {"source": {"resource": resource}}}})) == ([], [])


def test_an_event_without_a_spec_stays() -> None:
    raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "spec": {"webhook": {"one": None}}}
    kept = kinds()["EventSource"].decode({**raw, "metadata": {"name": "one", "namespace": "argo"}})
    assert kept.object["spec"] == {"webhook": {"one": None}}
    assert judged(raw) == ([], [])


def sensor(*triggers: Any) -> dict[str, Any]:
    spec = {"dependencies": [{"name": "d", "eventSourceName": "s", "eventName": "e"}], "triggers": list(triggers)}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "spec": spec}


@pytest.mark.parametrize(
    ("trigger", "unknown"),
    [
        ({"template": {"name": "t", "http": {"urll": "http://h"}}}, "template.http.urll"),
        ({"template": {"name": "t"}, "retrystrategy": {}}, "retrystrategy"),
        ({"template": {"name": "t", "log": {}, "atLeastOnce": True}}, "template.atLeastOnce"),
        ({"template": {"name": "t"}, "dlqTrigger": {"template": {"htttp": {}}}}, "dlqTrigger.template.htttp"),
    ],
)
def test_a_mistyped_key_is_refused_at_apply(trigger: dict[str, Any], unknown: str) -> None:
    assert judged(sensor(trigger)) == ([], [f"spec.triggers[0].{unknown}"])


def test_a_dead_letter_trigger_of_a_dead_letter_trigger_is_not_looked_into() -> None:
    inner = {"template": {"name": "c", "whatever": 1}}
    outer = {"template": {"name": "a"}, "dlqTrigger": {"template": {"name": "b"}, "dlqTrigger": inner}}
    assert judged(sensor(outer)) == ([], [])


def test_status_as_both_controllers_write_it_is_kept() -> None:
    upstream = {"type": "Deployed", "status": "True", "lastTransitionTime": None}
    ours = {"type": "Ready", "status": "False", "reason": "Why", "message": "what", "observedGeneration": 3}
    errors, unknown = judged({**sensor(), "status": {"conditions": [upstream, ours]}})
    assert (errors, unknown) == ([], [])


def test_nothing_but_types_is_demanded_of_a_spec() -> None:
    """A write of a status or finalizer is judged as a whole: what is stored must always be acceptable."""
    for kind in kinds():
        for path, node in nodes(schema(kind)["properties"]["spec"]):
            assert not node.keys() & {"required", "enum", "pattern", "minimum", "maximum", "default", "format"}, path


def test_every_field_has_a_type_and_a_text() -> None:
    open_ended = set()
    for kind in kinds():
        for path, node in nodes(schema(kind)["properties"]["spec"], kind):
            if crds.PRESERVE in node:
                open_ended.add(path.replace(".dlqTrigger", "").split(".")[-1])
            else:
                assert node.get("type") or node.get("x-kubernetes-int-or-string"), path
            if not path.endswith(("[]", ".*")):
                assert node.get("description"), path
    assert open_ended <= OPEN


OPEN = {
    # of Kubernetes
    "resources", "securityContext", "volumeMounts[]", "env[]", "envFrom[]", "volumes[]", "tolerations[]",
    "imagePullSecrets[]", "affinity", "ports[]",
    # any JSON
    "resource", "factor", "jitter", "parameters", "volumeSize",
    # without effect
    "type", "namespace", "openwhisk", "verifycert",
    # what recurs
    "triggers[]",
    # buses that are described elsewhere
    "native", "exotic", "kafka", "jetstream",
}  # fmt: skip


def test_all_kinds_of_sources_and_triggers_are_in_the_definitions() -> None:
    spec = schema("EventSource")["properties"]["spec"]["properties"]
    assert set(SOURCES) <= spec.keys()
    template = at(schema("Sensor"), "spec", "triggers", "template")["properties"]
    assert set(TRIGGERS) <= template.keys()
    assert at(schema("EventSource"), "spec", "webhook", "*", "endpoint")["type"] == "string"


def test_a_definition_fits_the_annotation_of_client_side_apply() -> None:
    for one in crds.definitions():
        assert len(json.dumps(one)) < ANNOTATION * 0.8, one["metadata"]["name"]


def test_names_are_those_that_clients_know() -> None:
    names = {one["metadata"]["name"]: one["spec"]["names"] for one in crds.definitions()}
    assert {name: one["shortNames"] for name, one in names.items()} == {
        "eventbus.argoproj.io": ["eb"],
        "eventsources.argoproj.io": ["es"],
        "sensors.argoproj.io": ["sn"],
    }
    assert names["eventbus.argoproj.io"]["singular"] == "eventbus"
