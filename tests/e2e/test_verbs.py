"""`keryx apply`, `create`, `get`, `describe` and `delete` on the local API server, beside the real kubectl."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import kubectls
from support.api_server import ApiServer, running
from support.keryx import COMMAND
from support.verbs import Typist

from events.app import crds

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as found:
        yield found


@pytest.fixture
def typist(server: ApiServer, tmp_path: Path) -> Typist:
    return Typist(server.kubeconfig, tmp_path)


def manifest(kind: str, name: str, api: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **more}


def deployment(name: str, replicas: int = 2) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}
    return manifest("Deployment", name, "apps/v1", spec=spec)


def text(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False)


async def test_tables_are_those_of_kubectl(typist: Typist) -> None:
    pod = manifest("Pod", "p", spec={"containers": [{"name": "a", "image": "b"}]})
    pod["metadata"]["labels"] = {"app": "x", "tier": "z"}
    service = manifest("Service", "s", spec={"ports": [{"port": 80}, {"port": 81, "name": "more"}][:1]})
    await typist.kubectl("apply", "-f", "-", stdin=text(pod, service, deployment("d"), *crds.definitions()))
    for words in (
        *(
            "pods",
            "po p",
            "pod/p",
            "pods,svc",
            "svc/s pod/p po/p",
            "all",
            "all -A",
            "deploy.apps",
            "deployments.v1.apps",
        ),
        *("pods -o wide", "all -o wide", "pods --show-labels", "pods --no-headers", "all --no-headers", "ns", "crd"),
        *(
            "pods -l app=x",
            "pods -A --field-selector metadata.name=p",
            "sa,ns -A",
            "clusterroles",
            "pods -o name",
            "all -o name",
        ),
        *("sensors", "configmaps -n kube-system", "nodes", "pods -l app=none --ignore-not-found"),
    ):
        await typist.same("get", *words.split())


async def test_objects_are_those_of_kubectl(typist: Typist) -> None:
    await typist.kubectl(
        "apply", "-f", "-", stdin=text(deployment("d"), manifest("ConfigMap", "c", data={"a": "b\nc"}))
    )
    for words in ("deploy d", "cm,deploy", "cm/c deploy/d", "sensors.nowhere,cm"):
        if "nowhere" in words:
            assert "doesn't have a resource type" in await typist.keryx("get", words, code=2)
            continue
        theirs = json.loads(await typist.kubectl("get", *words.split(), "-o", "json"))
        assert json.loads(await typist.keryx("get", *words.split(), "-o", "json")) == theirs
        assert yaml.safe_load(await typist.keryx("get", *words.split(), "-o", "yaml")) == yaml.safe_load(
            await typist.kubectl("get", *words.split(), "-o", "yaml")
        )
    assert await typist.keryx("get", "cm", "c", "-o", "json") == await typist.kubectl("get", "cm", "c", "-o", "json")


async def test_what_is_not_there_is_told(typist: Typist) -> None:
    said = await typist.run(COMMAND, "get", "pods")
    assert (said.code, said.out, said.err) == (0, "", "No resources found in default namespace.\n")
    assert (await typist.run(COMMAND, "get", "pods", "-A")).err == "No resources found\n"
    assert await typist.keryx("get", "pod", "x", code=1) == 'keryx: pods "x" not found (NotFound)\n'
    assert await typist.keryx("get", "pod", "x", "--ignore-not-found") == ""
    said = await typist.run(COMMAND, "get", "ns", "default", "nope")
    assert said.code == 1
    assert "default" in said.out
    assert 'namespaces "nope" not found' in said.err
    for words in (["pods", "x", "-A"], ["pods", "x", "-l", "a=b"], ["pods,svc", "-w"], []):
        await typist.keryx("get", *words, code=2)


async def test_a_long_list_comes_in_pages(typist: Typist) -> None:
    several = [manifest("ConfigMap", f"c{number:04}", data={"n": str(number)}) for number in range(1100)]
    await typist.kubectl("create", "-f", "-", stdin=text(manifest("Namespace", "many")))
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": several})
    assert (await typist.keryx("create", "-n", "many", "-f", "-", stdin=body)).count(" created\n") == 1100
    assert len((await typist.same("get", "cm", "-n", "many")).splitlines()) == 1102
    found = json.loads(await typist.keryx("get", "cm", "-n", "many", "-o", "json"))
    assert len(found["items"]) == 1101
    process = await typist.begin(COMMAND, "get", "cm", "-n", "many", "-o", "yaml")
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `| head -1` does
    assert process.stderr is not None
    assert await process.stderr.read() == b"", "nobody reads any more, which is no error to tell"
    assert await process.wait() == 141


async def test_a_watch_shows_every_change(typist: Typist) -> None:
    process = await typist.begin(COMMAND, "get", "deploy", "-w")
    named = await typist.begin(COMMAND, "get", "cm/c", "--watch-only", "-o", "name")
    seen = asyncio.create_task(named.stdout.readline()) if named.stdout else None
    assert process.stdout is not None
    assert seen is not None
    await typist.keryx("apply", "-f", "-", stdin=text(deployment("d")))
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).split() == [b"NAME", b"READY", b"UP-TO-DATE", b"AVAILABLE", b"AGE"]
        assert (await process.stdout.readline()).split()[:2] == [b"d", b"0/2"]
    await typist.keryx("apply", "-f", "-", stdin=text(deployment("d", 5)))
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).split()[:2] == [b"d", b"0/5"]
    for number in itertools.count():  # it may not have begun yet
        await typist.keryx("apply", "-f", "-", stdin=text(manifest("ConfigMap", "c", data={"n": str(number)})))
        if (await asyncio.wait([seen], timeout=1))[0]:
            break
    assert seen.result() == b"configmap/c\n"
    for one in (process, named):
        one.send_signal(2)
        _, err = await one.communicate()
        assert (one.returncode, err) == (130, b"")


async def test_apply_says_what_became_of_each_object(typist: Typist, tmp_path: Path) -> None:
    objects = [manifest("ConfigMap", "c", data={"a": "1", "b": "2"}), deployment("d"), manifest("Namespace", "ns")]
    objects[0]["metadata"]["namespace"] = "ns"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "all.yaml").write_text(text(*objects))
    there = ("apply", "-f", tmp_path / "sub")
    first = await typist.keryx(*there)
    assert first == "namespace/ns created\nconfigmap/c created\ndeployment.apps/d created\n"
    assert await typist.keryx(*there) == first.replace("created", "unchanged")
    objects[0]["data"] = {"a": "1"}
    (tmp_path / "sub" / "all.yaml").write_text(text(*objects))
    dry = await typist.keryx(*there, "--dry-run", "server")
    assert dry == (
        "namespace/ns unchanged (server dry run)\nconfigmap/c configured (server dry run)\n"
        "deployment.apps/d unchanged (server dry run)\n"
    )
    assert "configmap/c configured" in await typist.keryx("apply", "-R", "-f", tmp_path / "sub")
    found = json.loads(await typist.kubectl("get", "cm", "c", "-n", "ns", "-o", "json"))
    assert found["data"] == {"a": "1"}, "what is said no more has gone"
    assert await typist.keryx(*there, "-o", "name") == "namespace/ns\nconfigmap/c\ndeployment.apps/d\n"


@pytest.mark.parametrize("by", ["kubectl apply", "kubectl create", "keryx create"])
async def test_apply_takes_over_what_was_made_in_another_way(typist: Typist, by: str) -> None:
    made = text(manifest("ConfigMap", "c", data={"a": "1", "b": "2"}))
    command, verb = by.split()
    await (typist.kubectl if command == "kubectl" else typist.keryx)(verb, "-f", "-", stdin=made)
    assert await typist.keryx("apply", "-f", "-", stdin=text(manifest("ConfigMap", "c", data={"b": "3"})))
    found = json.loads(await typist.kubectl("get", "cm", "c", "-o", "json"))["data"]
    assert found == ({"a": "1", "b": "3"} if by == "kubectl create" else {"b": "3"})
    theirs = text(manifest("ConfigMap", "c", data={"z": "1"}))
    assert "applied" in await typist.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=theirs)


async def test_new_kinds_and_their_objects_come_in_one_file(typist: Typist, tmp_path: Path) -> None:
    sensor = manifest("Sensor", "s", "argoproj.io/v1alpha1", spec={"dependencies": [], "triggers": []})
    (tmp_path / "all.yaml").write_text(text(sensor, *crds.definitions()))
    said = await typist.run(COMMAND, "apply", "-f", tmp_path / "all.yaml")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "sensor.argoproj.io/s created"
    assert f"Warning: {tmp_path}/all.yaml:" in said.err, "a server without our admission: lint says it"
    await typist.same("get", "sensors")


async def test_one_bad_object_does_not_stop_the_others(typist: Typist, tmp_path: Path) -> None:
    pod = manifest("Pod", "p", spec={"containers": [{"nmae": "a", "image": "b"}]})
    objects = [
        manifest("Gadget", "g", "nobody.io/v1"),
        pod,
        manifest("ConfigMap", "Not_A_Name"),
        manifest("ConfigMap", "lost") | {"metadata": {"name": "lost", "namespace": "nowhere"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "many-"}},
        manifest("ConfigMap", "large", data={"a": "x" * 4_000_000}),
        manifest("ConfigMap", "good"),
    ]
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "a.yaml"
    file.write_text(text(*objects))
    (tmp_path / "a" / "b.yaml").write_text("a: [b")
    said = await typist.run(COMMAND, "apply", "-f", tmp_path / "a")
    assert (said.code, said.out) == (1, "configmap/good created\n")
    for problem in (
        f"{tmp_path}/a/b.yaml:2:1: cannot be read",
        f"{file}:1:1: Gadget/g: no matches for kind 'Gadget' in version 'nobody.io/v1'",
        "spec.containers[0].nmae: unknown field (is it misspelled",
        "ConfigMap/Not_A_Name: metadata.name: Invalid value",
        'ConfigMap/lost: namespaces "nowhere" not found',
        "ConfigMap/?: metadata.generateName: a generated name makes a new object each time",
        "ConfigMap/large: ",
    ):
        assert f"keryx: {problem}" in said.err or problem in said.err, (problem, said.err)
    created = await typist.run(COMMAND, "create", "-f", file)
    assert created.code == 1
    assert created.out.startswith("configmap/many-")
    assert 'configmaps "good" already exists' in created.err


async def test_a_namespace_is_created_by_name(typist: Typist) -> None:
    assert await typist.keryx("create", "namespace", "argo-events") == "namespace/argo-events created\n"
    assert 'namespaces "argo-events" already exists' in await typist.keryx("create", "ns", "argo-events", code=1)
    assert await typist.keryx("create", "ns", "x", "--dry-run=server") == "namespace/x created (server dry run)\n"


async def test_delete_waits_until_everything_has_gone(typist: Typist, tmp_path: Path) -> None:
    several = [manifest("ConfigMap", f"c{number}") for number in range(3)]
    for one in several[:2]:
        one["metadata"]["labels"] = {"app": "x"}
    file = tmp_path / "all.yaml"
    file.write_text(text(manifest("Namespace", "ns"), *several, deployment("d")))
    await typist.keryx("apply", "-f", file)
    assert await typist.keryx("delete", "cm", "-l", "app=x") == 'configmap "c0" deleted\nconfigmap "c1" deleted\n'
    assert await typist.keryx("delete", "deploy/d", "--dry-run=server") == (
        'deployment.apps "d" deleted (server dry run)\n'
    )
    said = await typist.run(COMMAND, "delete", "-f", file)
    assert said.code == 1
    assert said.out == 'deployment.apps "d" deleted\nconfigmap "c2" deleted\nnamespace "ns" deleted\n', "the last first"
    assert said.err.count("not found (NotFound)") == 2
    assert "NotFound" in await typist.keryx("get", "ns", "ns", code=1), "it has gone, not only begun to"
    assert await typist.keryx("delete", "-f", file, "--ignore-not-found", "-o", "name") == ""
    assert await typist.keryx("delete", "cm", "--all", "-n", "kube-public") == 'configmap "kube-root-ca.crt" deleted\n'
    for words in (["cm"], ["cm", "a", "--all"], ["cm/a", "-l", "a=b"], ["cm", "a", "-A"], []):
        await typist.keryx("delete", *words, code=2)


async def test_what_keeps_an_object_is_told(typist: Typist) -> None:
    held = manifest("ConfigMap", "held")
    held["metadata"]["finalizers"] = ["nobody.io/keeps"]
    await typist.keryx("apply", "-f", "-", stdin=text(held))
    said = await typist.keryx("delete", "cm/held", "--timeout", "1s", code=1)
    assert 'configmap "held" is still there after 1 s: it waits for its finalizers nobody.io/keeps' in said
    assert await typist.keryx("delete", "cm/held", "--wait=false") == 'configmap "held" deleted\n'
    shown = await typist.keryx("describe", "cm", "held")
    assert "Finalizers:     nobody.io/keeps\nBeing deleted:  since 20" in shown
    waits = await typist.begin(COMMAND, "delete", "cm", "held")
    assert waits.stdout is not None
    async with asyncio.timeout(60):
        await waits.stdout.readline()
        held["metadata"]["finalizers"] = []
        await typist.kubectl("patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        assert await waits.wait() == 0


async def test_describe_is_for_people_and_keeps_secrets(typist: Typist) -> None:
    secret = manifest("Secret", "s", stringData={"password": "sesame"}, type="Opaque")
    await typist.kubectl("apply", "-f", "-", stdin=text(secret, deployment("d"), deployment("dd")))
    shown = await typist.keryx("describe", "secret/s")
    assert "  password: <6 bytes>\n" in shown
    for hidden in ("sesame", "c2VzYW1l"):
        assert hidden not in shown
    event = manifest("Event", "e", reason="Scaled", message="up", type="Normal", count=3, source={"component": "me"})
    about = {"kind": "Deployment", "name": "d", "namespace": "default"}
    about["uid"] = (await typist.kubectl("get", "deploy", "d", "-o", "jsonpath={.metadata.uid}")).strip()
    times = {"firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": "2021-01-01T00:00:00Z"}
    await typist.kubectl("create", "-f", "-", stdin=text({**event, **times, "involvedObject": about}))
    shown = await typist.keryx("describe", "deploy", "d")
    assert shown.startswith("Name:         d\nNamespace:    default\nKind:         Deployment (apps/v1)\n")
    assert "Annotations:  <none>" in shown
    assert "Pods:   <none>\nSpec:\n" in shown
    assert re.search(
        r"Events:\n  Type    Reason  Age +From  Message\n  -+ .*\n  Normal  Scaled  \w+ \(x3 over \w+\)  me    up\n",
        shown,
    )
    assert (await typist.keryx("describe", "deployments")).count("Kind:         Deployment") == 2
    assert (await typist.keryx("describe", "deploy", "d", "dd")).count("\n\n\nName:") == 1
    assert "Name:         dd" in await typist.keryx("describe", "deploy", "dd")
    assert 'deployments.apps "nope" not found' in await typist.keryx("describe", "deploy", "nope", code=1)
    assert (await typist.keryx("describe", "ns", "kube-")).count("Kind:         Namespace") >= 2, "names that begin so"


async def test_a_refusal_says_who_may_not_do_what(typist: Typist, server: ApiServer, tmp_path: Path) -> None:
    await typist.kubectl("create", "serviceaccount", "bob")
    token = (await typist.kubectl("create", "token", "bob")).strip()
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    other = tmp_path / "bob"
    other.write_text(yaml.safe_dump(config))
    said = await typist.keryx("get", "secrets,pods", "--kubeconfig", other, code=1)
    assert said.count('User "system:serviceaccount:default:bob" cannot list resource') == 2
    assert "(a Role with this verb must be bound to that user)" in said
    config["users"][0]["user"] = {"token": "nonsense"}
    other.write_text(yaml.safe_dump(config))
    assert "does not know these credentials" in await typist.keryx("get", "pods", "--kubeconfig", other, code=1)


async def test_a_server_that_is_away_is_named(typist: Typist, server: ApiServer, tmp_path: Path) -> None:
    url = server.url
    watching = await typist.begin(COMMAND, "get", "ns", "-w")
    assert watching.stdout is not None
    async with asyncio.timeout(60):
        await watching.stdout.readline()
    server.kill()
    _, err = await watching.communicate()
    assert (watching.returncode, b"no answer from the API server" in err, b"Traceback" in err) == (1, True, False)
    said = await typist.keryx("get", "pods", code=1)
    assert url in said
    assert "is it running? `keryx up` starts one" in said
    assert "no such file" in await typist.keryx("get", "pods", "--kubeconfig", tmp_path / "none", code=2)
    await typist.keryx("apply", "-f", "-", stdin=text(manifest("ConfigMap", "c")), code=1)
