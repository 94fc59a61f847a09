"""An open subscription: a pull consumer of our own, replaced whenever something might have been lost.

Within a consumer its sequence must follow on without a gap. On a gap, on every new link and after two missed heartbeats
the consumer is replaced by one that starts after the last event received: what was delivered into a broken connection
comes again, in order, before newer events. Pulls are ours: several in flight, bounded in messages and bytes, long-lived
when idle (no polling).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.aio.msg import Msg

from eventbus import subjects
from eventbus.base import Delivery, Position, Start, Subscription
from eventbus.jetstream import consumers, streams
from eventbus.jetstream.connection import Connection
from eventbus.jetstream.link import Link
from events.backoff import Endless
from events.bounded import Bounded
from events.durations import NANOSECONDS
from events.errors import BusError, InvalidEvent, Unavailable
from events.event import Event, from_wire
from events.logs import Log

BATCH = 256
HELD = 512
HELD_BYTES = 8 << 20
_ROOM = 64 << 10  # for headers: a pull that the largest event does not fit would be refused
PROCESS_BYTES = 64 << 20
EXPIRES = 60
HEARTBEAT = 15
ACK_EVERY = 1.0
SWEEP_EVERY = 600.0
SHARED_EVENTS = 1024
SHARED_BYTES = 8 << 20


class Readers:
    """What the subscriptions of one connection share: the memory they may hold, and events decoded once for all."""

    def __init__(self) -> None:
        self.count = 0
        self._events: Bounded[tuple[int, int], Event] = Bounded(SHARED_EVENTS, SHARED_BYTES)

    @property
    def held_bytes(self) -> int:
        """What one subscription may hold, when all take their share."""
        return min(HELD_BYTES, PROCESS_BYTES // max(1, self.count))

    def enter(self) -> None:
        """One more subscription."""
        self.count += 1

    def leave(self) -> None:
        """One less."""
        self.count -= 1
        if self.count < 2:
            self._events.clear()

    def decode(self, data: bytes, sequence: int, stored_ns: int) -> Event:
        """The event of a message; InvalidEvent when it is none. Alone, a reader has nobody to share with."""
        if self.count < 2:
            return from_wire(data)
        key = (sequence, stored_ns)
        event = self._events.get(key)
        if event is None:
            event = from_wire(data)
            self._events.put(key, event, len(data))
        return event


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

    def __init__(self, subscription: Subscription, connection: Connection, readers: Readers, log: Log) -> None:
        self._subscription, self._connection, self._readers, self._log = subscription, connection, readers, log
        filter_subjects = sorted({subjects.subject(*topic) for topic in subscription.topics})
        self._consumers = consumers.Consumers(subscription.name, subscription.epoch, filter_subjects)
        self._held: deque[Delivery] = deque()
        self._held_bytes = 0
        self._arrived = asyncio.Event()
        self._acks: deque[tuple[int, int]] = deque()
        self._acked: tuple[int, int] | None = None
        self._ack_due = asyncio.Event()
        self._consumer: Consumer | None = None
        self._is_interest = False
        self._pending = 0
        self._heard = 0.0
        self._broken = asyncio.Event()
        self._after: Position | None = None
        self._start: Position | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # ---- the contract

    async def open(self) -> None:
        """Returns once a consumer stands; keeps one from then on."""
        self._readers.enter()
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
        """Stop reading; the consumer is deleted when the bus is there.

        Not on a stream of interest, which would throw away what nobody has taken yet: the next reader deletes it.
        """
        self._readers.leave()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._consumer is not None:
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._ack()
                    if not self._is_interest:
                        await self._consumers.delete(self._consumer.link, self._consumer.name)

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
                except Exception as error:  # noqa: BLE001 - without a consumer the trigger would stand still for good
                    self._log.exception("Replacing the consumer failed by a defect", error)
                else:
                    pauses.reset()
                    break
                await asyncio.sleep(pauses.next())

    async def _trouble(self) -> str:
        """Returns, with the reason, when the consumer must be replaced."""
        assert self._consumer is not None
        generation = self._consumer.generation
        newer = asyncio.ensure_future(self._connection.another(generation))
        broken = asyncio.ensure_future(self._broken.wait())
        swept = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.wait({newer, broken}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                if newer.done():
                    newer.exception()  # a closed connection; replacing will say so
                    return "new connection"
                if broken.done():
                    return "gap or end of the consumer"
                now = asyncio.get_running_loop().time()
                if self._consumer.wanted and now - self._heard > 2 * HEARTBEAT:
                    return "two heartbeats missed"
                if now - swept > SWEEP_EVERY:
                    swept = now
                    with contextlib.suppress(BusError):
                        await self._consumers.sweep(self._consumer.link, self._consumer.name)
        finally:
            for waiter in (newer, broken):
                waiter.cancel()

    async def _replace(self) -> None:
        """A new consumer after the last event received."""
        link = await self._connection.link()
        generation = self._connection.generation
        if self._consumer is not None:
            self._consumers.retire(self._consumer.name)
            self._consumer = None
        self._broken.clear()
        stream = await streams.state(link)
        self._is_interest = stream.is_interest
        start = await self._starting_point(link, stream)
        consumer = Consumer(self._consumers.next_name(), link, "", generation)

        async def receive(message: Msg) -> None:
            await self._on_message(consumer, message)

        consumer.inbox, _ = await link.subscribe(receive)
        created = await self._consumers.create(link, consumer.name, start, is_interest=stream.is_interest)
        self._pending = int(created.get("num_pending", 0))
        if self._start is None:
            # A time becomes a sequence here: the consumer stands before the first event it will deliver.
            self._start = self._after = Position(stream.created, int(created["delivered"]["stream_seq"]))
        self._acks.clear()
        self._acked = None
        self._consumer, self._heard = consumer, asyncio.get_running_loop().time()
        await self._pull(consumer)
        await self._consumers.use(link, consumer.name)

    async def _starting_point(self, link: Link, stream: streams.StreamState) -> dict[str, Any]:
        """Where a new consumer starts, after what was received; the stream may have begun anew or lost its tail."""
        after = self._after or self._subscription.after
        if isinstance(after, datetime):
            return consumers.at_time(consumers.nanoseconds(after))
        if isinstance(after, Start):
            after = consumers.first_position(after, stream)
        self._start, self._after = self._start or after, after
        if after.stream_created != stream.created:
            self._log.warning("The stream began anew; reading it from its start", subscription=self._subscription.name)
            self._after = Position(stream.created, 0)
            return consumers.after_sequence(0)
        if await consumers.lost_tail(link, stream, after):
            self._log.warning("The stream lost its tail; going on by time", subscription=self._subscription.name)
            return consumers.at_time(after.stored_ns + 1)
        return consumers.after_sequence(after.sequence)

    # ---- pulling

    def _may_pull(self, consumer: Consumer) -> bool:
        most = self._readers.held_bytes // 2
        return len(self._held) + consumer.wanted <= HELD - BATCH and self._held_bytes <= most

    async def _pull(self, consumer: Consumer) -> None:
        consumer.wanted += BATCH
        body = b'{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}' % (
            BATCH,
            max(self._readers.held_bytes // 2, consumer.link.max_payload + _ROOM),
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
        self._held.append(self._delivery(message.data, position))
        self._held_bytes += len(message.data)
        self._arrived.set()

    def _delivery(self, data: bytes, position: Position) -> Delivery:
        try:
            event = self._readers.decode(data, position.sequence, position.stored_ns)
        except InvalidEvent as error:
            return Delivery(None, position, len(data), str(error), data)
        return Delivery(event, position, len(data))

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
