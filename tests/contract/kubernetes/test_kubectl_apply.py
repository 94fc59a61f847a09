"""The real kubectl applies: from the client, on the server, pruning, diff, replace, what is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.cluster import Cluster, config_map, definition, deployment, widget
from support.terminal import Terminal

Settings = Callable[..., str]
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def data_of(kubectl: Terminal, name: str = "settings") -> dict[str, str]:
    found: dict[str, str] = kubectl.json(f"get cm {name}").get("data", {})
    return found


def test_applied_from_the_client(kubectl: Terminal, settings: Settings) -> None:
    first = settings(data={"a": "1", "b": "2"})
    assert kubectl.does(f"apply -f {first}") == "configmap/settings created\n"
    assert kubectl.does(f"apply -f {first}") == "configmap/settings unchanged\n"
    kubectl.does("""patch cm settings --type=merge -p '{"data": {"foreign": "kept"}}'""")
    assert kubectl.does(f"apply -f {settings(data={'a': '3'})}") == "configmap/settings configured\n"
    assert data_of(kubectl) == {"a": "3", "foreign": "kept"}
    assert json.loads(kubectl.does("apply view-last-applied cm settings -o json"))["data"] == {"a": "3"}
    kubectl.does(f"apply set-last-applied -f {first}")
    assert json.loads(kubectl.does("apply view-last-applied cm settings -o json"))["data"] == {"a": "1", "b": "2"}


def test_a_deployment_keeps_what_others_put_into_it(kubectl: Terminal) -> None:
    kubectl.does("apply -f " + kubectl.write("web.yaml", deployment()))
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.invalid/side"}]}}}}
    kubectl.does(f"patch deployment web -p '{json.dumps(sidecar)}'")
    changed = deployment(image="registry.invalid/web:2")
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    assert kubectl.does("apply -f " + kubectl.write("web.yaml", changed)) == "deployment.apps/web configured\n"
    found = kubectl.json("get deployment web")["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one["image"] for one in found} == {
        "web": "registry.invalid/web:2",
        "side": "registry.invalid/side",
    }
    before = kubectl.json("get deployment web")
    kubectl.does("apply -f web.yaml")  # kubectl sends the order of its own containers, which changes nothing
    assert kubectl.json("get deployment web") == before


def test_a_custom_object_from_the_client_and_on_the_server(kubectl: Terminal, group: str) -> None:
    parts = [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}]
    file = kubectl.write("widget.yaml", widget(group, size=1, parts=parts))
    assert kubectl.does(f"apply -f {file}") == f"widget.{group}/one created\n"
    assert kubectl.does(f"apply -f {file}") == f"widget.{group}/one unchanged\n"
    own = kubectl.write("own.yaml", widget(group, "two", size=1, parts=parts))
    other = kubectl.write("other.yaml", widget(group, "two", size=1, parts=[{"name": "c", "weight": 3}]))
    assert kubectl.does(f"apply --server-side -f {own}") == f"widget.{group}/two serverside-applied\n"
    kubectl.does(f"apply --server-side --field-manager=other -f {other}")
    found = kubectl.json(f"get widgets.{group} two")["spec"]
    assert [one["name"] for one in found["parts"]] == ["a", "b", "c"]
    assert found["colour"] == "blue"


def test_conflicts_on_the_server(kubectl: Terminal, settings: Settings) -> None:
    kubectl.does(f"apply --server-side -f {settings(data={'k': 'mine'})}")
    other = settings(data={"k": "his"})
    said = kubectl.fails(f"apply --server-side --field-manager=other -f {other}")
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.k' in said
    assert "--force-conflicts" in said
    kubectl.does(f"apply --server-side --field-manager=other --force-conflicts -f {other}")
    assert data_of(kubectl) == {"k": "his"}
    managers = {
        one["manager"]: one
        for one in kubectl.json("get cm settings --show-managed-fields")["metadata"]["managedFields"]
    }
    assert managers["other"]["operation"] == "Apply"
    assert managers["other"]["fieldsV1"] == {"f:data": {"f:k": {}}}
    assert "f:k" not in json.dumps(managers.get("kubectl", {}))


def test_fields_given_up_go_away(kubectl: Terminal, settings: Settings) -> None:
    kubectl.does(f"apply --server-side -f {settings(data={'a': '1', 'b': '2'})}")
    kubectl.does(f"apply --server-side -f {settings(data={'a': '1'})}")
    assert data_of(kubectl) == {"a": "1"}


def test_from_the_client_to_the_server_and_back(kubectl: Terminal, settings: Settings) -> None:
    kubectl.does(f"apply -f {settings(data={'a': '1', 'b': '2'})}")
    kubectl.does(f"apply --server-side -f {settings(data={'a': '2'})}")
    assert data_of(kubectl) == {"a": "2"}
    kubectl.does(f"apply -f {settings(data={'c': '3'})}")
    assert data_of(kubectl) == {"c": "3"}


@pytest.mark.parametrize("where", ["client", "server"])
def test_rehearsals_change_nothing(kubectl: Terminal, settings: Settings, where: str) -> None:
    file = settings()
    assert f"created ({'server ' if where == 'server' else ''}dry run)" in kubectl.does(
        f"apply --dry-run={where} -f {file}"
    )
    assert kubectl.does("get cm settings --ignore-not-found") == ""
    kubectl.does(f"apply -f {file}")
    before = kubectl.json("get cm settings")
    kubectl.does(f"apply --dry-run={where} -f {settings(data={'k': 'other'})}")
    kubectl.does(f"delete cm settings --dry-run={where}")
    assert kubectl.json("get cm settings") == before


def test_differences(kubectl: Terminal, settings: Settings) -> None:
    file = settings(data={"k": "old"})
    kubectl.does(f"apply -f {file}")
    assert kubectl.run(f"diff -f {file}").code == 0
    said = kubectl.run(f"diff -f {settings(data={'k': 'new'})}")
    assert said.code == 1
    assert {line for line in said.out.splitlines() if line[:3] in ("-  ", "+  ")} == {"-  k: old", "+  k: new"}
    said = kubectl.run(f"diff --server-side --force-conflicts -f {settings(data={'k': 'newer'})}")
    assert "+  k: newer" in said.out
    said = kubectl.run("diff -f " + settings("another"))
    assert said.code == 1
    assert "+kind: ConfigMap" in said.out


def test_pruning(kubectl: Terminal) -> None:
    kubectl.write("all/a.yaml", config_map("a", set="mine"))
    kubectl.write("all/b.yaml", config_map("b", set="mine"))
    kubectl.does("create cm bystander")
    kubectl.does("label cm bystander set=mine")  # never applied: it stays
    prune = "apply -f all --prune -l set=mine --prune-allowlist=core/v1/ConfigMap"
    kubectl.does(prune)
    (kubectl.folder / "all/a.yaml").unlink()
    assert sorted(kubectl.does(prune).splitlines()) == ["configmap/a pruned", "configmap/b unchanged"]
    assert kubectl.does("get cm -l set=mine -o name").split() == ["configmap/b", "configmap/bystander"]


def test_pruning_by_an_apply_set(kubectl: Terminal) -> None:
    kubectl.does("create secret generic owner", KUBECTL_APPLYSET="true")
    kubectl.write("all/a.yaml", config_map("a"))
    kubectl.write("all/b.yaml", config_map("b"))
    prune = "apply -f all --prune --applyset=secret/mine"
    kubectl.does(prune, KUBECTL_APPLYSET="true")
    (kubectl.folder / "all/a.yaml").unlink()
    assert "configmap/a pruned" in kubectl.does(prune, KUBECTL_APPLYSET="true")
    assert kubectl.does("get cm a --ignore-not-found") == ""


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    """With a volume of each pod's own, if the kind has such."""
    made = deployment(kind.lower())
    del made["spec"]["replicas"]
    mount = {"name": "data", "mountPath": "/data"}
    if kind == "StatefulSet":
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        made["spec"] |= {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}], "serviceName": "none"}
    else:
        made["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
    return {**made, "kind": kind, "spec": {**made["spec"], **spec}}


@pytest.mark.parametrize("how", ["", "--server-side"])
def test_other_workloads(kubectl: Terminal, how: str) -> None:
    kinds = ("StatefulSet", "DaemonSet", "ReplicaSet")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    file = kubectl.write("several.yaml", *(workload(kind) for kind in kinds), claim)
    assert len(kubectl.does(f"apply {how} -f {file}").splitlines()) == 4
    assert kubectl.rows("get pvc claim")[0][:2] == ["claim", "Pending"]
    for kind in kinds:
        name = f"{kind.lower()}/{kind.lower()}"
        kubectl.does(f"set image {name} web=registry.invalid/web:2")
        assert "registry.invalid/web:2" in kubectl.does(f"describe {name}")
        if kind != "ReplicaSet":
            kubectl.does(f"rollout restart {name}")
        if kind != "DaemonSet":
            kubectl.does(f"scale {name} --replicas=0")
    assert "Name:          data" in kubectl.does("describe statefulset statefulset")
    assert kubectl.does(f"delete -f {file} --cascade=foreground --timeout=30s").count("deleted") == 4


def test_kustomizations(kubectl: Terminal) -> None:
    kubectl.write("base/settings.yaml", config_map())
    kubectl.write("base/kustomization.yaml", {"resources": ["settings.yaml"], "namePrefix": "pre-"})
    assert kubectl.does("apply -k base") == "configmap/pre-settings created\n"
    assert "name: pre-settings" in kubectl.does("get -k base -o yaml")
    assert 'configmap "pre-settings" deleted' in kubectl.does("delete -k base")


def test_several_objects_from_stdin(kubectl: Terminal) -> None:
    several = {"apiVersion": "v1", "kind": "List", "items": [config_map("a"), config_map("b")]}
    assert kubectl.does("apply -f -", stdin=json.dumps(several)).split() == [
        "configmap/a",
        "created",
        "configmap/b",
        "created",
    ]
    assert kubectl.does("get -f -", stdin=json.dumps(several)).split()[:3] == ["NAME", "DATA", "AGE"]


def test_replacing(kubectl: Terminal, settings: Settings) -> None:
    assert "NotFound" in kubectl.fails(f"replace -f {settings()}")
    kubectl.does(f"create -f {settings(data={'a': '1', 'b': '2'})}")
    uid = kubectl.json("get cm settings")["metadata"]["uid"]
    kubectl.does(f"replace -f {settings(data={'b': '3'})}")
    assert data_of(kubectl) == {"b": "3"}
    assert kubectl.json("get cm settings")["metadata"]["uid"] == uid
    kubectl.does(f"replace --force -f {settings(data={'b': '4'})}")
    assert kubectl.json("get cm settings")["metadata"]["uid"] != uid
    stale = kubectl.json("get cm settings")
    kubectl.does("label cm settings newer=1")
    assert "the object has been modified" in kubectl.fails("replace -f " + kubectl.write("stale.yaml", stale))


def test_fields_that_are_not_there(kubectl: Terminal) -> None:
    value = deployment()
    value["spec"]["replicaz"] = 3
    file = kubectl.write("web.yaml", value)
    assert 'strict decoding error: unknown field "spec.replicaz"' in kubectl.fails(f"apply -f {file}")
    assert 'strict decoding error: unknown field "spec.replicaz"' in kubectl.fails(
        f"create -f {file} --validate=strict"
    )
    said = kubectl.run(f"create -f {file} --validate=warn")
    assert said.code == 0
    assert 'Warning: unknown field "spec.replicaz"' in said.err
    said = kubectl.run(f"apply -f {file} --validate=ignore")
    assert "unknown field" not in said.err


def test_objects_that_are_wrong(kubectl: Terminal, group: str) -> None:
    value = deployment("Not_A_Name")
    value["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    said = kubectl.fails("create -f " + kubectl.write("web.yaml", value))
    assert 'The Deployment "Not_A_Name" is invalid:' in said
    assert "* metadata.name: Invalid value" in said
    assert "`selector` does not match template `labels`" in said
    said = kubectl.fails("create -f " + kubectl.write("widget.yaml", widget(group, size=101, colour="green")))
    assert "* spec.size: Invalid value: 101: spec.size in body should be less than or equal to 100" in said
    assert '* spec.colour: Unsupported value: "green": supported values: "blue", "red"' in said
    said = kubectl.fails("create -f " + kubectl.write("widget.yaml", widget(group, size=51, colour="red")))
    assert "a red one is at most 50" in said
    kubectl.does("create cm a")
    assert 'configmaps "a" already exists' in kubectl.fails("create cm a")
    nowhere = {**config_map(), "apiVersion": "nothing.example.com/v1"}
    assert 'no matches for kind "ConfigMap" in version' in kubectl.fails("apply -f " + kubectl.write("n.yaml", nowhere))


def test_a_definition_that_comes_goes_and_comes_back(kubectl: Terminal, cluster: Cluster) -> None:
    group = f"{kubectl.namespace}.example.com"
    file = kubectl.write("definition.yaml", definition(group))
    try:
        for size in (1, 2):
            kubectl.does(f"apply -f {file}")
            kubectl.does(f"wait --for=condition=Established crd/widgets.{group} --timeout=20s")
            kubectl.does("apply -f " + kubectl.write("widget.yaml", widget(group, size=size)))
            assert kubectl.json(f"get widgets.{group} one")["spec"]["size"] == size
            kubectl.does(f"delete -f {file} --timeout=20s")
    finally:
        cluster.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"widgets.{group}")
