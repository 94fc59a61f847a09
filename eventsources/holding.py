"""Events of an outside that keeps nothing for us: they are held until the bus takes them."""

from __future__ import annotations

import asyncio

from events.backoff import Endless
from events.errors import BusError, InvalidEvent, TooLarge
from eventsources.base import SourceContext
from eventsources.unusable import Unusable


class Holding:
    """What one event of an event source hands to the bus."""

    def __init__(self, context: SourceContext) -> None:
        self._context, self._unusable = context, Unusable(context.log)
        self._is_held = False

    async def emit(self, data: bytes, id: str) -> None:
        """Returns once the bus has it, or has said that it never will; a repeat has the same `id`."""
        pauses = Endless(0.1, 10)
        while True:
            try:
                await self._context.emit(data, id=id)
            except (InvalidEvent, TooLarge) as error:  # counted where it was refused
                self._unusable.found(id, error, "dropped")
                return
            except BusError as error:
                self._say(error)
                await asyncio.sleep(pauses.next())
            else:
                self._say(None)
                return

    def _say(self, error: BusError | None) -> None:
        """When the bus stops and begins to take events."""
        if error is not None and not self._is_held:
            text = "The bus does not take events; they are held, and tried until it does"
            self._context.log.warning(text, reason=error)
        elif error is None and self._is_held:
            self._context.log.info("The bus takes events again")
        self._is_held = error is not None
