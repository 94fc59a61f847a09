"""The keys that a controller has to look at: each by one worker at a time, and again when it changed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from events.backoff import Endless

K = TypeVar("K", bound=Hashable)

FIRST, MOST = 0.005, 60.0
"""Seconds of the first and the longest pause after a failure; between them it doubles."""


class WorkQueue(Generic[K]):
    """`get` a key, work on it, say `failed` or `succeeded`, and `done` in any case.

    A key is in the queue once however often it is added; one that is added while it is worked on comes again after.
    """

    def __init__(self, first: float = FIRST, most: float = MOST) -> None:
        self._first, self._most = first, most
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._added: dict[K, float] = {}
        self._begun: dict[K, float] = {}
        self._again: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, Endless] = {}
        self._left = asyncio.Event()
        self._is_closed = False
        self.on_add: Callable[[], None] = _nothing
        """Called for each key that enters the queue."""
        self.on_get: Callable[[float], None] = _nothing
        """Called with the seconds that a key has waited."""

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._added)

    def ages(self) -> list[float]:
        """For how many seconds each key that is worked on has been."""
        now = _clock()
        return [now - begun for begun in self._begun.values()]

    def add(self, key: K) -> None:
        """Have `key` looked at as soon as a worker is free."""
        if key in self._begun:
            self._again.add(key)
        elif key not in self._added and not self._is_closed:
            self._added[key] = _clock()
            self._ready.put_nowait(key)
            self.on_add()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` looked at in `seconds`, or earlier if that is wanted already."""
        loop = asyncio.get_running_loop()
        waiting = self._later.get(key)
        if waiting is not None:
            if waiting.when() <= loop.time() + seconds:
                return
            waiting.cancel()
        self._later[key] = loop.call_later(seconds, self._is_due, key)

    def _is_due(self, key: K) -> None:
        self._later.pop(key, None)
        self.add(key)

    async def get(self) -> K:
        """The next key; what was put off for it is dealt with now."""
        key = await self._ready.get()
        now = _clock()
        self.on_get(now - self._added.pop(key))
        self._begun[key] = now
        if waiting := self._later.pop(key, None):
            waiting.cancel()
        return key

    def failed(self, key: K) -> float:
        """Look at `key` again after a pause, which grows with each failure in a row: its seconds."""
        pause = self._failures.setdefault(key, Endless(self._first, self._most)).next()
        self.add_after(key, pause)
        return pause

    def succeeded(self, key: K) -> None:
        """The next failure of `key` is a first one again."""
        self._failures.pop(key, None)

    def done(self, key: K) -> None:
        """The worker has left `key`."""
        self._begun.pop(key)
        self._left.set()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def drain(self, seconds: float) -> None:
        """Hand out nothing more, and wait so long for what is worked on."""
        self._is_closed = True
        for waiting in self._later.values():
            waiting.cancel()
        while not self._ready.empty():
            self._ready.get_nowait()
        self._added.clear()
        try:
            async with asyncio.timeout(seconds):
                while self._begun:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _nothing(*_: object) -> None:
    """Nobody counts."""
