"""At most once: claim, then act. What a head claims is started once, in bus order; actions overlap."""

from __future__ import annotations

import asyncio
from collections import deque

from events.errors import NotOwner
from sensors.base import Firing
from sensors.checkpoint import Checkpoint
from sensors.dead_letters import INTERRUPTED
from sensors.decision import Decision, Outcome
from sensors.lines.base import FLUSH_SECONDS, SAVE_SECONDS, Line, Parts, Stopped, most, needs_settling
from sensors.pipeline import Prepared, Step

CLAIM_SLOTS = 64
IDLE_SAVE_SECONDS = 1.0


class AtMostOnceLine(Line):
    """Claims as many firings as can start at once, in one write."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._most = parts.concurrency.most or CLAIM_SLOTS
        self._ready: deque[Prepared] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

    async def _round(self) -> None:
        if not self._ready:
            if self._careful:
                await self._unless_stopped(self._all_ended())
            self._ready.extend(await self._next())
        free = await self._unless_stopped(self._free_slots())
        before, firings, steps = self._checkpoint.copy(), list[Firing](), list[tuple[Prepared, Step]]()
        try:
            self._claim(free, firings, steps)
            for prepared, step in steps:
                if step.decisions:
                    await self._keep_failed(prepared, step)
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
        for prepared, step in steps:
            if prepared.redrive is not None:
                await self._let_go(prepared)
            for decision in step.decisions:
                self._report(decision)

    async def _free_slots(self) -> int:
        """How many firings may be claimed: those that can start at once. Under load, not before half are free."""
        while len(self._running) > self._most // 2:
            self._freed.clear()
            await self._freed.wait()
        await self._action.permitted()
        return min(self._most - len(self._running), self._action.permits())

    async def _all_ended(self) -> None:
        """Nothing runs any more."""
        while self._running:
            self._freed.clear()
            await self._freed.wait()

    def _claim(self, free: int, firings: list[Firing], steps: list[tuple[Prepared, Step]]) -> None:
        """Fold events until `free` firings are due; all of them are claimed in the checkpoint."""
        while self._ready and (not firings or len(firings) + most([self._ready[0]]) <= free):
            prepared = self._ready.popleft()
            step = self._pipeline.fold(self._checkpoint, prepared)
            firings += step.firings
            steps.append((prepared, step))
        for firing in firings:
            self._checkpoint.claims[firing.id] = firing.sequences

    def _require(self) -> None:
        """Whether what is claimed may start now."""
        self._lease.require()
        if self._stopping.is_set():
            raise Stopped

    def _take_back(self, before: Checkpoint, firings: list[Firing]) -> None:
        """None of these has started: their events are as if they had not been taken. Other claims may have ended."""
        checkpoint = self._checkpoint
        checkpoint.applied, checkpoint.pending, checkpoint.recent = before.applied, before.pending, before.recent
        checkpoint.floors = before.floors
        for firing in firings:
            checkpoint.claims.pop(firing.id, None)
        self._writer.touch(0)

    async def _act(self, firing: Firing) -> None:
        try:
            if self._concurrency.has_key:
                async with self._concurrency.turn(firing):
                    end = await self._outcome(firing)
            else:
                end = await self._outcome(firing)
        except NotOwner:
            return  # it did not start, and nobody may say so now: whoever has the head next reports its claim
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            end = Decision(Outcome.FAILED, 0, reason=INTERRUPTED, detail="it outlived the grace period; may have run")
        if needs_settling(firing, end):
            try:
                await self._letters.settle(firing, end)
            except NotOwner:
                return  # whoever has the head next reports, and keeps, its claim
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
            if outlived:
                await asyncio.wait(outlived, timeout=FLUSH_SECONDS)  # they become dead letters, when the bus is there
                text = "Firings were interrupted; they may have run and are not repeated"
                self._log.warning(text, count=len(outlived), reason="grace")

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
