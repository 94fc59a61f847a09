"""The s3 source killed at random, and the bus restarted: every upload reaches the bus, by a queue and by lists."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.aws import REGION, Aws, aws
from support.keryx import Keryx, keryx, obj, pod_environment
from support.loss import all_arrive, break_it, duplicates, on_the_bus
from support.nats_server import NatsServer

_BACKLOG = 300
"""Moto looks through the whole queue for each message that is received or deleted."""
_UPLOADS = 4
"""At the same time."""


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


def body(number: int) -> bytes:
    return f"content {number}".encode()


def etag(number: int) -> str:
    return hashlib.md5(body(number)).hexdigest()


def environment(nats: NatsServer, spec: dict[str, Any]) -> dict[str, str]:
    described = base64.b64encode(json.dumps(obj("EventSource", "src", {"s3": {"ev": spec}})).encode()).decode()
    more = {"EVENTSOURCE_OBJECT": described, "AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}
    return pod_environment(nats.url) | more


class Bucket:
    """Where the uploads go."""

    def __init__(self, moto: Aws) -> None:
        moto.reset()
        self.s3, self.sqs = moto.client("s3"), moto.client("sqs")
        self.s3.create_bucket(Bucket="input", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.url = self.sqs.create_queue(QueueName="uploads")["QueueUrl"]
        self.threads = ThreadPoolExecutor(_UPLOADS)

    async def put(self, begin: int, end: int, keys: int) -> None:
        """Uploads of so many keys in turn; each has a content of its own."""

        def one(number: int) -> None:
            self.s3.put_object(Bucket="input", Key=f"in/{number % keys:05} ü+", Body=body(number))

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self.threads, one, number) for number in range(begin, end)))

    async def becomes(self, most: int, seconds: float) -> None:
        """Returns once the queue has so many messages at most, those of killed processes among them."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        async with asyncio.timeout(seconds):
            while True:
                found = await asyncio.to_thread(self.sqs.get_queue_attributes, QueueUrl=self.url, AttributeNames=names)
                if sum(int(found["Attributes"][name]) for name in names) <= most:
                    return
                await asyncio.sleep(0.2)


async def account(run: Keryx, nats: NatsServer, number: int, dropped: int, what: str) -> None:
    """Every upload is on the bus; how many are there twice, how many repeats it dropped."""
    dropped += await duplicates(run)
    assert await run.stop() == 0
    found = Counter(one["object"]["eTag"] for one in await on_the_bus(nats, "src", "ev"))
    assert {etag(one) for one in range(number)} <= set(found)
    twice = sum(count - 1 for count in found.values())
    print(f"{what}, {dropped} repeats dropped by the bus, {twice} stored twice")
    assert twice == 0  # a repeat has the same id, and comes within the bus's window


async def test_no_notification_is_lost(tmp_path: Path, nats: NatsServer, request: pytest.FixtureRequest) -> None:
    soak = request.config.getoption("--soak")
    number, kills, restarts = (10_000, 20, 2) if soak else (300, 3, 1)
    with aws() as moto:
        bucket = Bucket(moto)
        # What a killed process had is received again after the time-out.
        queue = {"name": "uploads", "waitTimeSeconds": 1, "visibilityTimeoutSeconds": 5, "receivers": 2}
        spec = {"mode": "sqs", "region": REGION, "endpoint": moto.url, "buckets": ["input"], "queue": queue}
        environ = environment(nats, spec | {"notification": {"create": True}})
        async with keryx(tmp_path / "run", "eventsource-service", environ=environ) as run:
            await run.says("Eventing server started", 30)

            async def upload() -> None:
                size = number // 50
                for begin in range(0, number, size):
                    await bucket.put(begin, begin + size, number)
                    await bucket.becomes(_BACKLOG, 900 if soak else 100)  # a life may end before it has begun

            began = time.monotonic()
            uploading = asyncio.create_task(upload())
            dropped = await break_it(run, nats, kills, restarts, (3.0, 10.0) if soak else (1.0, 2.0))
            await uploading
            await all_arrive(nats, number, 900 if soak else 100)
            seconds = time.monotonic() - began
            await bucket.becomes(0, 60)
            await run.says("Eventing server started", 30)
            await account(
                run,
                nats,
                number,
                dropped,
                f"sqs: {number} uploads, {kills} kills, {restarts} restarts: {seconds:.0f} s",
            )


async def test_no_object_is_lost(tmp_path: Path, nats: NatsServer, request: pytest.FixtureRequest) -> None:
    """Each key is uploaded once: of what changes between two looks, the last state counts."""
    soak = request.config.getoption("--soak")
    number, kills, restarts = (10_000, 20, 2) if soak else (300, 3, 1)
    with aws() as moto:
        bucket = Bucket(moto)
        spec = {"mode": "poll", "region": REGION, "endpoint": moto.url, "buckets": ["input"]}
        environ = environment(nats, spec | {"poll": {"interval": "1s"}})
        async with keryx(tmp_path / "run", "eventsource-service", environ=environ) as run:
            await run.says("Eventing server started", 30)
            began = time.monotonic()

            async def upload() -> None:
                size, pause = number // 50, (2.0 if soak else 0.1)
                for begin in range(0, number, size):
                    await bucket.put(begin, begin + size, number)
                    await asyncio.sleep(pause)  # some of it in each life

            uploading = asyncio.create_task(upload())
            dropped = await break_it(run, nats, kills, restarts, (3.0, 10.0) if soak else (1.0, 2.0))
            await uploading
            await all_arrive(nats, number, 900 if soak else 100)
            seconds = time.monotonic() - began
            await run.says("Eventing server started", 30)
            await account(
                run,
                nats,
                number,
                dropped,
                f"poll: {number} uploads, {kills} kills, {restarts} restarts: {seconds:.0f} s",
            )
