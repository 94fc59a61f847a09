"""Plays Argo Events' own sensor of one trigger on JetStream, with its durables, its bucket and its order of steps.

Contract: sensors E.3, B.2, B.5. The only liberty: `ack_wait`, which there is the server's default of 30 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KeyValue

from eventbus import subjects
from events.event import Event, from_wire, to_wire
from sensors import conditions
from sensors.former import Upstream, as_upstream
from sensors.former_hashes import dependency_hash
from sensors.types import EventDependency

PULL_SECONDS = 0.9


class ArgoSensor:
    """One pod with one trigger. `conditions` as it stands in the object."""

    def __init__(
        self,
        url: str,
        *specs: EventDependency,
        expression: str | None = None,
        sensor: str = "s",
        trigger: str = "t",
        ack_wait: float = 1.0,
        transform: Callable[[Event], Event] = lambda event: event,
    ) -> None:
        self.url, self.specs, self.expression = url, {spec.name: spec for spec in specs}, expression
        self.sensor, self.trigger, self.ack_wait, self.transform = sensor, trigger, ack_wait, transform
        self.condition = conditions.compile(expression, list(self.specs))
        self.acted: list[str] = []
        self._subscriptions: dict[str, JetStreamContext.PullSubscription] = {}
        self.client: Any = None
        self._is_over = False
        self.bucket: KeyValue

    @property
    def upstream(self) -> Upstream:
        """What our own sensor of the same object knows of it."""
        return as_upstream(self.expression, self.condition, self.specs)

    def durables(self) -> dict[str, str]:
        """Subject -> durable: of several dependencies on one subject, the last one in the expression gives the name."""
        named = {}
        for name in self.condition.dependencies:
            spec = self.specs[name]
            subject = subjects.subject(spec.event_source_name, spec.event_name)
            named[subject] = subjects.upstream_consumer(self.sensor, self.trigger, name)
        return named

    async def start(self, *, with_bucket: bool = True) -> None:
        """Its start: bucket, keys, durables."""
        self.client = await nats.connect(self.url, allow_reconnect=False, error_cb=_ignore)
        self.stream = self.client.jetstream()
        if with_bucket:
            await self._write_keys()
        for subject, name in self.durables().items():
            await self.stream.add_consumer(
                "default",
                ConsumerConfig(
                    durable_name=name,
                    deliver_policy=DeliverPolicy.NEW,
                    ack_policy=AckPolicy.EXPLICIT,
                    replay_policy=ReplayPolicy.INSTANT,
                    filter_subject=subject,
                    ack_wait=self.ack_wait,
                ),
            )
            self._subscriptions[subject] = await self.stream.pull_subscribe_bind(name, "default")

    async def _write_keys(self) -> None:
        try:
            self.bucket = await self.stream.key_value(self.sensor)
        except BucketNotFoundError:
            self.bucket = await self.stream.create_key_value(bucket=self.sensor)
        hashes = {name: dependency_hash(spec) for name, spec in self.specs.items()}
        await self.bucket.put("Triggers", json.dumps([self.trigger]).encode())
        await self.bucket.put("Deps", json.dumps(hashes).encode())
        await self.bucket.put(f"{self.trigger}/Expression", (self.expression or "").encode())

    def kill(self) -> None:
        """The pod is no more, without a word."""
        self._is_over = True
        self.client._transport._io_writer.transport.abort()

    async def take(self, name: str = "orders") -> Msg:
        """One event of a subject, delivered and not yet acknowledged."""
        (message,) = await self._subscriptions[subjects.subject("hooks", name)].fetch(1, timeout=PULL_SECONDS)
        return message

    async def handle(self, message: Msg, *, until: str = "") -> None:
        """All its steps with one event, or those before `until`: put, act, delete, ack."""
        event = from_wire(message.data)
        for name in self.condition.dependencies:
            spec = self.specs[name]
            is_for_it = (spec.event_source_name, spec.event_name) == (event.source, event.subject)
            if is_for_it and not await self._evaluate(name, self.transform(event), message, until):
                return
        if until != "ack":
            await message.ack_sync()

    async def _evaluate(self, name: str, event: Event, message: Msg, until: str) -> bool:
        """Whether it went on to the end."""
        if not self.condition.is_stateful:
            self.acted.append(event.id)
            return True
        there = await self._there()
        if not self.condition.satisfied_by({*there, name}):
            if until == "put":
                return False
            await self.bucket.put(f"{self.trigger}/{name}", _stored(event, message))
            return until != f"put {name}"
        if until == "act":
            return False
        self.acted.append("+".join(sorted({**there, name: event.id}.values())))
        if until == "delete":
            return False
        for other in there:
            await self.bucket.delete(f"{self.trigger}/{other}")
        return True

    async def _there(self) -> dict[str, str]:
        found = {}
        for name in self.condition.dependencies:
            with contextlib.suppress(KeyNotFoundError):
                entry = await self.bucket.get(f"{self.trigger}/{name}")
                found[name] = json.loads(entry.value or b"")["Event"]["id"]
        return found

    async def work(self, *names: str) -> None:
        """Pull and handle until it is killed, one event after another."""
        # A cancellation alone does not end it for sure: `wait_for` of Python 3.11 may swallow one when it is done.
        while not self._is_over:
            for name in names:
                with contextlib.suppress(nats.errors.TimeoutError):
                    await self.handle(await self.take(name))

    async def info(self, name: str) -> dict[str, Any]:
        """What the server says of the durable of a subject."""
        durable = self.durables()[subjects.subject("hooks", name)]
        answer = await self.client.request(f"$JS.API.CONSUMER.INFO.default.{durable}", b"", timeout=5)
        return dict(json.loads(answer.data))

    async def existing(self) -> Sequence[str]:
        """Which of its durables there are; asked on a connection of its own."""
        client = await nats.connect(self.url)
        answer = await client.request("$JS.API.CONSUMER.NAMES.default", b"{}", timeout=5)
        await client.close()
        names = json.loads(answer.data).get("consumers") or []
        return sorted(set(names) & set(self.durables().values()))


def _stored(event: Event, message: Msg) -> bytes:
    metadata = message.metadata
    nanoseconds = int(message.reply.split(".")[-2])
    moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return json.dumps(
        {
            "StreamSeq": metadata.sequence.stream,
            "ConsumerSeq": metadata.sequence.consumer,
            "Timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09}Z",
            "Event": json.loads(to_wire(event)),
        }
    ).encode()


async def in_progress(message: Msg) -> None:
    """Say each half second that an event is being worked on, as its pod does."""
    while True:
        await message.in_progress()
        await asyncio.sleep(0.1)


async def _ignore(_error: Exception) -> None:
    """A connection that is cut off says so."""
