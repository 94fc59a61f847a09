"""What all lines share: the next events, stopping, the outcome of an action, and care after a death."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from eventbus.base import Deliveries, Lease
from events.errors import NotOwner
from events.logs import Log
from sensors.base import Firing
from sensors.checkpoint import Checkpoint, Started
from sensors.concurrency import Concurrency
from sensors.dead_letters import DeadLetterDesk
from sensors.decision import Decision, Outcome
from sensors.head_writer import HeadWriter
from sensors.pipeline import Pipeline, Prepared, Step

BATCH = 256
CAREFUL_EVENTS = 64
LIVES = 5
SAVE_SECONDS = 0.05
FLUSH_SECONDS = 2.0

T = TypeVar("T")
Report = Callable[[Decision], None]


class Action(Protocol):
    """What a line needs of `firing.Action`."""

    async def carry_out(self, firing: Firing, require: Callable[[], None]) -> Decision:
        """Act, with retries; the outcome. `require` is asked before each attempt: NotOwner when none may start."""
        ...

    def permits(self) -> int:
        """How many firings the rate limit lets start now."""
        ...

    async def permitted(self) -> None:
        """Returns when the rate limit lets one start."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a line works with."""

    pipeline: Pipeline
    action: Action
    checkpoint: Checkpoint
    writer: HeadWriter
    deliveries: Deliveries
    lease: Lease
    letters: DeadLetterDesk
    report: Report
    concurrency: Concurrency
    log: Log
    grace: float
    """Seconds that a running action has after `stop`."""
    is_careful: bool = False
    """Whether the owner before died, perhaps by the event that comes next."""


class Stopped(Exception):
    """Nothing new may start."""


class Line(ABC):
    """One trigger, as long as this process owns it."""

    def __init__(self, parts: Parts) -> None:
        self._pipeline, self._action, self._checkpoint = parts.pipeline, parts.action, parts.checkpoint
        self._writer, self._deliveries, self._lease = parts.writer, parts.deliveries, parts.lease
        self._letters, self._report, self._concurrency = parts.letters, parts.report, parts.concurrency
        self._grace, self._log = parts.grace, parts.log
        self._careful = CAREFUL_EVENTS if parts.is_careful else 0
        self._stopping = asyncio.Event()
        self._waiting: asyncio.Future[Any] | None = None

    def stop(self) -> None:
        """Start nothing new; what runs gets its grace."""
        self._stopping.set()
        if self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> None:
        """Until `stop`; NotOwner when somebody else owns the trigger now. Either way what runs gets its grace."""
        writing = asyncio.create_task(self._writer.run())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({writing, working}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                self.stop()
                await asyncio.wait({working})
                writing.result()
            await working
            await self._release()  # before the writer is cancelled: a write in flight must get its answer
        finally:
            for task in (writing, working):
                task.cancel()
            await asyncio.gather(writing, working, return_exceptions=True)

    async def _release(self) -> None:
        if not self._lease.held:
            return
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._writer.release()
        except TimeoutError:
            self._log.warning("The last checkpoint was not written in time", seconds=FLUSH_SECONDS)

    async def _work(self) -> None:
        try:
            while True:
                await self._round()
        except Stopped:
            await self._wind_up()
        except Exception:
            self.stop()
            await self._wind_up()
            raise

    @abstractmethod
    async def _round(self) -> None:
        """Take what is there, and act on it; Stopped once nothing new may start."""

    @abstractmethod
    async def _wind_up(self) -> None:
        """After `stop`: let what runs end within the grace."""

    async def _next(self) -> list[Prepared]:
        """The next events; Stopped when there will be no more rounds."""
        if self._careful:
            return [await self._next_with_care()]
        deliveries = await self._unless_stopped(self._deliveries.next_batch(BATCH))
        return await self._unless_stopped(self._letters.prepare(deliveries))

    async def _next_with_care(self) -> Prepared:
        """One event, remembered before it is touched: what ends every process that begins it is not begun again."""
        (delivery,) = await self._unless_stopped(self._deliveries.next_batch(1))
        checkpoint, sequence = self._checkpoint, delivery.position.sequence
        before = checkpoint.started
        lives = before.lives if before is not None and before.sequence == sequence else 0
        if lives >= LIVES:
            self._log.error("An event is given up: every owner died that began it", sequence=sequence, lives=lives)
            return self._pipeline.poisoned(delivery, f"{lives} owners in a row died that had begun it")
        self._careful -= 1
        checkpoint.started = Started(sequence, lives + 1)
        await self._writer.save()
        if not self._careful:
            checkpoint.started = None
        (prepared,) = await self._unless_stopped(self._letters.prepare([delivery]))
        return prepared

    async def _unless_stopped(self, wait: Coroutine[Any, Any, T]) -> T:
        """The result of `wait`, which `stop` ends early with Stopped."""
        if self._stopping.is_set():
            wait.close()
            raise Stopped
        self._waiting = waiting = asyncio.ensure_future(wait)
        try:
            return await waiting
        except asyncio.CancelledError:
            if self._stopping.is_set() and not this_task().cancelling():
                raise Stopped from None
            raise
        finally:
            self._waiting = None

    async def _keep_failed(self, prepared: Prepared, step: Step) -> None:
        """What the pipeline could not handle is kept before the checkpoint may move past it."""
        if any(one.outcome is Outcome.FAILED for one in step.decisions):
            await self._unless_stopped(self._letters.keep_event(prepared, step.decisions))

    async def _let_go(self, prepared: Prepared) -> None:
        """A redriven event's letter goes when what became of the event is durable."""
        await self._writer.save()
        await self._unless_stopped(self._letters.let_go(prepared))

    async def _outcome(self, firing: Firing) -> Decision:
        """What the action gave; NotOwner when it must not start. A defect in it is said once, and is its outcome."""
        try:
            return await self._action.carry_out(firing, self._lease.require)
        except NotOwner:
            raise
        except Exception as error:  # noqa: BLE001 - it becomes the firing's outcome
            self._log.exception("The action has a defect", error, firingID=firing.id)
            return Decision(Outcome.FAILED, 0, reason="defect", detail=repr(error))

    def _report_firing(self, firing: Firing, end: Decision) -> None:
        """One decision for each event of the firing."""
        for dependency, sequence in firing.sequences.items():
            event = firing.events.get(dependency)
            self._report(
                replace(
                    end,
                    sequence=sequence,
                    event_id=event.id if event is not None else "",
                    dependency=dependency,
                    firing_id=firing.id,
                    stored_ns=firing.stored_ns,
                )
            )


def needs_settling(firing: Firing, end: Decision) -> bool:
    """Whether there is something to keep, or to let go, in the dead letters."""
    return bool(firing.letter) or (end.outcome is Outcome.FAILED and not end.is_passed_on)


def most(prepared: Sequence[Prepared]) -> int:
    """How many firings these events can lead to at most."""
    return sum(
        1 if one.redrive is not None and not one.matches else sum(match.event is not None for match in one.matches)
        for one in prepared
    )


def this_task() -> asyncio.Task[Any]:
    """The task that runs."""
    task = asyncio.current_task()
    assert task is not None
    return task
