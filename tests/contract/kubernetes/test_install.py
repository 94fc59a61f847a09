"""The install files under a real kubectl: applied twice in both ways, and deleted so that nothing of them remains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import Cluster
from support.terminal import Terminal

from events.app import manifests
from events.app.manifests import workloads
from events.app.manifests.roles import NAMESPACE

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ALWAYS = "poddisruptionbudget"
"""kubectl sends its selector each time, because that is replaced as a whole, and says `configured`."""
FILES = dict(manifests.files())


def objects(name: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(FILES[name], Loader=LOADER))


def remains(cluster: Cluster, name: str) -> list[str]:
    """Which objects of a file are there."""
    return [
        f"{one['kind']} {one['metadata']['name']}"
        for one in objects(name)
        if cluster.get(one["apiVersion"], one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))
    ]


@pytest.mark.parametrize("how", ["", "--server-side"])
@pytest.mark.parametrize("name", ["install.yaml", "namespace-install.yaml"])
@pytest.mark.usefixtures("home")
def test_an_installation_comes_and_goes(
    kubectl: Terminal, cluster: Cluster, tmp_path: Path, name: str, how: str
) -> None:
    kubectl.namespace = NAMESPACE
    manifests.write(tmp_path / "manifests")
    files = f"-f {tmp_path}/manifests/{name} -f {tmp_path}/manifests/install-validating-webhook.yaml"
    both = [*objects(name), *objects("install-validating-webhook.yaml")]
    assert len(kubectl.does(f"apply {how} {files}").splitlines()) == len(both)
    assert len([*remains(cluster, name), *remains(cluster, "install-validating-webhook.yaml")]) == len(both)
    again = [line for line in kubectl.does(f"apply {how} {files}").splitlines() if not line.startswith(ALWAYS)]
    assert {line.rpartition(" ")[2] for line in again} == {"serverside-applied" if how else "unchanged"}
    kubectl.does("wait --for=condition=Established crd/sensors.argoproj.io")
    # Over what kubectl applied from the client, and over what it applied on the server.
    kubectl.does(f"apply --server-side --force-conflicts {files}")
    kubectl.does(f"apply {files}")
    kubectl.does(f"delete {files}")
    assert remains(cluster, name) == []
    assert remains(cluster, "install-validating-webhook.yaml") == []


def former() -> list[dict[str, Any]]:
    """What an installation of Argo Events consists of, as far as ours shares its names."""
    made = []
    for one in objects("install.yaml"):
        if one["kind"] == "CustomResourceDefinition":
            (version,) = one["spec"]["versions"]
            free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            schema = {"type": "object", "required": ["metadata", "spec"], "properties": {"spec": free, "status": free}}
            version["schema"] = {"openAPIV3Schema": schema}
            del version["additionalPrinterColumns"]
        elif one["kind"] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            container.update(image="registry.invalid/former:1", env=[{"name": "FORMER", "value": "1"}])
            container["volumeMounts"] = container["volumeMounts"][1:]
            one["spec"]["replicas"] = 1
        made.append(one)
    return made


@pytest.mark.parametrize("how", ["", "--server-side --force-conflicts"])
@pytest.mark.usefixtures("home")
def test_applied_over_an_installation_of_argo_events_it_takes_its_place(
    kubectl: Terminal, cluster: Cluster, tmp_path: Path, how: str
) -> None:
    kubectl.namespace = NAMESPACE
    manifests.write(tmp_path / "manifests")
    kubectl.does("apply -f " + kubectl.write("former.yaml", *former()))
    kubectl.does("wait --for=condition=Established crd/sensors.argoproj.io")
    trigger = {"template": {"name": "t", "log": {}, "policy": {"k8s": {}}}}
    sensor = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "old"}}
    sensor["metadata"] |= {"finalizers": ["sensor-controller"]}
    kubectl.does("create -f " + kubectl.write("old.yaml", sensor | {"spec": {"triggers": [trigger], "free": 1}}))
    kubectl.does(f"apply {how} -f {tmp_path}/manifests/install.yaml")
    (container,) = kubectl.json("get deployment controller-manager")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == workloads.IMAGE
    assert "FORMER" not in {one["name"] for one in container["env"]}
    found = kubectl.json("get sensor old")
    assert found["spec"]["triggers"][0]["template"]["name"] == "t"
    kubectl.does("""patch sn old --subresource=status --type=merge -p '{"status": {"conditions": []}}'""")
    kubectl.does("""patch sn old --type=merge -p '{"metadata": {"finalizers": null}}'""")
    kubectl.does("delete sn old")
    kubectl.does(f"delete -f {tmp_path}/manifests/install.yaml")
    assert remains(cluster, "install.yaml") == []


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("rbac/")))
def test_example_accounts_apply_in_any_namespace(kubectl: Terminal, tmp_path: Path, name: str) -> None:
    manifests.write(tmp_path / "manifests")
    file = f"{tmp_path}/manifests/{name}"
    kubectl.does(f"apply -f {file}")
    assert "created" not in kubectl.does(f"apply -f {file}")
    kubectl.does(f"delete -f {file}")


def test_the_sensor_of_the_example_account_may_create_workflows_and_nothing_else(
    kubectl: Terminal, cluster: Cluster, tmp_path: Path
) -> None:
    manifests.write(tmp_path / "manifests")
    kubectl.does(f"apply -f {tmp_path}/manifests/rbac/create-serviceaccount.yaml")

    def may(verb: str, group: str, resource: str) -> bool:
        asked = {"namespace": kubectl.namespace, "verb": verb, "group": group, "resource": resource}
        who = f"system:serviceaccount:{kubectl.namespace}:create-serviceaccount"
        spec = {"user": who, "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec}
        return bool(cluster.create(review)["status"]["allowed"])

    assert may("create", "argoproj.io", "workflows")
    for verb, group, resource in (
        ("get", "argoproj.io", "workflows"),
        ("delete", "argoproj.io", "workflows"),
        ("create", "argoproj.io", "sensors"),
        ("create", "", "pods"),
        ("get", "", "secrets"),
    ):
        assert not may(verb, group, resource), (verb, resource)
