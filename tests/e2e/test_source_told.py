"""An EventSource whose queue is not there: told by the name of the event until it is. On a whole `keryx up`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import kubectls
from support.aws import REGION, Aws, aws
from support.machine import machine

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(420),
]

API = "argoproj.io/v1alpha1"
PATIENCE = 240.0
"""A pause of at most 30 s, 30 s in which it listens, and a machine that has much else to do."""


@pytest.fixture
def moto() -> Iterator[Aws]:
    with aws() as running:
        running.reset()
        yield running


def thing(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def key(name: str) -> dict[str, str]:
    return {"name": "aws", "key": name}


def condition(obj: dict[str, Any]) -> tuple[str, str, str]:
    found = (obj.get("status") or {}).get("conditions") or ()
    it = next((one for one in found if one["type"] == "SourcesWorking"), {})
    return it.get("status", ""), it.get("reason", ""), it.get("message", "")


async def test_a_queue_that_is_not_there_is_told_until_it_is(tmp_path: Path, moto: Aws) -> None:
    sqs = {"region": REGION, "queue": "orders", "endpoint": moto.url, "waitTimeSeconds": 1}
    sqs |= {"accessKey": key("user"), "secretKey": key("password")}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"}}
    async with machine(tmp_path) as here:
        await here.apply(
            secret | {"stringData": {"user": "ada", "password": "pass"}},
            thing("EventBus", "default", {"jetstream": {"version": "latest", "replicas": 1}}),
            thing("EventSource", "queues", {"sqs": {"incoming": sqs}}),
        )
        it = await here.until(lambda it: condition(it)[:2] == ("False", "SourceFailing"), "eventsource/queues")
        assert condition(it)[2].startswith("'incoming': "), condition(it)
        assert "orders" in condition(it)[2] or "NonExistentQueue" in condition(it)[2], condition(it)
        described = await here.kubectl("describe", "eventsource", "queues")
        assert "SourceFailing" in described
        deployed = next(one for one in it["status"]["conditions"] if one["type"] == "Deployed")
        assert deployed["status"] == "False", "it does not listen"
        await asyncio.to_thread(moto.client("sqs").create_queue, QueueName="orders")
        async with asyncio.timeout(PATIENCE):
            while condition(await here.get("eventsource/queues")) != ("True", "", ""):
                await asyncio.sleep(0.5)
