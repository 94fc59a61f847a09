"""filter.*: whether a dependency's filters let an event pass."""

from __future__ import annotations

import json
import re
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, event, judge
from conformance.workers import WORKERS

from sensors import filters
from sensors.types import EventDependency


def run(case: Case) -> Outcome:
    """Compare with upstream."""
    return judge(case, answer(case), INTENTS)


def dependency(case: Case, raw_filters: dict[str, Any]) -> EventDependency:
    operator = case.input.get("filtersLogicalOperator")
    return EventDependency.parse({"name": "d", "filters": raw_filters, "filtersLogicalOperator": operator})


def verdict(case: Case, raw_filters: dict[str, Any]) -> bool | Error:
    given, spec = event(case.input["event"]), dependency(case, raw_filters)
    found = WORKERS.run(lambda scripts: filters.compile(spec, scripts).decide(given))
    return Error(found.detail) if found.is_error else found.passed


def answer(case: Case) -> bool | Error:
    return verdict(case, case.input["filters"])


def error_is_false(case: Case) -> Any:
    """F1: with `or`, an error counts as false for its own kind; none that passes leaves the error."""
    if case.input.get("filtersLogicalOperator") != "or":
        return AS_UPSTREAM
    return True if any(verdict(case, {kind: raw}) is True for kind, raw in kinds(case)) else Error()


def kinds(case: Case) -> list[tuple[str, Any]]:
    return [(kind, raw) for kind, raw in case.input["filters"].items() if not kind.endswith("LogicalOperator")]


def strict_clock(case: Case) -> Any:
    """N7: `9:00:00` stays, as manifests have it; fractions and blanks are no HH:MM:SS."""
    time = case.input["filters"]["time"]
    is_clock = all(set(time[bound]) <= set("0123456789:") for bound in ("start", "stop"))
    return AS_UPSTREAM if is_clock else Error()


def arrays_as_they_are(case: Case) -> Any:
    """T1: arrays in arrays and nulls in arrays keep their places, seen where a script asks for a length or an item."""
    data, script = json.loads(case.input["event"]["data"]), case.input["filters"]["script"]
    if length := re.fullmatch(r"return #event\.(\w+) == (\d+)", script):
        return len(data[length[1]]) == int(length[2])
    if item := re.fullmatch(r"return event\.(\w+)\[(\d+)\] == (.+)", script):
        return bool(data[item[1]][int(item[2]) - 1] == json.loads(item[3]))
    return AS_UPSTREAM


INTENTS = {"F1": error_is_false, "T1": arrays_as_they_are, "N7": strict_clock}
