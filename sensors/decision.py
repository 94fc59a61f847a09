"""Decision: what became of one event at one trigger, and why.

Every (event, trigger) ends in exactly one final outcome; `waiting` is the only one that another follows.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass

from events.logs import Log
from events.metrics import Metrics

POLICY = "policy"
"""The reason of a firing whose target did it, and whose policy said that it does not count."""
PERMISSION = "permission"
"""The reason of a firing whose account is not allowed what it does; the detail says what is missing."""


class Outcome(enum.Enum):
    """What became of an event at a trigger."""

    FILTERED = "filtered"
    """It did not match; a filter that could not be decided did not match."""
    DUPLICATE = "duplicate"
    """The same source, subject and id came before."""
    WAITING = "waiting"
    """Kept until the other dependencies of the conditions are there."""
    FIRED = "fired"
    """Its action succeeded."""
    SUPERSEDED = "superseded"
    """While waiting, a newer event of the same dependency took its place."""
    RESET = "reset"
    """While waiting, it was dropped by conditionsReset or by an edit of its dependency."""
    FAILED = "failed"
    """It could not be handled, or all attempts of the action failed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One outcome. `reason` is a word for counting, `detail` a sentence for a person."""

    outcome: Outcome
    sequence: int
    event_id: str = ""
    dependency: str = ""
    reason: str = ""
    detail: str = ""
    firing_id: str = ""
    stored_ns: int = 0
    attempts: int = 0
    """How often the action was tried."""
    is_passed_on: bool = False
    """It failed, and its dead-letter trigger has taken it."""


class Recorder:
    """Counts the decisions of one trigger and says why, at debug."""

    def __init__(self, metrics: Metrics, log: Log, *, namespace: str, sensor: str, trigger: str) -> None:
        self._labels, self._metrics = (namespace, sensor, trigger), metrics
        self._log = log.bind(triggerName=trigger)
        self._age = metrics.event_age_seconds.labels(*self._labels)
        self._counters: dict[tuple[Outcome, str], Callable[[], None]] = {}

    def record(self, decision: Decision) -> None:
        """One decision."""
        key = (decision.outcome, decision.reason)
        count = self._counters.get(key)
        if count is None:
            child = self._metrics.decisions.labels(*self._labels, decision.outcome.value, decision.reason)
            count = self._counters[key] = child.inc
        count()
        if decision.outcome is Outcome.FIRED and decision.stored_ns:
            self._age.observe(max(0.0, time.time() - decision.stored_ns / 1e9))
        if self._log.is_debug():
            self._log.debug(
                f"Event {decision.outcome.value}",
                eventID=decision.event_id,
                sequence=decision.sequence,
                dependencyName=decision.dependency,
                reason=decision.reason,
                detail=decision.detail,
                firingID=decision.firing_id,
            )
