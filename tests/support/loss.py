"""The loss test of a queue-like source: its process killed at random, the bus restarted, every message counted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from typing import Any

import aiohttp
import nats as nats_py
from nats.js.api import ConsumerConfig, DeliverPolicy
from support.keryx import Keryx
from support.nats_server import NatsServer


async def on_the_bus(nats: NatsServer, source: str, event: str) -> list[Any]:
    """The data of all events that the bus has."""
    connection = await nats_py.connect(nats.url)
    try:
        stream = connection.jetstream()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, max_ack_pending=1_000_000)
        reader = await stream.pull_subscribe(f"default.{source}.{event}", stream="default", config=config)
        left, found = (await stream.stream_info("default")).state.messages, list[Any]()
        while len(found) < left:
            for message in await reader.fetch(min(500, left - len(found)), timeout=5):
                found.append(json.loads(base64.b64decode(json.loads(message.data)["data_base64"])))
        return found
    finally:
        await connection.close()


async def count_on_the_bus(nats: NatsServer) -> int:
    connection = await nats_py.connect(nats.url)
    try:
        return int((await connection.jetstream().stream_info("default")).state.messages)
    finally:
        await connection.close()


async def duplicates(run: Keryx) -> int:
    """Repeats that the bus dropped, as far as this life of the process has counted them."""
    if not run.said("Health and metrics are served"):
        return 0
    with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(2):
            found = await run.metrics()
            return int(sum(value for name, value in found.items() if "events_duplicate_total{" in name))
    return 0


async def break_it(run: Keryx, nats: NatsServer, kills: int, restarts: int, pause: tuple[float, float]) -> int:
    """Kill the process so many times, the bus among them; both run at the end. The repeats that the bus dropped."""
    chance, dropped = random.Random(7), 0
    turns = ["kill"] * kills + ["restart"] * restarts
    chance.shuffle(turns)
    for turn in turns:
        await asyncio.sleep(chance.uniform(*pause))
        if turn == "kill":
            dropped += await duplicates(run)
            run.kill()
            run.start()
        else:
            nats.kill()
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            await nats.start()
    return dropped


async def all_arrive(nats: NatsServer, number: int, seconds: float) -> None:
    """Returns once the bus has so many events, or fails."""
    async with asyncio.timeout(seconds):
        while (found := await count_on_the_bus(nats)) < number:
            await asyncio.sleep(0.5)
    assert found >= number
