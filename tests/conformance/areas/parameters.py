"""parameters: values from events, written into resources, payloads and trigger templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Outcome, attempt, events, judge, recorded, slim

from sensors import kubernetes_objects, parameters, types


def run(case: Case) -> Outcome:
    """Compare with upstream; a value that is not there is left out (R1)."""
    op = case.input["op"]
    got = attempt(lambda: OPS[op](case))
    if op == "template":
        return judge(case, got, INTENTS, wanted=slim(recorded(case)))
    return judge(case, got, INTENTS)


def resolve(case: Case) -> Any:
    value = parameters.resolve(types.TriggerParameterSource.parse(case.input["src"]), events(case))
    if isinstance(value, parameters.Absent):
        return {"value": None, "type": recorded(case).get("type")}
    return {"value": value.text, "type": value.kind.value}


def compiled(case: Case) -> parameters.Parameters:
    return parameters.compile([types.TriggerParameter.parse(one) for one in case.input["params"]])


def payload(case: Case) -> Any:
    return compiled(case).payload(events(case)).decode() or None


def template(case: Case) -> Any:
    parsed = types.TriggerTemplate.parse(case.input["template"])
    changed = compiled(case).apply_to_template(parsed, events(case))
    return slim(changed.wire() | changed.kinds)


def resource(case: Case) -> Any:
    target = case.input["target"]
    text = target if isinstance(target, str) else json.dumps(target)
    return kubernetes_objects.parse(compiled(case).apply(text, events(case)))


OPS: dict[str, Callable[[Case], Any]] = {
    "resolve": resolve,
    "apply": lambda case: compiled(case).apply(case.input["target"], events(case)),
    "payload": payload,
    "template": template,
    "resource": resource,
}


def without_absent(case: Case) -> Any:
    """R1: the payload of the parameters whose dependency has an event."""
    present = [one for one in case.input["params"] if one["src"]["dependencyName"] in case.input["events"]]
    if not present:
        return None
    return payload(Case(case.id, case.area, case.input | {"params": present}, case.expect))


def operators(case: Case) -> Any:
    """N5: a place with operators is warned of; its value is left out, as upstream."""
    return AS_UPSTREAM


INTENTS = {"R1": without_absent, "N5": operators}
