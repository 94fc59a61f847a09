"""What arrived and can never become an event: counted each time, said at most once a minute, never a hot loop."""

from __future__ import annotations

import time
from collections.abc import Callable

from events.errors import KeryxError
from events.logs import Log

_SECONDS = 60.0


class Unusable:
    """What one event of an event source could not use."""

    def __init__(
        self,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        text: str = "A message cannot become an event",
    ) -> None:
        self._log, self._clock, self._text = log, clock, text
        self._next, self._unsaid = float("-inf"), 0

    def found(self, id: str, error: KeryxError, fate: str) -> None:
        """One more; `fate` says what is done with it."""
        self._unsaid += 1
        if self._clock() < self._next:
            return
        self._next = self._clock() + _SECONDS
        self._log.warning(self._text, id=id, reason=error, fate=fate, messages=self._unsaid)
        self._unsaid = 0
