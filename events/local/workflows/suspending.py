"""Nodes that wait for somebody: what they wait for, and what resume, stop and set do. Contract: workflows B.3, G.8."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from events import workflow_retry
from events.local.workflows import gotexts, phases
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
Node = dict[str, Any]
_NONE = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: "


def begin(node: Node, template: Mapping[str, Any]) -> None:
    """The outputs that are to be supplied, and choices of the inputs."""
    supplied = [
        dict(one)
        for one in (template.get("outputs") or {}).get("parameters") or ()
        if (one.get("valueFrom") or {}).get("supplied") is not None
    ]
    if supplied:
        node["outputs"] = {"parameters": copy.deepcopy(supplied)}
    for one in (node.get("inputs") or {}).get("parameters") or ():
        _offer(one)


def _offer(parameter: Object) -> None:
    """An input that is an object with `enum` offers these values."""
    try:
        found = json.loads(parameter.get("value") or "")
    except ValueError:
        return
    if isinstance(found, dict) and isinstance(found.get("enum"), list) and found["enum"]:
        parameter["enum"] = [gotexts.scalar(one) for one in found["enum"]]
        parameter["value"] = parameter["enum"][0]


def fill_defaults(node: Node) -> None:
    """Give every output that nobody supplied its default; WorkflowError when there is none."""
    inputs = {one["name"]: one for one in (node.get("inputs") or {}).get("parameters") or ()}
    for one in (node.get("outputs") or {}).get("parameters") or ():
        if one.get("value") is not None:
            continue
        default = (one.get("valueFrom") or {}).get("default")
        if default is None:
            default = inputs.get(one["name"], {}).get("default")
        if default is None:
            says = "has not been set and does not have a default value"
            raise WorkflowError(f"raw output parameter '{one['name']}' {says}")
        one["value"] = gotexts.scalar(default)
        one.pop("valueFrom", None)


def chosen(workflow: Mapping[str, Any], selector: str) -> list[Node]:
    """The active suspend nodes that a selector means; WorkflowError for a selector that means none."""
    nodes = ((workflow.get("status") or {}).get("nodes") or {}).values()
    found = [node for node in nodes if phases.is_active_suspend(node) and workflow_retry.is_selected(node, selector)]
    if selector and not found:
        raise WorkflowError(_NONE + selector)
    return found


def resumed(workflow: Object, stamp: str, selector: str = "", message: str = "") -> Object:
    """The Workflow with its suspend nodes (those selected, or all, and the Workflow itself) going on."""
    new = copy.deepcopy(workflow)
    for node in chosen(new, selector):
        try:
            fill_defaults(node)
        except WorkflowError as error:
            raise WorkflowError(f"timed out waiting for the condition: {error.message}") from error
        node.update(phase=phases.SUCCEEDED, finishedAt=stamp)
        if message:
            node["message"] = message
    if not selector:
        new["spec"].pop("suspend", None)
    return new


def failed(workflow: Object, stamp: str, selector: str, message: str) -> Object:
    """The Workflow with the suspend nodes that are selected Failed."""
    new = copy.deepcopy(workflow)
    for node in chosen(new, selector):
        node.update(phase=phases.FAILED, finishedAt=stamp)
        if message:
            node["message"] = message
    return new


def changed(
    workflow: Object, stamp: str, selector: str, parameters: Mapping[str, str], phase: str = "", message: str = ""
) -> Object:
    """The Workflow with outputs, phase and message of suspend nodes set."""
    new = copy.deepcopy(workflow)
    nodes = chosen(new, selector)
    if not nodes:
        raise WorkflowError(_NONE + selector)
    for node in nodes:
        for name, value in parameters.items():
            _supply(node, name, value)
        if message:
            node["message"] = f"{node['message']}; {message}" if node.get("message") else message
        if phase:
            node["phase"] = phase
            if phase in phases.FULFILLED:
                node["finishedAt"] = stamp
    return new


def _supply(node: Node, name: str, value: str) -> None:
    for one in (node.get("outputs") or {}).get("parameters") or ():
        if one.get("name") == name:
            if one.get("value") is not None or (one.get("valueFrom") or {}).get("supplied") is None:
                raise WorkflowError(f"cannot set output parameter '{name}' because it was already set")
            one["value"] = value
            one.pop("valueFrom", None)
            return
    raise WorkflowError(f"node is not expecting output parameter '{name}'")
