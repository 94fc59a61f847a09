"""When an ended container is started again: the policy, and a back-off that grows from 10 s to 5 min. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STABLE_SECONDS = 600.0
"""A container that ran this long begins its back-off anew."""


def is_wanted(policy: str, exit_code: int, rules: Iterable[Mapping[str, Any]] = ()) -> bool:
    """Whether a container that ended is to run again; `rules` of its own come before the policy."""
    for rule in rules:
        codes = rule.get("exitCodes") or {}
        is_listed = exit_code in (codes.get("values") or ())
        if rule.get("action") == "Restart" and is_listed is (codes.get("operator") == "In"):
            return True
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


@dataclass
class Backoff:
    """The pauses of one container. The first restart is at once, as a kubelet's."""

    first: float = 10.0
    most: float = 300.0
    _pause: float = 0.0

    def next(self, ran_seconds: float) -> float:
        """Seconds to wait before the next start, after a life of `ran_seconds`."""
        if ran_seconds >= STABLE_SECONDS:
            self._pause = 0.0
        pause = self._pause
        self._pause = min(self.most, pause * 2) if pause else self.first
        return pause


def shown(seconds: float) -> str:
    """`10s`, `2m40s`, `5m0s`: as durations are written in messages."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
