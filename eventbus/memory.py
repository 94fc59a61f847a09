"""The bus in memory: the same contract, for tests, dry runs and explaining. Nothing survives the process.

`MemoryBroker` is what a server is to JetStream; each `MemoryBus` is one process's connection to it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from eventbus import dead_letters, subjects
from eventbus.base import Delivery, Entry, Health, Position, Start, Stored, Subscription
from eventbus.dead_letters import DeadLetter, Figures, Filter, Listed
from eventbus.former import FormerReader
from eventbus.session import LeaseSession, boot_time
from events.errors import Conflict, InvalidEvent, TooLarge, Unavailable
from events.event import Event, from_wire, to_wire
from events.logs import Log

MAX_EVENT_BYTES = (1 << 20) - 4096
_DUPLICATE_SECONDS = 300.0


class _Letter(NamedTuple):
    """A dead letter as it is stored."""

    cursor: int
    head: bytes
    bodies: list[bytes]

    @property
    def size(self) -> int:
        return len(self.head) + sum(map(len, self.bodies))

    @property
    def envelope(self) -> dead_letters.Envelope:
        return dead_letters.decode_head(self.head, self.cursor)


class MemoryBroker:
    """Events and values that several buses share."""

    def __init__(self, *, clock: Callable[[], float] = boot_time) -> None:
        self.clock = clock
        self._lives = itertools.count(1)
        self.arrived = asyncio.Condition()
        self.dead_letter_bytes = dead_letters.MAX_BYTES
        self.wipe()

    def wipe(self) -> None:
        """Lose everything: the next stream is another one."""
        self._revisions = itertools.count(1)
        self.created = f"{time.time_ns()}-{next(self._lives)}"
        self.first = 1
        self.stored: list[tuple[int, str, bytes, int]] = []  # sequence, subject, wire, Unix nanoseconds
        self.ids: dict[str, tuple[int, float]] = {}
        self.values: dict[str, dict[str, Entry]] = {}
        self.letters: dict[str, _Letter] = {}
        self._last = 0

    def lose_tail(self, count: int) -> None:
        """Lose the newest `count` events, as a broker does that lost its power before it wrote them."""
        del self.stored[len(self.stored) - count :]
        self._last = self.stored[-1][0] if self.stored else 0
        self.ids = {key: seen for key, seen in self.ids.items() if seen[0] <= self._last}

    def append(self, subject: str, wire: bytes, identity: str = "") -> Stored:
        """Store one message; `identity` seen within the window is a duplicate."""
        now = self.clock()
        known = self.ids.get(identity) if identity else None
        if known is not None and now - known[1] < _DUPLICATE_SECONDS:
            return Stored(known[0], duplicate=True)
        self._last += 1
        before = self.stored[-1][3] if self.stored else 0
        self.stored.append((self._last, subject, wire, max(time.time_ns(), before + 1)))
        if identity:
            self.ids[identity] = (self._last, now)
        return Stored(self._last)

    @property
    def last(self) -> int:
        """Sequence of the newest event."""
        return self._last

    def after(self, sequence: int) -> int:
        """Index of the first stored event after `sequence`."""
        return bisect_right(self.stored, sequence, key=lambda item: item[0])

    def revision(self) -> int:
        """The next revision of any value."""
        return next(self._revisions)


class MemoryState:
    """One bucket of the broker."""

    def __init__(self, broker: MemoryBroker, bucket: str, reach: Callable[[], Awaitable[None]]) -> None:
        self._broker, self._bucket, self._reach = broker, bucket, reach

    def _values(self) -> dict[str, Entry]:
        return self._broker.values.setdefault(self._bucket, {})

    async def get(self, key: str) -> Entry | None:
        await self._reach()
        return self._values().get(key)

    async def create(self, key: str, value: bytes) -> int:
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        await self._reach()
        entry = self._values().get(key)
        if (entry.revision if entry else 0) != revision:
            raise Conflict(f"{key}: revision {entry.revision if entry else 0}, not {revision}")
        return await self.put(key, value)

    async def put(self, key: str, value: bytes) -> int:
        await self._reach()
        entry = Entry(key, value, self._broker.revision())
        self._values()[key] = entry
        return entry.revision

    async def purge(self, key: str) -> None:
        await self._reach()
        self._values().pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        await self._reach()
        return sorted(key for key in self._values() if key.startswith(prefix))


class MemoryDeadLetters:
    """The dead letters of the broker."""

    def __init__(self, broker: MemoryBroker, reach: Callable[[], Awaitable[None]]) -> None:
        self._broker, self._reach = broker, reach

    async def add(self, letter: DeadLetter) -> None:
        await self._reach()
        letters = self._broker.letters
        if letter.id in letters:
            return
        head, bodies = dead_letters.encode(letter, MAX_EVENT_BYTES)
        letters[letter.id] = _Letter(self._broker.revision(), head, bodies)
        used = sum(one.size for one in letters.values())
        while used > self._broker.dead_letter_bytes:
            used -= letters.pop(next(iter(letters))).size

    async def page(self, where: Filter | None = None, *, limit: int = 100, after: int = 0) -> list[Listed]:
        await self._reach()
        later = (one.envelope.listed for one in self._broker.letters.values() if one.cursor > after)
        return list(itertools.islice((one for one in later if where is None or where.accepts(one)), limit))

    async def get(self, identity: str) -> DeadLetter | None:
        await self._reach()
        found = self._broker.letters.get(identity)
        return None if found is None else found.envelope.open(found.bodies)

    async def remove(self, identity: str) -> None:
        await self._reach()
        self._broker.letters.pop(identity, None)

    async def figures(self) -> Figures:
        await self._reach()
        letters = list(self._broker.letters.values())
        return Figures(
            messages=sum(1 + len(one.bodies) for one in letters),
            bytes=sum(one.size for one in letters),
            max_bytes=self._broker.dead_letter_bytes,
            first=letters[0].cursor if letters else 0,
            last=letters[-1].cursor if letters else 0,
        )


class MemoryDeliveries:
    """Reads the broker's events from a position on."""

    def __init__(self, subscription: Subscription, bus: MemoryBus) -> None:
        self._bus, self._broker = bus, bus.broker
        self._subjects = {subjects.subject(*topic) for topic in subscription.topics}
        self._start = self._after = self._resolve(subscription.after)

    def _resolve(self, after: Position | Start | object) -> Position:
        broker = self._broker
        if isinstance(after, Position):
            return after
        if isinstance(after, Start):
            return Position(broker.created, broker.last if after is Start.NEW else 0)
        stored_ns = int(after.timestamp() * 1e6) * 1000  # type: ignore[attr-defined]  # a datetime
        earlier = [item[0] for item in broker.stored if item[3] < stored_ns]
        return Position(broker.created, earlier[-1] if earlier else 0)

    @property
    def start(self) -> Position:
        return self._start

    @property
    def ready(self) -> int:
        return self.pending if self._bus.connected.is_set() else 0

    @property
    def pending(self) -> int:
        index = self._index()
        return sum(1 for item in self._broker.stored[index:] if item[1] in self._subjects)

    def _index(self) -> int:
        """Where to go on in the broker's list; a stream that began anew or lost its tail is recognised."""
        broker, after = self._broker, self._after
        if after.stream_created != broker.created:
            return 0
        index = broker.after(after.sequence)
        before = broker.stored[index - 1] if index else None
        is_same = before is not None and before[0] == after.sequence and before[3] == after.stored_ns
        if after.stored_ns and not is_same and (before is None or before[0] <= after.sequence):
            return next((i for i, item in enumerate(broker.stored) if item[3] > after.stored_ns), len(broker.stored))
        return index

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while True:
            for delivery in await self.next_batch(1):
                yield delivery

    async def next_batch(self, limit: int = 256) -> list[Delivery]:
        while True:
            await self._bus.connected.wait()
            async with self._broker.arrived:
                if batch := self._take(limit):
                    return batch
                await self._broker.arrived.wait()

    def _take(self, limit: int) -> list[Delivery]:
        batch = []
        for sequence, subject, wire, stored_ns in self._broker.stored[self._index() :]:
            if subject in self._subjects:
                self._after = Position(self._broker.created, sequence, stored_ns)
                batch.append(_delivery(wire, self._after))
                if len(batch) == limit:
                    break
        return batch

    def checkpointed(self, position: Position) -> None:
        """Nothing to forget: the broker keeps everything."""


def _delivery(wire: bytes, position: Position) -> Delivery:
    try:
        return Delivery(from_wire(wire), position, len(wire))
    except InvalidEvent as error:
        return Delivery(None, position, len(wire), str(error), wire)


class MemoryBus:
    """One process's connection to a broker."""

    def __init__(self, broker: MemoryBroker | None = None, *, log: Log | None = None) -> None:
        self.broker = broker or MemoryBroker()
        self._log = log or Log("eventbus")
        self.connected = asyncio.Event()
        self.connected.set()
        self._callbacks: list[Callable[[Health], None]] = []
        self._session: LeaseSession | None = None

    def cut(self) -> None:
        """Lose the connection, until `mend`."""
        self.connected.clear()
        self._tell()

    def mend(self) -> None:
        """Have the connection again."""
        self.connected.set()
        self._tell()

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback(self.health)

    async def reach(self) -> None:
        """Returns once the broker can be reached; Unavailable after a while."""
        if self.connected.is_set():
            return
        try:
            async with asyncio.timeout(1):
                await self.connected.wait()
        except TimeoutError as error:
            raise Unavailable("the bus is away") from error

    async def publish(self, event: Event) -> Stored:
        subject, wire = subjects.subject(event.source, event.subject), to_wire(event)
        if len(wire) > MAX_EVENT_BYTES:
            raise TooLarge(f"the event has {len(wire)} bytes; the bus takes {MAX_EVENT_BYTES}")
        await self.reach()
        stored = self.broker.append(subject, wire, f"{event.source}/{event.subject}/{event.id}")
        async with self.broker.arrived:
            self.broker.arrived.notify_all()
        return stored

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[MemoryDeliveries]:
        await self.reach()
        yield MemoryDeliveries(subscription, self)

    async def state(self, name: str) -> MemoryState:
        await self.reach()
        return MemoryState(self.broker, name, self.reach)

    async def dead_letters(self) -> MemoryDeadLetters:
        await self.reach()
        return MemoryDeadLetters(self.broker, self.reach)

    async def session(self) -> LeaseSession:
        if self._session is None:
            self._session = LeaseSession(
                lambda: self.state("leases"), self._log, on_silence=_ignore, clock=self.broker.clock
            )
            await self._session.start()
        return self._session

    async def stream_created(self) -> str:
        await self.reach()
        return self.broker.created

    async def read(self, sequence: int) -> Delivery | None:
        await self.reach()
        index = self.broker.after(sequence - 1)
        if index == len(self.broker.stored) or self.broker.stored[index][0] != sequence:
            return None
        _, _, wire, stored_ns = self.broker.stored[index]
        return _delivery(wire, Position(self.broker.created, sequence, stored_ns))

    async def former(self, _reader: FormerReader, _on_wait: Callable[[str], None]) -> None:
        """Nobody else has ever read this bus."""
        await self.reach()

    async def forget(self, _name: str) -> None:
        """Nothing is kept for readers."""

    async def dismiss(self, _pins: Sequence[str]) -> None:
        await self.reach()

    @property
    def max_event_bytes(self) -> int:
        return MAX_EVENT_BYTES

    @property
    def health(self) -> Health:
        return Health(connected=self.connected.is_set(), detail="" if self.connected.is_set() else "the bus is away")

    def on_change(self, callback: Callable[[Health], None]) -> None:
        self._callbacks.append(callback)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()


async def _ignore(_reason: str) -> None:
    """Nothing to drop: there is no connection."""
