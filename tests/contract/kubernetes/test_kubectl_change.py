"""The real kubectl changes what is there: edit, patch, label, annotate, scale, set, rollout, taint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cluster import Cluster, config_map, deployment, widget
from support.terminal import Terminal

Settings = Callable[..., str]


@pytest.fixture
def web(kubectl: Terminal) -> Terminal:
    """With a Deployment."""
    kubectl.does("apply -f " + kubectl.write("web.yaml", deployment()))
    return kubectl


def container(kubectl: Terminal) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get deployment web")["spec"]["template"]["spec"]["containers"][0]
    return found


# -- edit


def test_editing(kubectl: Terminal, settings: Settings) -> None:
    kubectl.does(f"apply -f {settings(data={'k': 'before'})}")
    editor = kubectl.script("editor", "sed -i 's/k: before/k: after/' \"$1\"")
    assert kubectl.does("edit cm settings", EDITOR=editor) == "configmap/settings edited\n"
    assert kubectl.json("get cm settings")["data"] == {"k": "after"}
    assert "Edit cancelled, no changes made" in kubectl.run("edit cm settings", EDITOR="true").err
    said = kubectl.run(
        "edit cm settings --output-patch", EDITOR=kubectl.script("other", "sed -i 's/k: after/k: last/' \"$1\"")
    )
    assert json.loads(said.out.removeprefix("Patch: ").splitlines()[0])["data"] == {"k": "last"}


def test_editing_to_what_is_refused(web: Terminal) -> None:
    once = 'grep -q "^# deployments" "$1" && exit 1\nsed -i "s/replicas: 2/replicas: -2/" "$1"'
    said = web.run("edit deployment web", EDITOR=web.script("editor", once))
    assert said.code == 1
    assert 'deployments.apps "web" is invalid' in said.err
    assert web.json("get deployment web")["spec"]["replicas"] == 2


def test_creating_in_an_editor(kubectl: Terminal, settings: Settings) -> None:
    editor = kubectl.script("editor", "sed -i 's/k: v/k: edited/' \"$1\"")
    said = kubectl.does(f"create -f {settings()} --edit", EDITOR=editor)
    assert said == "configmap/settings created\n"
    assert kubectl.json("get cm settings")["data"] == {"k": "edited"}


# -- patch


@pytest.mark.parametrize(
    ("kind", "patch", "names"),
    [
        ("strategic", {"spec": {"containers": [{"name": "new", "image": "registry.invalid/new"}]}}, {"new", "web"}),
        ("merge", {"spec": {"containers": [{"name": "new", "image": "registry.invalid/new"}]}}, {"new"}),
        (
            "strategic",
            {"spec": {"containers": [{"$patch": "replace"}, {"name": "new", "image": "registry.invalid/n"}]}},
            {"new"},
        ),
        ("json", [{"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "new"}], {"new"}),
    ],
)
def test_patches(web: Terminal, kind: str, patch: Any, names: set[str]) -> None:
    patch = patch if kind == "json" else {"spec": {"template": patch}}
    assert web.does(f"patch deployment web --type={kind} -p '{json.dumps(patch)}'") == "deployment.apps/web patched\n"
    assert {one["name"] for one in web.json("get deployment web")["spec"]["template"]["spec"]["containers"]} == names
    again = web.does("patch deployment web --type=merge -p '{}'")
    assert again == "deployment.apps/web patched (no change)\n"


def test_patches_that_do_not_fit(web: Terminal, group: str) -> None:
    test = json.dumps([{"op": "test", "path": "/spec/replicas", "value": 9}])
    assert "The request is invalid" in web.fails(f"patch deployment web --type=json -p '{test}'")
    nowhere = json.dumps([{"op": "remove", "path": "/spec/nothing"}])
    assert web.fails(f"patch deployment web --type=json -p '{nowhere}'")
    assert web.fails("patch deployment web --type=merge -p '{'")
    assert "the name of the object (other)" in web.fails(
        """patch deployment web -p '{"metadata": {"name": "other"}}'"""
    )
    web.does("apply -f " + web.write("widget.yaml", widget(group)))
    said = web.fails(f"""patch widgets.{group} one --type=strategic -p '{{"spec": {{"size": 3}}}}'""")
    assert "the body of the request was in an unknown format" in said
    said = web.fails(f"""patch widgets.{group} one --type=merge -p '{{"spec": {{"size": "many"}}}}'""")
    assert 'spec.size: Invalid value: "string": spec.size in body must be of type integer' in said


def test_a_status_is_patched_by_itself(kubectl: Terminal, group: str) -> None:
    kubectl.does("apply -f " + kubectl.write("widget.yaml", widget(group, size=1)))
    own, wrong = ({"status": {"ready": ready}, "spec": {"size": size}} for ready, size in ((1, 9), (7, 2)))
    kubectl.does(f"patch widgets.{group} one --subresource=status --type=merge -p '{json.dumps(own)}'")
    kubectl.does(f"patch widgets.{group} one --type=merge -p '{json.dumps(wrong)}'")
    found = kubectl.json(f"get widgets.{group} one")
    assert (found["spec"]["size"], found["status"]) == (2, {"ready": 1})
    assert found["metadata"]["generation"] == 2
    assert kubectl.json(f"get widgets.{group} one --subresource=status")["status"] == {"ready": 1}


# -- labels and annotations


def test_labels(kubectl: Terminal) -> None:
    kubectl.does("create cm a")
    assert kubectl.does("label cm a x=1") == "configmap/a labeled\n"
    assert kubectl.does("label cm a x=1") == "configmap/a not labeled\n"
    assert "already has a value (1)" in kubectl.fails("label cm a x=2")
    kubectl.does("label cm a x=2 --overwrite")
    assert "Conflict" in kubectl.fails("label cm a x=3 --overwrite --resource-version=1")
    assert kubectl.does("label cm a --list") == "x=2\n"
    assert kubectl.does("label cm a x-") == "configmap/a unlabeled\n"
    assert "a valid label" in kubectl.fails("label cm a 'x=not valid'")
    kubectl.does("label cm --all here=1")
    assert len(kubectl.rows("get cm -l here=1")) == 2
    assert "NotFound" in kubectl.fails("label cm nobody x=1")


def test_annotations(kubectl: Terminal) -> None:
    kubectl.does("create cm a")
    assert kubectl.does("annotate cm a note='a text: with = signs'").startswith("configmap/a annotate")  # 1.27 has no d
    assert kubectl.json("get cm a")["metadata"]["annotations"] == {"note": "a text: with = signs"}
    assert "already has a value" in kubectl.fails("annotate cm a note=other")
    kubectl.does("annotate cm a note=other --overwrite")
    kubectl.does("annotate cm a note-")
    assert "annotations" not in kubectl.json("get cm a")["metadata"]


# -- scale, set, rollout


def test_scaling(web: Terminal, group: str) -> None:
    assert web.does("scale deployment web --replicas=3") == "deployment.apps/web scaled\n"
    assert web.json("get deployment web")["spec"]["replicas"] == 3
    said = web.fails("scale deployment web --current-replicas=9 --replicas=1")
    assert "Expected replicas to be 9, was 3" in said
    assert web.fails("scale deployment web --replicas=-1")
    web.does("apply -f " + web.write("widget.yaml", widget(group, size=1)))
    assert web.does(f"scale widgets.{group}/one --replicas=5").endswith("/one scaled\n")
    assert web.json(f"get widgets.{group} one")["spec"]["size"] == 5
    assert web.json("get deployment web --subresource=scale")["kind"] == "Scale"
    assert "could not find" in web.fails("scale configmap/kube-root-ca.crt --replicas=1")


def test_setting(web: Terminal) -> None:
    assert web.does("set image deployment/web web=registry.invalid/web:2") == "deployment.apps/web image updated\n"
    web.does("set env deployment/web A=1 B=2")
    web.does("set env deployment/web B-")
    web.does("set resources deployment/web --limits=cpu=200m,memory=64Mi --requests=cpu=100m")
    web.does("set serviceaccount deployment/web default")
    found = container(web)
    assert found["image"] == "registry.invalid/web:2"
    assert found["env"] == [{"name": "A", "value": "1"}]
    assert found["resources"] == {"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
    assert web.json("get deployment web")["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    assert "A=1" in web.does("set env deployment/web --list")
    web.does("create cm vars --from-literal=c=3")
    web.does("set env deployment/web --from=configmap/vars")
    assert container(web)["env"][1]["valueFrom"]["configMapKeyRef"] == {"key": "c", "name": "vars"}
    web.does("create service clusterip web --tcp=80")
    web.does("set selector service web app=other")
    assert web.json("get service web")["spec"]["selector"] == {"app": "other"}
    web.does("create rolebinding b --role=r --serviceaccount=x:y")
    web.does(f"set subject rolebinding b --serviceaccount={web.namespace}:default")
    assert len(web.json("get rolebinding b")["subjects"]) == 2
    assert "unable to find container named" in web.fails("set image deployment/web nobody=x")


def test_rollouts(web: Terminal, cluster: Cluster) -> None:
    assert web.does("rollout restart deployment/web") == "deployment.apps/web restarted\n"
    template = web.json("get deployment web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert web.does("rollout pause deployment/web") == "deployment.apps/web paused\n"
    assert web.json("get deployment web")["spec"]["paused"] is True
    assert "already paused" in web.fails("rollout pause deployment/web")
    assert web.does("rollout resume deployment/web") == "deployment.apps/web resumed\n"
    assert web.fails("rollout status deployment/web --timeout=0.5s")
    if cluster.is_ours:
        assert "No rollout history found" in web.does("rollout history deployment/web")
        for number in (1, 2):
            cluster.create(replica_set(web.json("get deployment web"), number))
        assert [
            row[0] for row in map(str.split, web.does("rollout history deployment/web").splitlines()[2:]) if row
        ] == ["1", "2"]
        assert "registry.invalid/web:1" in web.does("rollout history deployment/web --revision=1")
        assert "rolled back" in web.does("rollout undo deployment/web --to-revision=1")


def replica_set(owner: dict[str, Any], number: int) -> dict[str, Any]:
    """What the controller of Deployments keeps of a revision."""
    labels = {"app": "web", "pod-template-hash": f"h{number}"}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, **_named(owner)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"web-h{number}",
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
            "ownerReferences": [reference],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": f"registry.invalid/web:{number}"}]},
            },
        },
    }


def _named(owner: dict[str, Any]) -> dict[str, str]:
    return {key: owner["metadata"][key] for key in ("name", "uid")}


def test_scaling_by_itself(web: Terminal, cluster: Cluster) -> None:
    if cluster.is_ours and web.version < (1, 33):
        pytest.skip("kubectl before 1.33 makes autoscalers of autoscaling/v1, which is not served")
    assert "autoscaled" in web.does("autoscale deployment web --min=1 --max=3 --cpu-percent=50")
    found = web.json("get hpa.v2.autoscaling web")["spec"]
    assert (found["minReplicas"], found["maxReplicas"], found["scaleTargetRef"]["name"]) == (1, 3, "web")


# -- nodes


@pytest.fixture
def node(kubectl: Terminal, cluster: Cluster) -> Iterator[str]:
    name = f"node-{kubectl.namespace}"
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield name
    cluster.delete("v1", "Node", name)


def test_nodes(kubectl: Terminal, node: str) -> None:
    kubectl.does(f"cordon {node}")
    assert kubectl.rows(f"get node {node}")[0][1].endswith("SchedulingDisabled")
    kubectl.does(f"uncordon {node}")
    assert "unschedulable" not in kubectl.json(f"get node {node}")["spec"]
    kubectl.does(f"taint node {node} key=value:NoSchedule")
    assert {"key": "key", "value": "value", "effect": "NoSchedule"} in kubectl.json(f"get node {node}")["spec"][
        "taints"
    ]
    kubectl.does(f"taint node {node} key-")
    assert "key=value" not in kubectl.does(f"describe node {node}")
    assert "drained" in kubectl.does(f"drain {node} --ignore-daemonsets")


def test_a_merge_of_nothing_is_no_change(kubectl: Terminal) -> None:
    kubectl.does("create -f " + kubectl.write("a.yaml", config_map("a")))
    before = kubectl.json("get cm a")
    kubectl.does("label cm a x=1 --dry-run=server")
    kubectl.does("patch cm a -p '{}'")
    assert kubectl.json("get cm a") == before
