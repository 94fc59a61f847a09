"""What of an EventSource that is stored already can run, for its controller. Contract: eventsources 1.5; promise P7.

A wrong event is left out and named, the others run. Keys that no model knows are ignored, as Argo Events ignores them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from events.errors import InvalidObject, UserError
from events.problems import Problem
from events.resources import API_VERSION
from eventsources import validation
from eventsources.registry import SOURCES
from eventsources.types import KIND, EventSource


@dataclass(slots=True)
class Stored:
    """An EventSource, judged."""

    event_source: EventSource | None = None
    """What can run; None: nothing can."""
    raw_spec: dict[str, Any] = field(default_factory=dict)
    """The same, as it is handed on."""
    problems: list[Problem] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Event -> why."""
    not_run: dict[str, str] = field(default_factory=dict)
    """The same for what is valid, and of a kind that this version does not run."""

    @property
    def runs_nothing(self) -> bool:
        """Whether there is something valid, and none of it runs."""
        return self.event_source is not None and len(self.not_run) == sum(
            map(len, self.event_source.spec.sources.values())
        )


def judge(raw: dict[str, Any]) -> Stored:
    """What can run, and what is wrong with the rest."""
    found = Stored()
    raw = {"apiVersion": API_VERSION, "kind": KIND, **raw}  # items of a list have neither
    try:
        whole = EventSource.parse(raw, lenient=True)
    except InvalidObject as error:
        found.problems = error.problems
        return found
    found.problems = validation.validate(_without_strays(whole)).errors
    events = [(key, name) for key, events in whole.spec.sources.items() for name in events]
    bad: dict[tuple[str, str], str] = {}
    for problem in found.problems:
        place = _where(problem, events)
        if place is None:
            return found  # of the whole object
        bad.setdefault(place, str(problem))
    found.left_out = {name: why for (_, name), why in bad.items()}
    if events and len(bad) == len(events):
        return found
    spec = dict(raw["spec"])
    for key, names in whole.spec.sources.items():
        spec[key] = {name: spec[key].get(name) for name in names if (key, name) not in bad}
    found.raw_spec = spec
    found.event_source = EventSource.parse(raw | {"spec": spec}, lenient=True) if bad else whole
    for problem in validation.not_run(found.event_source):
        if place := _where(problem, events):
            found.not_run[place[1]] = str(problem)
    return found


def _where(problem: Problem, events: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The event that a problem belongs to. Names may hold dots, so the longest that fits."""
    fits = [
        place for place in events if f"{problem.path}.".replace("[", ".").startswith(f"spec.{place[0]}.{place[1]}.")
    ]
    return max(fits, key=lambda place: len(place[1]), default=None)


def _without_strays(event_source: EventSource) -> EventSource:
    """The same EventSource, its adapters' parts without keys that they do not know."""
    sources = {
        key: {name: _lenient(key, one) for name, one in events.items()}
        for key, events in event_source.spec.sources.items()
    }
    return event_source.model_copy(update={"spec": event_source.spec.model_copy(update={"sources": sources})})


def _lenient(key: str, raw: Any) -> Any:
    try:
        return SOURCES.load(key).Spec.parse(raw, lenient=True).wire()
    except UserError:
        return raw  # said by validation
