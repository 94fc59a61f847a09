"""At least once, overlapping (`concurrency.max` above 1): act, then remember; order is kept per key only.

The checkpoint moves with the oldest firing that has not ended; those that ended before it are named in the head, so
that a successor does not repeat them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from sensors.base import Firing
from sensors.lines.at_least_once import SAVE_FIRINGS
from sensors.lines.base import SAVE_SECONDS, Line, Parts, Stopped, needs_settling
from sensors.pipeline import Prepared, Step

WINDOW = 256


@dataclass(slots=True)
class _Entry:
    """One event that has been folded ahead, and how many of its firings have not ended."""

    prepared: Prepared
    step: Step
    open: int


class OverlappingLine(Line):
    """As `AtLeastOnceLine`, with a window of events whose firings are under way."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._ahead = self._checkpoint.copy()
        self._most = parts.concurrency.most
        self._slots = asyncio.Semaphore(self._most)
        self._window: deque[_Entry] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._error: Exception | None = None
        self._unsaved = 0

    async def _round(self) -> None:
        if self._careful:
            await self._until(0)
        for prepared in await self._next():
            if self._stopping.is_set():
                raise Stopped
            step = self._pipeline.fold(self._ahead, prepared)
            if step.decisions:
                await self._keep_failed(prepared, step)
            firings = [firing for firing in step.firings if firing.id not in self._checkpoint.finished]
            entry = _Entry(prepared, step, len(firings))
            self._window.append(entry)
            for firing in firings:
                if not self._may_start(firing):
                    await self._unless_stopped(self._until_it_may_start(firing))
                self._start(entry, firing)
            if not firings:
                self._advance()
            if len(self._window) >= WINDOW:
                await self._until(WINDOW - 1)
            if prepared.redrive is not None:
                await self._until(0)  # its letter is let go with nothing else under way
                await self._let_go(prepared)
            if self._unsaved >= SAVE_FIRINGS:
                await self._save()
        if not self._deliveries.ready and not self._window:
            self._writer.touch(0)

    def _may_start(self, firing: Firing) -> bool:
        """Whether a permit is there, and a slot; what has a key waits for its slot behind those of its key."""
        has_slot = len(self._running) < self._most or bool(self._concurrency.key(firing))
        return has_slot and self._action.permits() > 0

    async def _until_it_may_start(self, firing: Firing) -> None:
        while not self._may_start(firing):
            self._ended.clear()
            await (self._ended.wait() if self._action.permits() > 0 else self._action.permitted())

    def _start(self, entry: _Entry, firing: Firing) -> None:
        self._lease.require()
        task = asyncio.create_task(self._act(entry, firing))
        self._running.add(task)
        task.add_done_callback(self._on_done)

    async def _act(self, entry: _Entry, firing: Firing) -> None:
        async with self._concurrency.turn(firing), self._slots:
            if self._stopping.is_set():
                return  # not remembered: the next owner does it
            end = await self._outcome(firing)
            if needs_settling(firing, end):
                await self._letters.settle(firing, end)
        self._report_firing(firing, end)
        entry.open -= 1
        self._unsaved += 1
        self._checkpoint.finished[firing.id] = entry.prepared.delivery.position.sequence
        self._advance()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Not remembered: the trigger is taken over again, and the firing repeated.
            self._error = self._error or error
            self.stop()
        self._ended.set()

    def _advance(self) -> None:
        """Fold what is done, up to the oldest event that is not, into the durable checkpoint."""
        while self._window and not self._window[0].open:
            entry = self._window.popleft()
            self._pipeline.follow(self._checkpoint, entry.prepared, entry.step)
            for decision in entry.step.decisions:
                self._report(decision)
        self._writer.touch(SAVE_SECONDS)

    async def _until(self, most: int) -> None:
        """Returns when at most so many events are under way."""
        if len(self._window) > most:
            await self._unless_stopped(self._until_at_most(most))

    async def _until_at_most(self, most: int) -> None:
        while len(self._window) > most:
            self._ended.clear()
            await self._ended.wait()

    async def _save(self) -> None:
        """A slow bus holds the line up: a crash repeats two windows at most."""
        self._unsaved = 0
        await self._unless_stopped(self._writer.written())
        self._writer.touch(0)

    async def _wind_up(self) -> None:
        if self._running:
            _, outlived = await asyncio.wait(self._running, timeout=self._grace)
            for task in outlived:
                task.cancel()
            await asyncio.gather(*outlived, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
