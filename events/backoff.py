"""Backoff of the objects (contract sensors 0.1, eventsources 1.11), the one retry loop, our own endless back-off."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from events import durations
from events.errors import ActionError, KeryxError, UserError
from events.model import Model
from events.problems import Problems

T = TypeVar("T")

DEFAULT_STEPS = 5
_SECOND = 1_000_000_000
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)


def number(value: Any) -> float:
    """A `factor` or `jitter`: a JSON number; UserError for a quoted one, as upstream when it comes to use it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{value!r} is not a number", cure="write a number, without quotes")
    return float(value)


def whole_or_text(text: str) -> int | str:
    """A `duration` as upstream takes it from text: a whole number of 64 bits is nanoseconds, everything else text."""
    if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    return text


def _whole_or_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise ValueError("must be a duration such as 10s, or whole nanoseconds")
    return value


class Backoff(Model):
    """How often and how fast an attempt is repeated. What it says is read at its use: upstream stores any text."""

    duration: Annotated[int | str | None, BeforeValidator(_whole_or_text)] = Field(
        None, description="Pause before the second attempt: a duration such as 10s, or whole nanoseconds. Default 1s."
    )
    factor: Any = Field(None, description="Each pause is this many times the one before it. Default 1.")
    jitter: Any = Field(None, description="Each pause is lengthened by a random part of itself, up to this. Default 1.")
    steps: int | None = Field(None, description="Attempts in all. Default 5.")

    @property
    def attempts(self) -> int:
        """Attempts in all, at least one."""
        return self.steps if self.steps and self.steps > 0 else DEFAULT_STEPS

    @property
    def pause(self) -> float:
        """Seconds before the second attempt, without jitter; UserError when `duration` is none."""
        if self.duration is None:
            return 1.0
        nanoseconds = durations.nanoseconds(self.duration) if isinstance(self.duration, str) else self.duration
        return nanoseconds / _SECOND

    @property
    def growth(self) -> float:
        """The factor between two pauses; UserError when `factor` is no number."""
        return 1.0 if self.factor is None else number(self.factor)

    @property
    def spread(self) -> float:
        """The largest random part of a pause that is added to it; UserError when `jitter` is no number."""
        return 1.0 if self.jitter is None else number(self.jitter)

    def pauses(self, uniform: Callable[[], float] = random.random) -> Iterator[float]:
        """The seconds to wait before the second, third … attempt; one fewer than `attempts`. UserError at once."""
        return self._pauses(self.pause, self.growth, self.spread, uniform)

    def _pauses(self, pause: float, growth: float, spread: float, uniform: Callable[[], float]) -> Iterator[float]:
        for _ in range(self.attempts - 1):
            yield pause + uniform() * spread * pause if spread > 0 else pause
            pause = pause * growth if growth else pause

    def check(self, problems: Problems) -> None:
        """Warn of what fails at use; paths are relative to this object."""
        for field, read in (("duration", "pause"), ("factor", "growth"), ("jitter", "spread")):
            try:
                getattr(self, read)
            except UserError as error:
                problems.warn(field, f"{error.message}: no attempt is ever made", error.cure)


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

    `on_failure(error, number)` sees every failed attempt; only errors that `again` accepts are tried again. A backoff
    that cannot be read is a UserError without any attempt, as upstream.
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
