"""The arithmetic of rolling updates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.quantities import percent_of

_QUARTER = "25%"


@dataclass(frozen=True)
class Limits:
    """How far a rollout may go beyond, and below, the number that is wanted."""

    surge: int
    unavailable: int


def limits(strategy: Mapping[str, Any], replicas: int) -> Limits:
    """Of a strategy; both 0 would stand still, so one may be missing then."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = percent_of(rolling.get("maxSurge", _QUARTER), replicas, round_up=True)
    unavailable = percent_of(rolling.get("maxUnavailable", _QUARTER), replicas, round_up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Limits(surge, min(unavailable, replicas) if replicas else unavailable)


@dataclass(frozen=True)
class Part:
    """One replica set in a rollout: how many it is to have, has, and has available."""

    wanted: int
    actual: int
    available: int


def rolled(replicas: int, new: Part, old: Sequence[Part], most: Limits) -> tuple[int, list[int]]:
    """The next sizes, of the new set and of the old ones (oldest first)."""
    total = new.wanted + sum(part.wanted for part in old)
    grown = new.wanted
    if new.wanted < replicas:
        grown = min(replicas, new.wanted + max(0, replicas + most.surge - total))
    elif new.wanted > replicas:
        grown = replicas
    least = replicas - most.unavailable
    missing = grown - new.available if grown > new.available else 0
    spare = new.wanted + sum(part.wanted for part in old) - least - min(missing, new.wanted)
    sizes = [part.wanted for part in old]
    for index, part in enumerate(old):  # those that do not work go first
        broken = min(max(0, part.wanted - part.available), max(0, spare))
        sizes[index] -= broken
        spare -= broken
    available = new.available + sum(part.available for part in old)
    spare = min(spare, available - least)
    for index in range(len(old)):
        down = min(sizes[index], max(0, spare))
        sizes[index] -= down
        spare -= down
    return grown, sizes
