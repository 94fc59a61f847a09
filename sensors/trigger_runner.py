"""Run one trigger while its sensor is owned: take over its checkpoint, open its subscription, run its line.

Take-over is: read head and slots, write the head with the next epoch, open the consumer. Nobody claims or acts before that
write succeeded, so of two owners that believe in themselves only one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from eventbus.base import Bus, Deliveries, Lease, Start, Subscription
from events.backoff import Endless
from events.errors import BusError, NotOwner
from events.logs import Log
from events.metrics import Metrics
from sensors.checkpoint import Checkpoint, CorruptCheckpoint
from sensors.checkpoint_store import CheckpointStore, keep_only
from sensors.decision import Decision, Outcome, Recorder
from sensors.firing import Action
from sensors.head_writer import HeadWriter
from sensors.lines import AtLeastOnceLine, AtMostOnceLine, Line, interrupted
from sensors.pipeline import Pipeline

_CORRUPT_SECONDS = 60.0


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
        self, plan: Plan, owner: Owner, bus: Bus, metrics: Metrics, log: Log, on_subscribed: Callable[[str], None]
    ) -> None:
        self.plan, self._owner, self._bus = plan, owner, bus
        self._log = log.bind(triggerName=plan.name)
        self._on_subscribed = on_subscribed
        self._lag = metrics.lag.labels(owner.namespace, owner.sensor, plan.name)
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        # What this process knows of the trigger, for a bus that comes back without its data.
        self._known: Checkpoint | None = None

    def start(self, lease: Lease) -> asyncio.Task[None]:
        """Run under `lease`, until `stop`, or until the lease is over."""
        self._task = asyncio.create_task(self._run(lease), name=f"trigger {self.plan.name}")
        return self._task

    def stop(self) -> None:
        """Start nothing new; what runs gets its grace."""
        if self._line is not None:
            self._line.stop()
        elif self._task is not None:
            self._task.cancel()

    async def _run(self, lease: Lease) -> None:
        pauses = Endless(0.1, 5)
        while lease.held:
            try:
                async with self._taken_over(lease) as line:
                    self._line = line
                    self._on_subscribed(self.plan.name)
                    pauses.reset()
                    await line.run()
                return
            except NotOwner as error:
                self._log.debug("Not the owner of the trigger any more", reason=str(error))
            except CorruptCheckpoint as error:
                self._log.error("The trigger stands still", reason=str(error), retrySeconds=_CORRUPT_SECONDS)
                await asyncio.sleep(_CORRUPT_SECONDS)
            except BusError as error:
                self._log.debug("Taking over the trigger failed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours must not end the trigger for good
                self._log.exception("The trigger starts again after a defect", error)
            finally:
                self._line = None
            await asyncio.sleep(pauses.next())

    @asynccontextmanager
    async def _taken_over(self, lease: Lease) -> AsyncIterator[Line]:
        """The line, ready to run; the consumer is closed afterwards."""
        plan, owner = self.plan, self._owner
        store = CheckpointStore(await self._bus.state("state"), lease, owner.sensor, plan.name, uid=owner.uid)
        checkpoint = await store.load() or self._known
        if checkpoint is not None:
            checkpoint = self._settled(checkpoint)
            await store.save(checkpoint)
        after = checkpoint.applied if checkpoint else owner.since
        name = f"{owner.namespace}/{owner.sensor}/{plan.name}"
        async with self._bus.subscribe(Subscription(name, plan.topics, after, store.epoch)) as deliveries:
            if checkpoint is None:
                checkpoint = Checkpoint(deliveries.start)
                await store.save(checkpoint)
            self._known = checkpoint
            self._lag.set_function(lambda: deliveries.pending)
            try:
                yield self._new_line(checkpoint, store, deliveries, lease)
            finally:
                self._lag.set_function(lambda: 0)

    def _settled(self, checkpoint: Checkpoint) -> Checkpoint:
        """What the last owner left, brought to this spec: edits drop what waits, claims without outcome are reported."""
        checkpoint, dropped = keep_only(checkpoint, self.plan.signatures)
        for name, waiting in dropped:
            detail = "its dependency was edited"
            self.plan.recorder.record(
                Decision(Outcome.RESET, waiting.sequence, waiting.event.id, name, reason="edited", detail=detail)
            )
        lost = interrupted(checkpoint)
        if lost:
            self._log.warning(
                "Firings were interrupted; they may have run and are not repeated", count=len(lost), reason="crash"
            )
        for decision in lost:
            self.plan.recorder.record(decision)
        return checkpoint

    def _new_line(self, checkpoint: Checkpoint, store: CheckpointStore, deliveries: Deliveries, lease: Lease) -> Line:
        kind = AtLeastOnceLine if self.plan.is_at_least_once else AtMostOnceLine
        writer = HeadWriter(checkpoint, store, deliveries)
        return kind(
            self.plan.pipeline,
            self.plan.action,
            checkpoint,
            writer,
            deliveries,
            lease,
            self.plan.recorder.record,
            grace=self._owner.grace,
        )
