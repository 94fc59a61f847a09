"""Step 6. Which dependencies an event belongs to: an exact look-up of its source and name. Contract: sensors A.2."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from eventbus import subjects
from events.errors import UserError
from events.event import Event
from events.problems import Problems
from events.scripting.pool import Scripts
from sensors import conditions, filters, transform
from sensors.types import EventDependency

Topic = tuple[str, str]
_SIGNED = ("eventSourceName", "eventName", "filters", "filtersLogicalOperator", "transform")


@dataclass(frozen=True, slots=True)
class Dependency:
    """One dependency of a Sensor, compiled."""

    name: str
    topic: Topic
    """(event source, event name)"""
    transform: transform.Transform | None
    filter: filters.Filter
    signature: str
    """Changes when an edit changes which events count, or their data; pending events of another one are dropped."""
    is_scripted: bool = False
    """Whether its events go through the worker process."""


class Dependencies:
    """The dependencies of a Sensor, or of one trigger. Of several with one name the last counts, as upstream.

    Without `scripts` no event passes a dependency that needs them.
    """

    def __init__(self, specs: Iterable[EventDependency], scripts: Scripts | None = None) -> None:
        self._by_name = {spec.name: _compile(spec, scripts) for spec in specs}
        self._by_topic = _by_topic(self._by_name.values())
        self._have_scripts = any(one.is_scripted for one in self)

    def matching(self, event: Event) -> tuple[Dependency, ...]:
        """Those that wait for events of this source and name; several may."""
        return self._by_topic.get((event.source, event.subject), ())

    @classmethod
    def joined(cls, some: Iterable[Dependencies]) -> Dependencies:
        """All of these, as they are compiled."""
        made = cls(())
        made._by_name = {name: one for part in some for name, one in part._by_name.items()}
        made._by_topic = _by_topic(made._by_name.values())
        made._have_scripts = any(one.is_scripted for one in made)
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the object."""
        return tuple(self._by_name)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What to subscribe to, each once."""
        return tuple(self._by_topic)

    @property
    def have_scripts(self) -> bool:
        """Whether any of them needs the worker process."""
        return self._have_scripts

    def __getitem__(self, name: str) -> Dependency:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Dependency]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def _compile(spec: EventDependency, scripts: Scripts | None) -> Dependency:
    topic = (spec.event_source_name, spec.event_name)
    changed = transform.compile(spec, scripts)
    change = spec.transform
    is_scripted = bool((change and (change.jq or change.script)) or (spec.filters and spec.filters.script))
    return Dependency(spec.name, topic, changed, filters.compile(spec, scripts), signature(spec), is_scripted)


def _by_topic(dependencies: Iterable[Dependency]) -> dict[Topic, tuple[Dependency, ...]]:
    found: dict[Topic, tuple[Dependency, ...]] = {}
    for dependency in dependencies:
        found[dependency.topic] = (*found.get(dependency.topic, ()), dependency)
    return found


def signature(spec: EventDependency) -> str:
    """A hash of what decides which events count and what their data is; the name is not part of it."""
    wire = spec.wire()
    signed = {field: wire[field] for field in _SIGNED if wire.get(field)}
    return hashlib.blake2b(orjson.dumps(signed, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def validate(specs: Sequence[EventDependency], problems: Problems) -> None:
    """Contract D.15, dependencies and their filters; paths are relative to the Sensor's spec."""
    if not specs:
        problems.error("dependencies", "required", "name at least one event to wait for")
    seen: set[str] = set()
    names = frozenset(spec.name for spec in specs)
    for index, spec in enumerate(specs):
        here = problems.at(f"dependencies[{index}]")
        if not spec.name:
            here.error("name", "required")
        elif spec.name in seen:
            here.warn("name", f"{spec.name!r} is there twice; only the last one counts", "rename one of them")
        else:
            _validate_name(spec.name, names, here)
        seen.add(spec.name)
        _validate_token(spec.event_source_name, "eventSourceName", "event source name", here)
        _validate_token(spec.event_name, "eventName", "event name", here)
        if spec.transform is not None:
            transform.validate(spec.transform, here.at("transform"))
        filters.validate(spec, here)


def _validate_name(name: str, names: frozenset[str], problems: Problems) -> None:
    """Flaw B1: upstream takes any name, and a trigger whose conditions cannot hold it never starts."""
    try:
        conditions.check_name(name, names)
    except UserError as error:
        problems.error("name", error.message, error.cure)


def unused(specs: Sequence[EventDependency], used: Collection[str], problems: Problems) -> None:
    """A warning for each dependency whose name no trigger uses; paths are relative to the Sensor's spec."""
    for index, spec in enumerate(specs):
        if spec.name and spec.name not in used:
            cure = "name it in the conditions of a trigger, or remove it"
            problems.warn(f"dependencies[{index}]", f"no trigger waits for {spec.name!r}", cure)


def _validate_token(text: str, field: str, what: str, problems: Problems) -> None:
    if not text:
        problems.error(field, "required")
        return
    try:
        subjects.token(text, what)
    except UserError as error:
        problems.error(field, error.message, error.cure)
