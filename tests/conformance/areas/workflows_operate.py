"""operate: whole scenarios through `engine.operate`, with a node that gives pods their outcomes."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, Error, Outcome, judge, slim
from support.workflow_world import WorkflowWorld

from events.errors import KeryxError

_LOOSE = ("DAG", "Pod", "Container", "Skipped", "Suspend", "HTTP", "Plugin")
"""Types whose children have no order."""


def run(case: Case) -> Outcome:
    """Play the scenario, and compare the end."""
    try:
        got = comparable(answer(case.input))
    except KeryxError as error:
        got = Error(str(error))
    wanted = case.expect
    if wanted["ok"]:
        wanted = {"ok": True, "value": comparable(wanted["value"])}
        if "nodeCount" in case.expect["value"] and not isinstance(got, Error):
            got = counted(got, case.expect["value"])
            wanted = {"ok": True, "value": {key: wanted["value"][key] for key in got}}
    return judge(Case(case.id, case.area, case.input, wanted, case.flaw), got)


def comparable(value: dict[str, Any]) -> dict[str, Any]:
    found = {key: one for key, one in value.items() if key != "reconciles"}
    found["nodes"] = sorted((_node(one) for one in found.get("nodes") or ()), key=lambda one: str(one["name"]))
    found["pods"] = sorted((_pod(one) for one in found.get("pods") or ()), key=lambda one: str(one["node"]))
    return dict(slim(found))


def _node(node: dict[str, Any]) -> dict[str, Any]:
    found = dict(node)
    found.pop("templateScope" if not node.get("templateScope") else "", None)
    if found.get("type") in _LOOSE and found.get("children"):
        found["children"] = sorted(found["children"])
    if found.get("outbound"):
        found["outbound"] = sorted(found["outbound"])
    return found


def _pod(pod: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pod.items() if value}


def counted(got: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    nodes = got.pop("nodes")
    deepest = max(nodes, key=lambda one: len(str(one["name"])))
    kept = {key: deepest.get(key) for key in wanted["deepest"]}
    return {**got, "nodeCount": len(nodes), "deepest": kept}


def answer(given: dict[str, Any]) -> dict[str, Any]:
    world = WorkflowWorld(given)
    world.play()
    return world.shown()
