"""A deadline shared by many short waits, with one timer: one timer each would cost a tenth of a request's time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Deadlines:
    """Lets tasks wait for at most `seconds` each. A wait ends in TimeoutError up to a tenth of them late."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # In the order of their deadlines, as they are all the same time away.
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait_for(self, awaitable: Awaitable[None]) -> None:
        """Await it; TimeoutError, and it is cancelled, when it takes too long. Once at a time per task."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._waiting[task] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._expire, loop)
        try:
            await awaitable
        except asyncio.CancelledError as error:
            # More than our own request to cancel: somebody else wants this task to end.
            if task in self._expired and task.cancelling() == 1:
                raise TimeoutError from error
            raise
        finally:
            del self._waiting[task]
            if task in self._expired:
                self._expired.remove(task)
                task.uncancel()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is overdue; look again when the next one is, but not more often than makes sense."""
        now = loop.time()
        for task, deadline in self._waiting.items():
            if deadline > now:
                pause = max(deadline - now, self.seconds / 10)
                self._timer = loop.call_later(pause, self._expire, loop)
                return
            if task not in self._expired:
                self._expired.add(task)
                task.cancel()
        self._timer = None
