"""How many firings of a trigger may start. Contract: sensors B.7.

Permits come evenly spaced; up to ten that nobody took are kept. Nobody is turned away: excess firings wait in order.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from events.errors import UserError
from events.problems import Problems, did_you_mean
from sensors.types import RateLimit

SLACK = 10
_SECONDS: Mapping[str, float] = MappingProxyType({"Second": 1.0, "Minute": 60.0, "Hour": 3600.0})
# Permits are spaced by sums of floats; one that is due within this part of the spacing is due.
_ROUNDING = 1e-6


class RateLimiter:
    """Permits for one trigger; UserError when the limit is not one."""

    def __init__(
        self,
        limit: RateLimit,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        unit = limit.unit or "Second"
        if unit not in _SECONDS:
            raise UserError(f"unknown unit {unit!r}", path="rateLimit.unit", cure=did_you_mean(unit, _SECONDS))
        if not limit.requests_per_unit or limit.requests_per_unit < 1:
            raise UserError("must be at least 1", path="rateLimit.requestsPerUnit")
        self._spacing = _SECONDS[unit] / limit.requests_per_unit
        self._clock, self._sleep = clock, sleep
        self._last = -math.inf
        """When the last permit fell due; at first, one is due at once and none is saved."""

    def next_at(self, now: float) -> float:
        """When the next permit falls due; in the past when permits were saved."""
        if self._last == -math.inf:
            return now
        return max(self._last + self._spacing, now - SLACK * self._spacing)

    def available(self, now: float | None = None) -> int:
        """How many permits can be taken at once without waiting."""
        now = self._clock() if now is None else now
        due = self.next_at(now)
        return max(0, math.floor((now - due) / self._spacing + _ROUNDING) + 1)

    def take(self, now: float) -> float:
        """Take the next permit; the seconds until it falls due, 0 when it has."""
        self._last = self.next_at(now)
        return max(0.0, self._last - now)

    async def acquire(self) -> None:
        """Take the next permit and wait until it falls due; those who come later wait longer."""
        pause = self.take(self._clock())
        if pause > 0:
            await self._sleep(pause)

    async def until_available(self) -> None:
        """Wait until a permit is there, and leave it."""
        while (pause := self.next_at(now := self._clock()) - now) > self._spacing * _ROUNDING:
            await self._sleep(pause)


def validate(limit: RateLimit, problems: Problems) -> None:
    """A number of at least 1 and a known unit; upstream divides by zero. Paths are relative to the limit."""
    try:
        RateLimiter(limit)
    except UserError as error:
        problems.error(error.path.removeprefix("rateLimit."), error.message, error.cure or "e.g. 5 per Second")
