"""One timer for many waits."""

from __future__ import annotations

import asyncio

import pytest

from eventsources.http.deadlines import Deadlines


async def test_a_wait_in_time_is_left_alone() -> None:
    deadlines = Deadlines(60)
    for _ in range(3):
        await deadlines.wait_for(asyncio.sleep(0))
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_what_takes_too_long_is_cancelled_and_only_that() -> None:
    deadlines, cancelled = Deadlines(0.02), asyncio.Event()

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    for _ in range(2):  # the timer starts again
        with pytest.raises(TimeoutError):
            await deadlines.wait_for(stuck())
        assert cancelled.is_set()
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        cancelled.clear()


async def test_all_that_are_overdue_end() -> None:
    deadlines = Deadlines(0.02)
    waits = [asyncio.create_task(deadlines.wait_for(asyncio.Event().wait())) for _ in range(50)]  # type: ignore[arg-type]
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert {type(result) for result in results} == {TimeoutError}


async def test_the_cancellation_of_somebody_else_goes_through() -> None:
    deadlines = Deadlines(60)
    wait = asyncio.create_task(deadlines.wait_for(asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait


async def test_errors_go_through() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Deadlines(60).wait_for(fail())
