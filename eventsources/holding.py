"""What is held until the bus takes it. `Holding` does it all, for an outside that keeps nothing for us."""

from __future__ import annotations

import asyncio

from events.backoff import Endless
from events.errors import BusError, InvalidEvent, TooLarge
from events.logs import Log
from eventsources.base import SourceContext
from eventsources.unusable import Unusable


class Outage:
    """Says when the bus stops and begins to take events: once for each change."""

    def __init__(self, log: Log, what: str) -> None:
        """`what` is held meanwhile."""
        self._log, self._what = log, what
        self._is_held = False

    def note(self, error: BusError | None) -> None:
        """How the last attempt went."""
        if error is not None and not self._is_held:
            text = f"The bus does not take {self._what}; they are held, and tried until it does"
            self._log.warning(text, reason=error)
        elif error is None and self._is_held:
            self._log.info(f"The bus takes {self._what} again")
        self._is_held = error is not None


class Holding:
    """What one event of an event source hands to the bus."""

    def __init__(self, context: SourceContext) -> None:
        self._context, self._unusable = context, Unusable(context.log)
        self._outage = Outage(context.log, "events")

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
                self._outage.note(error)
                await asyncio.sleep(pauses.next())
            else:
                self._outage.note(None)
                return
