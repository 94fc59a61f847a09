"""Nothing is published before somebody listens: a new sensor starts with what comes after its first subscription.

While the bus is away neither sensors nor sources have it, and when it comes back a source could be faster: the event
would be accepted and nobody would act on it. So what sources of `keryx run` publish waits for the sensors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager

from eventbus.base import Bus, Deliveries, Delivery, Health, Session, State, Stored, Subscription
from eventbus.dead_letters import DeadLetters
from eventbus.former import Former, FormerReader
from events.errors import BusError, Unavailable
from events.event import Event
from events.process import Readiness

_PATIENCE = 10.0
"""Seconds, once the bus is there: a sensor that cannot subscribe is its own problem only."""
_PUBLISH_SECONDS = 5.0


class Gate:
    """Opens once some sensors are subscribed on a bus."""

    def __init__(self, bus: Bus, readiness: Readiness, sensors: Collection[str]) -> None:
        self._bus, self._readiness, self._sensors = bus, readiness, sensors
        self._opened = asyncio.Event()
        if not sensors:
            self._opened.set()

    @property
    def is_open(self) -> bool:
        """Whether there is nothing to wait for (any more)."""
        return self._opened.is_set()

    def open(self) -> None:
        """Open it from outside; for good."""
        self._opened.set()

    async def opened(self) -> None:
        """Returns when it is open, however long that takes."""
        await self._opened.wait()

    async def run(self) -> None:
        """Returns when it is open."""
        while not self.is_open:
            try:
                await self._bus.stream_created()
            except BusError:
                await asyncio.sleep(0.1)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._readiness.until_ready(self._sensors)
            self._opened.set()

    async def passed(self) -> None:
        """Returns once it is open; Unavailable when that takes too long."""
        if not self.is_open:
            try:
                async with asyncio.timeout(_PUBLISH_SECONDS):
                    await self._opened.wait()
            except TimeoutError as error:
                raise Unavailable(f"the sensors are not subscribed yet ({self._bus.health.detail})") from error


class GatedBus:
    """A bus whose publishing waits for a gate."""

    def __init__(self, bus: Bus, gate: Gate) -> None:
        self._bus, self._gate = bus, gate

    async def publish(self, event: Event) -> Stored:
        await self._gate.passed()
        return await self._bus.publish(event)

    def subscribe(self, subscription: Subscription) -> AbstractAsyncContextManager[Deliveries]:
        return self._bus.subscribe(subscription)

    async def state(self, name: str) -> State:
        return await self._bus.state(name)

    async def dead_letters(self) -> DeadLetters:
        return await self._bus.dead_letters()

    async def session(self) -> Session:
        return await self._bus.session()

    async def stream_created(self) -> str:
        return await self._bus.stream_created()

    async def read(self, sequence: int) -> Delivery | None:
        return await self._bus.read(sequence)

    async def former(self, reader: FormerReader, on_wait: Callable[[str], None]) -> Former | None:
        return await self._bus.former(reader, on_wait)

    async def dismiss(self, pins: Sequence[str]) -> None:
        await self._bus.dismiss(pins)

    async def forget(self, name: str) -> None:
        await self._bus.forget(name)

    @property
    def max_event_bytes(self) -> int:
        return self._bus.max_event_bytes

    @property
    def health(self) -> Health:
        return self._bus.health

    def on_change(self, callback: Callable[[Health], None]) -> None:
        self._bus.on_change(callback)

    async def aclose(self) -> None:
        await self._bus.aclose()
