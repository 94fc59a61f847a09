"""`make bench`: what Keryx adds to the bare libraries, measured in one run on one machine.

Each row stands beside its reference: the same work in a bare loop of nats-py, against the same nats-server. Rates move
between machines and moments; the ratio is what to compare. Prints a table, and JSON lines with `--json FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nats
import uvloop
from bench import load, machine, services, steps
from bench.noop import NoopTrigger
from nats.js.api import ConsumerConfig, DeliverPolicy

from eventbus.base import Start
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from events.clients import Clients
from events.credentials import Credentials
from events.event import Event, now_text, to_wire
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from sensors.registry import TRIGGERS
from sensors.service import SensorService
from sensors.types import Sensor

EVENTS = 20_000
IN_FLIGHT = 64
BODY = {"body": {"n": "1", "num": 3, "kind": "push", "draft": False, "pad": "x" * 120}, "header": {"A": ["b"]}}
REJECTING = [
    {"path": "body.num", "type": "number", "comparator": ">=", "value": ["9"]},
    {"path": "body.kind", "type": "string", "value": ["^(push|pull_request)$"]},
    {"path": "body.draft", "type": "bool", "value": ["false"]},
]


def event(number: int, name: str = "a") -> Event:
    data = json.dumps(BODY | {"n": number}).encode()
    return Event(id=f"{name}{number}", source="bench", type="webhook", subject=name, data=data, time=now_text())


def sensor(
    name: str, conditions: str, *, at_least_once: bool, filters: Any = None, concurrency: int = 0, url: str = ""
) -> Sensor:
    dependency = [
        {
            "name": one,
            "eventSourceName": "bench",
            "eventName": one,
            **({"filters": {"data": filters}} if filters else {}),
        }
        for one in conditions.replace("&&", " ").split()
    ]
    payload = [{"src": {"dependencyName": "a", "dataKey": "n"}, "dest": "n"}]
    kind = {"http": {"url": url, "method": "POST", "payload": payload}} if url else {"log": {}}
    trigger = {"template": {"name": "noop", "conditions": conditions, **kind}, "atLeastOnce": at_least_once}
    if concurrency:
        trigger["concurrency"] = {"max": concurrency}
    return Sensor.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Sensor",
            "metadata": {"name": name},
            "spec": {"dependencies": dependency, "triggers": [trigger]},
        }
    )


async def in_flight(count: int, one: Callable[[int], Awaitable[Any]]) -> None:
    """Call `one` for 0…count-1, `IN_FLIGHT` at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def timed(count: int, work: Awaitable[Any]) -> dict[str, float]:
    """Rate and CPU of this process for `count` events."""
    cpu, started = _cpu(), time.perf_counter()
    await work
    took = time.perf_counter() - started
    return {"per_s": count / took, "cpu_us": (_cpu() - cpu) / count * 1e6}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Bench:
    """One nats-server, fresh for each measurement, `rtt` seconds away."""

    def __init__(self, directory: Path, rtt: float) -> None:
        self.directory, self.rtt, self.count = directory, rtt, 0
        self.url = ""
        self._stack = AsyncExitStack()

    def next_directory(self) -> Path:
        self.count += 1
        return self.directory / str(self.count)

    async def fresh(self) -> JetStreamBus:
        self.url = await self._stack.enter_async_context(services.server(self.next_directory(), self.rtt))
        bus = JetStreamBus(lambda: Access(self.url), "bench", name="bench", log=Log("bench"))
        await bus.start()
        await bus.stream_created()
        return bus

    async def publish(self) -> dict[str, float]:
        bus = await self.fresh()
        result = await timed(EVENTS, in_flight(EVENTS, lambda number: bus.publish(event(number))))
        await self._close(bus)
        return result

    async def bare_publish(self) -> dict[str, float]:
        bus = await self.fresh()
        connection = await nats.connect(self.url)
        stream = connection.jetstream()

        async def one(number: int) -> None:
            wire = to_wire(event(number))
            await stream.publish("default.bench.a", wire, headers={"Nats-Msg-Id": f"bench/a/{number}"})

        result = await timed(EVENTS, in_flight(EVENTS, one))
        await connection.close()
        await self._close(bus)
        return result

    async def bare_drain(self) -> dict[str, float]:
        bus = await self.fresh()
        await in_flight(EVENTS, lambda number: bus.publish(event(number)))
        connection = await nats.connect(self.url)
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, max_ack_pending=-1)
        pull = await connection.jetstream().pull_subscribe("default.bench.a", "bare", "default", config)

        async def drain() -> None:
            done = 0
            while done < EVENTS:
                for message in await pull.fetch(256):
                    base64.b64decode(json.loads(message.data)["data_base64"])
                    await message.ack()
                    done += 1

        result = await timed(EVENTS, drain())
        await connection.close()
        await self._close(bus)
        return result

    async def drain(
        self,
        conditions: str,
        *,
        at_least_once: bool,
        filters: Any = None,
        concurrency: int = 0,
        sensors: int = 1,
        url: str = "",
    ) -> dict[str, float]:
        bus = await self.fresh()
        names = conditions.replace("&&", " ").split()
        events = EVENTS if sensors == 1 else EVENTS // sensors
        each = events // len(names)
        for start in range(0, each, 500):  # alternating, so that every pair completes
            for name in names:
                await in_flight(min(500, each - start), lambda n, s=start, e=name: bus.publish(event(s + n, e)))
        clients, readiness, metrics = Clients(Credentials(())), Readiness(), Metrics()
        made = [
            SensorService(
                sensor(
                    f"bench{number}",
                    conditions,
                    at_least_once=at_least_once,
                    filters=filters,
                    concurrency=concurrency,
                    url=url,
                ),
                bus,
                clients,
                metrics,
                readiness,
                Log("bench"),
                namespace="bench",
                grace=5,
                since=Start.FIRST,
            )
            for number in range(sensors)
        ]
        stopping, before = asyncio.Event(), NoopTrigger.count
        running = [asyncio.create_task(one.run(stopping)) for one in made]

        async def drained() -> None:
            for one in made:
                runner = one._runners[0]
                while runner._known is None or runner._known.applied.sequence < events:
                    await asyncio.sleep(0.001)

        result = await timed(events * sensors, drained())
        stopping.set()
        await asyncio.gather(*running)
        await clients.aclose()
        await self._close(bus)
        return result | {"fired": NoopTrigger.count - before}

    async def drain_http(self, *, at_least_once: bool, concurrency: int = 0) -> dict[str, float]:
        """To a target in another process."""
        async with services.helper("bench.target") as port:
            url = f"http://127.0.0.1:{port}/"
            return await self.drain("a", at_least_once=at_least_once, concurrency=concurrency, url=url)

    async def _close(self, bus: JetStreamBus) -> None:
        await bus.aclose()
        await self._stack.aclose()


_COLUMNS = (("per_s", 0), ("cpu_us", 1), ("p50_ms", 2), ("p99_ms", 2))


async def measure(directory: Path, repeat: int, rtt: float, only: str) -> dict[str, list[dict[str, float]]]:
    bench = Bench(directory, rtt)
    rows: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {
        "ingest, bare": lambda: services.bare_ingest(bench.next_directory(), rtt),
        "ingest": lambda: services.ingest(bench.next_directory(), rtt),
        "POST to action": lambda: services.latency(bench.next_directory(), rtt),
        "publish, bare": bench.bare_publish,
        "publish": bench.publish,
        "drain, bare": bench.bare_drain,
        "drain, at most once": lambda: bench.drain("a", at_least_once=False),
        "drain, at least once": lambda: bench.drain("a", at_least_once=True),
        "drain, a && b": lambda: bench.drain("a && b", at_least_once=False),
        "drain, filtered": lambda: bench.drain("a", at_least_once=False, filters=REJECTING),
        "drain, at least once, 16 at a time": lambda: bench.drain("a", at_least_once=True, concurrency=16),
        "drain to http, at most once": lambda: bench.drain_http(at_least_once=False),
        "drain to http, at least once": lambda: bench.drain_http(at_least_once=True),
        "drain to http, 16 at a time": lambda: bench.drain_http(at_least_once=True, concurrency=16),
        "100 sensors, filtered": lambda: bench.drain("a", at_least_once=False, filters=REJECTING, sensors=100),
    }
    rows = {name: row for name, row in rows.items() if only in name}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for _ in range(repeat):
        for name, row in rows.items():
            found[name].append(await row())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rtt", type=float, default=0, help="milliseconds between us and the bus")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    TRIGGERS.rows["log"] = "bench.noop:NoopTrigger"
    with (
        tempfile.TemporaryDirectory(prefix="keryx-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        rows = measure(Path(directory), arguments.repeat, arguments.rtt / 1000, arguments.only)
        found = runner.run(rows)
    print(f"{EVENTS} events, {IN_FLIGHT} in flight, POSTs by {load.generator()}; median of {arguments.repeat}")
    print(f"{'':38}{'per second':>12}{'CPU µs each':>14}{'p50 ms':>10}{'p99 ms':>10}")
    for name, results in found.items():
        median = sorted(results, key=lambda one: one["per_s"])[len(results) // 2]
        shown = [f"{median[key]:.{digits}f}" if key in median else "" for key, digits in _COLUMNS]
        print(f"{name:38}{shown[0]:>12}{shown[1]:>14}{shown[2]:>10}{shown[3]:>10}")
        if arguments.json:
            with arguments.json.open("a") as file:
                file.writelines(json.dumps({"name": name, "rtt_ms": arguments.rtt, **one}) + "\n" for one in results)
    if not arguments.only:
        asyncio.run(steps.measure())
    with tempfile.TemporaryDirectory(prefix="keryx-bench-") as directory:
        asyncio.run(machine.measure(Path(directory), arguments.only))


if __name__ == "__main__":
    main()
