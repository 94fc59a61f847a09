"""Attributes that an event must have, compared exactly. Contract: sensors A.5.3."""

from __future__ import annotations

from operator import attrgetter

from events.event import Event
from events.problems import Problems
from sensors.filters.verdict import PASSED, Verdict, refused, shown
from sensors.types import EventContext

COMPARED = ("type", "subject", "source", "datacontenttype")


class ContextFilter:
    """All attributes that are given must be equal; id, time and specversion are not compared."""

    def __init__(self, spec: EventContext) -> None:
        given = ((name, getattr(spec, name)) for name in COMPARED)
        self._wanted = tuple((name, attrgetter(name), value) for name, value in given if value)

    def check(self, event: Event) -> Verdict:
        """Whether the event has the attributes."""
        for name, attribute, wanted in self._wanted:
            value = attribute(event)
            if value != wanted:
                return refused("context", f"context.{name}: {shown(value)!r} is not {wanted!r}")
        return PASSED


def validate(spec: EventContext, problems: Problems) -> None:
    """At least one attribute that is compared."""
    if not any(getattr(spec, name) for name in COMPARED):
        problems.error("", "compares nothing, so every event would be refused", f"give one of {', '.join(COMPARED)}")
