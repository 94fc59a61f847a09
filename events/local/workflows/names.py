"""Ids of nodes and names of pods, as Argo derives them. Contract: workflows C.1, D.1."""

from __future__ import annotations

import re
from typing import Any

POD_NAME_FORMAT = "workflows.argoproj.io/pod-name-format"
_LONGEST_PREFIX = 253 - 11
_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
_SEPARATOR = re.compile(r"^(\[\d+\])?\.")


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash of a text."""
    found = _OFFSET
    for byte in text.encode():
        found = ((found ^ byte) * _PRIME) & _MASK
    return found


def node_id(workflow: str, node: str) -> str:
    """The id of the node with this name."""
    return workflow if node == workflow else f"{workflow}-{fnv1a(node)}"


def pod_name(workflow: str, node: str, template: str, version: str = "v2") -> str:
    """The name of a node's pod; `template` is the name of its template, empty for an inline one."""
    if version == "v1":
        return node_id(workflow, node)
    if node == workflow:
        return workflow
    prefix = f"{workflow}-{template}" if template else workflow
    return f"{prefix[:_LONGEST_PREFIX]}-{fnv1a(node)}"


def pod_of(workflow: dict[str, Any], node: dict[str, Any]) -> str:
    """The name of the pod of a node of this Workflow."""
    version = (workflow["metadata"].get("annotations") or {}).get(POD_NAME_FORMAT, "v2")
    template = (node.get("templateRef") or {}).get("template") or node.get("templateName") or ""
    return pod_name(workflow["metadata"]["name"], node["name"], template, version)


def display_name(node: str, boundary: str) -> str:
    """What is shown of a node inside the node named `boundary`; the whole name outside of one."""
    if not boundary:
        return node
    return _SEPARATOR.sub("", node.removeprefix(boundary))
