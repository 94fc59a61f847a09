"""How far a trigger is behind: what is stored and not handed out, and what was handed out and is not done with."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from eventbus.base import Deliveries, Delivery, Position
from sensors.checkpoint import Checkpoint

_TRIM = 512


class Followed(Deliveries):
    """The deliveries of a trigger, and its checkpoint that follows them."""

    def __init__(self, deliveries: Deliveries, checkpoint: Checkpoint) -> None:
        self._deliveries, self._checkpoint = deliveries, checkpoint
        self._handed: deque[int] = deque()

    @property
    def lag(self) -> int:
        """Events of the trigger that are stored, and that it is not done with."""
        self._trim()
        return self._deliveries.pending + len(self._handed)

    @property
    def applied_ns(self) -> int:
        """When the last event that it is done with was stored; 0: unknown."""
        return self._checkpoint.applied.stored_ns

    def _trim(self) -> None:
        handed, applied = self._handed, self._checkpoint.applied.sequence
        while handed and handed[0] <= applied:
            handed.popleft()

    # ---- the contract

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while True:
            for delivery in await self.next_batch(1):
                yield delivery

    async def next_batch(self, limit: int = 256) -> list[Delivery]:
        batch = await self._deliveries.next_batch(limit)
        if len(self._handed) > _TRIM:
            self._trim()
        self._handed.extend([one.position.sequence for one in batch])
        return batch

    def checkpointed(self, position: Position) -> None:
        self._deliveries.checkpointed(position)

    @property
    def ready(self) -> int:
        return self._deliveries.ready

    @property
    def start(self) -> Position:
        return self._deliveries.start

    @property
    def pending(self) -> int:
        return self._deliveries.pending
