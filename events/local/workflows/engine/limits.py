"""What keeps a template from starting now: parallelism, failFast, its timeouts. Contract: workflows G.2, G.4."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events import durations
from events.errors import UserError
from events.local.workflows import phases, variables
from events.local.workflows.engine import templates
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.errors import Postponed, TimedOut, WorkflowError

_FAIL_FAST = "template has failed or errored children and failFast enabled"
_GROUPS = ("Steps", "DAG")


def check_parallelism(run: Run, template: Object, node: Node | None, boundary: str) -> None:
    """Raises Postponed when something is full."""
    most = run.spec.get("parallelism")
    goes_on = run.has_missing_pods and node is not None and "synchronizationStatus" not in node
    if most is not None and run.active_pods >= int(most) and not goes_on:
        raise Postponed("the workflow's parallelism is reached")
    if node is not None and templates.type_of(template) in ("steps", "dag"):
        _check_failures(run, template, node)
        is_full = template.get("parallelism") and active_pods(run, node["id"]) >= int(template["parallelism"])
        if is_full and not goes_on:
            raise Postponed("the template's parallelism is reached")
    if boundary and (node is None or node.get("phase") not in (phases.PENDING, phases.RUNNING)):
        above = run.nodes.get(boundary)
        around = templates.of_node(run, above) if above else None
        if above and around:
            _check_failures(run, around, above)
            if around.get("parallelism") and _active_children(run, boundary) >= int(around["parallelism"]):
                raise Postponed("the parallelism of the template around is reached")


def _check_failures(run: Run, template: Object, node: Node) -> None:
    if not template.get("failFast") or not _unsuccessful(run, node["id"]):
        return
    if active_pods(run, node["id"]) == 0:
        if template.get("steps") is not None:
            for index in range(len(template["steps"]) - 1, -1, -1):
                name = f"{node['name']}[{index}]"
                if run.node(name):
                    run.mark(name, phases.FAILED, _FAIL_FAST)
                    break
        run.mark(node["name"], phases.FAILED, _FAIL_FAST)
    raise Postponed(_FAIL_FAST)


def active_pods(run: Run, boundary: str = "") -> int:
    """Pods that are Pending or Running, below a boundary or all; those that wait for a lock do not count."""
    return sum(
        1
        for node in run.nodes.values()
        if node.get("type") == "Pod"
        and node.get("phase") in (phases.PENDING, phases.RUNNING)
        and (not boundary or node.get("boundaryID") == boundary)
        and not (node.get("synchronizationStatus") or {}).get("waiting")
    )


def _active_children(run: Run, boundary: str) -> int:
    return sum(
        1
        for node in run.within(boundary)
        if node.get("type") in ("Pod", *_GROUPS) and node.get("phase") in (phases.PENDING, phases.RUNNING)
    )


def _unsuccessful(run: Run, boundary: str) -> bool:
    return any(node.get("type") in ("Pod", *_GROUPS) and phases.is_bad(node) for node in run.within(boundary))


def check_timeout(run: Run, template: Object, node: Node | None) -> None:
    """Raises TimedOut for a node that is Pending for longer than its template allows."""
    if node is None:
        return
    for field in ("timeout", "pendingTimeout"):
        if not template.get(field):
            continue
        try:
            allowed = timedelta(seconds=durations.seconds(str(template[field])))
        except UserError as error:
            raise WorkflowError(f"invalid {field} format. {error.message}") from error
        ends = variables.parsed(node["startedAt"]) + allowed
        if node.get("phase") == phases.PENDING:
            if run.now > ends:
                run.mark(node["name"], phases.FAILED, "timeout")
                raise TimedOut("timeout")
            run.look_at(ends)


def seconds(text: Any) -> float:
    """A duration of a spec: a whole number of seconds or a Go duration."""
    written = str(text)
    if written.lstrip("-").isdecimal():
        return float(written)
    try:
        return durations.seconds(written)
    except UserError as error:
        raise WorkflowError(f"unable to parse {written} as a duration: {error.message}") from error
