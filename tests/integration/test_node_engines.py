"""Real containers (`keryx up --runtime podman`), under the real kubectl and a real podman."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support import engines, kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine, pod, shell

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return engines.podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture
def own(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def here(own: None, tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path, "--crash-backoff", "1", "--refresh", "1", "--runtime", "podman") as found:
        yield found
    assert containers() == []


def containers() -> list[str]:
    """Names of all there are."""
    said = subprocess.run(
        ["podman", "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()


def real(name: str, script: str, **more: Any) -> dict[str, Any]:
    """A pod whose container has the image that was made here."""
    return shell(name, script, image=engines.IMAGE, **more)


def terminated(it: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = it["status"]["containerStatuses"][0]["state"]["terminated"]
    return found


async def test_a_container_has_its_image_volumes_environment_and_identity(here: Machine) -> None:
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"text": "first\nsecond"}}
    script = (
        'ls /; cat /etc/texts/text; echo; echo "$TEXT"; echo ${PATH%%:*} $HOME_OF; id -u; cat /shared/made; '
        "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; grep -c kubernetes.default /etc/hosts; "
        '[ -z "$KUBECONFIG" ] && echo none; touch /etc/texts/no 2> /dev/null || echo read only; '
        "echo last > /dev/termination-log"
    )
    one = real("one", script)
    mounts = [
        {"name": "texts", "mountPath": "/etc/texts", "readOnly": True},
        {"name": "shared", "mountPath": "/shared"},
    ]
    one["spec"]["volumes"] = [{"name": "texts", "configMap": {"name": "texts"}}, {"name": "shared", "emptyDir": {}}]
    first = {"name": "first", "image": engines.IMAGE, "command": ["sh", "-c", "echo made > /shared/made"]}
    one["spec"]["initContainers"] = [first | {"volumeMounts": mounts[1:]}]
    one["spec"]["containers"][0] |= {
        "volumeMounts": mounts,
        "env": [{"name": "TEXT", "valueFrom": {"configMapKeyRef": {"name": "texts", "key": "text"}}}],
        "securityContext": {"runAsUser": 0},
    }
    await here.apply(data, one)
    it = await here.phase("one", "Succeeded", "Failed")
    said = (await here.kubectl("logs", "one", "-c", "main")).splitlines()
    assert "bin" in said
    assert "usr" not in said, "the root is the image's, not the machine's"
    assert said[said.index("first") :] == [
        *("first", "second", "first", "second", "/usr/local/sbin", "0", "made", "default", "1", "none"),
        "read only",
    ]
    assert terminated(it)["message"] == "last\n"
    assert it["status"]["containerStatuses"][0]["containerID"].startswith("podman://")
    assert containers() == []


async def test_codes_logs_exec_probes_and_grace_are_as_with_processes(here: Machine) -> None:
    exists = {"exec": {"command": ["test", "-f", "/tmp/ok"]}, "periodSeconds": 1, "timeoutSeconds": 20}
    polite = "trap 'echo bye; exit 0' TERM; touch /tmp/ok; echo up; while true; do sleep 0.1; done"
    await here.apply(
        real("three", "echo out; echo err >&2; exit 3"),
        real("again", "echo life; exit 2", policy="Always"),
        real("polite", polite, policy="Always", container={"readinessProbe": exists}),
        real("stubborn", "trap '' TERM; while true; do sleep 0.1; done"),
        pod("absent", "no-such-program", image=engines.IMAGE),
        pod("unknown", image="localhost/keryx-none:1"),
        shell("mine", "echo ours", image="keryx"),
    )
    assert terminated(await here.phase("three", "Failed"))["exitCode"] == 3
    assert sorted((await here.kubectl("logs", "three", "--timestamps")).split()[1::2]) == ["err", "out"]
    await here.until(lambda it: it["status"]["containerStatuses"][0]["restartCount"] >= 1, "pod", "again")
    assert await here.kubectl("logs", "again", "--previous") == "life\n"
    assert terminated(await here.phase("absent", "Failed"))["exitCode"] != 0
    assert "executable file not found" in await here.kubectl("logs", "absent")
    unknown = await here.until(
        lambda it: "ImagePull" in json.dumps(it["status"].get("containerStatuses") or ""), "pod", "unknown"
    )
    assert unknown["status"]["phase"] == "Pending"
    await here.phase("mine", "Succeeded")
    assert (await here.get("pod", "mine"))["status"]["containerStatuses"][0]["containerID"].startswith("process://")
    await here.kubectl("wait", "--for=condition=Ready", "pod/polite", "--timeout=60s")
    code, out, err = await here.run(
        "exec", "-i", "polite", "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="typed"
    )
    assert (code, out) == (7, "typed")
    assert err.startswith("err\n")
    following = await here.begin("logs", "-f", "polite")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"up\n"
    await here.kubectl("delete", "pod", "polite", "stubborn", "again", "--timeout=60s")
    async with asyncio.timeout(60):
        assert await following.stdout.read() == b"bye\n"
        await following.wait()
    assert containers() == []


async def test_names_and_ports_lead_to_containers(here: Machine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = f'echo found > /tmp/index.html; exec busybox httpd -f -p "$POD_IP:{port}" -h /tmp'
    ready = {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}, "ports": [{"containerPort": port}]}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": port}]}
    await here.apply(
        real("web", serve, policy="Always", container=ready),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec},
    )
    await here.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    await here.apply(real("asks", "busybox wget -qO- http://web.default/"))
    await here.phase("asks", "Succeeded", "Failed")
    assert await here.kubectl("logs", "asks") == "found\n"


async def test_a_killed_node_leaves_containers_that_the_next_one_or_down_ends(here: Machine) -> None:
    await here.apply(real("stays", "while true; do sleep 0.1; done", policy="Always"))
    await here.phase("stays", "Running")
    (name,) = containers()
    here.process.kill()
    assert containers() == [name]
    await here.start()
    await here.until(
        lambda it: (
            it["status"]["containerStatuses"][0]["restartCount"] == 1
            and it["status"]["containerStatuses"][0]["state"].get("running")
        ),
        *("pod", "stays"),
    )
    assert name not in containers()
    assert len(containers()) == 1
    here.process.kill()
    done = subprocess.run(
        [COMMAND, "down", "--data", here.data], capture_output=True, text=True, timeout=60, check=True
    )
    assert "left-over processes" in done.stdout
    assert containers() == []


def test_an_engine_that_does_not_answer_is_told_with_the_cure(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    env = os.environ | {"PATH": str(folder)}
    told = [COMMAND, "up", "--data", tmp_path / "data", "--runtime"]
    done = subprocess.run([*told, "podman"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no podman on PATH (install podman, or leave out --runtime" in done.stderr
    (folder / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    (folder / "docker").chmod(0o755)
    done = subprocess.run([*told, "docker"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "docker does not answer: Cannot connect to the Docker daemon (start the docker daemon" in done.stderr
    done = subprocess.run([*told, "rkt"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'rkt' is none of process, docker, podman" in done.stderr
