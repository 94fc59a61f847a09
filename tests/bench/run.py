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
from pathlib import Path
from typing import Any

import nats
import uvloop
from bench import steps
from bench.noop import NoopTrigger
from nats.js.api import ConsumerConfig, DeliverPolicy
from support.nats_server import NatsServer

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


def sensor(name: str, conditions: str, *, at_least_once: bool, filters: list[Any] | None = None) -> Sensor:
    dependency = [
        {
            "name": one,
            "eventSourceName": "bench",
            "eventName": one,
            **({"filters": {"data": filters}} if filters else {}),
        }
        for one in conditions.replace("&&", " ").split()
    ]
    trigger = {"template": {"name": "noop", "conditions": conditions, "log": {}}, "atLeastOnce": at_least_once}
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
    """One nats-server, fresh for each measurement."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.count = directory, 0
        self.server: NatsServer

    async def fresh(self) -> JetStreamBus:
        self.count += 1
        self.server = NatsServer(self.directory / str(self.count))
        await self.server.start()
        bus = JetStreamBus(lambda: Access(self.server.url), "bench", name="bench", log=Log("bench"))
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
        connection = await nats.connect(self.server.url)
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
        connection = await nats.connect(self.server.url)
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

    async def drain(self, conditions: str, *, at_least_once: bool, filters: Any = None) -> dict[str, float]:
        bus = await self.fresh()
        names = conditions.replace("&&", " ").split()
        each = EVENTS // len(names)
        for start in range(0, each, 500):  # alternating, so that every pair completes
            for name in names:
                await in_flight(min(500, each - start), lambda n, s=start, e=name: bus.publish(event(s + n, e)))
        clients, readiness = Clients(Credentials(())), Readiness()
        spec = sensor("bench", conditions, at_least_once=at_least_once, filters=filters)
        service = SensorService(
            spec, bus, clients, Metrics(), readiness, Log("bench"), namespace="bench", grace=5, since=Start.FIRST
        )
        stopping, before = asyncio.Event(), NoopTrigger.count
        running = asyncio.create_task(service.run(stopping))

        async def drained() -> None:
            runner = service._runners[0]
            while runner._known is None or runner._known.applied.sequence < EVENTS:
                await asyncio.sleep(0.001)

        result = await timed(EVENTS, drained())
        stopping.set()
        await running
        await self._close(bus)
        return result | {"fired": NoopTrigger.count - before}

    async def _close(self, bus: JetStreamBus) -> None:
        await bus.aclose()
        self.server.kill()


async def measure(directory: Path, repeat: int) -> dict[str, list[dict[str, float]]]:
    bench = Bench(directory)
    rows: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {
        "publish, bare": bench.bare_publish,
        "publish": bench.publish,
        "drain, bare": bench.bare_drain,
        "drain, at most once": lambda: bench.drain("a", at_least_once=False),
        "drain, at least once": lambda: bench.drain("a", at_least_once=True),
        "drain, a && b": lambda: bench.drain("a && b", at_least_once=False),
        "drain, filtered": lambda: bench.drain("a", at_least_once=False, filters=REJECTING),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for _ in range(repeat):
        for name, row in rows.items():
            found[name].append(await row())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    TRIGGERS.rows["log"] = "bench.noop:NoopTrigger"
    with (
        tempfile.TemporaryDirectory(prefix="keryx-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure(Path(directory), arguments.repeat))
    print(f"{EVENTS} events, {IN_FLIGHT} in flight; median of {arguments.repeat}")
    print(f"{'':24}{'events/s':>12}{'CPU µs/event':>16}")
    for name, results in found.items():
        median = sorted(results, key=lambda one: one["per_s"])[len(results) // 2]
        print(f"{name:24}{median['per_s']:12.0f}{median['cpu_us']:16.1f}")
        if arguments.json:
            with arguments.json.open("a") as file:
                file.writelines(json.dumps({"name": name, **one}) + "\n" for one in results)
    asyncio.run(steps.measure())


if __name__ == "__main__":
    main()
