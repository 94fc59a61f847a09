"""`keryx up` and what people install on it: our admission, the controllers of `manifests/`, and taking them away."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support import kubectls
from support.keryx import until
from support.machine import SECONDS, Machine, machine

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(300),
]
ROOT = Path(__file__).parents[2]
WALK_THROUGH = ROOT / "examples" / "walkthrough"
NAMESPACE = ("-n", "argo-events")
MESSAGE = "installed or not"


def sensor(name: str, condition: str) -> dict[str, Any]:
    """Wrong when the condition names no dependency."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Sensor",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "dependencies": [{"name": "posted", "eventSourceName": "webhook", "eventName": "example"}],
            "triggers": [{"template": {"name": "tell", "conditions": condition, "log": {}}}],
        },
    }


async def apply(here: Machine, *objects: dict[str, Any]) -> tuple[int | None, str]:
    code, out, err = await here.run("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    return code, out + err


async def test_what_is_wrong_is_refused_at_apply_and_nothing_is_ever_locked(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        code, said = await apply(here, sensor("wrong", "gone"))
        assert code == 1
        assert 'admission webhook "keryx-up.argo-events.argoproj.io" denied the request: invalid Sensor' in said
        code, said = await apply(here, sensor("right", "posted"))
        assert code == 0
        assert "Warning: spec.eventBusName: there is no EventBus 'default'" in said
        bus = {"jetstream": {"version": "latest", "replicas": 3}}
        other = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus", "metadata": {"name": "b"}, "spec": bus}
        assert (await apply(here, other))[0] == 0
        other["spec"] = {"nats": {"native": {"replicas": 3}}}
        assert "denied the request: invalid EventBus" in (await apply(here, other))[1]
        await here.kubectl("delete", "eventbus/b", "sensor/right", "--timeout=30s")
        # A killed one leaves its configuration behind; the port is somebody else's, who never answers.
        here.process.kill()
        former = _port(await _configuration(here, is_running=False))
        async with await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(3600), "127.0.0.1", former):
            await here.start()
            assert _port(await _configuration(here)) != former
            async with asyncio.timeout(SECONDS):
                assert "denied the request" in (await apply(here, sensor("wrong", "gone")))[1]
        # Whoever takes the configuration away has no admission until the next start.
        await here.kubectl("delete", "validatingwebhookconfiguration", "keryx-up.argo-events.argoproj.io")
        assert (await apply(here, sensor("wrong", "gone")))[0] == 0


async def _configuration(here: Machine, *, is_running: bool = True) -> dict[str, Any]:
    if is_running:
        return await here.get("validatingwebhookconfiguration", "keryx-up.argo-events.argoproj.io")
    import sqlite3

    with sqlite3.connect(here.data / "apiserver" / "state.db") as database:
        rows = database.execute("SELECT body FROM objects WHERE name = 'keryx-up.argo-events.argoproj.io'").fetchall()
    found: dict[str, Any] = json.loads(rows[0][0])
    return found


def _port(configuration: dict[str, Any]) -> int:
    return int(configuration["webhooks"][0]["clientConfig"]["url"].rstrip("/").rpartition(":")[2])


async def test_an_installed_webhook_checks_too_and_neither_writes_the_others_configuration(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        ours = await _configuration(here)
        await here.kubectl("create", "namespace", "argo-events")
        file = str(ROOT / "manifests" / "install-validating-webhook.yaml")
        await here.kubectl("apply", "-f", file)
        await here.kubectl("rollout", "status", *NAMESPACE, "deployment/events-webhook", "--timeout=55s")
        await here.get("validatingwebhookconfiguration", "webhook.argo-events.argoproj.io")
        assert "denied the request: invalid Sensor" in (await apply(here, sensor("wrong", "gone")))[1]
        assert (await apply(here, sensor("right", "posted")))[0] == 0
        await here.kubectl("delete", "-f", file, "--timeout=55s")
        assert "denied the request: invalid Sensor" in (await apply(here, sensor("wrong", "gone")))[1]
        await here.kubectl("delete", "sensor", "right", "-n", "default", "--timeout=55s")
        assert (await _configuration(here))["webhooks"] == ours["webhooks"]


@pytest.mark.parametrize("manifest", ["install.yaml", "namespace-install.yaml"])
async def test_installed_controllers_stand_by_and_may_go_again(tmp_path: Path, manifest: str) -> None:
    async with machine(tmp_path) as here:
        await here.kubectl("create", "namespace", "argo-events")
        file = str(ROOT / "manifests" / manifest)
        await here.kubectl("apply", *NAMESPACE, "-f", file)
        await here.kubectl("rollout", "status", *NAMESPACE, "deployment/controller-manager", "--timeout=60s")
        lease = await here.get("lease", *NAMESPACE, "argo-events-controller")
        assert lease["spec"]["holderIdentity"] == "keryx-up"
        await _walk_through(here)
        assert await _methods(here) == {"GET"}, "the installed ones have written nothing"
        log = await here.kubectl("logs", *NAMESPACE, "-l", "app=controller-manager", "--tail=-1", "--prefix")
        assert log.count("Not the LEADER, stand by ...") == 2
        assert log.count('"leader":"keryx-up"') == 2
        assert "I'm the LEADER" not in log
        assert not here.process.said("Not the LEADER any more")
        await here.kubectl("delete", *NAMESPACE, "-f", file, "--timeout=60s")
        # With the definitions went their objects; the definitions are back, and everything works once more.
        await until(lambda: len(_brought_back(here)) == 3, SECONDS, lambda: here.process.err[-2000:])
        if manifest == "install.yaml":
            await _walk_through(here)


def _brought_back(here: Machine) -> set[str]:
    said = here.process.said("Definitions that were deleted are there again")
    return {name for line in said for name in line["definitions"]}


async def _methods(here: Machine) -> set[str]:
    """What the installed controllers have asked the API server for."""
    pods = (await here.get("pods", *NAMESPACE, "-l", "app=controller-manager"))["items"]
    assert len(pods) == 2
    found: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for pod in pods:
            async with session.get(f"http://{pod['status']['podIP']}:7777/metrics") as answer:
                found |= set(re.findall(r'^rest_client_requests_total{.*method="(\w+)"', await answer.text(), re.M))
    return found


async def _walk_through(here: Machine) -> None:
    """Apply it, on a port that nobody else on this machine asks for; POST; a Workflow says the message."""
    objects = [it for file in sorted(WALK_THROUGH.glob("*.yaml")) for it in yaml.safe_load_all(file.read_text())]
    text = yaml.safe_dump_all(objects).replace("9100", "29107")
    await here.kubectl("apply", *NAMESPACE, "-f", "-", stdin=text)
    for one in ("eventbus/default", "eventsource/webhook", "sensor/webhook"):
        await here.kubectl("wait", *NAMESPACE, "--for=condition=Deployed", "--timeout=55s", one)
    services = await here.get("service", *NAMESPACE, "webhook-eventsource-svc")
    await _post(f"http://{services['spec']['clusterIP']}:29107/example")
    found = await here.until(lambda it: _ended(it["items"]), "workflows", *NAMESPACE)
    assert [one["status"]["phase"] for one in found["items"]] == ["Succeeded"]
    name = found["items"][0]["metadata"]["name"]
    said = await here.kubectl("logs", *NAMESPACE, "-l", f"workflows.argoproj.io/workflow={name}", "--tail=-1")
    assert f"< {MESSAGE} >" in said
    await here.kubectl("delete", *NAMESPACE, "workflow", name)


def _ended(workflows: list[dict[str, Any]]) -> bool:
    return bool(workflows) and all((one.get("status") or {}).get("phase") == "Succeeded" for one in workflows)


async def _post(url: str) -> None:
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(url, json={"message": MESSAGE}) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
