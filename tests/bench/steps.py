"""The steps of the pipeline alone, without bus and target: events a second on one core."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from eventbus.base import Delivery, Position
from events import paths, templates
from events.event import Event, from_wire, to_wire
from events.scripting.pool import Scripts
from sensors import conditions, parameters
from sensors.checkpoint import Checkpoint
from sensors.dependencies import Dependencies
from sensors.pipeline import Pipeline
from sensors.types import EventDependency, TriggerParameter

EVENTS = 20_000
BODY = {
    "header": {"Content-Type": ["application/json"], "Content-Length": ["200"]},
    "body": {"n": "1", "num": 12, "kind": "push", "draft": False, "repository": {"name": "x"}, "pad": "x" * 120},
}
FILTERS = {
    "data": [
        {"path": "body.num", "type": "number", "comparator": ">=", "value": ["9"]},
        {"path": "body.kind", "type": "string", "value": ["^(push|pull_request)$"]},
        {"path": "body.draft", "type": "bool", "value": ["false"]},
    ]
}
PAYLOAD = [
    {"src": {"dependencyName": "a", "dataKey": "body.n"}, "dest": "n"},
    {"src": {"dependencyName": "a", "dataKey": "body.repository.name"}, "dest": "repository"},
]


def wire(number: int) -> bytes:
    data = json.dumps(BODY, separators=(",", ":")).encode()
    event = Event(id=str(number), source="s", type="webhook", subject="a", data=data, time="2026-01-01T00:00:00Z")
    return to_wire(event)


async def through(scripts: Scripts | None, **dependency: Any) -> float:
    """Events a second through decode, match, transform, filters, condition and a payload of two parameters."""
    spec = EventDependency.parse({"name": "a", "eventSourceName": "s", "eventName": "a", **dependency})
    pipeline = Pipeline(Dependencies([spec], scripts), conditions.compile("a", ["a"]), ("ns", "s", "t"))
    payload = parameters.compile([TriggerParameter.parse(one) for one in PAYLOAD])
    checkpoint, wires, fired = Checkpoint(Position("x", 0)), [wire(number) for number in range(EVENTS)], 0
    started = time.perf_counter()
    for start in range(0, EVENTS, 256):
        batch = [
            Delivery(from_wire(one), Position("x", start + offset + 1, 1), len(one))
            for offset, one in enumerate(wires[start : start + 256])
        ]
        for prepared in await pipeline.prepare_all(batch):
            for firing in pipeline.fold(checkpoint, prepared).firings:
                payload.payload(firing.events)
                fired += 1
    assert fired == EVENTS
    return EVENTS / (time.perf_counter() - started)


def each(work: Callable[[], Any], count: int = 20_000) -> float:
    """Microseconds of one call."""
    work()
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count * 1e6


async def measure() -> None:
    """Print the table."""
    text = json.dumps(BODY | {"pad": "x" * 500}, separators=(",", ":"))
    path = paths.compile_path("body.repository.name")
    document = paths.Document(text)
    document.get(path)
    scripts = Scripts()
    try:
        rates = {
            "filters": await through(None, filters=FILTERS),
            "jmespath, filters": await through(
                None, filters=FILTERS, transform={"jmespath": "{body: body, header: header}"}
            ),
            "jq, filters": await through(scripts, filters=FILTERS, transform={"jq": "{body, header}"}),
            "Lua, filters": await through(scripts, filters=FILTERS, transform={"script": "return event"}),
        }
    finally:
        await scripts.aclose()
    print(f"\n{'one event through':24}{'events/s':>12}")
    for name, rate in rates.items():
        print(f"{name:24}{rate:12.0f}")
    print(f"\n{'one call':24}{'µs':>12}")
    print(f"{'path, parsed document':24}{each(lambda: document.get(path)):12.2f}")
    print(f"{'path, raw text':24}{each(lambda: path.get(text)):12.2f}")
    template, tree = templates.compile("{{ .Input.body.kind | upper | trunc 3 }}-{{ .Input.body.n }}"), json.loads(text)
    print(f"{'template':24}{each(lambda: template.render(tree), 2_000):12.2f}")
    print(f"{'to_wire':24}{each(lambda: wire(1)):12.2f}")
    one = wire(1)
    print(f"{'from_wire':24}{each(lambda: from_wire(one)):12.2f}")


if __name__ == "__main__":
    asyncio.run(measure())
