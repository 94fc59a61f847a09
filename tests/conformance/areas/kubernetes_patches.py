"""smp: strategic merge patches of built-in kinds, applied and made."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, Error, Outcome, attempt, judge

from events.local.apiserver.patches import strategic, strategic_diff
from events.local.apiserver.schemas import Schemas

SCHEMAS = Schemas()


def run(case: Case) -> Outcome:
    """Compare results; another patch that gives the same result is as good, and texts of errors are not compared."""
    if not case.expect["ok"]:
        wanted: Any = Error(case.expect["error"])
    else:
        wanted = case.expect["value"] if case.input["op"] == "patch" else case.expect["value"]["result"]
    return judge(case, attempt(lambda: answer(case.input)), wanted=wanted)


def answer(given: dict[str, Any]) -> Any:
    node = schema(given.get("original") or given["modified"])
    original, resolve = given.get("original") or {}, SCHEMAS.resolve
    if given["op"] == "patch":
        return strategic.apply(original, given["patch"], node, resolve)
    if given["op"] == "twoWay":
        patch = strategic_diff.two_way(original, given["modified"], node, resolve)
        return strategic.apply(original, patch, node, resolve)
    current, overwrite = given["current"], given["overwrite"]
    patch = strategic_diff.three_way(original, given["modified"], current, node, resolve, overwrite=overwrite)
    return strategic.apply(current, patch, node, resolve)


def schema(value: dict[str, Any]) -> Any:
    group, _, version = value["apiVersion"].rpartition("/")
    return SCHEMAS.of(group, version, value["kind"])
