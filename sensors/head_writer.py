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
        self._touched = asyncio.Event()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()

    def touch(self, seconds: float) -> None:
        """The checkpoint has changed; write it within `seconds` (0: now, in the background)."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._touched.is_set() and due >= self._due:
            return
        self._touched.set()
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        if seconds <= 0:
            self._wake.set()
        else:
            self._timer = loop.call_at(due, self._wake.set)

    async def save(self) -> None:
        """Returns once the checkpoint as it is now is durable; NotOwner when another owner has written."""
        async with self._lock:
            self._settle()
            position = self._checkpoint.applied
            await self._store.save(self._checkpoint)  # takes its picture before it first waits
        self._deliveries.checkpointed(position)

    def _settle(self) -> None:
        """Everything so far goes with this write."""
        self._touched.clear()
        self._wake.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def run(self) -> NoReturn:
        """Write whenever it is due, until cancelled; NotOwner ends it."""
        while True:
            await self._wake.wait()
            await self.save()

    async def flush(self) -> None:
        """Write what is not durable yet, at release."""
        if self._touched.is_set():
            await self.save()
