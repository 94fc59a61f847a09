"""The pubSub source killed at random, and the bus restarted: every message reaches the bus.

Messages, deadlines and acknowledgements are the emulator's, streams are made by a front: the emulator's own go on to
take messages after their clients have died.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.keryx import keryx, obj, pod_environment
from support.loss import all_arrive, break_it, on_the_bus
from support.nats_server import NatsServer
from support.pubsub import PROJECT, emulator
from support.pubsub_front import front


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


async def test_no_message_is_lost(tmp_path: Path, nats: NatsServer, request: pytest.FixtureRequest) -> None:
    soak = request.config.getoption("--soak")
    number, kills, restarts = (10_000, 20, 2) if soak else (500, 3, 1)
    with emulator() as google:
        async with front(google.address, is_open=True) as before:
            topic = google.topic("loss")
            google.subscription("loss", topic)
            spec = {"projectID": PROJECT, "topic": "loss", "subscriptionID": "loss", "maxOutstandingMessages": 100}
            described = base64.b64encode(
                json.dumps(obj("EventSource", "src", {"pubSub": {"ev": spec}})).encode()
            ).decode()
            environ = pod_environment(nats.url) | {
                "EVENTSOURCE_OBJECT": described,
                "PUBSUB_EMULATOR_HOST": before.endpoint,
            }
            async with keryx(tmp_path / "run", "eventsource-service", environ=environ) as run:
                await run.says("Eventing server started", 30)

                async def publish() -> list[str]:
                    ids: list[str] = []
                    size = number // 100
                    for begin in range(0, number, size):
                        bodies = [b"%d" % one for one in range(begin, begin + size)]
                        ids += await asyncio.to_thread(google.publish, topic, *bodies)
                        await asyncio.sleep(0.6 if soak else 0.06)
                    return ids

                began = time.monotonic()
                sending = asyncio.create_task(publish())
                await break_it(run, nats, kills, restarts, (1.0, 4.0) if soak else (1.0, 2.0))
                ids = await sending
                await all_arrive(nats, number, 900 if soak else 100)
                seconds = time.monotonic() - began
                assert await run.stop() == 0
            found = Counter(one["id"] for one in await on_the_bus(nats, "src", "ev"))
            assert not set(ids) - set(found)
            twice = sum(count - 1 for count in found.values())
            print(f"{number} messages, {kills} kills, {restarts} restarts: {seconds:.0f} s, {twice} stored twice")
            assert twice == 0  # a repeat has the same id, and comes within the bus's window
