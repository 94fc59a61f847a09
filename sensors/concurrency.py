"""How many firings of a trigger overlap, and which of them keep their order (ours)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from events.errors import KeryxError
from events.problems import Problems, did_you_mean
from sensors import parameters
from sensors.base import Firing
from sensors.types import Concurrency as Spec

MOST = 1024


class Concurrency:
    """Turns of firings. `most` is 0 where the object says nothing."""

    def __init__(self, spec: Spec | None = None) -> None:
        """UserError when the key is not a path."""
        self.most = (spec.max or 0) if spec is not None else 0
        self._key = parameters.Source(spec.key, "concurrency.key") if spec is not None and spec.key else None
        self._last: dict[str, asyncio.Lock] = {}

    @property
    def has_key(self) -> bool:
        """Whether some firings keep their order."""
        return self._key is not None

    def key(self, firing: Firing) -> str:
        """What firings have in common that keep their order; empty: nothing. One without a value is alone, too."""
        if self._key is None:
            return ""
        try:
            value = self._key.resolve(firing.events)
        except KeryxError:
            return ""
        return value.text if isinstance(value, parameters.Value) else ""

    @asynccontextmanager
    async def turn(self, firing: Firing) -> AsyncIterator[None]:
        """The time in which it may act: those with the same key one after another, in the order they came."""
        key = self.key(firing)
        if not key:
            yield
            return
        lock = self._last.get(key)
        if lock is None:
            lock = self._last[key] = asyncio.Lock()
        try:
            async with lock:
                yield
        finally:
            # Waiters are known to the lock alone; without any, nobody will miss it.
            if not lock.locked() and not lock._waiters and self._last.get(key) is lock:
                del self._last[key]


def validate(spec: Spec, names: Sequence[str], problems: Problems) -> None:
    """Bounds, and a source for the key among the dependencies `names`; paths are relative to `concurrency`."""
    if spec.max is not None and not 1 <= spec.max <= MOST:
        problems.error("max", f"{spec.max} is not from 1 to {MOST}")
    if spec.key is None:
        return
    parameters.validate_source(spec.key, problems.at("key"))
    if spec.key.dependency_name and spec.key.dependency_name not in names:
        message = f"there is no dependency {spec.key.dependency_name!r}: no order is kept"
        problems.warn("key.dependencyName", message, did_you_mean(spec.key.dependency_name, names))
    if spec.max == 1:
        problems.warn("key", "has no effect with max: 1: one firing follows another anyway")
