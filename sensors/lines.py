"""The line of one trigger: events in bus order, into its checkpoint, into actions. Steps 5 and 12.

At least once acts, then remembers: a crash repeats what was not remembered yet. At most once remembers (claims), then
acts: a crash leaves claimed firings whose outcome nobody knows, and they are reported, never repeated. Both end in a
`Decision` for every event.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from eventbus.base import Deliveries, Delivery, Lease
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
INTERRUPTED = "interrupted"

T = TypeVar("T")
Report = Callable[[Decision], None]


class Action(Protocol):
    """What a line needs of `firing.Action`."""

    async def carry_out(self, firing: Firing) -> Decision:
        """Act, with retries; the outcome, never an exception but a cancellation."""
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
    ) -> None:
        self._pipeline, self._action, self._checkpoint = pipeline, action, checkpoint
        self._writer, self._deliveries, self._lease, self._report = writer, deliveries, lease, report
        self._grace = grace
        self._stopping = asyncio.Event()
        self._waiting: asyncio.Future[Any] | None = None

    def stop(self) -> None:
        """Start nothing new; what runs gets its grace."""
        self._stopping.set()
        if self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> None:
        """Until `stop`; NotOwner when somebody else owns the trigger now."""
        writing = asyncio.create_task(self._writer.run())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({writing, working}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
            await working
            await self._flush()  # before the writer is cancelled: a write in flight must get its answer
        finally:
            for task in (writing, working):
                task.cancel()
            await asyncio.gather(writing, working, return_exceptions=True)

    async def _flush(self) -> None:
        if self._lease.held:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._writer.flush()

    async def _work(self) -> None:
        with contextlib.suppress(_Stopped):
            while True:
                await self._round()
        await self._wind_up()

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
            if self._stopping.is_set() and waiting.cancelled():
                raise _Stopped from None
            waiting.cancel()
            raise
        finally:
            self._waiting = None

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


class _Stopped(Exception):  # noqa: N818 - not an error
    """Nothing new may start."""


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
        self._is_out_of_grace = False

    async def _round(self) -> None:
        for delivery in await self._next():
            if self._stopping.is_set():
                raise _Stopped
            prepared = await self._pipeline.prepare(delivery)
            step = self._pipeline.fold(self._ahead, prepared)
            for firing in step.firings:
                await self._act(firing)
            self._pipeline.fold(self._checkpoint, prepared)
            for decision in step.decisions:
                self._report(decision)
            self._remember(len(step.firings))
        if not self._deliveries.ready:
            self._writer.touch(0)

    def _remember(self, firings: int) -> None:
        self._unsaved += firings
        if self._unsaved >= SAVE_FIRINGS:
            self._unsaved = 0
            self._writer.touch(0)
        else:
            self._writer.touch(SAVE_SECONDS)

    async def _act(self, firing: Firing) -> None:
        self._lease.require()
        self._acting = asyncio.current_task()
        try:
            end = await self._action.carry_out(firing)
        except asyncio.CancelledError:
            if self._is_out_of_grace:
                raise _Stopped from None  # not remembered: the next owner repeats it
            raise
        finally:
            self._acting = None
        self._report_firing(firing, end)

    def stop(self) -> None:
        super().stop()
        self._grace_timer = asyncio.get_running_loop().call_later(self._grace, self._end_grace)

    def _end_grace(self) -> None:
        if self._acting is not None:
            self._is_out_of_grace = True
            self._acting.cancel()

    async def _wind_up(self) -> None:
        """Nothing runs besides the loop itself."""
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
            for delivery in await self._next():
                self._ready.append(await self._pipeline.prepare(delivery))
        free = await self._unless_stopped(self._free_slots())
        firings = self._claim(free)
        if firings:
            await self._writer.save()
            self._lease.require()
            for firing in firings:
                task = asyncio.create_task(self._act(firing))
                self._running.add(task)
                task.add_done_callback(self._ended)
        else:
            self._writer.touch(IDLE_SAVE_SECONDS)

    async def _free_slots(self) -> int:
        """How many firings may be claimed: those that can start at once. Under load, not before half are free."""
        while len(self._running) > CLAIM_SLOTS // 2:
            self._freed.clear()
            await self._freed.wait()
        await self._action.permitted()
        return min(CLAIM_SLOTS - len(self._running), self._action.permits())

    def _claim(self, free: int) -> list[Firing]:
        """Fold events until `free` firings are due; all of them are claimed in the checkpoint."""
        firings: list[Firing] = []
        while self._ready and len(firings) < free:
            step = self._pipeline.fold(self._checkpoint, self._ready.popleft())
            firings += step.firings
            for decision in step.decisions:
                self._report(decision)
        for firing in firings:
            self._checkpoint.claims[firing.id] = firing.sequences
        return firings

    async def _act(self, firing: Firing) -> None:
        try:
            end = await self._action.carry_out(firing)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            end = Decision(Outcome.FAILED, 0, reason=INTERRUPTED, detail="it outlived the grace period; may have run")
        self._report_firing(firing, end)
        del self._checkpoint.claims[firing.id]
        self._writer.touch(SAVE_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a defect of ours: the loop's handler logs it

    async def _wind_up(self) -> None:
        if self._running:
            _, outlived = await asyncio.wait(self._running, timeout=self._grace)
            for task in outlived:
                task.cancel()
            await asyncio.gather(*outlived, return_exceptions=True)

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)


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
