"""Run one EventSource: each of its events as a task that is started again for ever; wrap and publish (steps 2 to 4).

Events of active-passive kinds run under ownership, so that of several replicas one listens; the others run everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from eventbus import subjects
from eventbus.base import Bus, Lease, Session
from eventbus.scoped import ScopedState
from events.backoff import Endless
from events.clients import Clients
from events.errors import BusError, CredentialError, InvalidObject, KeryxError, NotAvailable, UserError
from events.event import published
from events.findings import CREDENTIALS, FORBIDDEN, OF_EVENT_SOURCES, SOURCES_WORKING, Findings, Whose
from events.kube.permissions import Forbidden
from events.logs import Log
from events.metrics import Metrics
from events.problems import Problems
from events.process import Readiness
from eventsources import filters, types
from eventsources.base import NOT_RUN, Clock, Source, SourceContext
from eventsources.registry import SOURCES
from eventsources.webhooks import HttpEndpoints

FAILING = "SourceFailing"
_HEALTHY_SECONDS = 30.0
_WIND_UP_SECONDS = 10.0
_RELEASE_SECONDS = 2.0
"""Given on top of the wind-up, so that ownership is given up too."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Looks at the wall clock at least once a minute: it may be set, and the machine may sleep."""
        while True:
            left = (moment - self.now()).total_seconds()
            if left <= 0:
                return
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
    clock: Clock = field(default_factory=SystemClock)
    session: Callable[[], Awaitable[Session]] | None = None
    """Where ownership comes from, if not from the bus."""
    findings: Findings = field(default_factory=Findings)


class EventRunner:
    """One event of one EventSource."""

    def __init__(self, source: Source[Any], key: str, name: str, owner: str, shared: Shared) -> None:
        self.source, self.name, self._owner, self._shared = source, name, owner, shared
        self._log = shared.log.bind(eventSourceName=owner, eventSourceType=key, eventName=name)
        self._part = f"event source {shared.namespace}/{owner} {name}"
        metrics, labels = shared.metrics, (shared.namespace, owner, name)
        self._sent = metrics.events_sent.labels(*labels)
        self._sent_failed = metrics.events_sent_failed.labels(*labels)
        self._processing_failed = metrics.events_processing_failed.labels(*labels)
        self._duration = metrics.event_processing_duration.labels(*labels)
        self._duplicates = metrics.events_duplicate.labels(*labels)
        self._publish_seconds = metrics.publish_seconds.labels(*labels)
        self._running = metrics.running.labels(shared.namespace, owner)
        self._gate = self._make_gate(labels)
        self._lease: Lease | None = None
        self._pauses = Endless(0.2, 30)
        self._failures = 0
        self._proof: asyncio.TimerHandle | None = None
        """Set while the source listens: when it fires, this start has gone well."""
        self._reported: set[type[BaseException] | None] = set()
        """Kinds of failure that were logged since it last went well."""
        shared.readiness.waiting(self._part, "not listening yet")

    def _make_gate(self, labels: tuple[str, ...]) -> filters.Gate | None:
        chosen = filters.compiled(self.source.spec)
        if chosen is None:
            return None
        filtered = self._shared.metrics.events_filtered
        series = {reason: filtered.labels(*labels, reason) for reason in ("false", "error")}
        return filters.Gate(chosen, lambda reason: series[reason].inc(), self._log)

    def excuse(self) -> None:
        """Nobody waits for it to listen: another replica does, or the event is not wanted any more."""
        self._shared.readiness.ready(self._part)

    async def run(self, lease: Lease | None = None) -> None:
        """Listen for ever: any end but a cancellation is followed by a pause and another start.

        With a lease, nothing is published once it is over, also before the cancellation arrives.
        """
        self._lease = lease
        context = self._context()
        try:
            while True:
                error = await self._listen(context)
                await asyncio.sleep(self._on_failed(error))
        finally:
            self._shared.findings.clear(SOURCES_WORKING, self.name)
            self._shared.readiness.waiting(self._part, "not listening")

    async def _listen(self, context: SourceContext) -> BaseException | None:
        """One start of the source; what ended it, None when it returned."""
        try:
            await self.source.listen(context)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error  # a task of the source's own was cancelled, not the source
        except Exception as error:  # noqa: BLE001 - the adapter's defect is its event's problem only
            return error
        finally:
            if self._proof is not None:
                self._proof.cancel()
                self._proof = None
                self._running.dec()
        return None

    def _on_started(self) -> None:
        if self._proof is not None:
            return
        self._proof = asyncio.get_running_loop().call_later(_HEALTHY_SECONDS, self._on_healthy)
        self._running.inc()
        self._shared.readiness.ready(self._part)
        if not self._reported:
            self._log.info("Eventing server started.")

    def _on_healthy(self) -> None:
        """Some time after a start, so that one that fails after each start does not write two lines each time."""
        self._pauses.reset()
        self._failures = 0
        self._shared.findings.clear(SOURCES_WORKING, self.name)
        if self._reported:
            self._reported.clear()
            self._log.info("The event source runs again")

    def _on_failed(self, error: BaseException | None) -> float:
        """Say what ended the source, once per kind until it has gone well again; the pause before the next start."""
        pause, reason, kind = self._pauses.next(), _reason(error), type(error) if error else None
        self._shared.readiness.waiting(self._part, reason)
        self._note(error, reason)
        if kind not in self._reported:
            self._reported.add(kind)
            text = "The event source ended; it is started again until it stays"
            if error is None or _is_foreseen(error):
                self._log.warning(text, reason=reason, seconds=round(pause, 1))
            else:
                self._log.exception(text, error, reason=reason, seconds=round(pause, 1))
        return pause

    def _note(self, error: BaseException | None, reason: str) -> None:
        """One failure may be a connection that broke; what is not given, or fails again at once, is told."""
        self._failures += 1
        word = _word(error)
        if self._failures > 1 or word != FAILING:
            self._shared.findings.tell(SOURCES_WORKING, self.name, word, reason)

    def _on_trouble(self, error: KeryxError | None) -> None:
        if error is None:
            self._shared.findings.clear(SOURCES_WORKING, self.name)
        else:
            self._shared.findings.tell(SOURCES_WORKING, self.name, _word(error), str(error))

    def _context(self) -> SourceContext:
        shared = self._shared
        return SourceContext(
            namespace=shared.namespace,
            source_name=self._owner,
            event_name=self.name,
            emit=self._emit,
            state=ScopedState(shared.bus, "source", self._owner, self.name),
            http=shared.http,
            clock=shared.clock,
            log=self._log,
            secrets=shared.clients.credentials,
            kube=shared.clients.kube,
            started=self._on_started,
            failed=self._processing_failed.inc,
            trouble=self._on_trouble,
            owns=lambda: self._lease is None or self._lease.held,
        )

    async def _emit(self, data: bytes, *, id: str = "") -> None:
        """Filter, wrap and publish: the contract's `Emit`."""
        began = time.perf_counter()
        if self._gate is not None and not self._gate.passes(data):
            return
        event = published(source=self._owner, subject=self.name, type=self.source.event_type, data=data, id=id)
        try:
            if self._lease is not None:
                self._lease.require()
            stored = await self._shared.bus.publish(event)
        except BaseException:  # also a cancellation: that is how a sender's deadline ends it
            self._processing_failed.inc()
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
        self._part = f"event source {shared.namespace}/{self.name}"
        meta = event_source.metadata
        shared.findings.speak_for(Whose(types.KIND, shared.namespace, self.name, meta.uid or ""), OF_EVENT_SOURCES)
        self._everywhere: list[EventRunner] = []
        self._one_place: list[EventRunner] = []
        for key, events in event_source.spec.sources.items():
            for name, raw in events.items():
                self._add(key, name, raw)

    def _add(self, key: str, name: str, raw: Any) -> None:
        """Make an event ready to run; one that cannot is left out, its siblings are not harmed."""
        log = self._log.bind(eventSourceType=key, eventName=name)
        try:
            subjects.subject(self.name, name)
            kind = SOURCES.load(key)
            if not issubclass(kind, Source):
                raise NotAvailable(NOT_RUN)
            spec, problems = kind.Spec.parse(raw, lenient=True), Problems()
            kind.validate(spec, problems)
            filters.validate(spec, problems)
            if problems.errors:
                raise InvalidObject(problems.errors)
            source = kind(spec)
        except UserError as error:
            log.error("The event is not started", reason=str(error))
            self._shared.findings.tell(SOURCES_WORKING, name, "NotStarted", str(error))
            return
        except Exception as error:
            log.exception("The event is not started", error)
            return
        runner = EventRunner(source, key, name, self.name, self._shared)
        (self._one_place if kind.active_passive else self._everywhere).append(runner)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then the sources are cancelled and get a while to wind up."""
        tasks = [asyncio.create_task(runner.run(), name=f"event {runner.name}") for runner in self._everywhere]
        if self._one_place:
            tasks.append(asyncio.create_task(self._run_owned(), name=self._part))
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._wind_up(tasks, _WIND_UP_SECONDS + _RELEASE_SECONDS if self._one_place else _WIND_UP_SECONDS)
            for runner in (*self._everywhere, *self._one_place):
                runner.excuse()
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()  # none ends by itself: a defect of this module

    async def _run_owned(self) -> None:
        """One term of ownership after another."""
        pauses, is_failing = Endless(0.1, 5), False
        while True:
            try:
                session = await (self._shared.session or self._shared.bus.session)()
                async with session.own(self._part, self._stand_by) as lease:
                    pauses.reset()
                    is_failing = False
                    self._log.info("I'm the LEADER, starting ...")
                    left = await self._lead(lease)
                if left:
                    await asyncio.wait(left)  # a second start beside a first that will not end would be two listeners
            except BusError as error:
                self._log.debug("Not leading", reason=str(error))
                await asyncio.sleep(pauses.next())
            except Exception as error:  # noqa: BLE001 - the process never ends because of one object
                if not is_failing:
                    self._log.exception("Cannot lead; tried again until it works", error)
                is_failing = True
                await asyncio.sleep(pauses.next())

    async def _lead(self, lease: Lease) -> set[asyncio.Task[None]]:
        """Run the events until the lease is over; the tasks that do not end in time after that."""
        tasks = [asyncio.create_task(runner.run(lease), name=f"event {runner.name}") for runner in self._one_place]
        try:
            await lease.lost()
        finally:
            left = await self._wind_up(tasks, _WIND_UP_SECONDS)
        return left

    async def _wind_up(self, tasks: Sequence[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
        """Cancel, wait; the tasks that are still there."""
        for task in tasks:
            task.cancel()
        if not tasks:
            return set()
        _, left = await asyncio.wait(tasks, timeout=seconds)
        for task in left:
            self._log.error("Does not stop", what=task.get_name(), seconds=seconds)
        return left

    def _stand_by(self) -> None:
        for runner in self._one_place:
            runner.excuse()


def _word(error: BaseException | None) -> str:
    """What kind of failure it is, as the reason of a condition."""
    if isinstance(error, BaseExceptionGroup):
        words = {_word(part) for part in error.exceptions}
        return words.pop() if len(words) == 1 else FAILING
    if isinstance(error, Forbidden):
        return FORBIDDEN
    return CREDENTIALS if isinstance(error, CredentialError) else FAILING


def _is_foreseen(error: BaseException) -> bool:
    """Whether it is about the world outside or the object, not about a defect: no traceback then."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_foreseen(part) for part in error.exceptions)
    return isinstance(error, KeryxError | OSError)


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "it ended by itself"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(part) for part in error.exceptions)
    return str(error) if isinstance(error, KeryxError) else f"{type(error).__name__}: {error}"
