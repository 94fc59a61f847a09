"""What one rendering may use up. Without these limits twenty lines of template can fill the memory or stop the process.

Values that go into a list or a map are copied, and copies are counted: so every value is a tree, never a graph that
holds itself or grows to many times its size when it is printed. A template notices only if it changes a map that it
has put elsewhere before.
"""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from typing import Any

from events.templates.values import Map

MAX_TEXT = 1 << 20
"""Characters of a string, and elements of a list, that a function may give; ours."""

MAX_COUNT = 100_000
"""How often something may be repeated, how many numbers a sequence may have; ours."""

MAX_COPIED = 500_000
"""Values that may be put into lists and maps, long strings counted as several; ours."""

MAX_SECONDS = 0.5
"""Processor time of one rendering; ours."""


class TooMuch(ValueError):
    """A template that wants more time or space than there is."""


class Allowance:
    """What is left for the rendering that is going on."""

    __slots__ = ("copies", "deadline")

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        # The time of this thread, so that a busy machine does not make templates fail.
        self.deadline = time.thread_time() + seconds
        self.copies = MAX_COPIED

    def check_time(self) -> None:
        """TooMuch when time is up."""
        if time.thread_time() > self.deadline:
            raise TooMuch("the template takes too long for this event")

    def copied(self, value: Any) -> Any:
        """A copy, all the way down; TooMuch when there have been too many."""
        kind = type(value)
        self.copies -= 1 + (len(value) >> 4) if kind is str else 1
        if self.copies < 0:
            raise TooMuch("the template builds too large lists for this event")
        if isinstance(value, list):
            return kind(self.copied(item) for item in value)
        if isinstance(value, dict):
            target = kind if issubclass(kind, Map) else Map
            return target((key, self.copied(item)) for key, item in value.items())
        return value


allowance: ContextVar[Allowance] = ContextVar("allowance")
"""Set while a template is rendered."""


def within_text(name: str, result: Any) -> Any:
    """A result of a function; TooMuch when it is too long."""
    if isinstance(result, (str, list)) and len(result) > MAX_TEXT:
        raise TooMuch(f"{name} gives more than {MAX_TEXT} characters or elements")
    return result


def check_count(count: float, length: int = 1) -> None:
    """TooMuch when something of a length is repeated too often."""
    if not -MAX_COUNT <= count <= MAX_COUNT or math.fabs(count) * length > MAX_TEXT:
        raise TooMuch(f"{int(count)} is too many")
