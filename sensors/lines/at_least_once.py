"""At least once, in order: act, then remember; the next action starts when the one before it has ended."""

from __future__ import annotations

import asyncio
from typing import Any

from sensors.base import Firing
from sensors.decision import Decision
from sensors.lines.base import FLUSH_SECONDS, SAVE_SECONDS, Line, Parts, Stopped, needs_settling, this_task

SAVE_FIRINGS = 32


class AtLeastOnceLine(Line):
    """Two checkpoints of the same events: `_ahead` is the fold and decides, the durable one follows what is done.

    So a head can be written while an action runs, and never speaks of what is not done.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._ahead = self._checkpoint.copy()
        self._unsaved = 0
        self._acting: asyncio.Task[Any] | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._is_out_of_grace = False

    async def _round(self) -> None:
        for prepared in await self._next():
            if self._stopping.is_set():
                raise Stopped
            step = self._pipeline.fold(self._ahead, prepared)
            for firing in step.firings:
                await self._act(firing)
            if step.decisions:
                await self._keep_failed(prepared, step)
            self._pipeline.follow(self._checkpoint, prepared, step)
            for decision in step.decisions:
                self._report(decision)
            if prepared.redrive is not None:
                await self._let_go(prepared)
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
        if firing.id in self._checkpoint.finished:
            return  # done under another concurrency, before an earlier one was
        if self._action.permits() < 1:
            await self._unless_stopped(self._action.permitted())
        self._lease.require()
        self._acting = this_task()
        try:
            end = await self._outcome(firing)
        except asyncio.CancelledError:
            if self._is_out_of_grace and not this_task().uncancel():
                raise Stopped from None  # not remembered: the next owner repeats it
            raise
        finally:
            self._acting = None
        if needs_settling(firing, end):
            await self._settle(firing, end)
        self._report_firing(firing, end)

    async def _settle(self, firing: Firing, end: Decision) -> None:
        """Keep what failed for good. At a stop the store has a moment for it: else the next owner would repeat it."""
        settling = asyncio.ensure_future(self._letters.settle(firing, end))
        try:
            await self._unless_stopped(asyncio.wait({settling}))
        except Stopped:
            await asyncio.wait({settling}, timeout=FLUSH_SECONDS)
            if not settling.done():
                raise
        finally:
            settling.cancel()
        settling.result()

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
