"""Run one trigger while its sensor is owned: take over its checkpoint, open its subscription, run its line.

Take-over is: read head and slots, write the head with the next epoch, open the consumer. Nobody claims or acts before
that write succeeded, so of two owners that believe in themselves only one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from eventbus.base import Bus, Deliveries, Lease, Start, Subscription
from eventbus.dead_letters import redrive_topic
from eventbus.former import FormerReader
from events.backoff import Endless
from events.errors import BusError, NotOwner, Unavailable
from events.logs import Log
from events.metrics import Metrics
from sensors.checkpoint import Checkpoint, CorruptCheckpoint, new_writer
from sensors.checkpoint_store import CheckpointStore, keep_only, reader
from sensors.concurrency import Concurrency
from sensors.dead_letters import DeadLetterDesk
from sensors.decision import Decision, Outcome, Recorder
from sensors.firing import Action
from sensors.former import Upstream, take_over
from sensors.head_writer import HeadWriter
from sensors.health import TriggerHealth
from sensors.lines import AtLeastOnceLine, AtMostOnceLine, Line, OverlappingLine, Parts, interrupted
from sensors.pipeline import Pipeline
from sensors.progress import Followed

_CORRUPT_SECONDS = 60.0
_STEADY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One trigger, compiled."""

    name: str
    pipeline: Pipeline
    action: Action
    is_at_least_once: bool
    topics: tuple[tuple[str, str], ...]
    signatures: dict[str, str]
    recorder: Recorder
    concurrency: Concurrency = field(default_factory=Concurrency)
    health: TriggerHealth = field(default_factory=TriggerHealth)
    upstream: Upstream | None = None
    """What it was to Argo Events' own sensor, when there may have been one."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs the triggers: names, and where a trigger without a checkpoint starts."""

    namespace: str
    sensor: str
    uid: str
    since: datetime | Start
    grace: float


class TriggerRunner:
    """One trigger of one sensor in this process; outlives losing and regaining ownership."""

    def __init__(
        self,
        plan: Plan,
        owner: Owner,
        bus: Bus,
        metrics: Metrics,
        log: Log,
        on_subscribed: Callable[[str], None],
        on_wait: Callable[[str, str], None] = lambda _trigger, _reason: None,
    ) -> None:
        self.plan, self._owner, self._bus, self._metrics = plan, owner, bus, metrics
        self._log = log.bind(triggerName=plan.name)
        self._on_subscribed, self._on_wait, self._waited_for = on_subscribed, on_wait, ""
        self._lag = metrics.lag.labels(owner.namespace, owner.sensor, plan.name)
        self.progress: Followed | None = None
        """How far it is, while it is run here."""
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._writer = new_writer()
        # What this process knows of the trigger. It counts for more than a head that this process wrote, which may be
        # older when the bus was away, and it is all there is when the bus comes back without its data.
        self._known: Checkpoint | None = None

    def start(self, lease: Lease) -> asyncio.Task[None]:
        """Run under `lease`, until `stop`, or until the lease is over."""
        self._is_stopping = False
        self._task = asyncio.create_task(self._run(lease), name=f"trigger {self.plan.name}")
        return self._task

    def stop(self) -> None:
        """Start nothing new; what runs gets its grace."""
        self._is_stopping = True
        if self._line is not None:
            self._line.stop()
        elif self._task is not None:
            self._task.cancel()

    async def _run(self, lease: Lease) -> None:
        loop, pauses = asyncio.get_running_loop(), Endless(0.1, 5)
        while lease.held and not self._is_stopping:
            started = loop.time()
            try:
                await self._own(lease)
            except NotOwner as error:
                self._log.debug("Not the owner of the trigger any more", reason=str(error))
            except CorruptCheckpoint as error:
                self._log.error("The trigger stands still", reason=str(error), retrySeconds=_CORRUPT_SECONDS)
                await asyncio.sleep(_CORRUPT_SECONDS)
            except Unavailable as error:
                self._log.debug("The bus is away", reason=str(error))
            except BusError as error:
                self._log.warning("The bus refuses; the trigger starts again", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours must not end the trigger for good
                self._log.exception("The trigger starts again after a defect", error)
            if loop.time() - started > _STEADY_SECONDS:
                pauses.reset()
            if not self._is_stopping:
                await asyncio.sleep(pauses.next())

    async def _own(self, lease: Lease) -> None:
        """Take over, and run until stopped or not the owner any more."""
        async with self._taken_over(lease) as line:
            self._line = line
            try:
                self._on_subscribed(self.plan.name)
                await line.run()
            finally:
                self._line = None

    @asynccontextmanager
    async def _taken_over(self, lease: Lease) -> AsyncIterator[Line]:
        """The line, ready to run; the consumer is closed afterwards."""
        plan, owner = self.plan, self._owner
        state = await self._bus.state("state")
        store = CheckpointStore(state, lease, owner.sensor, plan.name, uid=owner.uid, writer=self._writer)
        letters = self._letters(lease)
        checkpoint = await self._resumed(store, letters) or await self._inherited(store)
        after = checkpoint.applied if checkpoint else owner.since
        name = reader(owner.namespace, owner.sensor, plan.name)
        topics = (*plan.topics, redrive_topic(owner.sensor, plan.name))
        async with self._bus.subscribe(Subscription(name, topics, after, store.epoch)) as deliveries:
            if checkpoint is None:
                checkpoint = Checkpoint(deliveries.start)
                await store.save(checkpoint)
            self._known = checkpoint
            if checkpoint.pins:
                # Not earlier: until our consumer stands, theirs make a stream of interest keep what comes.
                await self._bus.dismiss(checkpoint.pins)
                checkpoint.pins = ()
                await store.save(checkpoint)
            self.progress = followed = Followed(deliveries, checkpoint)
            self._lag.set_function(lambda: followed.lag)
            try:
                yield self._new_line(checkpoint, store, followed, lease, letters)
            finally:
                self.progress = None
                self._lag.set_function(lambda: 0)

    def _letters(self, lease: Lease) -> DeadLetterDesk:
        owner = self._owner
        return DeadLetterDesk(
            self._bus,
            self.plan.pipeline,
            lease,
            self._metrics,
            self._log,
            namespace=owner.namespace,
            sensor=owner.sensor,
            trigger=self.plan.name,
            on_kept=self.plan.health.kept,
        )

    async def _resumed(self, store: CheckpointStore, letters: DeadLetterDesk) -> Checkpoint | None:
        """Where to go on, durable under our epoch; None at the first start."""
        found = await store.load()
        is_known = self._known is not None and (found is None or store.is_own)
        left = self._known if is_known else found
        # Kept as it is until what follows from it is durable: only then its ends are told, and only once.
        self._known = left
        if left is None:
            return None
        checkpoint, ends = self._settled(left)
        if not is_known:
            ends += _lost(store)
        await letters.interrupted(left, ends)
        await store.save(checkpoint)
        self._known = checkpoint
        for decision in ends:
            self.plan.recorder.record(decision)
        failed = sum(decision.outcome is Outcome.FAILED for decision in ends)
        if failed:
            text = "Firings were interrupted, or events lost by the bus; nothing is repeated, see the dead letters"
            self._log.warning(text, count=failed)
        return checkpoint

    async def _inherited(self, store: CheckpointStore) -> Checkpoint | None:
        """At the first start: what Argo Events' own sensor left, durable before anything is acted on."""
        plan, owner = self.plan, self._owner
        if plan.upstream is None:
            return None
        reader = FormerReader(owner.sensor, plan.name, plan.upstream.topics)
        found = await take_over(self._bus, store, reader, plan.upstream, plan.signatures, self._wait, self._log)
        if found is None:
            return None
        self._known, ends = found
        for decision in ends:
            plan.recorder.record(decision)
        return self._known

    def _wait(self, reason: str) -> None:
        if reason != self._waited_for:
            self._waited_for = reason
            self._log.info("Waiting", reason=reason)
            self._on_wait(self.plan.name, reason)

    def _settled(self, left: Checkpoint) -> tuple[Checkpoint, list[Decision]]:
        """What was left, brought to this spec: edits drop what waits, claims without outcome are not repeated."""
        checkpoint, dropped = keep_only(left, self.plan.signatures)
        detail = "its dependency was edited"
        ends = [
            Decision(Outcome.RESET, waiting.sequence, waiting.event.id, name, reason="edited", detail=detail)
            for name, waiting in dropped
        ]
        return checkpoint, ends + interrupted(checkpoint)

    def _new_line(
        self,
        checkpoint: Checkpoint,
        store: CheckpointStore,
        deliveries: Deliveries,
        lease: Lease,
        letters: DeadLetterDesk,
    ) -> Line:
        plan = self.plan
        parts = Parts(
            pipeline=plan.pipeline,
            action=plan.action,
            checkpoint=checkpoint,
            writer=HeadWriter(checkpoint, store, deliveries),
            deliveries=deliveries,
            lease=lease,
            letters=letters,
            report=plan.recorder.record,
            concurrency=plan.concurrency,
            log=self._log,
            grace=self._owner.grace,
            is_careful=store.has_died,
        )
        if store.has_died:
            self._log.info("The owner before ended without a word; the next events are taken one at a time")
        if not plan.is_at_least_once:
            return AtMostOnceLine(parts)
        return OverlappingLine(parts) if plan.concurrency.most > 1 else AtLeastOnceLine(parts)


def _lost(store: CheckpointStore) -> list[Decision]:
    """Pending events that the bus no longer has: it lost its power before it had written them."""
    detail = "it waited for others, and the bus has lost it"
    return [
        Decision(Outcome.FAILED, ref.sequence, dependency=name, reason="lost", detail=detail)
        for name, ref in store.lost.items()
    ]
