"""Daemons end with what is around them. Contract: workflows G.7."""

from __future__ import annotations

from events.local.workflows import names, phases
from events.local.workflows.engine.run import Run


def end_below(run: Run, boundary: str) -> None:
    """End the daemons of a Steps or DAG node that has ended."""
    for node in run.within(boundary):
        if not node.get("daemoned"):
            continue
        node.pop("daemoned")
        node["phase"] = phases.SUCCEEDED
        node.setdefault("finishedAt", run.stamp())
        if node.get("type") == "Pod":
            run.result.stopped.add(names.pod_of(run.workflow, node))
