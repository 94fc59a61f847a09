"""The real kubectl deletes, in all its ways, and waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.cluster import Cluster, config_map, widget
from support.terminal import Terminal

Later = Callable[..., Any]


@pytest.fixture
def family(kubectl: Terminal) -> Terminal:
    """A ConfigMap that owns another one."""
    kubectl.does("create cm parent")
    uid = kubectl.json("get cm parent")["metadata"]["uid"]
    child = config_map("child")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": uid, "blockOwnerDeletion": True}
    child["metadata"]["ownerReferences"] = [reference]
    kubectl.does("create -f " + kubectl.write("child.yaml", child))
    return kubectl


def is_there(kubectl: Terminal, name: str) -> bool:
    return kubectl.does(f"get cm {name} --ignore-not-found -o name") != ""


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_what_is_owned_goes_too(family: Terminal, cascade: str, later: Later) -> None:
    assert 'configmap "parent" deleted' in family.does(f"delete cm parent --cascade={cascade} --timeout=20s")
    assert not is_there(family, "parent")
    if cascade == "foreground":
        assert not is_there(family, "child")
    later(lambda: not is_there(family, "child"))


def test_what_is_owned_goes_with_the_definition_of_its_owner(kubectl: Terminal, later: Later) -> None:
    names = {"kind": "Parent", "plural": "parents", "singular": "parent"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "parents.keryx.example.com"},
        "spec": {"group": "keryx.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    kubectl.does("create -f " + kubectl.write("definition.yaml", definition))
    try:
        parent = {"apiVersion": "keryx.example.com/v1", "kind": "Parent", "metadata": {"name": "parent"}}
        file = kubectl.write("parent.yaml", parent)
        later(lambda: kubectl.run(f"create -f {file}").code == 0)
        uid = kubectl.json("get parents.keryx.example.com parent")["metadata"]["uid"]
        child = config_map("child")
        reference = {"apiVersion": parent["apiVersion"], "kind": "Parent", "name": "parent", "uid": uid}
        child["metadata"]["ownerReferences"] = [reference]
        kubectl.does("create -f " + kubectl.write("child.yaml", child))
    finally:
        kubectl.does("delete crd parents.keryx.example.com --timeout=20s")
    later(lambda: not is_there(kubectl, "child"))


def test_orphans_stay(family: Terminal, later: Later) -> None:
    family.does("delete cm parent --cascade=orphan --timeout=20s")
    assert not is_there(family, "parent")
    later(lambda: "ownerReferences" not in family.json("get cm child")["metadata"])


def test_a_finalizer_holds(kubectl: Terminal) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl.does("create -f " + kubectl.write("held.yaml", held))
    try:
        said = kubectl.run("delete cm held --timeout=0.5s")
        assert said.code == 1
        assert "timed out waiting for the condition" in said.err
        assert kubectl.json("get cm held")["metadata"]["deletionTimestamp"]
        with kubectl.running("delete cm held --timeout=20s") as waiting:
            waiting.says("deleted")
            kubectl.does("""patch cm held --type=merge -p '{"metadata": {"finalizers": null}}'""")
            assert waiting.ended() == 0
        assert not is_there(kubectl, "held")
    finally:
        kubectl.run("""patch cm held --type=merge -p '{"metadata": {"finalizers": null}}'""")


def test_several(kubectl: Terminal) -> None:
    for name in "abcd":
        kubectl.does("create -f " + kubectl.write("a.yaml", config_map(name, set="one" if name < "c" else "two")))
    assert kubectl.does("delete cm -l set=one").count("deleted") == 2
    assert kubectl.does("delete -f a.yaml").count("deleted") == 1
    assert "NotFound" in kubectl.fails("delete -f a.yaml")
    assert kubectl.does("delete -f a.yaml --ignore-not-found") == ""
    assert 'configmap "c" deleted' in kubectl.does("delete cm --all")
    assert not is_there(kubectl, "c")
    assert "No resources found" in kubectl.run("delete secrets --all").out
    kubectl.does("create cm now")
    assert "deleted" in kubectl.does("delete cm now --now")
    assert kubectl.fails("delete cm")


def test_waiting_for_conditions(kubectl: Terminal, group: str) -> None:
    kubectl.does("apply -f " + kubectl.write("widget.yaml", widget(group)))
    name = f"widgets.{group}/one"
    with kubectl.running(f"wait {name} --for=condition=Ready --timeout=20s") as waiting:
        status = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "ready": 3}}
        kubectl.does(f"patch {name} --subresource=status --type=merge -p '{json.dumps(status)}'")
        assert waiting.ended() == 0
        assert "condition met" in waiting.out
    kubectl.does(f"wait {name} --for=jsonpath='{{.status.ready}}'=3 --timeout=10s")
    said = kubectl.fails(f"wait {name} --for=condition=Ready=False --timeout=0.5s")
    assert "timed out waiting for the condition" in said
    with kubectl.running(f"wait {name} --for=delete --timeout=20s") as waiting:
        kubectl.does(f"delete {name}")
        assert waiting.ended() == 0
    assert "NotFound" in kubectl.fails(f"wait {name} --for=condition=Ready --timeout=1s")


def test_waiting_for_a_beginning(kubectl: Terminal) -> None:
    if kubectl.version < (1, 31):
        pytest.skip("kubectl waits for creation since 1.31")
    with kubectl.running("wait cm/soon --for=create --timeout=20s") as waiting:
        kubectl.does("create cm soon")
        assert waiting.ended() == 0


def test_a_namespace_takes_all_with_it(kubectl: Terminal, cluster: Cluster, group: str) -> None:
    name = f"{kubectl.namespace}-gone"
    kubectl.does(f"create ns {name}")
    kubectl.does(f"-n {name} apply -f " + kubectl.write("widget.yaml", widget(group)))
    kubectl.does(f"-n {name} create cm a")
    assert f'namespace "{name}" deleted' in kubectl.does(f"delete ns {name} --timeout=60s")
    kubectl.does(f"create ns {name}")
    try:
        assert kubectl.does(f"-n {name} get widgets.{group} -o name") == ""
    finally:
        cluster.delete("v1", "Namespace", name)
