"""What is wrong at work with what a pod runs, told to whoever asks at `/findings`: the controller (`kube.reports`).

A pod's account need not be allowed to write a status, so nothing is pushed: what is found stays here until it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

TRIGGERS_WORKING = "TriggersWorking"
KEEPING_UP = "KeepingUp"
DEAD_LETTERS_KEPT = "DeadLettersKept"
SOURCES_WORKING = "SourcesWorking"
OF_SENSORS = (TRIGGERS_WORKING, KEEPING_UP, DEAD_LETTERS_KEPT)
OF_EVENT_SOURCES = (SOURCES_WORKING,)
"""Conditions that are False while something is found, as a Sensor and an EventSource have them."""

FORBIDDEN, CREDENTIALS = "Forbidden", "CredentialsMissing"
_MAX_MESSAGE = 1500
_STEADY_SECONDS = 300.0
"""So long a message stays while its reason does: each failure words it in its own way, and a status is no log."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with what (a trigger, an event), and why."""

    type: str
    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Whose:
    """The object that is run."""

    kind: str
    namespace: str
    name: str
    uid: str


class Findings:
    """What is wrong now; `types` are the conditions that this process can speak of."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._found: dict[tuple[str, str], tuple[Finding, float]] = {}
        self._whose: Whose | None = None
        self._types: Sequence[str] = ()
        self.on_change: Callable[[], None] = _nothing
        """Called when something is found that was not known, and when something is over."""

    def speak_for(self, whose: Whose, types: Sequence[str]) -> None:
        """Whose findings these are; until then nothing is told."""
        self._whose, self._types = whose, types

    def tell(self, type_: str, name: str, reason: str, message: str) -> None:
        """Something is wrong with `name`."""
        key, now = (type_, name), self._now()
        known = self._found.get(key)
        if known is not None and known[0].reason == reason and now - known[1] < _STEADY_SECONDS:
            return
        found = Finding(type_, name, reason, _cut(message))
        self._found[key] = (found, now)
        if known is None or known[0] != found:
            self.on_change()

    def clear(self, type_: str, name: str) -> None:
        """Nothing is wrong with it any more."""
        if self._found.pop((type_, name), None) is not None:
            self.on_change()

    def __iter__(self) -> Iterator[Finding]:
        return iter([found for found, _ in self._found.values()])

    def wire(self, waiting: Mapping[str, str]) -> dict[str, Any]:
        """What is answered; `waiting` is what is not ready, and why."""
        return {
            "waiting": dict(waiting),
            "object": asdict(self._whose) if self._whose else None,
            "types": list(self._types),
            "findings": [asdict(found) for found in self],
        }


def _cut(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"


def _nothing() -> None:
    """Nobody is told at once."""
