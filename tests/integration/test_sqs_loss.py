"""The sqs source killed at random, and the bus restarted: every message reaches the bus."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.aws import REGION, aws
from support.keryx import keryx, obj, pod_environment
from support.loss import all_arrive, break_it, on_the_bus
from support.nats_server import NatsServer

_BATCH = 10
_BACKLOG = 300
"""Moto looks through the whole queue for each message that is received or deleted."""


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


def send(sqs: Any, url: str, begin: int, end: int) -> list[str]:
    """The ids."""
    ids: list[str] = []
    for first in range(begin, end, _BATCH):
        numbers = range(first, min(first + _BATCH, end))
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in numbers]
        ids += [one["MessageId"] for one in sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]]
    return ids


async def becomes(sqs: Any, url: str, most: int, seconds: float) -> None:
    """Returns once the queue has so many messages at most, those of killed processes among them."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    async with asyncio.timeout(seconds):
        while True:
            found = await asyncio.to_thread(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=names)
            if sum(int(found["Attributes"][name]) for name in names) <= most:
                return
            await asyncio.sleep(0.2)


async def test_no_message_is_lost(tmp_path: Path, nats: NatsServer, request: pytest.FixtureRequest) -> None:
    soak = request.config.getoption("--soak")
    number, kills, restarts = (10_000, 20, 2) if soak else (500, 3, 1)
    with aws() as moto:
        moto.reset()
        sqs = moto.client("sqs")
        url = sqs.create_queue(QueueName="loss")["QueueUrl"]
        # What a killed process had is received again after the time-out.
        more = {"waitTimeSeconds": 1, "visibilityTimeoutSeconds": 5, "receivers": 2}
        spec = {"region": REGION, "queue": "loss", "endpoint": moto.url, **more}
        described = base64.b64encode(json.dumps(obj("EventSource", "src", {"sqs": {"ev": spec}})).encode()).decode()
        environ = pod_environment(nats.url) | {
            "EVENTSOURCE_OBJECT": described,
            "AWS_ACCESS_KEY_ID": "ada",
            "AWS_SECRET_ACCESS_KEY": "pass",
        }
        async with keryx(tmp_path / "run", "eventsource-service", environ=environ) as run:
            await run.says("Eventing server started", 30)

            async def publish() -> list[str]:
                ids: list[str] = []
                size = number // 50
                for begin in range(0, number, size):
                    ids += await asyncio.to_thread(send, sqs, url, begin, begin + size)
                    await becomes(sqs, url, _BACKLOG, 100)
                return ids

            began = time.monotonic()
            sending = asyncio.create_task(publish())
            await break_it(run, nats, kills, restarts, (3.0, 10.0) if soak else (1.0, 2.0))
            ids = await sending
            await all_arrive(nats, number, 900 if soak else 100)
            seconds = time.monotonic() - began
            await becomes(sqs, url, 0, 30)
            await run.says("Eventing server started", 30)
            assert await run.stop() == 0
        found = Counter(one["messageId"] for one in await on_the_bus(nats, "src", "ev"))
        assert len(ids) == number
        assert not set(ids) - set(found)
        twice = sum(count - 1 for count in found.values())
        print(f"{number} messages, {kills} kills, {restarts} restarts: {seconds:.0f} s, {twice} stored twice")
        assert twice == 0  # a repeat has the same id, and comes within the bus's window
