"""What of a Sensor that is stored already can run. Used by its controller. Contract: sensors D.15, F.6; promise P7.

Nobody can be refused any more: a wrong trigger, or one that waits for a wrong dependency, is left out and named; the
others run. Keys that no model knows are ignored here, as Argo Events ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.errors import InvalidObject, UserError
from events.problems import Problem, Severity
from events.resources import API_VERSION
from sensors import conditions, validation
from sensors.registry import TRIGGERS
from sensors.types import KIND, Sensor, Trigger

_PLACE = re.compile(r"spec\.(dependencies|triggers)\[(\d+)\]")


@dataclass(slots=True)
class Stored:
    """A Sensor, judged."""

    sensor: Sensor | None = None
    """What can run; None: nothing can."""
    raw_spec: dict[str, Any] = field(default_factory=dict)
    """The same, as it is handed on."""
    dependency_problems: list[Problem] = field(default_factory=list)
    trigger_problems: list[Problem] = field(default_factory=list)
    other_problems: list[Problem] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Trigger (`#2` when it has no name) -> why."""
    not_run: dict[str, str] = field(default_factory=dict)
    """The same for what is valid, and of a kind that this version does not run."""
    names: set[str] = field(default_factory=set)
    """Of all triggers, also those left out."""
    knows_all: bool = True
    """Whether every trigger has a name that can be read."""

    @property
    def runs_nothing(self) -> bool:
        """Whether there is something valid, and none of it runs."""
        return self.sensor is not None and len(self.not_run) == len(self.sensor.spec.triggers)


def judge(raw: dict[str, Any]) -> Stored:
    """What can run, and what is wrong with the rest."""
    found = Stored()
    raw = {"apiVersion": API_VERSION, "kind": KIND, **raw}  # items of a list have neither
    spec = raw.get("spec")
    if not isinstance(spec, dict):
        found.dependency_problems = [Problem("spec", "required")]
        return found
    _names(spec, found)
    dependencies, triggers = _parts(spec, "dependencies"), _parts(spec, "triggers")
    if dependencies is None or triggers is None:
        _place(_parsed(raw, {}).problems, found)
        return found
    problems = _first_problems(raw, dependencies, triggers)
    bad_dependencies, bad_triggers = _bad(problems, "dependencies"), _bad(problems, "triggers")
    _place(problems, found)
    if found.other_problems or _of_whole(problems):
        return found
    names = [_name(one) for one in dependencies]
    _blame_dependencies(triggers, names, bad_dependencies, bad_triggers)
    kept = {
        "dependencies": [one for index, one in enumerate(dependencies) if index not in bad_dependencies],
        "triggers": [one for index, one in enumerate(triggers) if index not in bad_triggers],
    }
    found.left_out = {_title(triggers[index], index): why for index, why in sorted(bad_triggers.items())}
    if kept["triggers"]:
        found.raw_spec = spec | kept
        found.sensor = _parsed(raw, kept).sensor
        found.not_run = _not_run(found.sensor)
    return found


def _not_run(sensor: Sensor | None) -> dict[str, str]:
    """Trigger -> why nothing of this version does it."""
    found: dict[str, str] = {}
    for index, trigger in enumerate(sensor.spec.triggers if sensor else ()):
        name = (trigger.template.name if trigger.template else "") or f"#{index + 1}"
        if trigger.template and not trigger.template.kinds:
            found[name] = f"it says nothing to do (give one of {', '.join(TRIGGERS)})"
        for problem in validation.why_not_run(trigger):
            found.setdefault(name, str(problem))
    return found


@dataclass(frozen=True, slots=True)
class _Parsed:
    sensor: Sensor | None
    problems: Sequence[Problem]


def _parsed(raw: dict[str, Any], changed: dict[str, Any]) -> _Parsed:
    try:
        return _Parsed(Sensor.parse(raw | {"spec": raw["spec"] | changed}, lenient=True), ())
    except InvalidObject as error:
        return _Parsed(None, error.problems)


def _first_problems(raw: dict[str, Any], dependencies: list[Any], triggers: list[Any]) -> list[Problem]:
    """All errors, with the places of the Sensor as it is stored."""
    whole = _parsed(raw, {})
    found = list(whole.problems)
    if whole.sensor is not None:
        return _validated(whole.sensor)
    # What can be parsed is validated in its place: a part that cannot is empty meanwhile.
    bad = {name: _bad(found, name) for name in ("dependencies", "triggers")}
    parts = {"dependencies": dependencies, "triggers": triggers}
    emptied = {name: [{} if i in bad[name] else one for i, one in enumerate(parts[name])] for name in parts}
    rest = _parsed(raw, emptied).sensor
    if rest is not None:
        known = {(name, index) for name, indexes in bad.items() for index in indexes}
        found += [problem for problem in _validated(rest) if _where(problem) not in known]
    return found


def _validated(sensor: Sensor) -> list[Problem]:
    return validation.validate(_without_strays(sensor)).errors


def _without_strays(sensor: Sensor) -> Sensor:
    """The same Sensor, its adapters' parts without keys that they do not know."""
    triggers = [_known_only(trigger) for trigger in sensor.spec.triggers]
    return sensor.model_copy(update={"spec": sensor.spec.model_copy(update={"triggers": triggers})})


def _known_only(trigger: Trigger) -> Trigger:
    changed: dict[str, Any] = {}
    if trigger.template is not None:
        kinds = {kind: _lenient(kind, raw) for kind, raw in trigger.template.kinds.items()}
        changed["template"] = trigger.template.model_copy(update={"kinds": kinds})
    if trigger.dlq_trigger is not None:
        changed["dlq_trigger"] = _known_only(trigger.dlq_trigger)
    return trigger.model_copy(update=changed)


def _lenient(kind: str, raw: Any) -> Any:
    try:
        return TRIGGERS.load(kind).Spec.parse(raw, lenient=True).wire()
    except UserError:
        return raw  # said by validation


def _blame_dependencies(
    triggers: list[Any], names: list[str], bad: dict[int, str], bad_triggers: dict[int, str]
) -> None:
    """A trigger that waits for a wrong dependency is wrong, too."""
    unusable = {names[index] for index in bad}
    for index, raw in enumerate(triggers):
        if not unusable or index in bad_triggers:
            continue
        template = raw.get("template") or {}
        expression = template.get("conditions")
        try:
            used = set(conditions.compile(expression, [name for name in names if name]).dependencies)
        except UserError:
            used = set(names)
        if not expression:
            used = set(names)
        if waits := sorted(used & unusable):
            bad_triggers[index] = f"it waits for {', '.join(map(repr, waits))}, which is wrong"


def _bad(problems: Iterable[Problem], part: str) -> dict[int, str]:
    """Index -> the first thing that is wrong with that part."""
    found: dict[int, str] = {}
    for problem in problems:
        place = _where(problem)
        if place is not None and place[0] == part:
            found.setdefault(place[1], str(problem))
    return found


def _where(problem: Problem) -> tuple[str, int] | None:
    match = _PLACE.match(problem.path)
    return (match[1], int(match[2])) if match else None


def _of_whole(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR and _where(problem) is None for problem in problems)


def _place(problems: Iterable[Problem], found: Stored) -> None:
    """Put each where its condition is."""
    for problem in problems:
        if problem.path.startswith("spec.dependencies"):
            found.dependency_problems.append(problem)
        elif problem.path.startswith("spec.triggers"):
            found.trigger_problems.append(problem)
        else:
            found.other_problems.append(problem)


def _parts(spec: dict[str, Any], name: str) -> list[Any] | None:
    value = spec.get(name)
    value = [] if value is None else value
    return value if isinstance(value, list) else None


def _names(spec: dict[str, Any], found: Stored) -> None:
    for trigger in _parts(spec, "triggers") or ():
        template = trigger.get("template") if isinstance(trigger, dict) else None
        name = _name(template)
        if name:
            found.names.add(name)
        found.knows_all = found.knows_all and bool(name)
    found.knows_all = found.knows_all and _parts(spec, "triggers") is not None


def _name(raw: Any) -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) else ""


def _title(trigger: Any, index: int) -> str:
    return _name(trigger.get("template") if isinstance(trigger, dict) else None) or f"#{index + 1}"
