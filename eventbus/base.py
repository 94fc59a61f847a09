"""The contract of a bus: publish, subscribe from a position, small durable state, ownership (design section 5).

The broker stores and orders; it does not remember for us. A reader keeps its own position, in `State`, and says where
to go on. `jetstream` and `memory` both pass `tests/contract/test_bus.py`.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from eventbus.dead_letters import DeadLetters
from eventbus.former import Former, FormerReader
from events.event import Event


class Start(enum.Enum):
    """Where a subscription without a position begins."""

    NEW = "new"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream: the last event that was taken. `sequence` 0 is before the first.

    `stored_ns`, the time that event was stored (Unix nanoseconds; 0: unknown), recognises a stream that lost its tail;
    `stream_created` one that began anew.
    """

    stream_created: str
    sequence: int
    stored_ns: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """The bus has it. `duplicate`: it had it already, by id."""

    sequence: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One stored event. `event` is None, with `error` and `raw`, when the stored bytes are not a CloudEvent."""

    event: Event | None
    position: Position
    size: int
    error: str = ""
    raw: bytes | None = None

    @property
    def stored_at(self) -> datetime:
        """When the broker stored it, cut to microseconds."""
        return datetime.fromtimestamp(self.position.stored_ns // 1000 / 1e6, UTC)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to read and from where.

    `topics` are (event source name, event name) pairs. `name` and `epoch` name the reader: a subscription of a higher
    epoch replaces those of lower ones.
    """

    name: str
    topics: Sequence[tuple[str, str]]
    after: Position | datetime | Start = Start.NEW
    epoch: int = 1


class Deliveries(Protocol):
    """An open subscription: events in bus order, none skipped, also over reconnects."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def next_batch(self, limit: int = 256) -> list[Delivery]:
        """At least one event, and what else is already here, up to `limit`."""
        ...

    def checkpointed(self, position: Position) -> None:
        """The broker may forget, for this reader, what is at or before `position`."""
        ...

    @property
    def ready(self) -> int:
        """Events that `next_batch` gives without waiting."""
        ...

    @property
    def start(self) -> Position:
        """The position that the subscription really started after."""
        ...

    @property
    def pending(self) -> int:
        """Events stored and not yet handed out, as far as known without asking."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the state with the revision to update it by."""

    key: str
    value: bytes
    revision: int


class State(Protocol):
    """Small durable key-value store. A confirmed write survives the death of any process."""

    async def get(self, key: str) -> Entry | None:
        """The newest value, from the leader; None when there is none."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """Write a key that must not exist; its revision. Conflict, or Unknown when unanswered."""
        ...

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Write a key whose newest revision must be `revision`; the new one. Conflict, or Unknown when unanswered."""
        ...

    async def put(self, key: str, value: bytes) -> int:
        """Write a key, whatever it holds; its revision. For keys with one writer. Unavailable when unanswered."""
        ...

    async def purge(self, key: str) -> None:
        """Remove a key and its history."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        ...


class Lease(Protocol):
    """Something this process owns, as long as it does."""

    @property
    def held(self) -> bool:
        """Whether work may be started now: the deadline has not passed."""
        ...

    async def lost(self) -> None:
        """Returns when the lease is over."""
        ...

    def require(self) -> None:
        """NotOwner unless held."""
        ...


class Session(Protocol):
    """This process's life on the bus; it owns things by name, with a deadline."""

    def own(self, name: str, on_standby: Callable[[], None] | None = None) -> AbstractAsyncContextManager[Lease]:
        """Wait until `name` is free, own it; given up on exit. Only one session owns a name at a time.

        `on_standby` is called once when somebody else owns it now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What a bus can say of itself without asking: for readiness and `keryx status`."""

    connected: bool
    detail: str = ""


class Bus(Protocol):
    """One connection of one process."""

    async def publish(self, event: Event) -> Stored:
        """Returns after the broker has stored it. Unavailable (retry later) or TooLarge."""
        ...

    def subscribe(self, subscription: Subscription) -> AbstractAsyncContextManager[Deliveries]:
        """Open a subscription; closed on exit."""
        ...

    async def state(self, name: str) -> State:
        """The state of that name, made when absent: `state` for checkpoints and cursors, `leases` for ownership."""
        ...

    async def dead_letters(self) -> DeadLetters:
        """What the triggers of this namespace could not handle; the store is made when absent."""
        ...

    async def session(self) -> Session:
        """The one session of this connection, opened at the first call."""
        ...

    async def stream_created(self) -> str:
        """Identity of the stream as it is now: another value means another stream."""
        ...

    async def read(self, sequence: int) -> Delivery | None:
        """One stored event by its sequence; None when the stream no longer has it."""
        ...

    async def former(self, reader: FormerReader, on_wait: Callable[[str], None]) -> Former | None:
        """What Argo Events' own sensor left for a trigger; None when it never had it here.

        Returns only once that sensor reads no more; until then `on_wait` is told why, when the reason changes. What was
        left stays as it is.
        """
        ...

    async def dismiss(self, pins: Sequence[str]) -> None:
        """Have the broker keep nothing more for a former reader. Of what is gone already nothing is said."""
        ...

    async def forget(self, name: str) -> None:
        """Have the broker keep nothing more for the subscriptions of this name: their reader comes no more."""
        ...

    @property
    def max_event_bytes(self) -> int:
        """The largest encoded event that is accepted."""
        ...

    @property
    def health(self) -> Health: ...

    def on_change(self, callback: Callable[[Health], None]) -> None:
        """Have `callback` called at each change of health."""
        ...

    async def aclose(self) -> None:
        """Give up what is owned, close the connection."""
        ...
