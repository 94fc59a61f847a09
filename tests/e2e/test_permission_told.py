"""A Sensor whose ServiceAccount may not do what its trigger does: said wherever its author looks, and cured from there.

On a whole `keryx up`, by the real kubectl.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support import kubectls
from support.machine import SECONDS, Machine, machine

from events.local.kubelet.node import namespaces

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(420),
]

API = "argoproj.io/v1alpha1"
PORT = 12345
"""Of the pod's own address."""
BUS = {"jetstream": {"version": "latest", "replicas": 1}}
SOURCE = {"webhook": {"example": {"port": str(PORT), "endpoint": "/example", "method": "POST"}}}
CONTAINER = {"image": "busybox", "command": ["true"]}
WORKFLOW = {
    "apiVersion": API,
    "kind": "Workflow",
    "metadata": {"generateName": "made-"},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": CONTAINER}]},
}
TRIGGER = {
    "template": {"name": "make", "k8s": {"operation": "create", "source": {"resource": WORKFLOW}}},
    "atLeastOnce": True,
    "retryStrategy": {"steps": 2, "duration": "10ms"},
}
DEPENDENCY = {"name": "posted", "eventSourceName": "hook", "eventName": "example"}
MISSING = ("'{account}'", "create workflows", "'argoproj.io'", "namespace 'default'")


def sensor(**template: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"dependencies": [DEPENDENCY], "triggers": [TRIGGER]}
    return thing("Sensor", "maker", spec | ({"template": template} if template else {}))


def thing(kind: str, name: str, spec: dict[str, Any] | None = None, api_version: str = API) -> dict[str, Any]:
    made: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
    return made | ({"spec": spec} if spec is not None else {})


def condition(obj: dict[str, Any], type_: str) -> dict[str, Any]:
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == type_), {})


def is_working(obj: dict[str, Any]) -> bool:
    return condition(obj, "TriggersWorking").get("status") == "True"


def is_forbidden(obj: dict[str, Any]) -> bool:
    told = condition(obj, "TriggersWorking")
    return (told.get("status"), told.get("reason")) == ("False", "Forbidden")


async def ready(here: Machine) -> None:
    """Bus, source and sensor run, and the sensor's pod has been asked how it fares."""
    for what in ("eventbus/default", "eventsource/hook", "sensor/maker"):
        await here.until(lambda it: condition(it, "Deployed").get("status") == "True", what)
    await here.until(lambda it: condition(it, "TriggersWorking"), "sensor/maker")


async def post(here: Machine) -> None:
    found = await here.get("pods", "-l", "eventsource-name=hook")
    url = f"http://{found['items'][0]['status']['podIP']}:{PORT}/example"
    async with aiohttp.ClientSession() as session, session.post(url, json={"message": "hello"}) as answer:
        assert answer.status == 200, await answer.text()


async def in_pod(here: Machine, *command: str) -> str:
    """What a command says in the sensor's pod."""
    found = await here.get("pods", "-l", "sensor-name=maker")
    running = [one["metadata"]["name"] for one in found["items"] if not one["metadata"].get("deletionTimestamp")]
    return await here.kubectl("exec", running[0], "--", *command)


async def cured(here: Machine, message: str) -> None:
    """Type what a message says."""
    found = re.search(r"cure: (kubectl create role .+? && kubectl create rolebinding .+?)(?: \(403|;|$)", message)
    assert found is not None, message
    for line in found[1].split(" && "):
        await here.kubectl(*line.split()[1:])


async def workflows(here: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await here.get("workflows"))["items"]
    return found


@pytest.mark.parametrize("account", ["default", "maker-sa"])
async def test_a_missing_permission_is_told_everywhere_and_its_cure_cures(tmp_path: Path, account: str) -> None:
    if not await namespaces(tmp_path):
        pytest.skip("this machine allows no mount namespaces, which pods need")
    async with machine(tmp_path) as here:
        objects = [thing("EventBus", "default", BUS), thing("EventSource", "hook", SOURCE)]
        if account == "default":
            objects.append(sensor())
        else:
            objects += [thing("ServiceAccount", account, api_version="v1"), sensor(serviceAccountName=account)]
        await here.apply(*objects)
        await ready(here)
        # Its spec alone says what it will need: that is told before anything has happened.
        await here.until(is_forbidden, "sensor/maker")
        await post(here)
        await refused(here)

        told = condition(await here.until(is_forbidden, "sensor/maker"), "TriggersWorking")["message"]
        named = [text.format(account=account) for text in MISSING]
        assert all(text in told for text in ["'make'", *named]), told
        assert ("spec.template.serviceAccountName" in told) == (account == "default")
        described = await here.kubectl("describe", "sensor", "maker")
        assert all(text in described.partition("Events:")[0] for text in named), described
        event = await described_event(here)
        assert all(text in event["message"] for text in named), event
        assert "kubectl create rolebinding" in event["message"]
        log = await here.kubectl("logs", "-l", "sensor-name=maker", "--tail=-1")
        log = next(line for line in log.splitlines() if "Failed to execute a trigger" in line)
        assert all(text in log for text in named), log
        assert await workflows(here) == []

        listed = await in_pod(here, "keryx", "dlq", "list", "-o", "json")
        assert '"reason": "permission"' in listed or '"reason":"permission"' in listed, listed
        assert all(text in listed for text in named), listed
        assert '"attempts": 2' in listed or '"attempts":2' in listed, listed

        await cured(here, told)
        # Nobody posts anything: that the permission has come is found by asking for it.
        await here.until(is_working, "sensor/maker")
        assert "redriven: 1" in await in_pod(here, "keryx", "dlq", "redrive", "--all")
        await made(here, 1)
        await post(here)
        await made(here, 2)
        events = [one for one in (await here.get("events"))["items"] if one["reason"] == "Forbidden"]
        assert [one["count"] for one in events] == [1], "one for the change of state, not one for each event"


async def refused(here: Machine) -> None:
    """Returns once the firing has failed for good."""
    deadline = time.monotonic() + SECONDS
    while "permission" not in await in_pod(here, "keryx", "dlq", "list", "-o", "json"):
        assert time.monotonic() < deadline, here.process.err[-3000:]


async def described_event(here: Machine) -> dict[str, Any]:
    """The Event of the change, once it is written."""
    deadline = time.monotonic() + SECONDS
    while True:
        for one in (await here.get("events"))["items"]:
            if one["involvedObject"]["kind"] == "Sensor" and one["reason"] == "Forbidden":
                assert one["type"] == "Warning"
                found: dict[str, Any] = one
                return found
        assert time.monotonic() < deadline, here.process.err[-3000:]
        await asyncio.sleep(0.1)


async def made(here: Machine, count: int) -> None:
    """That many Workflows, once there are."""
    deadline = time.monotonic() + SECONDS
    while len(found := await workflows(here)) < count:
        assert time.monotonic() < deadline, here.process.err[-3000:]
        await asyncio.sleep(0.1)
    assert len(found) == count
