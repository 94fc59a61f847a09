"""What the phase of a node means. Contract: workflows C.5."""

from __future__ import annotations

from typing import Any

PENDING, RUNNING, SUCCEEDED = "Pending", "Running", "Succeeded"
FAILED, ERROR, SKIPPED, OMITTED = "Failed", "Error", "Skipped", "Omitted"
BAD = frozenset({FAILED, ERROR})
COMPLETED = frozenset({SUCCEEDED, FAILED, ERROR})
FULFILLED = COMPLETED | {SKIPPED, OMITTED}
EXECUTED = frozenset({"Pod", "HTTP", "Plugin", "Container", "Suspend"})
"""Types of nodes whose progress counts."""

Node = dict[str, Any]


def is_fulfilled(node: Node) -> bool:
    """Whether nothing more happens to it, or it is a daemon that is ready."""
    return node.get("phase") in FULFILLED or bool(node.get("daemoned") and node.get("phase") != PENDING)


def is_completed(node: Node) -> bool:
    """Whether it ran and ended."""
    return node.get("phase") in COMPLETED


def is_bad(node: Node) -> bool:
    """Failed or Error."""
    return node.get("phase") in BAD


def is_active_suspend(node: Node) -> bool:
    """A suspend node that waits."""
    return node.get("type") == "Suspend" and node.get("phase") == RUNNING
