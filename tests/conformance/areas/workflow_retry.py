"""retry: `argo retry` and `argo resubmit` on recorded Workflows, by the functions of the trigger."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, NotCovered, Outcome, attempt, judge

from events.errors import ActionError
from sensors import workflow_options
from sensors.workflow_operations import resubmitted
from sensors.workflow_retry import Options, retried


def run(case: Case) -> Outcome:
    """One Workflow."""
    given = case.input
    if given["mode"] == "resubmit-memoized":
        raise NotCovered("resubmitting with what succeeded kept")
    wanted = case.expect
    if wanted["ok"]:
        wanted = {"ok": True, "value": _comparable(wanted["value"])}
    answer = attempt(lambda: _retried(given) if given["mode"] == "retry" else _resubmitted(given))
    return judge(Case(case.id, case.area, given, wanted, case.flaw), answer)


def _parameters(given: dict[str, Any]) -> dict[str, str]:
    found = {}
    for text in given["parameters"] or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise ActionError(f"expected parameter of the form: NAME=VALUE. Received: {text}")
        found[name] = value
    return found


def _retried(given: dict[str, Any]) -> dict[str, Any]:
    options = Options(given["restartSuccessful"], given["nodeFieldSelector"], _parameters(given))
    result = retried(given["workflow"], "2026-01-02T03:05:00Z", options)
    names = {key: node["name"] for key, node in given["workflow"]["status"]["nodes"].items()}
    nodes = [
        {
            "children": [names[one] for one in node.get("children") or ()],
            "message": node.get("message", ""),
            "name": node["name"],
            "phase": node.get("phase", ""),
        }
        for node in result.workflow["status"]["nodes"].values()
    ]
    arguments = (result.workflow["spec"].get("arguments") or {}).get("parameters") or ()
    answer = {
        "deletedNodes": result.deleted,
        "nodes": nodes,
        "parameters": {one["name"]: one.get("value") for one in arguments},
        "phase": result.workflow["status"]["phase"],
        "podsToDelete": result.pods,
        "resetNodes": result.reset,
    }
    return _comparable(answer)


def _resubmitted(given: dict[str, Any]) -> dict[str, Any]:
    made = resubmitted(given["workflow"])
    workflow_options.apply([("parameter", one) for one in _parameters(given).items()], made)
    arguments = (made["spec"].get("arguments") or {}).get("parameters") or ()
    answer = {
        "generateName": made["metadata"]["generateName"],
        "labels": made["metadata"]["labels"],
        "parameters": {one["name"]: one.get("value") for one in arguments},
    }
    return _comparable(answer)


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Nodes by name, with what a retry decides about; lists without an order sorted."""
    found = dict(answer)
    for key in ("deletedNodes", "podsToDelete", "resetNodes"):
        if key in found:
            found[key] = sorted(found[key] or ())
    if "nodes" in found:
        keys = ("children", "message", "name", "phase")
        nodes = [
            {key: node.get(key) or ([] if key == "children" else "") for key in keys} for node in found["nodes"] or ()
        ]
        found["nodes"] = sorted(nodes, key=lambda node: str(node["name"]))
        for node in found["nodes"]:
            node["children"] = sorted(node["children"])
    return found
