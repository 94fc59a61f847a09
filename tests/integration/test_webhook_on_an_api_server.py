"""`keryx webhook-service` beside an API server: refused at apply is what lint refuses, and kubectl shows why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance.core import read
from conformance.test_conformance import CASES
from support import kubectls
from support.api_server import ApiServer, running
from support.keryx import Keryx, keryx
from support.ports import free_port
from support.terminal import Terminal

from events.app import crds, verdicts

SERVICE = "events-webhook"
HOME = "argo-events"
PLURALS = {"EventBus": "eventbus", "EventSource": "eventsources", "Sensor": "sensors"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as server:
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    """The definitions are served, two namespaces are there."""
    async with server.client() as client:
        for name in (HOME, "n"):
            await post(client, "/api/v1/namespaces", {"metadata": {"name": name}})
        for definition in crds.definitions():
            await post(client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        for plural in PLURALS.values():
            for _ in range(500):
                async with client.get(f"/apis/argoproj.io/v1alpha1/{plural}") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.02)
        yield client


@pytest.fixture
async def webhook(server: ApiServer, client: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Keryx]:
    """The service as a process, behind its Service."""
    port = free_port()
    ports = [{"name": "webhook", "port": port}]
    services = f"/api/v1/namespaces/{HOME}/services"
    await post(client, services, {"metadata": {"name": SERVICE}, "spec": {"ports": ports}})
    endpoints = {
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": ports,
    }
    await post(client, f"/apis/discovery.k8s.io/v1/namespaces/{HOME}/endpointslices", endpoints)
    environ = {
        "NAMESPACE": HOME,
        "PORT": str(port),
        "KERYX_ADDRESS": "127.0.0.1",
        "KERYX_METRICS_PORT": "0",
        "KERYX_GRACE": "1",
        "KUBECONFIG": str(server.kubeconfig),
    }
    async with keryx(tmp_path / "webhook", "webhook-service", environ=environ) as one:
        await one.ready()
        yield one
        assert await one.stop() == 0


async def post(client: aiohttp.ClientSession, path: str, body: Any, **params: str) -> tuple[int, Any, list[str]]:
    async with client.post(path, json=body, params=params) as answer:
        return answer.status, await answer.json(), answer.headers.getall("Warning", [])


async def test_every_recorded_object_gets_the_verdict_of_lint(webhook: Keryx, client: aiohttp.ClientSession) -> None:
    """By admission alone: what the definitions themselves say of a key or a type is left out."""
    cases = list(read(CASES / "validate.jsonl.gz"))
    turns = asyncio.Semaphore(4)

    async def judged(raw: dict[str, Any]) -> tuple[int, str]:
        path = f"/apis/argoproj.io/v1alpha1/namespaces/n/{PLURALS[raw['kind']]}"
        sent = raw | {"metadata": raw["metadata"] | {"namespace": "n"}}
        async with turns:
            status, answer, _ = await post(client, path, sent, dryRun="All", fieldValidation="Strict")
            return status, str(answer.get("message"))

    answers = await asyncio.gather(*(judged(case.input["object"]) for case in cases))
    other = []
    by_webhook = 0
    for case, (status, message) in zip(cases, answers, strict=True):
        raw = case.input["object"]
        is_refused = bool(verdicts.BY_KIND[raw["kind"]](raw).errors)
        by_webhook += "admission webhook" in message
        if is_refused is not (status >= 400) or status >= 500:
            other.append(f"{case.id}: {status} {message}")
    assert not other
    assert by_webhook > 50
    assert not [line for line in webhook.lines if line["level"] in ("warning", "error")]


@pytest.mark.skipif(kubectls.newest() is None, reason="there is no kubectl")
async def test_kubectl_shows_errors_and_warnings(webhook: Keryx, server: ApiServer, tmp_path: Path) -> None:
    command = kubectls.newest()
    assert command is not None
    kubectl = Terminal(kubectls.named_kubectl(command, tmp_path / "bin"), str(server.kubeconfig), tmp_path, "n")

    async def apply(kind: str, spec: dict[str, Any], name: str = "one") -> Any:
        raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        return await asyncio.to_thread(kubectl.run, "apply -f -", stdin=json.dumps(raw))

    said = await apply("Sensor", sensor("nobody"))
    assert said.code == 1
    assert (
        'admission webhook "webhook.argo-events.argoproj.io" denied the request: invalid Sensor: '
        "spec.triggers[0].template.conditions: "
    ) in said.err
    said = await apply("Sensor", sensor("d"))
    assert said.code == 0, said.err
    assert said.err.startswith(
        "Warning: spec.eventBusName: there is no EventBus 'default' in n yet: the Sensor waits for it"
    )
    said = await apply("EventBus", {"jetstream": {"version": "latest"}}, "default")
    assert (said.code, said.err) == (0, "")
    said = await apply("EventBus", {"jetstream": {"version": "latest", "streamConfig": "maxAge: 1h"}}, "default")
    assert "invalid EventBus: spec.jetstream.streamConfig: cannot be changed" in said.err
    said = await apply("EventBus", {"kafka": {"url": "b:9092"}}, "logs")
    assert said.code == 0
    assert said.err.startswith("Warning: spec.kafka: services do not run on a Kafka bus")
    said = await asyncio.to_thread(kubectl.run, "delete sensor/one eventbus/default eventbus/logs")
    assert said.code == 0, said.err


def sensor(conditions: str) -> dict[str, Any]:
    return {
        "dependencies": [{"name": "d", "eventSourceName": "a", "eventName": "b"}],
        "triggers": [{"template": {"name": "t", "conditions": conditions, "log": {}}}],
    }
