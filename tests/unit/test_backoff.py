"""Backoffs of objects, beyond what the recorded cases say."""

from __future__ import annotations

from typing import Any

import pytest

from events.backoff import Backoff, retry
from events.errors import ActionError, UserError
from events.problems import Problems


@pytest.mark.parametrize(
    ("spec", "path"),
    [({"duration": "1d"}, "duration"), ({"factor": "2"}, "factor"), ({"jitter": True}, "jitter")],
)
async def test_a_backoff_that_cannot_be_read_is_warned_of_and_allows_no_attempt(spec: Any, path: str) -> None:
    backoff, problems, attempts = Backoff.parse(spec), Problems(), []
    backoff.check(problems)
    assert [problem.path for problem in problems] == [path]
    assert not problems.errors

    async def attempt() -> None:
        attempts.append(1)

    with pytest.raises(UserError):
        await retry(backoff, attempt)
    assert not attempts


async def test_attempts_and_pauses() -> None:
    slept: list[float] = []

    async def attempt() -> None:
        raise ActionError("no")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with pytest.raises(ActionError):
        await retry(Backoff.parse({"duration": "2s", "factor": 3, "jitter": 0, "steps": 3}), attempt, sleep=sleep)
    assert slept == [2.0, 6.0]
