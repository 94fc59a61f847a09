"""The walk-through of the README, typed with an old and a new kubectl; and beside what an installation brings."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support import kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine

VERSIONS = [version for version in ("1.27", "1.33") if version in kubectls.found()]
ROOT = Path(__file__).parents[3]
OURS = ROOT / "examples"
HERE = ("-n", "argo-events")
MESSAGE = "this is my first webhook"
LONG, SECONDS = "--timeout=180s", 200.0

pytestmark = [
    pytest.mark.skipif(not VERSIONS, reason="neither kubectl 1.27 nor 1.33 is on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(600),
]


@asynccontextmanager
async def typing(version: str, folder: Path) -> AsyncIterator[Machine]:
    """A machine that a kubectl of this version is used with."""
    async with machine(folder) as found:
        found.command, found.seconds = kubectls.named_kubectl(kubectls.found()[version], folder / "bin"), SECONDS
        yield found


async def address(here: Machine) -> str:
    """`localhost`, or the pod itself where another program of this machine has the port."""
    found = await here.get(*HERE, "pods", "-l", "eventsource-name=webhook")
    [pod] = found["items"]
    said = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    return str(pod["status"]["podIP"]) if said.get("LocalhostPorts") == "False" else "localhost"


async def curl(here: Machine) -> None:
    url = f"http://{await address(here)}:9100/example"
    async with aiohttp.ClientSession() as session, session.post(url, json={"message": MESSAGE}) as answer:
        assert (answer.status, await answer.text()) == (200, "success")


async def own(here: Machine, *words: str) -> str:
    """What `keryx` says."""
    command = (str(COMMAND), *words, "--kubeconfig", str(here.kubeconfig))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def walk(here: Machine) -> None:
    """From the namespace to the whale, and all that is looked at on the way."""
    await here.kubectl("apply", *HERE, "-f", str(OURS / "walkthrough"))
    await here.kubectl(
        "wait", *HERE, "--for=condition=Deployed", LONG, "eventbus/default", "eventsource/webhook", "sensor/webhook"
    )
    await curl(here)
    await here.until(lambda it: len(it["items"]) == 1, *HERE, "workflows")
    [workflow] = (await here.get(*HERE, "workflows"))["items"]
    name = workflow["metadata"]["name"]
    await here.kubectl("wait", *HERE, "--for=jsonpath={.status.phase}=Succeeded", LONG, f"workflow/{name}")
    table = await here.kubectl("get", "wf", *HERE)
    assert table.splitlines()[0].split() == ["NAME", "STATUS", "AGE", "MESSAGE"]
    assert table.splitlines()[1].split()[:2] == [name, "Succeeded"]
    said = await here.kubectl("logs", *HERE, "-l", f"workflows.argoproj.io/workflow={name}", "--tail=-1")
    assert f"< {MESSAGE} >" in said
    assert f"< {MESSAGE} >" in await own(here, "wf", "logs", *HERE, "@latest")
    shown = await here.kubectl("get", *HERE, "pods,svc")
    for word in ("pod/webhook-eventsource-", "pod/webhook-sensor-", "pod/eventbus-default-js-0", f"pod/{name}"):
        assert word in shown, shown
    assert "service/webhook-eventsource-svc" in shown
    described = await here.kubectl("describe", *HERE, "sensor", "webhook")
    for word in ("DependenciesProvided", "TriggersProvided", "PodsReady", "DeploymentCreated"):
        assert word in described, described


async def leave(here: Machine) -> None:
    """Everything of it goes with what was applied."""
    await here.kubectl("delete", *HERE, LONG, "workflows", "--all")
    await here.kubectl("delete", *HERE, LONG, "sensor/webhook", "eventsource/webhook")
    await here.kubectl("delete", *HERE, LONG, "-f", str(OURS / "walkthrough"), "--ignore-not-found")
    mine = ("-l", "controller in (eventbus-controller,eventsource-controller,sensor-controller)")
    kinds = "pods,services,configmaps,secrets,deployments,replicasets,statefulsets"
    await here.until(lambda it: not it["items"], *HERE, kinds, *mine)
    await here.until(lambda it: not it["items"], *HERE, "pods,workflows")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_walk_through_typed_with_kubectl(version: str, tmp_path: Path) -> None:
    async with typing(version, tmp_path) as here:
        told = json.loads(await here.kubectl("version", "--client", "-o", "json"))["clientVersion"]
        assert f"{told['major']}.{told['minor'].rstrip('+')}" == version
        await here.kubectl("create", "namespace", "argo-events")
        await walk(here)
        await leave(here)
        await here.kubectl("delete", "namespace", "argo-events", LONG)
        assert (await here.run("get", "namespace", "argo-events"))[0] == 1


@pytest.mark.parametrize("manifest", ["install.yaml", "namespace-install.yaml"])
async def test_the_walk_through_beside_an_installation(manifest: str, tmp_path: Path) -> None:
    async with typing(VERSIONS[-1], tmp_path) as here:
        await here.kubectl("create", "namespace", "argo-events")
        await here.kubectl("apply", *HERE, "-f", str(ROOT / "manifests" / manifest))
        await here.kubectl("wait", *HERE, "--for=condition=Available", LONG, "deployment", "--all")
        await walk(here)
