"""Writes a trigger's checkpoint when it is due: one write in flight, overlapped with the next actions."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from eventbus.base import Deliveries
from sensors.checkpoint import Checkpoint
from sensors.checkpoint_store import CheckpointStore


class HeadWriter:
    """Keeps `checkpoint` durable: on demand (`save`), or lazily within the time given to `touch`."""

    def __init__(self, checkpoint: Checkpoint, store: CheckpointStore, deliveries: Deliveries) -> None:
        self._checkpoint, self._store, self._deliveries = checkpoint, store, deliveries
        self._lock = asyncio.Lock()
        self._is_touched = False
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()

    def touch(self, seconds: float) -> None:
        """The checkpoint has changed; write it within `seconds` (0: now, in the background)."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._is_touched and due >= self._due:
            return
        self._is_touched = True
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds <= 0:
            self._written.clear()
            self._wake.set()
        else:
            self._timer = loop.call_at(due, self._wake.set)

    async def save(self) -> None:
        """Returns once the checkpoint as it is now is durable; NotOwner when another owner has written."""
        async with self._lock:
            await self._write()

    async def _write(self) -> None:
        self._settle()
        position = self._checkpoint.applied
        try:
            await self._store.save(self._checkpoint)  # takes its picture before it first waits
        except BaseException:
            self._is_touched = True  # what was to be written still is
            raise
        if not self._wake.is_set():
            self._written.set()
        self._deliveries.checkpointed(position)

    def _settle(self) -> None:
        """Everything so far goes with this write."""
        self._is_touched = False
        self._wake.clear()
        self._written.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def written(self) -> None:
        """Returns when no write is under way or asked for at once; never, when the last one failed."""
        await self._written.wait()

    async def run(self) -> NoReturn:
        """Write whenever it is due, until cancelled; NotOwner ends it."""
        while True:
            await self._wake.wait()
            await self.save()

    async def release(self) -> None:
        """At the end: let the write in flight have its answer, then write what there is, given up."""
        async with self._lock:
            self._store.is_running = False
            await self._write()
