"""`n/m` of nodes and of the Workflow. Contract: workflows C.2."""

from __future__ import annotations

from events.local.workflows import phases
from events.local.workflows.engine.run import Node, Object


def update(status: Object) -> None:
    """Set the progress of every node, and of the Workflow."""
    nodes: dict[str, Node] = status.get("nodes") or {}
    done = whole = 0
    for node in nodes.values():
        if node.get("type") not in phases.EXECUTED:
            continue
        first, second = _read(node.get("progress"))
        if node.get("phase") == phases.SUCCEEDED:
            first = second
        node["progress"] = f"{first}/{second}"
        done, whole = done + first, whole + second
    status["progress"] = f"{done}/{whole}"
    for node in nodes.values():
        if node.get("type") in phases.EXECUTED:
            continue
        first, second = _sum(nodes, node)
        if second:
            node["progress"] = f"{first}/{second}"
        else:
            node.pop("progress", None)


def _read(text: str | None) -> tuple[int, int]:
    first, _, second = (text or "").partition("/")
    if first.isdecimal() and second.isdecimal() and int(second):
        return int(first), int(second)
    return 0, 1


def _sum(nodes: dict[str, Node], node: Node) -> tuple[int, int]:
    """Over distinct descendants that are executed."""
    seen, waiting, done, whole = {node["id"]}, list(node.get("children") or ()), 0, 0
    while waiting:
        identity = waiting.pop()
        below = nodes.get(identity)
        if below is None or identity in seen:
            continue
        seen.add(identity)
        waiting += below.get("children") or ()
        if below.get("type") in phases.EXECUTED:
            first, second = _read(below.get("progress"))
            done, whole = done + first, whole + second
    return done, whole
