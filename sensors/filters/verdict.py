"""What a filter says about one event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an event passes; if not, `reason` is a word for counting and `detail` a sentence for a person."""

    passed: bool
    reason: str = ""
    detail: str = ""
    is_error: bool = False
    """The filter could not be decided; the event counts as refused."""


PASSED: Final = Verdict(passed=True)


def refused(reason: str, detail: str) -> Verdict:
    """The event does not match."""
    return Verdict(passed=False, reason=reason, detail=detail)


def undecided(reason: str, detail: str) -> Verdict:
    """The filter cannot be decided for this event."""
    return Verdict(passed=False, reason=reason, detail=detail, is_error=True)


def shown(text: str) -> str:
    """A value of an event, short enough for a log line."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
