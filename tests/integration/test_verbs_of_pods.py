"""`keryx logs`, beside the real kubectl, and `port-forward` on pods that run; the walk-through without kubectl."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support import kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine, shell
from support.verbs import Typist

EXAMPLES = Path(__file__).parents[2] / "examples"
BUS_LOG = ("logs", "-n", "argo-events", "-l", "controller=eventbus-controller", "--all-containers")
pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as found:
        yield found


@pytest.fixture
def typist(here: Machine, tmp_path: Path) -> Typist:
    return Typist(here.kubeconfig, tmp_path)


async def test_logs_are_those_of_kubectl(here: Machine, typist: Typist) -> None:
    two = shell("two", "for i in 1 2 3; do echo line $i; done; echo wrong >&2; sleep 600")
    two["spec"]["containers"].append({"name": "side", "image": "busybox", "command": ["sh", "-c", "echo s; sleep 600"]})
    marked = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "test -e /v/m && sleep 600; touch /v/m; echo once; exit 3"
    again = shell("again", script, policy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}], container=marked)
    await here.apply(two, shell("done", "printf '\\377 no text, no end'"), again)
    await here.phase("done", "Succeeded")
    await here.until(
        lambda it: it["status"]["phase"] == "Running" and len(it["status"]["containerStatuses"]) == 2, "pod", "two"
    )
    await here.until(lambda it: it["status"]["containerStatuses"][0]["restartCount"], "pod", "again")
    one_container = ("two", "two --tail 2", "two -c side", "two side", "pod/two", "two --timestamps", "two --since 1h")
    several = ("two --all-containers --prefix", "-l app=two --all-containers --prefix")
    for words in (*one_container, "done", "again --previous", *several):
        theirs, ours = await asyncio.gather(
            typist.run(kubectls.newest() or "", "logs", *words.split()), typist.run(COMMAND, "logs", *words.split())
        )
        assert ours.code == 0, words
        # kubectl reads several containers in no certain order
        ordered = sorted if words in several else list[str]
        assert ordered(ours.out.splitlines(keepends=True)) == ordered(theirs.out.splitlines(keepends=True)), words
    said = await typist.run(COMMAND, "logs", "two")
    assert said.err == 'Defaulted container "main" out of: main, side\n'
    assert "container x is not valid for pod two (one of main, side)" in await typist.keryx(
        "logs", "two", "-c", "x", code=2
    )
    assert 'pods "nope" not found' in await typist.keryx("logs", "nope", code=1)
    assert "serviceaccount/default has no pods" in await typist.keryx("logs", "serviceaccount/default", code=2)
    assert "previous terminated container" in await typist.keryx("logs", "two", "--previous", code=1)


async def test_logs_of_several_pods_are_followed_until_the_last_has_ended(here: Machine, typist: Typist) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "template": {"spec": shell("x", "echo a; sleep 2; echo b")["spec"]},
        },
    }
    await here.apply(job)
    await here.until(lambda it: it["status"].get("active") == 2, "job", "j")
    out = await typist.keryx("logs", "-f", "job/j")
    lines = [line.partition("] ") for line in out.splitlines()]
    assert sorted(text for _, _, text in lines) == ["a", "a", "b", "b"]
    assert len({prefix for prefix, _, _ in lines}) == 2
    assert all(prefix.startswith("[pod/j-") and prefix.endswith("/main") for prefix, _, _ in lines)


async def test_a_log_is_followed_until_ctrl_c(here: Machine, typist: Typist) -> None:
    await here.apply(shell("talks", "while :; do echo on; sleep 0.2; done", policy="Always"))
    process = await typist.begin(COMMAND, "logs", "-f", "talks")  # perhaps before it has begun
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert [await process.stdout.readline() for _ in range(3)] == [b"on\n"] * 3
    process.send_signal(2)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    for rest in ("| head -1", ">/dev/full"):
        command = f"{COMMAND} logs -f talks --prefix {rest}"
        async with asyncio.timeout(60):
            _, err = await (await typist.begin("sh", "-c", command)).communicate()
        assert err.decode() == ("keryx: cannot write: No space left on device\n" if "full" in rest else "")


WEB = "mkdir -p w; cd w; hostname > name; head -c 3000000 /dev/zero > big; exec python3 -m http.server -b $POD_IP 8000"


def website() -> list[dict[str, Any]]:
    """A Deployment and its Service."""
    pod = shell("web", WEB, policy="Always")
    container = pod["spec"]["containers"][0]
    container |= {"image": "python:3", "ports": [{"name": "http", "containerPort": 8000}]}
    container["env"] = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    container["readinessProbe"] = probe
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod["spec"]}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    service = {"selector": {"app": "web"}, "ports": [{"name": "www", "port": 80, "targetPort": "http"}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service},
    ]


async def forwarding(typist: Typist, *words: str) -> tuple[asyncio.subprocess.Process, int]:
    """A forward that listens, and on which port."""
    process = await typist.begin(COMMAND, "port-forward", *words)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("Forwarding from 127.0.0.1:"), line
    return process, int(line.removeprefix("Forwarding from 127.0.0.1:").split()[0])


async def fetch(session: aiohttp.ClientSession, port: int, path: str = "name") -> bytes:
    timeout = aiohttp.ClientTimeout(30)
    async with session.get(f"http://127.0.0.1:{port}/{path}", timeout=timeout) as answer:
        return await answer.read()


async def test_a_forward_to_a_service_outlives_the_pod_behind_it(here: Machine, typist: Typist) -> None:
    await here.apply(*website())
    await here.until(lambda it: it["status"].get("readyReplicas") == 1, "deployment", "web")
    process, port = await forwarding(typist, "svc/web", ":www")
    async with aiohttp.ClientSession() as session:
        assert await fetch(session, port)
        several = await asyncio.gather(*(fetch(session, port, "big") for _ in range(5)))
        assert [len(one) for one in several] == [3_000_000] * 5
        await typist.keryx("delete", "pod", "-l", "app=web", "--grace-period", "0")
        await here.until(lambda it: it["status"].get("readyReplicas") == 1, "deployment", "web")
        ends = time.monotonic() + 60
        while True:
            try:
                assert await fetch(session, port)
                break
            except (aiohttp.ClientError, TimeoutError):
                assert time.monotonic() < ends
    process.send_signal(2)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert f"Handling connection for {port}".encode() in out
    assert "in use (take another" in await in_use(typist)


async def in_use(typist: Typist) -> str:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("::1", 0), family=socket.AF_INET6):
        number = first.getsockname()[1]
        return await typist.keryx("port-forward", "--address", "127.0.0.1", "deploy/web", f"{number}:http", code=1)


async def test_the_walk_through_needs_no_kubectl(here: Machine, typist: Typist) -> None:
    home = ("-n", "argo-events")
    await typist.keryx("create", "namespace", "argo-events")
    said = await typist.run(COMMAND, "apply", *home, "-f", EXAMPLES / "walkthrough")
    assert said.code == 0
    assert "sensor.argoproj.io/webhook created\n" in said.out
    assert said.err.count("NATS Streaming is past its end of life") == 1, "by the server or by lint, not by both"
    ends = time.monotonic() + 150
    while True:
        shown = await typist.keryx("get", *home, "eventsource,sensor", "-o", "json")
        conditions = [
            {c["type"]: c["status"] for c in it.get("status", {}).get("conditions", [])}
            for it in json.loads(shown)["items"]
        ]
        if [one.get("Deployed") for one in conditions] == ["True", "True"]:
            break
        if time.monotonic() > ends - 100 and "in use" in (said := await typist.run(COMMAND, *BUS_LOG)).out.lower():
            pytest.skip(f"another keryx up has the addresses of these pods: {said.out[-300:]}")
        assert time.monotonic() < ends, shown
        await asyncio.sleep(0.5)
    assert "webhook-sensor-" in await typist.keryx("describe", *home, "sensor/webhook")
    process, port = await forwarding(typist, *home, "eventsource/webhook", ":9100")
    async with aiohttp.ClientSession() as session:
        url, timeout = f"http://127.0.0.1:{port}/example", aiohttp.ClientTimeout(60)
        async with session.post(url, json={"message": "this is my first webhook"}, timeout=timeout) as answer:
            assert answer.status == 200
    process.send_signal(2)
    await process.wait()
    while "Succeeded" not in (shown := await typist.keryx("get", *home, "wf")):
        assert time.monotonic() < ends, shown
    (name,) = (await typist.keryx("get", *home, "wf", "-o", "name")).split()
    whale = await typist.keryx("logs", *home, name.replace(".argoproj.io", ""), "-c", "main")
    assert "< this is my first webhook >" in whale
    gone = await typist.keryx("delete", *home, "-f", EXAMPLES / "walkthrough")
    assert gone.count(" deleted\n") == 6
