"""Our own kinds under a real kubectl: applied in every way, explained, refused when mistyped, shown with what is wrong.

Each of the manifests that Argo Events publishes applies; those with a key in the wrong place are told so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import Cluster
from support.terminal import Terminal

from events.app import crds, manifests

PUBLISHED = Path(__file__).parents[4] / "shared/upstream-examples"
MISTAKES = ["sensors/trigger-with-policy.yaml", "tutorials/09-http-trigger/sensor-02.yaml"]
UNKNOWN = ("unknown field", "not declared in schema")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


@pytest.fixture(scope="module")
def ours(cluster: Cluster) -> Iterator[None]:
    """Our definitions, on a cluster that has none under their names."""
    made = crds.definitions()
    for one in made:
        if cluster.get(*DEFINITION, one["metadata"]["name"]) is not None:
            pytest.skip(f"{one['metadata']['name']} is there already, and may have objects")
    for one in made:
        cluster.create(one)
    for one in made:
        cluster.until_served("argoproj.io/v1alpha1", one["spec"]["names"]["kind"])
    yield
    for one in made:
        cluster.delete(*DEFINITION, one["metadata"]["name"])


def sensor(name: str = "one", **trigger: Any) -> dict[str, Any]:
    spec = {
        "dependencies": [{"name": "d", "eventSourceName": "s", "eventName": "e"}],
        "triggers": [{"template": {"name": "t", "log": {}}} | trigger],
    }
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": name}, "spec": spec}


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("path", "teaches"),
    [
        ("sensor.spec.triggers.template.http", ["secureHeaders", "Sends an HTTP request.", "URL of the request."]),
        ("sensor.spec.triggers.dlqTrigger.template.k8s.source.git", ["cloneDirectory"]),
        ("sensors.spec.dependencies.filters.data", ["comparator", "any may match"]),
        ("es.spec.webhook", ["endpoint", "By event name."]),
        ("eventsource.spec.calendar.persistence.catchup", ["maxDuration"]),
        ("eb.spec.jetstream", ["version", "streamConfig"]),
        ("eventbus.status.conditions", ["observedGeneration", "True, False or Unknown."]),
    ],
)
def test_kubectl_explains_every_field(kubectl: Terminal, path: str, teaches: list[str]) -> None:
    said = " ".join(kubectl.does(f"explain {path}").split())
    for text in teaches:
        assert text in said


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("how", ["apply", "apply --server-side", "create"])
def test_a_mistyped_key_is_refused(kubectl: Terminal, how: str) -> None:
    wrong = kubectl.write("wrong.yaml", sensor(retryStrateggy={"steps": 3}))
    assert "retryStrateggy" in kubectl.fails(f"{how} -f {wrong}")
    assert "NotFound" in kubectl.fails("get sensor one")


def set_conditions(kubectl: Terminal, conditions: list[dict[str, str]]) -> None:
    change = json.dumps({"status": {"conditions": conditions}})
    kubectl.does(f"patch sn one --subresource=status --type=merge -p '{change}'")


@pytest.mark.usefixtures("ours")
def test_a_row_says_whether_it_works_and_why_not(kubectl: Terminal) -> None:
    kubectl.does("apply -f " + kubectl.write("sensor.yaml", sensor()))
    assert kubectl.rows("get sn")[0][0] == "one"
    conditions = [
        {"type": "DependenciesProvided", "status": "True"},
        {"type": "Deployed", "status": "False", "reason": "EventBusNotFound", "message": "make an EventBus"},
        {"type": "TriggersProvided", "status": "True"},
    ]
    set_conditions(kubectl, conditions)
    assert kubectl.rows("get sn")[0][:3] == ["one", "False", "EventBusNotFound"]
    assert "make an EventBus" in kubectl.does("get sn -o wide")
    conditions[1] = {"type": "Deployed", "status": "True", "reason": "Succeeded", "message": "it runs"}
    set_conditions(kubectl, conditions)
    row = kubectl.rows("get sn")[0]
    assert row[:2] == ["one", "True"]
    assert len(row) == 3, "no reason is shown when all is well"


@pytest.mark.usefixtures("ours")
def test_what_others_stored_can_be_written_and_deleted(kubectl: Terminal, cluster: Cluster) -> None:
    """No rule but types: a status and a finalizer can always be written, whatever is missing in the spec."""
    empty = sensor("empty") | {"spec": {}}
    empty["metadata"]["finalizers"] = ["sensor-controller"]
    kubectl.does("create -f " + kubectl.write("empty.yaml", empty))
    kubectl.does("""patch sn empty --subresource=status --type=merge -p '{"status": {"conditions": []}}'""")
    kubectl.does("delete sn empty --wait=false")
    kubectl.does("""patch sn empty --type=merge -p '{"metadata": {"finalizers": null}}'""")
    assert cluster.get("argoproj.io/v1alpha1", "Sensor", "empty", kubectl.namespace) is None


@pytest.mark.usefixtures("ours")
@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared/upstream-examples")
@pytest.mark.parametrize("how", ["", "--server-side"])
def test_published_manifests_apply_or_are_told_what_is_wrong(kubectl: Terminal, how: str) -> None:
    refused = {}
    for path in sorted(PUBLISHED.rglob("*.yaml")):
        several = [one for one in yaml.safe_load_all(path.read_text()) if one]
        for one in several:
            one["metadata"].pop("namespace", None)
        said = kubectl.run(f"apply {how} -f {kubectl.write(path.name, *several)}")
        if said.code:
            refused[str(path.relative_to(PUBLISHED))] = said.err
    assert sorted(refused) == MISTAKES, refused
    assert all(any(text in said for text in UNKNOWN) for said in refused.values()), refused


@pytest.mark.parametrize("how", ["--dry-run=client", "--dry-run=server", "--dry-run=server --server-side"])
@pytest.mark.parametrize("name", ["install.yaml", "namespace-install.yaml", "install-validating-webhook.yaml"])
def test_manifests_apply_in_every_way(kubectl: Terminal, cluster: Cluster, name: str, how: str) -> None:
    objects = [one for one in yaml.load_all(dict(manifests.files())[name], Loader=LOADER) if is_new(cluster, one)]
    for one in objects:
        if "namespace" in one["metadata"]:
            one["metadata"]["namespace"] = kubectl.namespace
    file = kubectl.write(name, *objects)
    assert len(kubectl.does(f"apply {how} -f {file}").splitlines()) == len(objects)


def is_new(cluster: Cluster, one: dict[str, Any]) -> bool:
    """Not something of the whole cluster that is installed already."""
    metadata = one["metadata"]
    return "namespace" in metadata or cluster.get(one["apiVersion"], one["kind"], metadata["name"]) is None


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("cluster-install", "install.yaml"),
        ("namespace-install", "namespace-install.yaml"),
        ("extensions/validating-webhook", "install-validating-webhook.yaml"),
    ],
)
def test_a_kustomize_base_makes_the_install_file(kubectl: Terminal, tmp_path: Path, base: str, name: str) -> None:
    manifests.write(tmp_path / "manifests")
    built = kubectl.does(f"kustomize {tmp_path / 'manifests' / base}")

    def by_name(text: str) -> dict[tuple[str, str], Any]:
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.load_all(text, Loader=LOADER)}

    assert by_name(built) == by_name((tmp_path / "manifests" / name).read_text())
