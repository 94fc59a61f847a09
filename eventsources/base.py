"""The contract of an event source: `listen(context)` turns what happens outside into `context.emit(data)`.

An adapter is one module (a typed `Spec` and a class), one row in `registry`, one example, one test. It has no retry
loop, no filter, no metrics, no log line per event: `service` does those once for all. It raises; the service backs off
and starts it again. A kind that this version only describes is a `Kind` in the same place: its spec and what is wrong
with one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from pydantic import Field

from eventbus.base import State
from events.credentials import Credentials
from events.errors import KeryxError
from events.logs import Log
from events.model import Model
from events.problems import Problems

if TYPE_CHECKING:
    from events.kube.api import KubeApi
    from eventsources.webhooks import HttpEndpoints


class EventSourceFilter(Model):
    """Which events are published (eventsources 1.9)."""

    needs_expression: ClassVar[bool] = True
    """Whether it says nothing without one."""

    expression: str = Field("", description="Expression over the event's data; only events for which it is true pass.")


class Spec(Model):
    """Base of every source's spec."""


SpecT = TypeVar("SpecT", bound=Spec)


NOT_RUN = "this version of Keryx describes this kind of event source, but does not run it"


class Emit(Protocol):
    """Publish one event; returns once the bus has stored it (or the filter dropped it).

    `data` is the event's JSON document. `id` is the outside's own id, where it has one: a repeat with the same id is
    stored once. Raises Unavailable (the bus is away: do not acknowledge, try later), TooLarge or InvalidEvent (never
    will be stored).
    """

    async def __call__(self, data: bytes, *, id: str = "") -> None: ...


class Clock(Protocol):
    """Time as a source sees it; tests pass their own."""

    def now(self) -> datetime:
        """The time, with UTC as its zone."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Returns when `moment` has come, also after the wall clock was set."""
        ...


@dataclass(frozen=True, slots=True)
class SourceContext:
    """All that a source may touch."""

    namespace: str
    source_name: str
    """Name of the EventSource object."""
    event_name: str
    """Key of the event in the object."""
    emit: Emit
    state: State
    """Durable keys of this event alone: cursors, last times."""
    http: HttpEndpoints
    clock: Clock
    log: Log
    secrets: Credentials
    kube: Callable[[], KubeApi]
    """The Kubernetes API, connected at the first call; UserError when there is none."""
    started: Callable[[], None] = field(default=lambda: None)
    """To be called once the source listens: what makes it ready."""
    failed: Callable[[], None] = field(default=lambda: None)
    """To be called for what arrived and cannot become an event, so never reaches `emit`: it is counted."""
    trouble: Callable[[KeryxError | None], None] = field(default=lambda _: None)
    """To be called when the outside is away and the source waits for it by itself; with None once it is back."""
    owns: Callable[[], bool] = field(default=lambda: True)
    """Whether the event is still this process's: false once another replica may have taken it over."""


class Kind(Generic[SpecT]):
    """What an object may say of one kind of source; without an adapter, this version does not run it."""

    Spec: ClassVar[type[Spec]]
    event_type: ClassVar[str]
    """The CloudEvent type (eventsources 1.2)."""
    active_passive: ClassVar[bool] = True
    """Whether one replica only may run it; the others stand by."""

    @classmethod
    def validate(cls, spec: SpecT, problems: Problems) -> None:
        """What the types cannot say, as problems with paths relative to the spec."""


class Source(Kind[SpecT], ABC):
    """One event of one EventSource."""

    def __init__(self, spec: SpecT) -> None:
        self.spec = spec

    @abstractmethod
    async def listen(self, context: SourceContext) -> None:
        """Run until cancelled. Any exception, and a return, means: back off and start again."""
