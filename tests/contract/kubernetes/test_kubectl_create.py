"""The real kubectl makes objects by its own verbs: create, run, expose."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import yaml
from support.cluster import Cluster
from support.terminal import Terminal


def test_namespaces(kubectl: Terminal, cluster: Cluster) -> None:
    name = f"{kubectl.namespace}-more"
    assert kubectl.does(f"create namespace {name}") == f"namespace/{name} created\n"
    try:
        assert kubectl.rows(f"get ns {name}")[0][:2] == [name, "Active"]
        assert "already exists" in kubectl.fails(f"create ns {name}")
        kubectl.does(f"wait --for=jsonpath='{{.metadata.name}}'=default sa/default -n {name} --timeout=20s")
        kubectl.does(f"create cm a -n {name}")
        kubectl.does(f"delete ns {name} --timeout=60s")
        assert "NotFound" in kubectl.fails(f"get ns {name}")
        assert "not found" in kubectl.fails(f"create cm a -n {name}")
    finally:
        cluster.delete("v1", "Namespace", name)


def test_config_maps_and_secrets(kubectl: Terminal) -> None:
    kubectl.write("folder/one.txt", "first")
    kubectl.write("folder/two.txt", "second")
    kubectl.write("vars.env", "A=1\nB=2\n")
    kubectl.does("create configmap a --from-file=folder --from-literal=x=y")
    assert kubectl.json("get cm a")["data"] == {"one.txt": "first", "two.txt": "second", "x": "y"}
    kubectl.does("create configmap b --from-env-file=vars.env")
    assert kubectl.json("get cm b")["data"] == {"A": "1", "B": "2"}
    kubectl.does("create secret generic s --from-literal=user=me --from-file=folder/one.txt")
    found = kubectl.json("get secret s")
    assert {key: base64.b64decode(value).decode() for key, value in found["data"].items()} == {
        "user": "me",
        "one.txt": "first",
    }
    assert found["type"] == "Opaque"
    kubectl.does(
        "create secret docker-registry r --docker-server=registry.invalid --docker-username=u --docker-password=p"
    )
    assert kubectl.json("get secret r")["type"] == "kubernetes.io/dockerconfigjson"
    assert [row[:3] for row in kubectl.rows("get secret s")] == [["s", "Opaque", "2"]]


def test_binary_files(kubectl: Terminal) -> None:
    (kubectl.folder / "binary").write_bytes(bytes(range(256)))
    kubectl.does("create configmap a --from-file=binary")
    assert base64.b64decode(kubectl.json("get cm a")["binaryData"]["binary"]) == bytes(range(256))


def test_roles_and_bindings(kubectl: Terminal, cluster: Cluster) -> None:
    kubectl.does("create serviceaccount robot")
    kubectl.does("create role reader --verb=get,list --resource=configmaps,deployments.apps --resource-name=a")
    rules = kubectl.json("get role reader")["rules"]
    assert {(*one["apiGroups"], *one["resources"]) for one in rules} == {("", "configmaps"), ("apps", "deployments")}
    kubectl.does(f"create rolebinding reads --role=reader --serviceaccount={kubectl.namespace}:robot")
    assert kubectl.rows("get rolebinding reads")[0][:2] == ["reads", "Role/reader"]
    name = kubectl.namespace
    try:
        kubectl.does(f"create clusterrole {name} --verb=get --non-resource-url=/metrics")
        assert kubectl.json(f"get clusterrole {name}")["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
        kubectl.does(f"create clusterrolebinding {name} --clusterrole={name} --user=somebody --group=some")
        found = kubectl.json(f"get clusterrolebinding {name}")
        assert [(one["kind"], one["name"]) for one in found["subjects"]] == [("User", "somebody"), ("Group", "some")]
    finally:
        for kind in ("ClusterRole", "ClusterRoleBinding"):
            cluster.delete("rbac.authorization.k8s.io/v1", kind, name)


def test_tokens(kubectl: Terminal) -> None:
    kubectl.does("create serviceaccount robot")
    token = kubectl.does("create token robot --duration=20m --audience=somewhere").strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    assert claims["aud"] == ["somewhere"]
    assert 600 <= claims["exp"] - claims["iat"] <= 3600
    kubectl.does("create secret generic bound")
    token = kubectl.does("create token robot --bound-object-kind=Secret --bound-object-name=bound").strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"]["secret"]["name"] == "bound"
    assert "not found" in kubectl.fails("create token nobody")


def test_workloads(kubectl: Terminal) -> None:
    kubectl.does("create deployment web --image=registry.invalid/web --replicas=2 --port=80")
    found = kubectl.json("get deployment web")["spec"]
    assert found["replicas"] == 2
    assert found["selector"] == {"matchLabels": {"app": "web"}}
    assert found["strategy"]["type"] == "RollingUpdate"
    kubectl.does("create job once --image=registry.invalid/job -- echo hello")
    job = kubectl.json("get job once")["spec"]
    assert job["template"]["spec"]["containers"][0]["command"] == ["echo", "hello"]
    assert "batch.kubernetes.io/controller-uid" in job["selector"]["matchLabels"]
    kubectl.does("create cronjob nightly --image=registry.invalid/job --schedule='0 3 * * *'")
    assert kubectl.rows("get cronjob nightly")[0][1:6] == ["0", "3", "*", "*", "*"]
    kubectl.does("create job now --from=cronjob/nightly")
    owner = kubectl.json("get job now")["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("CronJob", "nightly")
    assert "nightly" in kubectl.does("describe cronjob nightly")
    assert "once" in kubectl.does("describe job once")


def test_running_a_pod(kubectl: Terminal) -> None:
    kubectl.does("run one --image=registry.invalid/one --port=8080 --labels=a=b --env=K=V --command -- sleep 9")
    found = kubectl.json("get pod one")
    container = found["spec"]["containers"][0]
    assert container["command"] == ["sleep", "9"]
    assert container["env"] == [{"name": "K", "value": "V"}]
    assert found["metadata"]["labels"] == {"a": "b"}
    assert kubectl.rows("get pod one")[0][:2] == ["one", "0/1"]
    assert "registry.invalid/one" in kubectl.does("describe pod one")
    kubectl.does("expose pod one --port=80 --target-port=8080 --name=front")
    assert kubectl.json("get svc front")["spec"]["selector"] == {"a": "b"}
    said = kubectl.does("run two --image=registry.invalid/two --dry-run=client -o yaml")
    assert yaml.safe_load(said)["metadata"]["name"] == "two"
    assert kubectl.does("run two --image=registry.invalid/two --dry-run=server") == "pod/two created (server dry run)\n"
    kubectl.does("delete pod one --force --grace-period=0")
    assert kubectl.does("get pods -o name") == ""


def test_services(kubectl: Terminal) -> None:
    kubectl.does("create service clusterip a --tcp=80:8080")
    kubectl.does("create service nodeport b --tcp=80")
    kubectl.does("create service externalname c --external-name=somewhere.example.com")
    kubectl.does("create service clusterip d --clusterip=None --tcp=80")
    kubectl.does("create service loadbalancer e --tcp=80")
    found = {one["metadata"]["name"]: one["spec"] for one in kubectl.json("get svc")["items"]}
    assert {name: spec["type"] for name, spec in found.items()} == {
        "a": "ClusterIP",
        "b": "NodePort",
        "c": "ExternalName",
        "d": "ClusterIP",
        "e": "LoadBalancer",
    }
    assert found["a"]["ports"][0]["targetPort"] == 8080
    assert found["d"]["clusterIP"] == "None"
    assert len({one["clusterIP"] for name, one in found.items() if name in "abe"}) == 3


def test_node_ports(kubectl: Terminal) -> None:
    kubectl.does("create service nodeport a --tcp=80")
    kubectl.does("create service loadbalancer b --tcp=80")
    numbers = [one["spec"]["ports"][0].get("nodePort") for one in kubectl.json("get svc")["items"]]
    assert all(30000 <= number <= 32767 for number in numbers)
    assert len(set(numbers)) == 2
    kubectl.does("""patch service a -p '{"spec": {"type": "ClusterIP"}}'""")
    assert "nodePort" not in kubectl.json("get service a")["spec"]["ports"][0]
    kubectl.does("""patch service a -p '{"spec": {"type": "NodePort"}}'""")
    assert kubectl.json("get service a")["spec"]["ports"][0]["nodePort"]


@pytest.fixture
def priority_class(kubectl: Terminal, cluster: Cluster) -> Iterator[str]:
    yield kubectl.namespace
    cluster.delete("scheduling.k8s.io/v1", "PriorityClass", kubectl.namespace)


@pytest.mark.parametrize(
    ("command", "kind", "wanted"),
    [
        ("quota q --hard=pods=3,requests.cpu=1", "quota", {"hard": {"pods": "3", "requests.cpu": "1"}}),
        ("poddisruptionbudget p --selector=a=b --min-available=1", "pdb", {"minAvailable": 1}),
        ("ingress i --rule='host.example.com/path*=svc:80'", "ingress", {}),
    ],
)
def test_other_kinds(kubectl: Terminal, command: str, kind: str, wanted: dict[str, Any]) -> None:
    kubectl.does(f"create {command}")
    name = command.split()[1]
    spec = kubectl.json(f"get {kind} {name}")["spec"]
    assert {key: spec[key] for key in wanted} == wanted
    assert kubectl.rows(f"get {kind} -o wide")[0][0] == name
    assert name in kubectl.does(f"describe {kind} {name}")


def test_priority_classes(kubectl: Terminal, priority_class: str) -> None:
    kubectl.does(f"create priorityclass {priority_class} --value=7 --description=some")
    assert kubectl.rows(f"get priorityclass {priority_class}")[0][:2] == [priority_class, "7"]


def test_names_made_by_the_server(kubectl: Terminal) -> None:
    file = kubectl.write("a.yaml", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}})
    names = [kubectl.does(f"create -f {file} -o name").strip() for _ in range(2)]
    assert names[0] != names[1]
    assert all(one.startswith("configmap/a-") and len(one) == len("configmap/a-") + 5 for one in names)
    assert "from a generate name: cannot use generate name with apply" in kubectl.fails(f"apply -f {file}").replace(
        "from a-:", "from a generate name:"
    )


def test_output_of_what_was_made(kubectl: Terminal) -> None:
    made = json.loads(kubectl.does("create cm a --from-literal=k=v -o json"))
    assert made["data"] == {"k": "v"}
    assert made["metadata"]["uid"]
    assert kubectl.does("create cm b -o jsonpath='{.metadata.name}'") == "b"
    kubectl.does("create cm c --save-config --from-literal=k=v")
    assert "last-applied-configuration" in kubectl.does("get cm c -o yaml")
