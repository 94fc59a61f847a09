"""An open subscription: a pull consumer of our own, replaced whenever something might have been lost.

Within a consumer its sequence must follow on without a gap. On a gap, on every new link and after two missed heartbeats
the consumer is replaced by one that starts after the last event received: what was delivered into a broken connection
comes again, in order, before newer events. Pulls are ours: several in flight, bounded in messages and bytes, long-lived
when idle (no polling).
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.msg import Msg

from eventbus import subjects
from eventbus.base import Delivery, Position, Start, Subscription
from eventbus.jetstream import api, streams
from eventbus.jetstream.connection import Connection
from eventbus.jetstream.link import Link
from events.backoff import Endless
from events.durations import NANOSECONDS
from events.errors import BusError, InvalidEvent, Unavailable
from events.event import from_wire, parse_time, utc_text
from events.logs import Log

BATCH = 256
BATCH_BYTES = 4 << 20
HELD = 512
HELD_BYTES = 8 << 20
EXPIRES = 60
HEARTBEAT = 15
ACK_EVERY = 1.0
_ACK_WAIT = 3600 * NANOSECONDS["s"]
_INACTIVE = 3600 * NANOSECONDS["s"]
# One separator that no escaped name contains: `=` there is followed by two hexadecimal digits.
_SEPARATOR = "=-"


@dataclass(slots=True)
class Consumer:
    """One consumer on one link."""

    name: str
    link: Link
    inbox: str
    generation: int
    received: int = 0
    """Consumer sequence of the last message."""
    wanted: int = 0
    """Messages asked for and not yet here."""


class JetStreamDeliveries:
    """Events of the subscription's subjects in stream order, none skipped."""

    def __init__(self, subscription: Subscription, connection: Connection, log: Log) -> None:
        self._subscription, self._connection, self._log = subscription, connection, log
        self._subjects = sorted({subjects.subject(*topic) for topic in subscription.topics})
        self._held: deque[Delivery] = deque()
        self._held_bytes = 0
        self._arrived = asyncio.Event()
        self._acks: deque[tuple[int, int]] = deque()
        self._acked: tuple[int, int] | None = None
        self._ack_due = asyncio.Event()
        self._consumer: Consumer | None = None
        self._count = 0
        self._token = uuid.uuid4().hex[:6]
        self._pending = 0
        self._heard = 0.0
        self._broken = asyncio.Event()
        self._after: Position | None = None
        self._start: Position | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # ---- the contract

    async def open(self) -> None:
        """Returns once a consumer stands; keeps one from then on."""
        await self._replace()
        self._tasks = [
            asyncio.create_task(self._keep(), name=f"consumer {self._subscription.name}"),
            asyncio.create_task(self._ack_now_and_then(), name=f"acks {self._subscription.name}"),
        ]

    @property
    def start(self) -> Position:
        """The position that the subscription really started after."""
        assert self._start is not None, "not open"
        return self._start

    @property
    def ready(self) -> int:
        return len(self._held)

    @property
    def pending(self) -> int:
        return self._pending + len(self._held)

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while True:
            for delivery in await self.next_batch(1):
                yield delivery

    async def next_batch(self, limit: int = BATCH) -> list[Delivery]:
        while not self._held:
            self._arrived.clear()
            await self._arrived.wait()
        held = self._held
        batch = [held.popleft() for _ in range(min(limit, len(held)))]
        self._held_bytes -= sum(delivery.size for delivery in batch)
        consumer = self._consumer
        if consumer is not None and self._may_pull(consumer):
            with contextlib.suppress(Unavailable):  # a new link brings a new consumer
                await self._pull(consumer)
        return batch

    def checkpointed(self, position: Position) -> None:
        acks, done = self._acks, None
        while acks and acks[0][0] <= position.sequence:
            done = acks.popleft()
        if done is not None:
            self._acked = done
            self._ack_due.set()

    async def aclose(self) -> None:
        """Stop reading; the consumer is deleted when the bus is there."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._consumer is not None:
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._ack()
                    await self._delete(self._consumer.link, self._consumer.name)

    # ---- keeping a consumer

    async def _keep(self) -> None:
        """Replace the consumer whenever it might have lost something."""
        pauses = Endless(0.05, 5)
        while True:
            reason = await self._trouble()
            self._log.debug("Replacing the consumer", subscription=self._subscription.name, reason=reason)
            while True:
                try:
                    await self._replace()
                except BusError as error:
                    self._log.debug("No consumer yet", subscription=self._subscription.name, reason=str(error))
                    await asyncio.sleep(pauses.next())
                else:
                    pauses.reset()
                    break

    async def _trouble(self) -> str:
        """Returns, with the reason, when the consumer must be replaced."""
        assert self._consumer is not None
        generation = self._consumer.generation
        newer = asyncio.ensure_future(self._connection.another(generation))
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            while True:
                await asyncio.wait({newer, broken}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                if newer.done():
                    return "new connection"
                if broken.done():
                    return "gap or end of the consumer"
                if self._consumer.wanted and asyncio.get_running_loop().time() - self._heard > 2 * HEARTBEAT:
                    return "two heartbeats missed"
        finally:
            for waiter in (newer, broken):
                waiter.cancel()

    async def _replace(self) -> None:
        """A new consumer after the last event received."""
        link = await self._connection.link()
        generation = self._connection.generation
        former, self._consumer = self._consumer, None
        self._broken.clear()
        stream = await streams.state(link)
        config = await self._starting_point(link, stream)
        self._count += 1
        name = self._name(self._count)
        if stream.is_interest:
            config |= {"durable_name": name}
        else:
            config |= {"inactive_threshold": _INACTIVE}
        consumer = Consumer(name, link, "", generation)

        async def receive(message: Msg) -> None:
            await self._on_message(consumer, message)

        consumer.inbox, _ = await link.subscribe(receive)
        created = await api.call(
            link,
            f"CONSUMER.CREATE.{subjects.STREAM}.{name}",
            {
                "stream_name": subjects.STREAM,
                "action": "create",
                "config": {
                    "name": name,
                    "ack_policy": "all",
                    "ack_wait": _ACK_WAIT,
                    "max_ack_pending": -1,  # acks are lazy: the default stalls after 1000
                    "replay_policy": "instant",
                    "filter_subjects": self._subjects,
                    **config,
                },
            },
        )
        self._pending = int(created.get("num_pending", 0))
        if self._start is None:
            # A time becomes a sequence here: the consumer stands before the first event it will deliver.
            self._start = self._after = Position(stream.created, int(created["delivered"]["stream_seq"]))
        self._acks.clear()
        self._acked = None
        self._consumer, self._heard = consumer, asyncio.get_running_loop().time()
        await self._pull(consumer)
        await self._sweep(link, former)

    async def _starting_point(self, link: Link, stream: streams.StreamState) -> dict[str, Any]:
        """Where a new consumer starts, after what was received; the stream may have begun anew or lost its tail."""
        after = self._after or self._subscription.after
        if isinstance(after, datetime):
            return {"deliver_policy": "by_start_time", "opt_start_time": _rfc3339(_nanoseconds(after))}
        if isinstance(after, Start):
            after = self._after = self._start = Position(stream.created, stream.last if after is Start.NEW else 0)
        self._start = self._start or after
        if after.stream_created != stream.created:
            self._log.warning("The stream began anew; reading it from its start", subscription=self._subscription.name)
            self._after = Position(stream.created, 0)
            return {"deliver_policy": "all"}
        self._after = after
        if after.stored_ns and await self._lost_tail(link, stream, after):
            self._log.warning("The stream lost its tail; going on by time", subscription=self._subscription.name)
            return {"deliver_policy": "by_start_time", "opt_start_time": _rfc3339(after.stored_ns + 1)}
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": after.sequence + 1}

    async def _lost_tail(self, link: Link, stream: streams.StreamState, after: Position) -> bool:
        if stream.last < after.sequence:
            return True
        if after.sequence < stream.first:
            return False  # expired, as it should
        try:
            got = await api.call(link, f"STREAM.MSG.GET.{subjects.STREAM}", {"seq": after.sequence})
        except api.ApiError as error:
            if error.code == api.NO_MESSAGE:
                return False
            raise
        return nanoseconds_of(str(got["message"]["time"])) != after.stored_ns

    async def _sweep(self, link: Link, former: Consumer | None) -> None:
        """Delete our former consumer and those of lower epochs: on an interest stream they would pin events."""
        if former is not None:
            with contextlib.suppress(api.ApiError):
                await self._delete(link, former.name)
        if self._count > 1:
            return
        names = await api.call(link, f"CONSUMER.NAMES.{subjects.STREAM}", {"offset": 0})
        prefix = self._name_prefix()
        for name in names.get("consumers") or []:
            if not name.startswith(prefix):
                continue
            epoch = name[len(prefix) :].partition(_SEPARATOR)[0]
            if epoch.isdigit() and int(epoch) <= self._subscription.epoch and name != self._consumer_name():
                with contextlib.suppress(api.ApiError):
                    await self._delete(link, name)

    def _consumer_name(self) -> str:
        return self._consumer.name if self._consumer else ""

    def _name_prefix(self) -> str:
        return f"{subjects.key_part(self._subscription.name)}{_SEPARATOR}"

    def _name(self, count: int) -> str:
        # The random part: a bus that lost its state begins with epoch 1 again.
        return f"{self._name_prefix()}{self._subscription.epoch}{_SEPARATOR}{self._token}{_SEPARATOR}{count}"

    async def _delete(self, link: Link, name: str) -> None:
        await api.call(link, f"CONSUMER.DELETE.{subjects.STREAM}.{name}")

    # ---- pulling

    def _may_pull(self, consumer: Consumer) -> bool:
        return len(self._held) + consumer.wanted <= HELD - BATCH and self._held_bytes <= HELD_BYTES - BATCH_BYTES

    async def _pull(self, consumer: Consumer) -> None:
        consumer.wanted += BATCH
        body = b'{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}' % (
            BATCH,
            BATCH_BYTES,
            EXPIRES * NANOSECONDS["s"],
            HEARTBEAT * NANOSECONDS["s"],
        )
        await consumer.link.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.STREAM}.{consumer.name}", body, consumer.inbox
        )

    async def _on_message(self, consumer: Consumer, message: Msg) -> None:
        if consumer is not self._consumer:
            return
        self._heard = asyncio.get_running_loop().time()
        if message.headers and "Status" in message.headers and not message.data:
            await self._on_status(consumer, message.headers)
            return
        # $JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>, two more tokens with domains
        tokens = message.reply.split(".")
        sequence, own, stored, pending = int(tokens[-4]), int(tokens[-3]), int(tokens[-2]), int(tokens[-1])
        # The consumer's sequence, not the stream's: a filter leaves gaps in the latter, only loss in the former.
        if own != consumer.received + 1:
            self._broken.set()
            return
        consumer.received = own
        consumer.wanted -= 1
        self._pending = pending
        assert self._after is not None
        position = Position(self._after.stream_created, sequence, stored)
        self._after = position
        self._acks.append((sequence, own))
        self._held.append(_delivery(message.data, position))
        self._held_bytes += len(message.data)
        self._arrived.set()

    async def _on_status(self, consumer: Consumer, headers: dict[str, str]) -> None:
        status = headers["Status"]
        if status == "100":  # a heartbeat
            return
        consumer.wanted -= int(headers.get("Nats-Pending-Messages", BATCH))
        text = headers.get("Description", "").lower()
        if status == "503" or (status == "409" and ("deleted" in text or "leadership" in text or "shutdown" in text)):
            self._broken.set()
        elif self._may_pull(consumer):
            with contextlib.suppress(Unavailable):
                await self._pull(consumer)

    # ---- acks: only so that the broker may forget; our own position is what counts

    async def _ack_now_and_then(self) -> None:
        while True:
            await self._ack_due.wait()
            await asyncio.sleep(ACK_EVERY)
            self._ack_due.clear()
            with contextlib.suppress(Unavailable):
                await self._ack()

    async def _ack(self) -> None:
        acked, consumer = self._acked, self._consumer
        if acked is None or consumer is None:
            return
        self._acked = None
        sequence, own = acked
        await consumer.link.publish(f"$JS.ACK.{subjects.STREAM}.{consumer.name}.1.{sequence}.{own}.0.0", b"+ACK")


def _delivery(data: bytes, position: Position) -> Delivery:
    try:
        return Delivery(from_wire(data), position, len(data))
    except InvalidEvent as error:
        return Delivery(None, position, len(data), str(error))


def nanoseconds_of(text: str) -> int:
    """Unix nanoseconds of the broker's RFC 3339 text."""
    text = utc_text(text)
    fraction = text[:-1].partition(".")[2].ljust(9, "0")
    return int(parse_time(f"{text[:19]}Z").timestamp()) * NANOSECONDS["s"] + int(fraction or 0)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * NANOSECONDS["s"] + moment.microsecond * NANOSECONDS["us"]


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, NANOSECONDS["s"])
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
