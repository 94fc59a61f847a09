"""Backoff of the objects (contract sensors 0.1, eventsources 1.11), the one retry loop, our own endless back-off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from events import durations
from events.errors import ActionError, KeryxError, UserError
from events.model import Model

T = TypeVar("T")

DEFAULT_STEPS = 5
_SECOND = 1_000_000_000


def _number(value: Any) -> Any:
    """A JSON number; a quoted one is refused, as upstream does when it comes to use it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number, without quotes")
    return float(value)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        try:
            durations.nanoseconds(value)
        except UserError as error:  # pydantic gathers ValueErrors only
            raise ValueError(str(error)) from error
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a duration such as 10s, or whole nanoseconds")
    return value


Number = Annotated[float, BeforeValidator(_number)]


class Backoff(Model):
    """How often and how fast an attempt is repeated."""

    duration: Annotated[int | str | None, BeforeValidator(_duration)] = Field(
        None, description="Pause before the second attempt: a duration such as 10s, or whole nanoseconds. Default 1s."
    )
    factor: Number | None = Field(None, description="Each pause is this many times the one before it. Default 1.")
    jitter: Number | None = Field(
        None, description="Each pause is lengthened by a random part of itself, up to this. Default 1."
    )
    steps: int | None = Field(None, description="Attempts in all. Default 5.")

    @property
    def attempts(self) -> int:
        """Attempts in all, at least one."""
        return self.steps if self.steps and self.steps > 0 else DEFAULT_STEPS

    @property
    def pause(self) -> float:
        """Seconds before the second attempt, without jitter."""
        if self.duration is None:
            return 1.0
        nanoseconds = durations.nanoseconds(self.duration) if isinstance(self.duration, str) else self.duration
        return nanoseconds / _SECOND

    def pauses(self, uniform: Callable[[], float] = random.random) -> Iterator[float]:
        """The seconds to wait before the second, third … attempt; one fewer than `attempts`."""
        pause = self.pause
        jitter = 1.0 if self.jitter is None else self.jitter
        factor = 1.0 if self.factor is None else self.factor
        for _ in range(self.attempts - 1):
            yield max(0.0, pause + uniform() * jitter * pause if jitter > 0 else pause)
            pause = pause * factor if factor else pause


ONCE = Backoff(steps=1)


async def retry(
    backoff: Backoff,
    attempt: Callable[[], Awaitable[T]],
    *,
    on_failure: Callable[[KeryxError, int], None] = lambda _error, _attempt: None,
    again: Callable[[KeryxError], bool] = lambda error: isinstance(error, ActionError),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The result of the first attempt that succeeds; the last error when all have failed.

    `on_failure(error, number)` sees every failed attempt; only errors that `again` accepts are tried again.
    """
    pauses = backoff.pauses()
    number = 0
    while True:
        number += 1
        try:
            return await attempt()
        except KeryxError as error:
            on_failure(error, number)
            pause = next(pauses, None)
            if pause is None or not again(error):
                raise
        await sleep(pause)


class Endless:
    """Pauses of an endless retry of ours: doubling from `first` to `most` seconds, each with up to half as jitter."""

    def __init__(self, first: float = 0.1, most: float = 10.0) -> None:
        self.first, self.most, self.count = first, most, 0

    def reset(self) -> None:
        """It went well: begin again with the first pause."""
        self.count = 0

    def next(self) -> float:
        """Seconds to wait before the next try."""
        pause = min(self.most, self.first * 2 ** min(self.count, 30))
        self.count += 1
        return float(pause * (1 - random.random() / 2))
