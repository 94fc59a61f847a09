"""The real kubectl reads: get in all its forms, watches, describe, events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.cluster import Cluster, deployment, widget
from support.terminal import Terminal


@pytest.fixture
def three(kubectl: Terminal) -> Terminal:
    """ConfigMaps a, b and c with labels and data."""
    for name, size, tier in (("b", "2", "front"), ("a", "3", "back"), ("c", "1", "back")):
        kubectl.does(f"create configmap {name} --from-literal=size={size}")
        kubectl.does(f"label configmap {name} tier={tier}")
    return kubectl


VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
MINE = "--field-selector metadata.name!=kube-root-ca.crt"


def test_tables(three: Terminal) -> None:
    assert [row[:2] for row in three.rows(f"get cm {MINE}")] == [["a", "1"], ["b", "1"], ["c", "1"]]
    assert three.does("get configmap/a").split()[:3] == ["NAME", "DATA", "AGE"]
    assert three.does("get cm a -o wide --show-labels").split()[-1] == "tier=back"
    assert [row[-1] for row in three.rows(f"get cm -L tier {MINE}")] == ["back", "front", "back"]
    assert three.does("get cm -A").split()[:2] == ["NAMESPACE", "NAME"]
    assert [three.namespace, "a"] in [row[:2] for row in three.rows("get cm -A")]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("-l tier=back", "a c"),
        ("-l tier!=back --field-selector metadata.name!=kube-root-ca.crt", "b"),
        ("-l 'tier in (front,other)'", "b"),
        ("-l 'tier,tier notin (front)'", "a c"),
        ("--field-selector metadata.name=b", "b"),
        (f"--sort-by=.data.size {MINE}", "c b a"),
        (f"--chunk-size=1 {MINE}", "a b c"),
        ("b a", "b a"),
    ],
)
def test_selections(three: Terminal, selection: str, names: str) -> None:
    found = three.does(f"get cm {selection} -o name").split()
    assert [one.removeprefix("configmap/") for one in found] == names.split()


def test_formats(three: Terminal) -> None:
    assert json.loads(three.does("get cm a -o json"))["data"] == {"size": "3"}
    assert yaml.safe_load(three.does("get cm -l tier -o yaml"))["kind"] == "List"
    assert "managedFields" not in three.does("get cm a -o yaml")
    assert "managedFields" in three.does("get cm a -o yaml --show-managed-fields")
    assert three.does("get cm -l tier -o jsonpath='{.items[*].data.size}'") == "3 2 1"
    assert three.does("get cm a -o jsonpath-as-json='{.data}'").split() == ["[", "{", '"size":', '"3"', "}", "]"]
    columns = "custom-columns=NAME:.metadata.name,SIZE:.data.size"
    assert three.does(f"get cm a -o {columns}").split() == ["NAME", "SIZE", "a", "3"]
    assert three.does("get cm a -o go-template='{{.kind}} {{.data.size}}'") == "ConfigMap 3"
    three.write("template", "{{.metadata.name}}")
    assert three.does("get cm a -o go-template-file=template") == "a"


def test_several_kinds_and_what_is_not_there(three: Terminal) -> None:
    found = three.does("get cm/a sa/default -o name").split()
    assert found == ["configmap/a", "serviceaccount/default"]
    assert three.fails("get cm nobody") == 'Error from server (NotFound): configmaps "nobody" not found\n'
    assert three.does("get cm nobody --ignore-not-found") == ""
    assert three.run("get secrets").err == f"No resources found in {three.namespace} namespace.\n"
    assert "the server doesn't have a resource type" in three.fails("get nothings")
    assert three.run("get cm a nobody -o name").out == "configmap/a\n"


def test_all_and_wide_columns_of_built_in_kinds(kubectl: Terminal) -> None:
    kubectl.does("apply -f " + kubectl.write("web.yaml", deployment()))
    kubectl.does("expose deployment web --port 80")
    head = kubectl.does("get deployment web -o wide").split("\n")[0].split()
    assert head == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    found = kubectl.does("get all -o name").split()
    assert {"deployment.apps/web", "service/web"} <= set(found)
    ports = {row[0]: row[4] for row in kubectl.rows("get svc")}
    assert ports["web"] == "80/TCP"


def test_columns_of_a_definition(kubectl: Terminal, group: str) -> None:
    kubectl.does("apply -f " + kubectl.write("widget.yaml", widget(group, size=7)))
    assert kubectl.does(f"get widgets.{group}").split()[:3] == ["NAME", "SIZE", "AGE"]
    assert kubectl.rows(f"get widgets.v1beta1.{group} -o wide")[0][:3] == ["one", "7", "blue"]
    assert kubectl.rows(f"get wg.{group} one")[0][:2] == ["one", "7"]


def test_a_watch_shows_what_happens(kubectl: Terminal, later: Callable[..., Any]) -> None:
    kubectl.does("create configmap a")
    with kubectl.running("get configmaps -w -o name") as watch:
        watch.says("configmap/a")
        kubectl.does("create configmap b")
        watch.says("configmap/b")
    with kubectl.running("get cm -w --output-watch-events -l mine") as watch:
        kubectl.does("label cm a mine=1")
        watch.says("ADDED")
        kubectl.does("annotate cm a note=1")
        watch.says("MODIFIED")
        kubectl.does("label cm a mine-")
        assert [line.split()[:2] for line in watch.says("DELETED").splitlines()] == [
            ["EVENT", "NAME"],
            ["ADDED", "a"],
            ["MODIFIED", "a"],
            ["DELETED", "a"],
        ]
    with kubectl.running("get cm a --watch-only") as watch:
        notes = itertools.count()  # when it has begun to watch cannot be seen
        later(lambda: kubectl.does(f"annotate cm a note={next(notes)} --overwrite") and watch.out)
        assert watch.says("a ").split()[:4] == ["NAME", "DATA", "AGE", "a"]


def test_descriptions(kubectl: Terminal, group: str) -> None:
    kubectl.does("create configmap a --from-literal=colour=blue")
    assert "colour:\n----\nblue" in kubectl.does("describe cm a")
    kubectl.does("create secret generic s --from-literal=pass=word")
    said = kubectl.does("describe secret s")
    assert "pass:  4 bytes" in said
    assert "word" not in said
    kubectl.does("apply -f " + kubectl.write("web.yaml", deployment()))
    said = kubectl.does("describe deployment web")
    assert "Selector:               app=web" in said
    assert "registry.invalid/web:1" in said
    kubectl.does("expose deployment web --port 80")
    assert "80/TCP" in kubectl.does("describe service web")
    kubectl.does("apply -f " + kubectl.write("widget.yaml", widget(group, size=3)))
    said = kubectl.does(f"describe widgets.{group} one")
    assert "Size:    3" in said
    assert f"widgets.{group}" in kubectl.does(f"describe crd widgets.{group}")
    assert "Status:       Active" in kubectl.does(f"describe namespace {kubectl.namespace}")
    assert "Name:                default" in kubectl.does("describe sa default")
    assert 'configmaps "nobody" not found' in kubectl.fails("describe cm nobody")


def event(name: str, kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "type": kind,
        "reason": f"Because{name.upper()}",
        "message": f"{name} happened",
        "involvedObject": {"kind": "ConfigMap", "apiVersion": "v1", "name": "a", **about},
        "source": {"component": "tests"},
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


def test_events(kubectl: Terminal) -> None:
    kubectl.does("create configmap a")
    about = kubectl.json("get cm a")["metadata"]
    about = {"uid": about["uid"], "namespace": about["namespace"]}
    said = kubectl.does(
        "create -f " + kubectl.write("events.yaml", event("one", "Normal", about), event("two", "Warning", about))
    )
    assert said.splitlines() == ["event/one created", "event/two created"]
    assert {row[1] for row in kubectl.rows("get events")} == {"Normal", "Warning"}
    assert "one happened" in kubectl.does("events --for configmap/a --types=Normal")
    assert "two happened" not in kubectl.does("events --for configmap/a --types=Normal")
    assert kubectl.does("get events --field-selector reason=BecauseTWO -o name") == "event/two\n"
    said = kubectl.does("describe cm a")
    assert "BecauseONE" in said
    assert "BecauseTWO" in said


def test_raw_paths(kubectl: Terminal) -> None:
    assert kubectl.does("get --raw /readyz") == "ok"
    assert "[+]ping ok" in kubectl.does("get --raw '/livez?verbose'")
    assert json.loads(kubectl.does("get --raw /version"))["major"] == "1"
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    kubectl.write("raw.json", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}})
    kubectl.does(f"create --raw {path} -f raw.json")
    assert json.loads(kubectl.does(f"get --raw {path}/raw"))["metadata"]["name"] == "raw"
    kubectl.does(f"delete --raw {path}/raw")
    assert "not found" in kubectl.fails(f"get --raw {path}/raw")


def test_versions_kinds_and_groups(kubectl: Terminal, cluster: Cluster, group: str) -> None:
    known = json.loads(kubectl.does("version -o json"))
    assert known["serverVersion"]["gitVersion"].startswith("v1.")
    assert "is running at" in kubectl.does("cluster-info")
    assert {"v1", "apps/v1", "batch/v1", f"{group}/v1", f"{group}/v1beta1"} <= set(kubectl.does("api-versions").split())
    rows = {row[0]: row for row in kubectl.rows("api-resources")}
    assert rows["configmaps"] == ["configmaps", "cm", "v1", "true", "ConfigMap"]
    assert rows["widgets"][1:] == ["wg", f"{group}/v1", "true", "Widget"]
    assert kubectl.does(f"api-resources --api-group={group} -o name") == f"widgets.{group}\n"
    assert "namespaces" in kubectl.does("api-resources --namespaced=false -o name").split()
    assert "configmaps" not in kubectl.does("api-resources --namespaced=false -o name").split()
    wide = kubectl.does(f"api-resources --api-group={group} -o wide --no-headers").split()
    assert set(wide[5].split(",")) == VERBS
    assert set(kubectl.does("api-resources --verbs=create,list -o name").split()) >= {"secrets", "pods"}
    assert "deployments.apps" in kubectl.does("api-resources --categories=all -o name").split()


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("configmap", ["KIND:       ConfigMap", "VERSION:    v1", "binaryData", "<map[string]string>"]),
        ("deployment.spec.strategy.rollingUpdate", ["GROUP:      apps", "maxSurge", "<IntOrString>"]),
        ("pod.spec.containers.livenessProbe", ["<Probe>", "initialDelaySeconds"]),
        ("cronjob.spec --recursive", ["jobTemplate", "startingDeadlineSeconds"]),
        ("role.rules", ["GROUP:      rbac.authorization.k8s.io", "verbs", "-required-"]),
        ("cm.metadata.labels", ["Map of string keys and values"]),
        ("deployment --api-version=apps/v1", ["VERSION:    v1"]),
    ],
)
def test_explanations(kubectl: Terminal, path: str, texts: list[str]) -> None:
    said = kubectl.does(f"explain {path}")
    assert [text for text in texts if text not in said] == []


def test_explanations_of_a_definition(kubectl: Terminal, group: str) -> None:
    said = kubectl.does(f"explain widgets.{group}.spec")
    assert "What the widget is to be." in said
    assert "<integer> -required-" in said
    assert "How large it is." in said
    assert "parts" in kubectl.does(f"explain widgets.{group} --recursive")
    assert 'field "nope" does not exist' in kubectl.fails(f"explain widgets.{group}.nope")
    assert kubectl.fails("explain nope")
