"""`keryx migrate-check`: what changes for an object, by the ids of docs/differences.md, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from conformance.core import differences, read
from conformance.test_conformance import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from support.keryx import run_to_end

from events.app.migration import check
from events.app.migration.rules import RULES
from events.kube.memory import MemoryKube

ROOT = Path(__file__).parents[2]
UPSTREAM = ROOT.parent / "shared" / "upstream-examples"
PODS = {"C6", "C11"}
SENSOR = {*PODS, "R3", "first start"}


def raw(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    named = {"name": "x", "namespace": "n"} | metadata
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": named, "spec": spec}


def sensor(template: dict[str, Any], *, filters: Any = None, transform: Any = None, **trigger: Any) -> dict[str, Any]:
    dependency: dict[str, Any] = {"name": "d", "eventSourceName": "a", "eventName": "b"}
    dependency |= {"filters": filters} if filters else {}
    dependency |= {"transform": transform} if transform else {}
    one = {"template": {"name": "t"} | template} | trigger
    return raw("Sensor", {"dependencies": [dependency], "triggers": [one]})


def ids(one: dict[str, Any]) -> set[str]:
    return {change.id for change in check.of_object(one).changes}


def test_each_id_is_a_row_of_the_document() -> None:
    known = differences().ids
    named = {rule.id for rule in RULES} | {check.UNKNOWN_FIELDS}
    assert not [name for name in named if not set(name.split()) <= known]


def test_the_table_is_sorted() -> None:
    def key(name: str) -> list[Any]:
        return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _parts(name)]

    named = [rule.id for rule in RULES]
    assert named == sorted(named, key=key)


def _parts(name: str) -> list[str]:
    import re

    return [part for part in re.split(r"(\d+)", name) if part]


LOG: dict[str, Any] = {"log": {}}
DATA = {"path": "a", "type": "string", "value": ["x", "y"], "comparator": "!="}
K8S: dict[str, Any] = {"operation": "create", "source": {"resource": {"metadata": {"generateName": "x-"}}}}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (raw("EventBus", {"jetstreamExotic": {"url": "nats://x", "tls": {}}}), {"E7"}),
        (raw("EventBus", {"jetstreamExotic": {"url": "nats://x"}}), {"E7"}),
        (
            raw("EventBus", {"jetstreamExotic": {"url": "x", "tls": {"caCertSecret": {"name": "a", "key": "b"}}}}),
            set(),
        ),
        (raw("EventBus", {"nats": {"native": {}}}), {"STAN", "Z1", "Z9", "stream limits"}),
        (raw("EventBus", {"nats": {"exotic": {"url": "u", "clusterID": "c"}}}), {"STAN", "refused"}),
        (raw("EventBus", {"kafka": {"url": "b:9092"}}), {"kafka"}),
        (raw("EventBus", {"jetstream": {"version": "latest"}}), {"Z1", "Z9", "stream limits"}),
        (
            raw("EventBus", {"jetstream": {"version": "latest", "streamConfig": "retention: 2"}}),
            {"E6", "Z1", "Z9", "refused", "stream limits"},
        ),
        (raw("EventBus", {"jetstream": {"version": "latest", "replicas": 1}}), {"E5", "Z1", "Z9", "stream limits"}),
        (raw("EventSource", {"webhook": {"e": {"port": "1", "endpoint": "/e"}}}), {*PODS, "K1", "K2", "restarts"}),
        (raw("EventSource", {"calendar": {"e": {"schedule": "* * * * *"}}}), {*PODS, "slot id", "restarts"}),
        (raw("EventSource", {"hdfs": {"e": {}}}), {*PODS, "not run", "refused"}),
        (
            raw("EventSource", {"calendar": {"e": {"schedule": "* * * * *"}}, "template": {"contaner": {}}}),
            {*PODS, "slot id", "restarts", "D3"},
        ),
        (sensor(LOG), SENSOR),
        (sensor(LOG, atLeastOnce=True), SENSOR - {"R3"} | {"R4"}),
        (sensor(LOG, retryStrategy={"steps": 2}), SENSOR | {"B3"}),
        (sensor({"log": {"intervalSeconds": 5}}), SENSOR | {"D4"}),
        (sensor(LOG, filters={"data": [DATA]}), SENSOR | {"F2"}),
        (sensor(LOG, filters={"data": [DATA | {"value": ["x"]}]}), SENSOR),
        (
            sensor(LOG, filters={"dataLogicalOperator": "or", "data": [DATA | {"comparator": "="}]}),
            SENSOR | {"F1"},
        ),
        (sensor(LOG, transform={"script": "return event"}), SENSOR | {"T1"}),
        (sensor({"k8s": K8S}), SENSOR | {"R8", "names"}),
        (sensor({"kafka": {"url": "b", "topic": "t", "payload": []}}), SENSOR | {"R8", "not run"}),
    ],
)
def test_what_changes_for_an_object(one: dict[str, Any], expected: set[str]) -> None:
    before = copy.deepcopy(one)
    assert ids(one) == expected
    assert one == before


def test_replicas_and_the_annotation_name_ownership() -> None:
    calendar = {"calendar": {"e": {"schedule": "* * * * *"}}}
    assert "R14" in ids(raw("EventSource", calendar | {"replicas": 2}))
    assert "R14" in ids(raw("EventSource", calendar, annotations={"events.argoproj.io/leader-election": "k8s"}))
    assert "R14" not in ids(raw("EventSource", calendar | {"replicas": 1}))


@pytest.mark.parametrize("folder", [ROOT / "examples", UPSTREAM], ids=["ours", "published"])
def test_every_example_is_read(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"needs {folder.parent.name}/{folder.name}")
    checked = check.of_files([folder])
    assert len([one for one in checked if one.kind]) > 10
    assert all(one.changes for one in checked if one.kind in ("Sensor", "EventSource"))
    assert json.loads("".join(check.as_json(checked)))[0].keys() == {"kind", "namespace", "name", "file", "changes"}
    assert len(list(check.text(checked))) > len(checked)


def test_recorded_objects_are_read_whatever_is_wrong_with_them() -> None:
    cases = list(read(CASES / "validate.jsonl.gz"))
    for case in cases:
        found = check.of_object(case.input["object"])
        assert all(change.says for change in found.changes)


_PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
_JSON = st.recursive(_PLAIN, lambda inner: st.lists(inner, max_size=3))
_KEYS = ("spec", "dependencies", "triggers", "template", "filters", "nats", "jetstream", "webhook")


@settings(max_examples=60, deadline=None)
@given(_JSON, st.sampled_from(_KEYS))
def test_nothing_of_a_wrong_shape_stops_it(value: Any, key: str) -> None:
    spec: Any = {key: value} if key != "spec" else value
    for kind in ("EventBus", "EventSource", "Sensor"):
        assert isinstance(check.of_object(raw(kind, spec)), check.Checked)
    nested = {"dependencies": [{key: value}, value], "triggers": [{key: value, "template": {key: value}}, value]}
    assert check.of_object(raw("Sensor", nested)).kind == "Sensor"


async def test_a_cluster_is_read() -> None:
    kube = MemoryKube()
    await kube.create(raw("EventBus", {"kafka": {"url": "b"}}), namespace="n")
    await kube.create(sensor(LOG) | {"metadata": {"name": "s", "namespace": "m"}}, namespace="m")
    assert [one.title for one in await check.of_cluster(kube, None)] == ["EventBus n/x", "Sensor m/s"]
    assert [one.title for one in await check.of_cluster(kube, "m")] == ["Sensor m/s"]


def test_people_read_lines() -> None:
    assert list(check.text([check.of_object(raw("EventBus", {"kafka": {"url": "b"}}))])) == [
        "EventBus n/x",
        "  kafka          spec.kafka: services do not run on a Kafka bus in this version",
        "1 objects, 0 of them refused at their next apply; ids: docs/differences.md",
    ]


def test_the_command_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "bus.yaml"
    file.write_text(json.dumps(raw("EventBus", {"nats": {"native": {}}})))
    ended = run_to_end("migrate-check", file, "--output", "json")
    assert ended.returncode == 0, ended.stderr
    assert [change["id"] for change in json.loads(ended.stdout)[0]["changes"]] == ["STAN", "Z1", "Z9", "stream limits"]
    ended = run_to_end("migrate-check", tmp_path / "nothing.yaml")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
