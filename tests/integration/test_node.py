"""Pods as processes of this machine, under the real kubectl."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support import kubectls
from support.machine import Machine, machine, pod, shell

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(240),
]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path, "--crash-backoff", "1") as found:
        yield found


def state(it: dict[str, Any], kind: str, name: str = "main") -> dict[str, Any]:
    found = [one for one in it["status"].get("containerStatuses") or () if one["name"] == name]
    return dict(found[0][kind]) if found else {}


def condition(it: dict[str, Any], kind: str) -> tuple[str, str]:
    found = [one for one in it["status"].get("conditions") or () if one["type"] == kind]
    return (found[0]["status"], found[0].get("message", "")) if found else ("", "")


async def test_a_container_finds_its_environment_and_its_volumes_where_it_mounts_them(here: Machine) -> None:
    data = {"greeting": "hello", "other": "world"}
    await here.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "s3cret"}},
    )
    script = (
        "cat /shared/made /etc/texts/renamed /etc/keys/key /etc/pod/labels; echo; "
        "echo $GREETING $BOTH $ONLY_other $NAME $POD_IP; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; "
        "echo; getent hosts $NAME | cut -d' ' -f1; pwd; "
        "touch /etc/texts/no 2> /dev/null || echo read only; echo last > /dev/termination-log"
    )
    one = shell("one", script, policy="Never")
    mounts = [("shared", "/shared"), ("texts", "/etc/texts"), ("keys", "/etc/keys"), ("me", "/etc/pod")]
    volume_mounts = [{"name": name, "mountPath": path, "readOnly": name == "texts"} for name, path in mounts]
    items = [{"key": "greeting", "path": "renamed"}]
    one["spec"]["volumes"] = [
        {"name": "shared", "emptyDir": {}},
        {"name": "texts", "configMap": {"name": "texts", "items": items}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "me", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    one["spec"]["initContainers"] = [
        shell("", "echo made > /shared/made", container={"volumeMounts": volume_mounts[:1]})["spec"]["containers"][0]
        | {"name": "first"}
    ]
    one["spec"]["containers"][0] |= {
        "volumeMounts": volume_mounts,
        "workingDir": "/shared",
        "envFrom": [{"configMapRef": {"name": "texts"}, "prefix": "ONLY_"}],
        "env": [
            {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "texts", "key": "greeting"}}},
            {"name": "BOTH", "value": "$(GREETING)-$(UNKNOWN)-$$(GREETING)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    }
    await here.apply(one)
    it = await here.phase("one", "Succeeded", "Failed")
    address = it["status"]["podIP"]
    assert (await here.kubectl("logs", "one", "-c", "main")).splitlines() == [
        "made",
        'hellos3cretapp="one"',
        f"hello hello-$(UNKNOWN)-$(GREETING) world one {address}",
        "default",
        address,
        "/shared",
        "read only",
    ]
    assert state(it, "state")["terminated"]["message"] == "last\n"
    assert not Path("/shared").exists(), "nothing is made on the machine itself"


async def test_exit_codes_policies_and_crash_loops(here: Machine) -> None:
    await here.apply(
        shell("three", "exit 3"),
        shell("again", "echo life >> $HOME/lives; [ $(wc -l < $HOME/lives) -ge 3 ]", policy="OnFailure"),
        shell("looping", "echo dying; exit 2", policy="Always"),
        shell("killed", "kill -9 $$$$"),
        pod("unknown", image="acme/nothing:1"),
        pod("absent", "no-such-program"),
        shell("late", "sleep 600", activeDeadlineSeconds=1),
    )
    three = await here.phase("three", "Failed")
    assert state(three, "state")["terminated"]["exitCode"] == 3
    again = await here.phase("again", "Succeeded")
    assert again["status"]["containerStatuses"][0]["restartCount"] == 2
    looping = await here.until(
        lambda it: (
            state(it, "state").get("waiting", {}).get("reason") == "CrashLoopBackOff"
            and it["status"]["containerStatuses"][0]["restartCount"] >= 1
        ),
        "pod",
        "looping",
    )
    assert state(looping, "lastState")["terminated"]["exitCode"] == 2
    assert await here.kubectl("logs", "looping", "--previous") == "dying\n"
    assert state(await here.phase("killed", "Failed"), "state")["terminated"]["exitCode"] == 137
    unknown = await here.until(
        lambda it: "ImagePull" in state(it, "state").get("waiting", {}).get("reason", ""), "pod", "unknown"
    )
    assert unknown["status"]["phase"] == "Pending"
    assert "acme/nothing:1" in state(unknown, "state")["waiting"]["message"]
    absent = await here.phase("absent", "Failed")
    assert state(absent, "state")["terminated"]["reason"] == "StartError"
    late = await here.phase("late", "Failed")
    assert late["status"]["reason"] == "DeadlineExceeded"


async def test_probes_decide_readiness_and_restarts(here: Machine) -> None:
    script = "touch $HOME/ok; while true; do sleep 0.2; done"
    exists = {"exec": {"command": ["sh", "-c", "test -f $HOME/ok"]}, "periodSeconds": 1, "timeoutSeconds": 20}
    never = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
    await here.apply(
        shell("ready", script, policy="Always", container={"readinessProbe": exists, "startupProbe": exists}),
        shell("unready", script, policy="Always", container={"readinessProbe": never}),
        shell("ill", script, policy="Always", container={"livenessProbe": never | {"failureThreshold": 1}}),
    )
    await here.until(lambda it: condition(it, "Ready")[0] == "True", "pod", "ready")
    ill = await here.until(lambda it: it["status"]["containerStatuses"][0]["restartCount"] >= 1, "pod", "ill")
    assert state(ill, "lastState")["terminated"]["exitCode"] == 143
    assert condition(await here.get("pod", "unready"), "Ready")[0] == "False"
    await here.kubectl("exec", "ready", "--", "sh", "-c", "rm $HOME/ok")
    await here.until(lambda it: condition(it, "Ready")[0] == "False", "pod", "ready")
    assert "failed liveness probe, will be restarted" in await here.kubectl("describe", "pod", "ill")


async def test_logs_are_followed_tailed_and_stamped(here: Machine) -> None:
    await here.apply(shell("talks", "echo one; echo two >&2; until [ -f $HOME/go ]; do sleep 0.1; done; echo three"))
    await here.phase("talks", "Running")
    following = await here.begin("logs", "-f", "talks")
    assert following.stdout is not None
    async with asyncio.timeout(30):
        first = {await following.stdout.readline(), await following.stdout.readline()}
    assert first == {b"one\n", b"two\n"}
    await here.kubectl("exec", "talks", "--", "sh", "-c", "touch $HOME/go")
    async with asyncio.timeout(30):
        assert await following.stdout.read() == b"three\n"
        assert await following.wait() == 0
    assert await here.kubectl("logs", "talks", "--tail=1") == "three\n"
    stamped = await here.kubectl("logs", "talks", "--timestamps", "--tail=1")
    assert stamped.endswith("Z three\n")
    assert stamped.startswith("20")


async def test_exec_attach_and_ports(here: Machine) -> None:
    serve = [*("python", "-u", "-m", "http.server", "8124", "--bind"), "$(POD_IP)"]
    await here.apply(
        pod(
            "web",
            *serve,
            image="python:3.12",
            policy="Always",
            container={"readinessProbe": {"tcpSocket": {"port": 8124}, "periodSeconds": 1}},
        ),
        shell("echoes", "while read line; do echo got $line; done", container={"stdin": True}),
    )
    await here.kubectl("wait", "--for=condition=Ready", "pod/web", "pod/echoes", "--timeout=60s")
    code, out, err = await here.run("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, out) == (7, "out\n")
    assert err.startswith("err\n")
    assert await here.kubectl("exec", "-i", "web", "--", "wc", "-c", stdin="x" * 100_000) == "100000\n"
    attaching = await here.begin("attach", "-i", "echoes")
    assert attaching.stdin is not None
    assert attaching.stdout is not None
    attaching.stdin.write(b"hello\n")
    async with asyncio.timeout(30):
        while b"got hello" not in (line := await attaching.stdout.readline()):
            assert line, "ended without an answer"
    attaching.kill()
    await attaching.wait()
    forwarding = await here.begin("port-forward", "pod/web", ":8124")
    assert forwarding.stdout is not None
    async with asyncio.timeout(30):
        line = (await forwarding.stdout.readline()).decode()
    port = line.partition("127.0.0.1:")[2].partition(" ")[0]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert answer.status == 200
    forwarding.kill()
    await forwarding.wait()


async def test_localhost_leads_to_the_first_pod_that_claims_a_port(here: Machine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["python", "-u", "-m", "http.server", str(port), "--bind", "$(POD_IP)"]
    ports = {"ports": [{"containerPort": port}]}
    for name in ("first", "second"):
        await here.apply(pod(name, *serve, image="python:3.12", policy="Always", container=ports))
        await here.until(lambda it: condition(it, "Ready")[0] == "True", "pod", name)
    second = await here.until(lambda it: condition(it, "LocalhostPorts")[0] == "False", "pod", "second")
    assert f"localhost:{port} leads to pod default/first" in condition(second, "LocalhostPorts")[1]
    assert await answers(port) == 200
    await here.kubectl("delete", "pod", "first")
    await here.until(lambda it: condition(it, "LocalhostPorts")[0] == "True", "pod", "second")
    assert await answers(port) == 200


async def answers(port: int) -> int:
    """The status, once somebody listens."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


async def test_a_deletion_gives_time_to_end_and_takes_everything_along(here: Machine) -> None:
    polite = "trap 'echo bye; exit 0' TERM; setsid sleep 7001 & sleep 7002 & echo up; while true; do sleep 0.1; done"
    stubborn = "trap '' TERM; sleep 7003 & while true; do sleep 0.1; done"
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hooked > $HOME/../../hook"]}}}}
    await here.apply(shell("polite", polite, container=hook), shell("stubborn", stubborn))
    for name in ("polite", "stubborn"):
        await here.phase(name, "Running")
    following = await here.begin("logs", "-f", "polite")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"up\n"
    before = here.processes()
    assert len(before) >= 5
    await here.kubectl("delete", "pod", "polite", "stubborn", "--timeout=60s")
    async with asyncio.timeout(30):
        assert await following.stdout.read() == b"bye\n"
        await following.wait()
    assert not here.processes()
    assert not any(lives(pid) for pid in before)


def lives(pid: int) -> bool:
    """And is no zombie that the machine's first process has not yet taken note of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_pod_may_do_what_the_roles_of_its_account_allow(here: Machine) -> None:
    asks = "kubectl get pods -o name; kubectl get secrets; true"
    await here.apply(shell("unknown", asks))
    await here.phase("unknown", "Succeeded")
    assert 'User "system:serviceaccount:default:default" cannot list resource "pods"' in await here.kubectl(
        "logs", "unknown"
    )
    await here.kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    await here.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default")
    await here.apply(shell("known", asks))
    await here.phase("known", "Succeeded")
    said = await here.kubectl("logs", "known")
    assert "pod/known" in said
    assert 'cannot list resource "secrets"' in said


async def test_after_a_kill_nothing_runs_twice_and_pods_go_on(here: Machine) -> None:
    await here.apply(
        shell("goes-on", "setsid sleep 8001 & echo life; sleep 8002", policy="Always"),
        shell("once", "sleep 8003"),
        shell("done", "echo result"),
    )
    for name in ("goes-on", "once"):
        await here.phase(name, "Running")
    done = await here.phase("done", "Succeeded")
    before = here.processes()
    here.process.kill()
    await here.start()
    again = await here.until(
        lambda it: it["status"]["containerStatuses"][0]["restartCount"] == 1 and state(it, "state").get("running"),
        "pod",
        "goes-on",
    )
    assert state(again, "lastState")["terminated"]["reason"] == "ContainerStatusUnknown"
    once = await here.phase("once", "Failed")
    assert condition(once, "DisruptionTarget")[0] == "True"
    assert not set(before) & set(here.processes())
    assert await here.kubectl("logs", "done") == "result\n"
    assert await here.get("pod", "done") == done, "nothing new is said of what had ended"


async def test_nothing_is_left_after_a_stop_and_pods_resume_at_the_next_start(here: Machine) -> None:
    await here.apply(
        shell("stays", "trap '' TERM; (trap '' TERM; setsid sleep 9001) & sleep 9002; sleep 9003", policy="Always")
    )
    await here.phase("stays", "Running")
    assert here.processes()
    assert await here.process.stop(60) == 0
    assert not here.processes()
    await here.start()
    await here.until(
        lambda it: it["status"]["containerStatuses"][0]["restartCount"] == 1 and state(it, "state").get("running"),
        "pod",
        "stays",
    )


async def test_sidecars_live_as_long_as_the_others(here: Machine) -> None:
    one = shell("with-sidecar", "cat /shared/ready", policy="Never")
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    one["spec"]["containers"][0]["volumeMounts"] = mounts
    command = ["sh", "-c", "echo yes > /shared/ready; while true; do sleep 0.1; done"]
    probe = {"exec": {"command": ["test", "-f", "/shared/ready"]}, "periodSeconds": 1, "timeoutSeconds": 20}
    sidecar = {"name": "side", "image": "alpine", "command": command, "restartPolicy": "Always", "volumeMounts": mounts}
    one["spec"] |= {
        "initContainers": [sidecar | {"startupProbe": probe}],
        "volumes": [{"name": "shared", "emptyDir": {}}],
    }
    await here.apply(one)
    await here.phase("with-sidecar", "Succeeded")
    assert await here.kubectl("logs", "with-sidecar", "-c", "main") == "yes\n"


async def test_the_node_is_there_and_says_that_it_lives(here: Machine) -> None:
    node = await here.get("node", "keryx")
    assert condition(node, "Ready")[0] == "True"
    lease = json.loads(await here.kubectl("get", "lease", "keryx", "-n", "kube-node-lease", "-o", "json"))
    assert lease["spec"]["holderIdentity"] == "keryx"
    await here.apply(shell("elsewhere", "true", nodeSelector={"disk": "none"}))
    await here.until(lambda it: condition(it, "PodScheduled")[0] == "False", "pod", "elsewhere")
    assert here.process.process is not None
    os.kill(here.process.process.pid, signal.SIGINT)
    assert await here.process.ended(60) == 0


async def test_a_stop_in_the_middle_of_starting_leaves_nothing(here: Machine) -> None:
    for number in range(3):
        await here.apply(*(shell(f"p{number}-{one}", "sleep 600", policy="Always") for one in range(6)))
        assert await here.process.stop(60) == 0
        assert not here.processes()
        await here.start()


async def test_what_stands_in_for_an_image_stays_there_below_a_mount(here: Machine) -> None:
    one = pod("covered", "python", "-c", "import os; print(os.listdir('/tmp'), os.getcwd())", image="python")
    one["spec"]["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    one["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    await here.apply(one)
    await here.phase("covered", "Succeeded", "Failed")
    top = str(here.data).split("/")[2]
    said = await here.kubectl("logs", "covered")
    seen, _, rest = said.partition("] ")
    if str(here.data).startswith("/tmp/"):
        assert f"'{top}'" in seen  # and, where they lie there, the folders of this Python
        assert rest.startswith(f"{here.data}/node/pods/")
    else:
        assert f"'{top}'" not in seen


async def test_a_volume_is_mounted_below_folders_that_the_machine_has_not(here: Machine) -> None:
    one = shell(
        "deep", "echo kept > /not-on-this/machine/at-all/file; cat /not-on-this/machine/at-all/file; ls /not-on-this"
    )
    one["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/not-on-this/machine/at-all"}]
    one["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    await here.apply(one)
    await here.phase("deep", "Succeeded")
    assert await here.kubectl("logs", "deep") == "kept\nmachine\n"
    assert not os.path.exists("/not-on-this")


async def test_single_containers_have_policies_of_their_own(here: Machine) -> None:
    one = shell("own", "echo life >> $HOME/lives; [ $(wc -l < $HOME/lives) -ge 3 ]", policy="Never")
    (first,) = one["spec"]["containers"]
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    script = "echo life >> $HOME/lives; [ $(wc -l < $HOME/lives) -ge 2 ] || exit 42; exit 3"
    by_rule = first | {"name": "by-rule", "command": ["sh", "-c", script], "restartPolicyRules": [rule]}
    one["spec"]["containers"] = [first | {"restartPolicy": "OnFailure"}, by_rule | {"restartPolicy": "Never"}]
    await here.apply(one)
    it = await here.phase("own", "Failed", "Succeeded")
    assert it["status"]["phase"] == "Failed"
    ended = {
        one["name"]: (one["restartCount"], one["state"]["terminated"]["exitCode"])
        for one in it["status"]["containerStatuses"]
    }
    assert ended == {"main": (2, 0), "by-rule": (1, 3)}
