"""What a filter says about one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from events.errors import FilterError
from events.paths import Document

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


class Entry(Protocol):
    """One of several conditions on a document."""

    def difference(self, document: Document) -> str:
        """Nothing when the document satisfies it, else why not; FilterError when that cannot be said."""
        ...


def combined(
    entries: Sequence[Entry], document: Document, reason: str, *, is_either: bool, nothing: str = ""
) -> Verdict:
    """All entries must be satisfied, and one that cannot be decided ends it; or any, where errors count as false."""
    differences, is_error = [], False
    for entry in entries:
        try:
            difference = entry.difference(document)
        except FilterError as error:
            if not is_either:
                return undecided(reason, str(error))
            difference, is_error = str(error), True
        if not difference and is_either:
            return PASSED
        if difference and not is_either:
            return refused(reason, difference)
        differences.append(difference)
    if not is_either:
        return PASSED
    return (undecided if is_error else refused)(reason, "; ".join(differences) or nothing)
