"""What is wrong with a Sensor, all of it at once: used by lint, admission, controllers and `keryx run`. Contract: D.15.

Where upstream accepts an object that works in part or not at all, so do we, with a warning; refused is what upstream
refuses, and what its flaws let through (docs/differences.md); what this version describes and does not run is a
warning, and `not_run` lists it for whoever is to run it. Each step looks after its own part of the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from events import verdict as verdicts
from events.errors import InvalidObject, UserError
from events.problems import Problems, join
from events.verdict import Verdict
from sensors import concurrency, conditions, dependencies, parameters, policies, rate_limit, resets
from sensors.registry import PRECEDENCE, TRIGGERS
from sensors.types import Sensor, SensorSpec, Trigger, TriggerParameter, TriggerTemplate


def verdict(raw: Any) -> Verdict[Sensor]:
    """Whether a Sensor is accepted, and everything there is to say about it."""
    return verdicts.reach(raw, Sensor, validate)


def validate(sensor: Sensor) -> Problems:
    """Every problem of a Sensor, with field paths from `spec` on."""
    problems = Problems()
    validate_spec(sensor.spec, problems.at("spec"))
    return problems


def validate_spec(spec: SensorSpec, problems: Problems) -> None:
    """The same, with paths relative to the spec."""
    named = Problems()
    dependencies.validate(spec.dependencies, named)
    problems.extend(named)
    has_bad_names = any(problem.path.endswith(".name") for problem in named.errors)
    names = [dependency.name for dependency in spec.dependencies]
    if not spec.triggers:
        problems.error("triggers", "required", "say what is to be done")
    seen: set[str] = set()
    used: set[str] = set()
    for index, trigger in enumerate(spec.triggers):
        here = problems.at(f"triggers[{index}]")
        name = trigger.template.name if trigger.template else ""
        if name and name in seen:
            here.error("template.name", f"there are two triggers named {name!r}", "rename one of them")
        seen.add(name)
        _validate_trigger(trigger, names, here)
        expression, condition = trigger.template.conditions if trigger.template else None, None
        if trigger.template is not None and names and (expression or not has_bad_names):
            condition = conditions.validate(expression, names, here.at("template.conditions"))
        # What a wrong one would use, nobody knows.
        used.update(condition.dependencies if condition else names)
    if spec.triggers:
        dependencies.unused(spec.dependencies, used, problems)


def not_run(spec: SensorSpec) -> Problems:
    """What keeps triggers from being run by this version, as errors with paths relative to the spec."""
    problems = Problems()
    for index, trigger in enumerate(spec.triggers):
        _not_run(trigger, problems.at(f"triggers[{index}]"))
    return problems


def why_not_run(trigger: Trigger) -> Problems:
    """The same for one trigger, and its dead-letter trigger; paths are relative to it."""
    problems = Problems()
    _not_run(trigger, problems)
    return problems


def _not_run(trigger: Trigger, problems: Problems) -> None:
    kinds = trigger.template.kinds if trigger.template else {}
    kind = next((kind for kind in PRECEDENCE if kind in kinds), "")
    if kind:
        try:
            adapter = TRIGGERS.load(kind)
            reason = adapter.not_run(adapter.Spec.parse(kinds[kind], lenient=True))
        except UserError:
            reason = ""  # said by whoever validates or compiles it
        if reason:
            problems.error(f"template.{kind}", reason)
    if trigger.dlq_trigger is not None:
        _not_run(trigger.dlq_trigger, problems.at("dlqTrigger"))


def _validate_trigger(trigger: Trigger, names: Sequence[str], problems: Problems) -> None:
    """A trigger or a dead-letter trigger."""
    parameters.validate(trigger.parameters, problems.at("parameters"))
    parameters.validate_names(trigger.parameters or (), names, problems.at("parameters"))
    if trigger.rate_limit is not None:
        rate_limit.validate(trigger.rate_limit, problems.at("rateLimit"))
    if trigger.concurrency is not None:
        concurrency.validate(trigger.concurrency, names, problems.at("concurrency"))
    if trigger.retry_strategy is not None and not trigger.at_least_once:
        problems.warn(
            "retryStrategy", "has no effect without atLeastOnce: there is one attempt", "set atLeastOnce: true"
        )
    if trigger.retry_strategy is not None:
        trigger.retry_strategy.check(problems.at("retryStrategy"))
    _validate_dead_letters(trigger, names, problems)
    template = trigger.template
    if template is None:
        problems.error("template", "required", "name the trigger and say what it does")
        return
    _validate_template(template, names, problems.at("template"))
    kind = next((kind for kind in PRECEDENCE if kind in template.kinds), "")
    if trigger.policy is not None and kind:
        policies.validate(trigger.policy, kind, problems.at("policy"))


def _validate_dead_letters(trigger: Trigger, names: Sequence[str], problems: Problems) -> None:
    """Contract B.6."""
    dead_letter = trigger.dlq_trigger
    if dead_letter is None:
        return
    if not trigger.at_least_once:
        problems.error("atLeastOnce", "must be true when there is a dlqTrigger", "set atLeastOnce: true")
    here = problems.at("dlqTrigger")
    if not dead_letter.at_least_once:
        here.error("atLeastOnce", "must be true", "set atLeastOnce: true in dlqTrigger, too")
    if dead_letter.dlq_trigger is not None:
        here.warn("dlqTrigger", "has no effect: a dead-letter trigger has none of its own")
    if dead_letter.rate_limit is not None:
        here.warn("rateLimit", "has no effect: dead letters are not rate limited")
    if dead_letter.template is not None and dead_letter.template.conditions:
        here.warn("template.conditions", "has no effect: it gets the events of the trigger that failed")
    _validate_trigger(dead_letter.model_copy(update={"dlq_trigger": None, "rate_limit": None}), names, here)


def _validate_template(template: TriggerTemplate, names: Sequence[str], problems: Problems) -> None:
    if not template.name:
        problems.error("name", "required")
    resets.validate(template.conditions_reset or [], problems.at("conditionsReset"))
    kinds = [kind for kind in PRECEDENCE if kind in template.kinds]
    if not kinds:
        # Parameters may write one: not refused, as upstream.
        problems.warn("", "says nothing to do", f"give one of {', '.join(TRIGGERS)}")
    for ignored in kinds[1:]:
        problems.warn(ignored, f"has no effect: there is {kinds[0]}, too", "one trigger does one thing")
    for kind in kinds:
        _validate_kind(kind, template.kinds[kind], names, problems.at(kind), counts=kind == kinds[0])


def _validate_kind(kind: str, raw: Any, names: Sequence[str], problems: Problems, *, counts: bool) -> None:
    """One kind of a template; of several only the first counts, but all must be right, as upstream."""
    try:
        adapter = TRIGGERS.load(kind)
        spec = adapter.Spec.parse(raw, on_stray=problems.extend)
    except InvalidObject as error:
        problems.extend(error.problems)
        return
    except UserError as error:
        problems.error(error.path, error.message, error.cure)
        return
    check = parameters.validate if adapter.checks_parameters else parameters.validate_unchecked
    check(getattr(spec, "parameters", None), problems.at("parameters"))
    adapter.validate(spec, problems)
    if counts and (reason := adapter.not_run(spec)):
        problems.warn("", reason)
    for path, listed in _parameter_lists(spec):
        parameters.validate_names(listed, names, problems.at(path))


def _parameter_lists(model: BaseModel, path: str = "") -> Iterator[tuple[str, list[TriggerParameter]]]:
    """Every list of parameters in a spec, whatever the adapter calls it, with its path."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), join(path, field.alias or name)
        if isinstance(value, BaseModel):
            yield from _parameter_lists(value, here)
        elif isinstance(value, list):
            found = [one for one in value if isinstance(one, TriggerParameter)]
            if found:
                yield here, found
