"""The real kubectl asks who may do what, and does it as somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import Cluster
from support.terminal import Terminal


@pytest.fixture
def robot(kubectl: Terminal) -> str:
    """A ServiceAccount that may read ConfigMaps."""
    kubectl.does("create serviceaccount robot")
    kubectl.does("create role reader --verb=get,list,watch --resource=configmaps")
    kubectl.does(f"create rolebinding reads --role=reader --serviceaccount={kubectl.namespace}:robot")
    return f"system:serviceaccount:{kubectl.namespace}:robot"


def as_account(kubectl: Terminal, cluster: Cluster, folder: Path) -> Terminal:
    """A terminal whose kubeconfig has nothing but a token of the account."""
    token = kubectl.does("create token robot").strip()
    config: dict[str, Any] = yaml.safe_load(kubectl.does("config view --raw --flatten --minify"))
    config["users"] = [{"name": "robot", "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "robot"
    path = folder / "robot.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Terminal(kubectl._command, str(path), folder, kubectl.namespace)


def test_may_i(kubectl: Terminal, robot: str) -> None:
    assert kubectl.does("auth can-i create pods") == "yes\n"
    assert kubectl.does(f"auth can-i list configmaps --as={robot}") == "yes\n"
    said = kubectl.run(f"auth can-i delete configmaps --as={robot}")
    assert (said.code, said.out) == (1, "no\n")
    assert kubectl.run(f"auth can-i get secrets --subresource=status --as={robot}").code == 1
    assert kubectl.run(f"auth can-i get /metrics --as={robot}").code == 1
    assert kubectl.does("auth can-i '*' '*'") == "yes\n"
    assert kubectl.does(f"auth can-i get configmaps --as={robot} -q") == ""


def test_all_that_i_may(kubectl: Terminal, robot: str) -> None:
    rows = {row[0]: row for row in kubectl.rows(f"auth can-i --list --as={robot}")}
    assert rows["configmaps"][-1] == "watch]"
    assert rows["selfsubjectaccessreviews.authorization.k8s.io"][-1] == "[create]"


def test_who_am_i(kubectl: Terminal, robot: str) -> None:
    if kubectl.version < (1, 28):
        pytest.skip("kubectl before 1.28 asks a beta version, which servers have given up")
    assert "Username" in kubectl.does("auth whoami")
    said = kubectl.does(f"auth whoami --as={robot}")
    assert robot in said
    assert kubectl.does(f"auth whoami --as={robot} -o jsonpath='{{.status.userInfo.username}}'") == robot
    assert "reviewers" in kubectl.does("auth whoami --as=jane --as-group=reviewers")


def test_with_a_token_alone(kubectl: Terminal, cluster: Cluster, robot: str, tmp_path: Path) -> None:
    other = as_account(kubectl, cluster, tmp_path)
    if kubectl.version >= (1, 28):
        assert robot in other.does("auth whoami")
    kubectl.does("create cm a")
    assert other.does("get cm a -o name") == "configmap/a\n"
    said = other.fails("delete cm a")
    assert (
        f'(Forbidden): configmaps "a" is forbidden: User "{robot}" cannot delete resource "configmaps" in API group ""'
        in said
    )
    assert "Forbidden" in other.fails("get cm -A")
    kubectl.does("delete serviceaccount robot")
    assert "Unauthorized" in other.fails("get cm a") or "must be logged in" in other.fails("get cm a")


def test_without_any_credentials(kubectl: Terminal, tmp_path: Path) -> None:
    config = yaml.safe_load(kubectl.does("config view --raw --flatten --minify"))
    config["users"] = [{"name": user["name"], "user": {"token": "nonsense"}} for user in config["users"]]
    (tmp_path / "nobody").write_text(yaml.safe_dump(config))
    other = Terminal(kubectl._command, str(tmp_path / "nobody"), tmp_path, kubectl.namespace)
    assert "You must be logged in to the server" in other.fails("get cm")


def test_nobody_gives_more_than_he_has(kubectl: Terminal, robot: str) -> None:
    kubectl.does("create role maker --verb=create --resource=roles.rbac.authorization.k8s.io")
    kubectl.does(f"create rolebinding makes --role=maker --serviceaccount={kubectl.namespace}:robot")
    said = kubectl.fails(f"create role all --verb='*' --resource=secrets --as={robot}")
    assert "attempting to grant RBAC permissions not currently held" in said
    kubectl.does(f"create role some --verb=get --resource=configmaps --as={robot}")


def test_reconciling(kubectl: Terminal) -> None:
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": kubectl.namespace},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    }
    file = kubectl.write("role.yaml", role)
    assert "reconciled" in kubectl.does(f"auth reconcile -f {file}")
    role["rules"] = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    kubectl.does("auth reconcile -f " + kubectl.write("role.yaml", role))
    verbs = {verb for rule in kubectl.json("get role r")["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list"}
    kubectl.does("auth reconcile --remove-extra-permissions -f role.yaml")
    assert [rule["verbs"] for rule in kubectl.json("get role r")["rules"]] == [["list"]]
