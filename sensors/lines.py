"""The line of one trigger: events in bus order, into its checkpoint, into actions. Steps 5 and 12.

At least once acts, then remembers: a crash repeats what was not remembered yet. At most once remembers (claims), then
acts: a crash leaves claimed firings whose outcome nobody knows, and they are reported, never repeated. Both end in a
`Decision` for every event.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from eventbus.base import Deliveries, Delivery, Lease
from events.errors import NotOwner
from events.logs import Log
from sensors.base import Firing
from sensors.checkpoint import Checkpoint
from sensors.decision import Decision, Outcome
from sensors.head_writer import HeadWriter
from sensors.pipeline import Pipeline, Prepared

BATCH = 256
CLAIM_SLOTS = 64
SAVE_FIRINGS = 32
SAVE_SECONDS = 0.05
IDLE_SAVE_SECONDS = 1.0
FLUSH_SECONDS = 2.0
INTERRUPTED = "interrupted"

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


class Line(ABC):
    """One trigger, as long as this process owns it."""

    def __init__(
        self,
        pipeline: Pipeline,
        action: Action,
        checkpoint: Checkpoint,
        writer: HeadWriter,
        deliveries: Deliveries,
        lease: Lease,
        report: Report,
        *,
        grace: float,
        log: Log,
    ) -> None:
        self._pipeline, self._action, self._checkpoint = pipeline, action, checkpoint
        self._writer, self._deliveries, self._lease, self._report = writer, deliveries, lease, report
        self._grace, self._log = grace, log
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
            await self._flush()  # before the writer is cancelled: a write in flight must get its answer
        finally:
            for task in (writing, working):
                task.cancel()
            await asyncio.gather(writing, working, return_exceptions=True)

    async def _flush(self) -> None:
        if not self._lease.held:
            return
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._writer.flush()
        except TimeoutError:
            self._log.warning("The last checkpoint was not written in time", seconds=FLUSH_SECONDS)

    async def _work(self) -> None:
        try:
            while True:
                await self._round()
        except _Stopped:
            await self._wind_up()
        except Exception:
            self.stop()
            await self._wind_up()
            raise

    @abstractmethod
    async def _round(self) -> None:
        """Take what is there, and act on it; _Stopped once nothing new may start."""

    @abstractmethod
    async def _wind_up(self) -> None:
        """After `stop`: let what runs end within the grace."""

    async def _next(self) -> list[Delivery]:
        """The next events; _Stopped when there will be no more rounds."""
        return await self._unless_stopped(self._deliveries.next_batch(BATCH))

    async def _unless_stopped(self, wait: Coroutine[Any, Any, T]) -> T:
        """The result of `wait`, which `stop` ends early with _Stopped."""
        if self._stopping.is_set():
            wait.close()
            raise _Stopped
        self._waiting = waiting = asyncio.ensure_future(wait)
        try:
            return await waiting
        except asyncio.CancelledError:
            if self._stopping.is_set() and not _this_task().cancelling():
                raise _Stopped from None
            raise
        finally:
            self._waiting = None

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
            self._report(
                replace(
                    end,
                    sequence=sequence,
                    event_id=firing.events[dependency].id,
                    dependency=dependency,
                    firing_id=firing.id,
                    stored_ns=firing.stored_ns,
                )
            )


class _Stopped(Exception):
    """Nothing new may start."""


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class AtLeastOnceLine(Line):
    """Act, then remember: the next action starts when the one before it has ended.

    Two checkpoints, each the fold of the same events: `_ahead` decides, the durable one follows when the action ended.
    So a head can be written while an action runs, and never speaks of what is not done.
    """

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._ahead = self._checkpoint.copy()
        self._unsaved = 0
        self._acting: asyncio.Task[Any] | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._is_out_of_grace = False

    async def _round(self) -> None:
        for prepared in await self._pipeline.prepare_all(await self._next()):
            if self._stopping.is_set():
                raise _Stopped
            step = self._pipeline.fold(self._ahead, prepared)
            for firing in step.firings:
                await self._act(firing)
            self._pipeline.fold(self._checkpoint, prepared)
            for decision in step.decisions:
                self._report(decision)
            await self._remember(len(step.firings))
        if not self._deliveries.ready:
            self._writer.touch(0)

    async def _remember(self, firings: int) -> None:
        """Have what was done written. A slow bus holds the line up: a crash repeats two windows at most."""
        self._unsaved += firings
        if self._unsaved < SAVE_FIRINGS:
            self._writer.touch(SAVE_SECONDS)
            return
        self._unsaved = 0
        self._writer.touch(SAVE_SECONDS)
        await self._unless_stopped(self._writer.written())
        self._writer.touch(0)

    async def _act(self, firing: Firing) -> None:
        if self._action.permits() < 1:
            await self._unless_stopped(self._action.permitted())
        self._lease.require()
        self._acting = _this_task()
        try:
            end = await self._outcome(firing)
        except asyncio.CancelledError:
            if self._is_out_of_grace and not _this_task().uncancel():
                raise _Stopped from None  # not remembered: the next owner repeats it
            raise
        finally:
            self._acting = None
        self._report_firing(firing, end)

    def stop(self) -> None:
        super().stop()
        if self._grace_timer is None:
            self._grace_timer = asyncio.get_running_loop().call_later(self._grace, self._end_grace)

    def _end_grace(self) -> None:
        if self._acting is not None:
            self._is_out_of_grace = True
            self._acting.cancel()

    async def _wind_up(self) -> None:
        """Nothing runs besides the loop itself."""
        if self._grace_timer is not None:
            self._grace_timer.cancel()


class AtMostOnceLine(Line):
    """Claim, then act: what a head claims is started once, in bus order; actions overlap."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._ready: deque[Prepared] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

    async def _round(self) -> None:
        if not self._ready:
            self._ready.extend(await self._pipeline.prepare_all(await self._next()))
        free = await self._unless_stopped(self._free_slots())
        before, firings = self._checkpoint.copy(), list[Firing]()
        try:
            decisions = self._claim(free, firings)
            if firings:
                await self._writer.save()
                self._require()
        except BaseException:
            self._take_back(before, firings)
            raise
        for firing in firings:
            task = asyncio.create_task(self._act(firing))
            self._running.add(task)
            task.add_done_callback(self._ended)
        if not firings:
            self._writer.touch(IDLE_SAVE_SECONDS)
        for decision in decisions:
            self._report(decision)

    async def _free_slots(self) -> int:
        """How many firings may be claimed: those that can start at once. Under load, not before half are free."""
        while len(self._running) > CLAIM_SLOTS // 2:
            self._freed.clear()
            await self._freed.wait()
        await self._action.permitted()
        return min(CLAIM_SLOTS - len(self._running), self._action.permits())

    def _claim(self, free: int, firings: list[Firing]) -> list[Decision]:
        """Fold events until `free` firings are due; all of them are claimed in the checkpoint."""
        decisions: list[Decision] = []
        while self._ready and (not firings or len(firings) + _most(self._ready[0]) <= free):
            step = self._pipeline.fold(self._checkpoint, self._ready.popleft())
            firings += step.firings
            decisions += step.decisions
        for firing in firings:
            self._checkpoint.claims[firing.id] = firing.sequences
        return decisions

    def _require(self) -> None:
        """Whether what is claimed may start now."""
        self._lease.require()
        if self._stopping.is_set():
            raise _Stopped

    def _take_back(self, before: Checkpoint, firings: list[Firing]) -> None:
        """None of these has started: their events are as if they had not been taken. Other claims may have ended."""
        checkpoint = self._checkpoint
        checkpoint.applied, checkpoint.pending, checkpoint.recent = before.applied, before.pending, before.recent
        for firing in firings:
            checkpoint.claims.pop(firing.id, None)
        self._writer.touch(0)

    async def _act(self, firing: Firing) -> None:
        try:
            end = await self._outcome(firing)
        except NotOwner:
            return  # it did not start, and nobody may say so now: whoever has the head next reports its claim
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            end = Decision(Outcome.FAILED, 0, reason=INTERRUPTED, detail="it outlived the grace period; may have run")
        self._report_firing(firing, end)
        self._checkpoint.claims.pop(firing.id, None)
        self._writer.touch(SAVE_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.exception("Recording an outcome failed", error)

    async def _wind_up(self) -> None:
        if self._running:
            _, outlived = await asyncio.wait(self._running, timeout=self._grace)
            for task in outlived:
                task.cancel()
            await asyncio.gather(*outlived, return_exceptions=True)
            if outlived:
                text = "Firings were interrupted; they may have run and are not repeated"
                self._log.warning(text, count=len(outlived), reason="grace")

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)


def _most(prepared: Prepared) -> int:
    """How many firings the event can lead to at most."""
    return sum(match.event is not None for match in prepared.matches)


def interrupted(checkpoint: Checkpoint) -> list[Decision]:
    """At most once, after a crash: claims without an outcome, which are not repeated. They leave the checkpoint."""
    decisions = [
        Decision(
            Outcome.FAILED,
            sequence,
            dependency=dependency,
            reason=INTERRUPTED,
            detail="claimed by an owner that died; may have run",
            firing_id=firing,
        )
        for firing, sequences in checkpoint.claims.items()
        for dependency, sequence in sequences.items()
    ]
    checkpoint.claims = {}
    return decisions
