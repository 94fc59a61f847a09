"""JetStreamBus: the contract of `eventbus.base` on NATS JetStream. Contract: sensors E.3; design section 5."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from eventbus import dead_letters, roles, subjects
from eventbus.base import Delivery, Health, Position, Stored, Subscription
from eventbus.former import Former, FormerReader
from eventbus.jetstream import api, former, streams
from eventbus.jetstream.connection import Connection
from eventbus.jetstream.consumers import Consumers, nanoseconds_of
from eventbus.jetstream.dead_letters import JetStreamDeadLetters
from eventbus.jetstream.deliveries import JetStreamDeliveries, Readers
from eventbus.jetstream.link import Access, Link
from eventbus.jetstream.state import JetStreamState
from eventbus.roles import DEAD_LETTERS, Role
from eventbus.session import LeaseSession
from events.errors import InvalidEvent, TooLarge, Unavailable
from events.event import Event, from_wire, to_wire
from events.logs import Log

MESSAGE_ID = "Nats-Msg-Id"
# Room for the headers of any message, our own included.
_RESERVED = 4096
_IN_FLIGHT = 4096


class JetStreamBus:
    """One connection of one process. `namespace` keeps the state of several namespaces on one server apart.

    `is_alone`: the server is this process's own, so that sessions found there are left-overs of an earlier life.
    `is_guest`: make nothing that is missing, for who makes it knows its settings. `role`: whose buckets to use, where
    sources and sensors are different users.
    """

    def __init__(
        self,
        access: Callable[[], Access],
        namespace: str,
        *,
        name: str,
        log: Log,
        stream: streams.StreamConfig | None = None,
        publish_seconds: float = 8.0,
        is_alone: bool = False,
        is_guest: bool = False,
        dead_letter_bytes: int = dead_letters.MAX_BYTES,
        former_quiet: float = former.QUIET_SECONDS,
        role: Role | None = None,
    ) -> None:
        self._part = roles.part(role)
        self._is_alone, self._is_guest = is_alone, is_guest
        self._stream = stream or streams.StreamConfig()
        self._namespace, self._log, self._publish_seconds = namespace, log, publish_seconds
        self._created = ""
        self._buckets: dict[str, JetStreamState] = {}
        self._letters: JetStreamDeadLetters | None = None
        self._dead_letter_bytes, self._former_quiet = dead_letter_bytes, former_quiet
        self._connection = Connection(access, name, log, self._prepare)
        self._session: LeaseSession | None = None
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        self._readers = Readers()
        self._max_payload = 1 << 20

    async def start(self) -> None:
        """Begin to connect. Everything that needs the bus waits for it; nothing fails because it is away now."""
        await self._connection.start()

    async def _prepare(self, link: Link) -> None:
        """After every connect: the streams and the buckets in use must be there."""
        self._max_payload = link.max_payload
        if self._is_guest:
            self._created = await streams.created(link)
            return
        self._created = (await streams.ensure_events(link, self._stream)).created
        for name in self._buckets:
            await streams.ensure_bucket(link, self._bucket(name), self._stream.replicas)
        if self._letters is not None:
            await self._ensure_letters(link)

    def _bucket(self, name: str) -> str:
        return subjects.bucket(self._namespace, f"{self._part}{name}")

    async def publish(self, event: Event) -> Stored:
        subject, wire = subjects.subject(event.source, event.subject), to_wire(event)
        if len(wire) > self.max_event_bytes:
            raise TooLarge(f"the event has {len(wire)} bytes; the bus takes {self.max_event_bytes}")
        # The same id on another subject is another event: a bare id would be dropped there.
        headers = {MESSAGE_ID: f"{event.source}/{event.subject}/{event.id}"}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._publish_seconds
        async with self._in_flight:
            while True:
                left = deadline - loop.time()
                link = await self._connection.link(max(left, 0))
                try:
                    answer = api.answer((await link.request(subject, wire, max(left, 0.05), headers)).data)
                except api.NoRoom:
                    raise  # room does not come within a second: the sender is told to come later
                except Unavailable:
                    if loop.time() >= deadline - 0.1:
                        raise
                    # Safe to repeat: the broker knows the id. A short pause lets a broken link be noticed.
                    await asyncio.sleep(0.05)
                    await self._revive(link)
                else:
                    return Stored(int(answer["seq"]), bool(answer.get("duplicate", False)))

    async def _revive(self, link: Link) -> None:
        """A link that lives although nobody answers: the stream was deleted under it."""
        if not link.closed.done():
            with contextlib.suppress(Unavailable, api.ApiError):
                await self._prepare(link)

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[JetStreamDeliveries]:
        deliveries = JetStreamDeliveries(subscription, self._connection, self._readers, self._log)
        try:
            await deliveries.open()
            yield deliveries
        finally:
            await deliveries.aclose()

    async def state(self, name: str) -> JetStreamState:
        if name not in self._buckets:
            link = await self._connection.link()
            await streams.ensure_bucket(link, self._bucket(name), self._stream.replicas)
            self._buckets[name] = JetStreamState(self._bucket(name), self._connection.link)
        return self._buckets[name]

    async def dead_letters(self) -> JetStreamDeadLetters:
        if self._letters is None:
            await self._ensure_letters(await self._connection.link())
            self._letters = JetStreamDeadLetters(
                subjects.bucket(self._namespace, DEAD_LETTERS),
                self._connection.link,
                self._ensure_letters,
                lambda: self.max_event_bytes,
            )
        return self._letters

    async def _ensure_letters(self, link: Link) -> None:
        if not self._is_guest:
            name = subjects.bucket(self._namespace, DEAD_LETTERS)
            await streams.ensure_dead_letters(link, name, self._stream.replicas, self._dead_letter_bytes)

    async def session(self) -> LeaseSession:
        if self._session is None:
            self._session = LeaseSession(
                lambda: self.state("leases"), self._log, on_silence=self._connection.drop, is_alone=self._is_alone
            )
            await self._session.start()
        return self._session

    async def stream_created(self) -> str:
        await self._connection.link()
        return self._created

    async def read(self, sequence: int) -> Delivery | None:
        link = await self._connection.link()
        try:
            got = await api.call(link, f"STREAM.MSG.GET.{subjects.STREAM}", {"seq": sequence})
        except api.ApiError as error:
            if error.code == api.NO_MESSAGE:
                return None
            raise
        data = base64.b64decode(got["message"]["data"])
        position = Position(self._created, sequence, nanoseconds_of(str(got["message"]["time"])))
        try:
            return Delivery(from_wire(data), position, len(data))
        except InvalidEvent as error:
            return Delivery(None, position, len(data), str(error), data)

    async def former(self, reader: FormerReader, on_wait: Callable[[str], None]) -> Former | None:
        return await former.read(await self._connection.link(), reader, on_wait, quiet=self._former_quiet)

    async def dismiss(self, pins: Sequence[str]) -> None:
        for pin in pins:
            await former.dismiss(await self._connection.link(), pin)

    async def forget(self, name: str) -> None:
        await Consumers(name, sys.maxsize, []).sweep(await self._connection.link(), "")

    @property
    def max_event_bytes(self) -> int:
        return self._max_payload - _RESERVED

    @property
    def health(self) -> Health:
        return self._connection.health

    def on_change(self, callback: Callable[[Health], None]) -> None:
        self._connection.on_change(callback)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()
        await self._connection.aclose()
