"""Rows that measure whole processes: POSTs into an event source, and from a POST to the action."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from bench import load
from support.keryx import Keryx, http_sink, pod_environment, relay, webhook, write
from support.nats_server import NatsServer
from support.ports import free_port

TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def helper(*command: str) -> AsyncIterator[int]:
    """A helper process of this folder, and the port it prints."""
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, stdout=subprocess.PIPE, cwd=TESTS, env=environ
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def server(directory: Path, rtt: float) -> AsyncIterator[str]:
    """A nats-server, `rtt` seconds away; its address."""
    made = NatsServer(directory)
    await made.start()
    try:
        if not rtt:
            yield made.url
            return
        async with helper("bench.delay", str(made.port), str(rtt / 2)) as port:
            yield f"nats://127.0.0.1:{port}"
    finally:
        made.kill()


@asynccontextmanager
async def process(directory: Path, command: str, document: dict[str, object], bus: str) -> AsyncIterator[Keryx]:
    """One of our services, ready."""
    file = write(directory / f"{command}.yaml", document)
    made = Keryx(directory / command, command, "--object", file, environ=pod_environment(bus))
    made.start()
    try:
        yield await made.ready()
    finally:
        made.close()


async def bare_ingest(directory: Path, rtt: float, *, connections: int = 64, seconds: float = 4) -> dict[str, float]:
    """aiohttp and nats-py in a loop."""
    async with server(directory, rtt) as bus, helper("bench.bare", bus) as port:
        return {"per_s": await load.posts(f"http://127.0.0.1:{port}/a", connections, seconds)}


async def ingest(directory: Path, rtt: float, *, connections: int = 64, seconds: float = 4) -> dict[str, float]:
    """Our event source."""
    port = free_port()
    async with (
        server(directory, rtt) as bus,
        process(directory, "eventsource-service", webhook(port, "bench", "a"), bus),
    ):
        return {"per_s": await load.posts(f"http://127.0.0.1:{port}/a", connections, seconds)}


async def latency(directory: Path, rtt: float, *, rate: float = 200, seconds: float = 5) -> dict[str, float]:
    """Milliseconds from a POST to the action at its target, in an open loop."""
    port, posted = free_port(), dict[int, float]()
    async with (
        http_sink() as sink,
        server(directory, rtt) as bus,
        process(directory, "eventsource-service", webhook(port), bus),
        process(directory, "sensor-service", relay(sink.url, at_least_once=False), bus),
        aiohttp.ClientSession() as session,
    ):

        async def post(number: int) -> None:
            posted[number] = time.monotonic()
            async with session.post(f"http://127.0.0.1:{port}/posted", json={"number": number}) as answer:
                assert answer.status == 200

        begun, tasks = time.monotonic(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(post(number)))
        await asyncio.gather(*tasks)
        async with asyncio.timeout(20):
            while len(sink.bodies) < len(tasks):
                await asyncio.sleep(0.01)
        took = [(at - posted[number]) * 1000 for number, at in zip(sink.numbers, sink.times, strict=True)]
        cuts = statistics.quantiles(took, n=100)
        return {"per_s": rate, "p50_ms": cuts[49], "p99_ms": cuts[98]}
