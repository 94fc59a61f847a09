"""retry: `argo retry` and `argo resubmit` on recorded Workflows, by the functions of the trigger."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, Outcome, attempt, judge, slim
from support.workflow_world import shown_outputs

from events.errors import ActionError
from events.local.workflows import names
from events.workflow_resubmit import memoized, resubmitted
from events.workflow_retry import Options, retried
from sensors import workflow_options


def run(case: Case) -> Outcome:
    """One Workflow."""
    given = case.input
    wanted = case.expect
    if wanted["ok"]:
        wanted = {"ok": True, "value": _comparable(wanted["value"])}
    answers = {"retry": _retried, "resubmit": _resubmitted, "resubmit-memoized": _memoized}
    answer = attempt(lambda: answers[given["mode"]](given))
    if given["mode"] == "resubmit-memoized" and wanted["ok"]:
        wanted = {"ok": True, "value": _slimmed(case.expect["value"])}
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


def _memoized(given: dict[str, Any]) -> dict[str, Any]:
    """With the new name written as `NEW`."""
    made = memoized(given["workflow"], "NEW", names.node_id, "2026-01-02T03:05:00Z")
    workflow_options.apply([("parameter", one) for one in _parameters(given).items()], made)
    nodes = made["status"]["nodes"]
    shown = []
    for node in nodes.values():
        keys = ("displayName", "name", "type", "phase", "message", "progress", "templateName", "templateScope")
        found = {key: node.get(key) for key in keys}
        found["boundary"] = nodes.get(node.get("boundaryID", ""), {}).get("name", "")
        found["children"] = [nodes[one]["name"] if one in nodes else "?" for one in node.get("children") or ()]
        found["outbound"] = [nodes[one]["name"] if one in nodes else "?" for one in node.get("outboundNodes") or ()]
        found["outputs"], found["inputs"] = shown_outputs(node.get("outputs")), shown_outputs(node.get("inputs"))
        found["retried"] = (node.get("nodeFlag") or {}).get("retried")
        found["hooked"] = (node.get("nodeFlag") or {}).get("hooked")
        shown.append(found)
    former = resubmitted(given["workflow"])["metadata"]
    arguments = (made["spec"].get("arguments") or {}).get("parameters") or ()
    answer = {
        "generateName": former["generateName"],
        "labels": made["metadata"]["labels"],
        "nodes": shown,
        "parameters": {one["name"]: one.get("value") for one in arguments},
        "suffixLength": 5,
    }
    return _slimmed(answer)


def _slimmed(answer: dict[str, Any]) -> dict[str, Any]:
    found = dict(answer)
    found["nodes"] = sorted(
        ({**one, "children": sorted(one.get("children") or ())} for one in found["nodes"]),
        key=lambda one: str(one["name"]),
    )
    for node in found["nodes"]:
        node.pop("id", None)
    return dict(slim(found))


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
