"""Run one EventSource: each of its events as a task that is started again for ever; wrap and publish (steps 2 to 4).

Events of active-passive kinds run under ownership, so that of several replicas one listens; the others run everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventbus.base import Bus
from eventbus.scoped import ScopedState
from events.backoff import Endless
from events.clients import Clients
from events.errors import BusError, KeryxError, UserError
from events.event import Event, new_id, now_text
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from eventsources import types
from eventsources.base import Source, SourceContext
from eventsources.registry import SOURCES
from eventsources.webhooks import HttpEndpoints

_HEALTHY_SECONDS = 30.0
_WIND_UP_SECONDS = 10.0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Looks at the wall clock at least once a minute: it may be set, and the machine may sleep."""
        while (left := (moment - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, 60.0))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all event sources of a process share."""

    bus: Bus
    clients: Clients
    http: HttpEndpoints
    metrics: Metrics
    readiness: Readiness
    log: Log
    namespace: str


class EventRunner:
    """One event of one EventSource."""

    def __init__(self, source: Source[Any], key: str, name: str, owner: str, shared: Shared) -> None:
        self.source, self.name, self._shared = source, name, shared
        self._owner, self._labels = owner, (shared.namespace, owner, name)
        self._log = shared.log.bind(eventSourceName=owner, eventSourceType=key, eventName=name)
        self._part = f"event source {shared.namespace}/{owner} {name}"
        metrics = shared.metrics
        self._sent = metrics.events_sent.labels(*self._labels)
        self._sent_failed = metrics.events_sent_failed.labels(*self._labels)
        self._processing_failed = metrics.events_processing_failed.labels(*self._labels)
        self._duration = metrics.event_processing_duration.labels(*self._labels)
        self._duplicates = metrics.events_duplicate.labels(*self._labels)
        self._publish_seconds = metrics.publish_seconds.labels(*self._labels)
        self._running = metrics.running.labels(shared.namespace, owner)
        shared.readiness.waiting(self._part, "not listening yet")

    def stand_by(self) -> None:
        """Another replica listens: that is as ready as this one gets."""
        self._shared.readiness.ready(self._part)

    async def run(self) -> None:
        """Listen for ever: any end but a cancellation is followed by a pause and another start."""
        pauses, is_failing = Endless(0.2, 30), False
        context = self._context(lambda: self._on_started(is_failing))
        self._running.inc()
        try:
            while True:
                started = time.monotonic()
                try:
                    await self.source.listen(context)
                    reason = "it ended by itself"
                except KeryxError as error:
                    reason = str(error)
                except Exception as error:  # noqa: BLE001 - the adapter's defect is its event's problem only
                    self._log.exception("The event source failed", error)
                    reason = repr(error)
                if time.monotonic() - started > _HEALTHY_SECONDS:
                    pauses.reset()
                    is_failing = False
                pause = pauses.next()
                if not is_failing:
                    is_failing = True
                    self._processing_failed.inc()
                    self._log.warning("The event source is started again and again", reason=reason, seconds=pause)
                self._shared.readiness.waiting(self._part, reason)
                await asyncio.sleep(pause)
        finally:
            self._running.dec()

    def _on_started(self, is_failing: bool) -> None:  # noqa: FBT001 - called here alone
        self._shared.readiness.ready(self._part)
        self._log.info("Eventing server started.", again=is_failing or None)

    def _context(self, on_started: Callable[[], None]) -> SourceContext:
        shared = self._shared
        return SourceContext(
            namespace=shared.namespace,
            source_name=self._owner,
            event_name=self.name,
            emit=self._emit,
            state=ScopedState(shared.bus, "source", self._owner, self.name),
            http=shared.http,
            clock=SystemClock(),
            log=self._log,
            secrets=shared.clients.credentials,
            kube=shared.clients.kube,
            started=on_started,
        )

    async def _emit(self, data: bytes, *, id: str = "") -> None:
        """Wrap and publish: the contract's `Emit`."""
        began = time.perf_counter()
        event = Event(
            id=id or new_id(),
            source=self._owner,
            type=self.source.event_type,
            subject=self.name,
            data=data,
            time=now_text(),
        )
        try:
            stored = await self._shared.bus.publish(event)
        except BaseException as error:
            self._processing_failed.inc()
            if isinstance(error, BusError | asyncio.CancelledError):  # a sender's deadline cancels
                self._sent_failed.inc()
            raise
        seconds = time.perf_counter() - began
        self._sent.inc()
        self._publish_seconds.observe(seconds)
        self._duration.observe(int(seconds * 1000))
        if stored.duplicate:
            self._duplicates.inc()
        if self._log.is_debug():
            self._log.debug("Succeeded to publish an event", eventID=event.id, sequence=stored.sequence)


class EventSourceService:
    """One EventSource in this process."""

    def __init__(self, event_source: types.EventSource, shared: Shared) -> None:
        self.name = event_source.metadata.name
        self._shared = shared
        self._log = shared.log.bind(eventSourceName=self.name)
        self._everywhere: list[EventRunner] = []
        self._one_place: list[EventRunner] = []
        for key, events in event_source.spec.sources.items():
            for name, raw in events.items():
                self._add(key, name, raw)

    def _add(self, key: str, name: str, raw: dict[str, Any]) -> None:
        try:
            kind = SOURCES.load(key)
            runner = EventRunner(kind(kind.Spec.parse(raw, lenient=True)), key, name, self.name, self._shared)
        except UserError as error:
            self._log.error("The event is not started", eventSourceType=key, eventName=name, reason=str(error))
            return
        (self._one_place if kind.active_passive else self._everywhere).append(runner)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then the sources are cancelled and get a while to wind up."""
        tasks = [asyncio.create_task(runner.run(), name=f"event {runner.name}") for runner in self._everywhere]
        if self._one_place:
            tasks.append(asyncio.create_task(self._run_owned(), name=f"event source {self.name}"))
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            stopped.cancel()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_WIND_UP_SECONDS)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _run_owned(self) -> None:
        """One term of ownership after another."""
        pauses = Endless(0.1, 5)
        while True:
            try:
                session = await self._shared.bus.session()
                async with session.own(f"event source {self.name}", self._stand_by) as lease:
                    self._log.info("I'm the LEADER, starting ...")
                    pauses.reset()
                    tasks = [asyncio.create_task(runner.run()) for runner in self._one_place]
                    try:
                        await lease.lost()
                    finally:
                        for task in tasks:
                            task.cancel()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_WIND_UP_SECONDS):
                                await asyncio.gather(*tasks, return_exceptions=True)
            except BusError as error:
                self._log.debug("Not leading", reason=str(error))
                await asyncio.sleep(pauses.next())

    def _stand_by(self) -> None:
        for runner in self._one_place:
            runner.stand_by()
