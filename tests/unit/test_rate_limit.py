"""Rate limit: even spacing, up to ten saved permits, and nobody turned away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from events.errors import UserError
from events.problems import Problems
from sensors import rate_limit, types
from sensors.rate_limit import RateLimiter


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def limiter(requests: int = 4, unit: str | None = None, clock: Clock | None = None) -> RateLimiter:
    clock = clock or Clock()
    return RateLimiter(types.RateLimit(unit=unit, requests_per_unit=requests), clock, clock.sleep)


@pytest.mark.parametrize(("unit", "spacing"), [(None, 0.25), ("Second", 0.25), ("Minute", 15.0), ("Hour", 900.0)])
def test_permits_are_spaced_evenly(unit: str | None, spacing: float) -> None:
    limit = limiter(unit=unit)
    assert [limit.take(0.0) for _ in range(3)] == [0.0, spacing, 2 * spacing]


def test_the_first_is_there_at_once_and_the_second_is_not() -> None:
    limit = limiter()
    assert limit.available(0.0) == 1
    assert limit.take(0.0) == 0.0
    assert (limit.available(0.0), limit.next_at(0.0)) == (0, 0.25)
    assert limit.available(0.25) == 1


@pytest.mark.parametrize(("idle", "saved"), [(0.25, 1), (0.5, 2), (2.5, 10), (2.75, 11), (60.0, 11)])
def test_up_to_ten_unused_permits_are_saved(idle: float, saved: int) -> None:
    limit = limiter()
    limit.take(0.0)
    assert limit.available(idle) == saved
    assert [limit.take(idle) for _ in range(saved)] == [0.0] * saved
    assert limit.available(idle) == 0


def test_what_is_available_can_be_taken_for_any_spacing() -> None:
    for requests in range(1, 200):
        limit = limiter(requests)
        limit.take(0.0)
        for _ in range(30):
            due = limit.next_at(0.0)
            assert limit.available(due) >= 1
            assert limit.take(due) == 0.0


async def test_those_who_come_together_wait_in_order() -> None:
    limit, clock, order = limiter(), Clock(), []

    async def one(number: int) -> None:
        await asyncio.sleep(0)
        order.append((number, limit.take(clock.now)))

    await asyncio.gather(*(one(number) for number in range(3)))
    assert order == [(0, 0.0), (1, 0.25), (2, 0.5)]


async def test_acquire_waits_until_its_permit_falls_due() -> None:
    clock = Clock()
    limit = limiter(clock=clock)
    for due in (100.0, 100.25, 100.5):
        await limit.acquire()
        assert clock.now == pytest.approx(due)


async def test_waiting_for_a_permit_takes_none() -> None:
    clock = Clock()
    limit = limiter(clock=clock)
    await limit.acquire()
    await limit.until_available()
    assert (clock.now, limit.available()) == (pytest.approx(100.25), 1)
    await limit.until_available()
    assert clock.now == pytest.approx(100.25)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "requestsPerUnit"),
        ({"requestsPerUnit": 0}, "requestsPerUnit"),
        ({"requestsPerUnit": -1, "unit": "Hour"}, "requestsPerUnit"),
        ({"requestsPerUnit": 1, "unit": "Day"}, "unit"),
        ({"requestsPerUnit": 1, "unit": "second"}, "unit"),
    ],
)
def test_a_limit_that_is_none_is_refused(raw: dict[str, Any], path: str) -> None:
    limit, found = types.RateLimit.parse(raw), Problems()
    with pytest.raises(UserError):
        RateLimiter(limit)
    rate_limit.validate(limit, found)
    assert [problem.path for problem in found] == [path]
