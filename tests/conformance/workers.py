"""The loop and the worker processes that scripts run in, one of each for all cases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from events.scripting.pool import Scripts

T = TypeVar("T")


class Workers:
    """Started with the first case that awaits something; `close` ends them."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._scripts: Scripts | None = None

    def run(self, answer: Callable[[Scripts], Awaitable[T]]) -> T:
        """The result of a coroutine that may use scripts."""
        if self._runner is None or self._scripts is None:
            self._runner, self._scripts = asyncio.Runner(), Scripts()

        async def awaited(scripts: Scripts) -> T:
            return await answer(scripts)

        return self._runner.run(awaited(self._scripts))

    def close(self) -> None:
        """End what was started."""
        runner, scripts = self._runner, self._scripts
        self._runner = self._scripts = None
        if runner is not None and scripts is not None:
            runner.run(scripts.aclose())
            runner.close()


WORKERS = Workers()
