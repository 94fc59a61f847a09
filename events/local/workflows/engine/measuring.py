"""Metrics of templates and of the Workflow, measured once when they end; realtime gauges while they run. Contract: I.5.

Pure: what was measured is added to the result. An error is a condition `MetricsError`, and the Workflow goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.errors import KeryxError
from events.local.workflows import phases, tags, variables, when
from events.local.workflows.engine import templates
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.errors import WorkflowError

CONDITION = "MetricsError"
KINDS = ("counter", "gauge", "histogram")
_FINAL = ("Succeeded", "Failed", "Error")


@dataclass(frozen=True)
class Measured:
    """One value of one metric."""

    name: str
    help: str
    kind: str
    labels: tuple[tuple[str, str], ...]
    value: float
    operation: str = "Set"
    buckets: tuple[float, ...] = ()
    since: str = ""
    """Of a realtime gauge: its value is the seconds since then."""


def measure(run: Run) -> None:
    """Everything that ended at this look, and everything that runs with a realtime gauge."""
    problems: list[str] = []
    for metric, scope, is_over, since in _wanted(run):
        try:
            found = _measured(metric, scope, is_over=is_over, since=since)
        except KeryxError as error:
            message = error.message if isinstance(error, WorkflowError) else str(error)
            problems.append(f"metric '{metric.get('name', '')}': {message}")
        else:
            if found is not None:
                run.result.metrics.append(found)
    if problems:
        kept = [one for one in run.status.get("conditions") or () if one.get("type") != CONDITION]
        run.status["conditions"] = [*kept, {"type": CONDITION, "status": "True", "message": "; ".join(problems)}]


def _wanted(run: Run) -> Iterator[tuple[Object, Object, bool, str]]:
    """(metric, variables, whether it has ended, when it began)."""
    several = [*(run.spec.get("templates") or ()), *(run.status.get("storedTemplates") or {}).values()]
    defaults = run.spec.get("templateDefaults") or {}
    if any(one.get("metrics") for one in (*several, defaults)):
        for node in run.nodes.values():
            yield from _of_node(run, node)
    own = (run.spec.get("metrics") or {}).get("prometheus") or ()
    former = (run.given.workflow.get("status") or {}).get("phase")
    if own and former not in _FINAL and run.status.get("startedAt"):
        status = run.status
        scope = {**run.globals, **_facts(status, run.now), "workflow.status": status.get("phase", "")}
        scope |= {"workflow.duration": scope["duration"]} | _outputs(status.get("outputs") or {}, "workflow.")
        for metric in own:
            yield metric, scope, status.get("phase") in _FINAL, status["startedAt"]


def _of_node(run: Run, node: Node) -> Iterator[tuple[Object, Object, bool, str]]:
    former = ((run.given.workflow.get("status") or {}).get("nodes") or {}).get(node["id"])
    is_again = (node.get("nodeFlag") or {}).get("retried")  # its Retry node is measured
    if node.get("type") in ("Skipped", "StepGroup", "TaskGroup", "Container") or is_again:
        return
    if former is not None and phases.is_fulfilled(former):
        return
    metrics = ((templates.of_node(run, node) or {}).get("metrics") or {}).get("prometheus") or ()
    if metrics:
        scope = {**run.globals, **_facts(node, run.now), **_inputs(node), **_outputs(node.get("outputs") or {})}
        for metric in metrics:
            yield metric, scope, phases.is_fulfilled(node), node["startedAt"]


def _facts(status: Mapping[str, Any], now: datetime) -> Object:
    ended = variables.parsed(status["finishedAt"]) if status.get("finishedAt") else now
    seconds = max(0.0, (ended - variables.parsed(status["startedAt"])).total_seconds())
    used = {f"resourcesDuration.{name}": str(value) for name, value in (status.get("resourcesDuration") or {}).items()}
    return {"status": status.get("phase", ""), "duration": f"{seconds:.6f}", **used}


def _inputs(node: Node) -> Object:
    several = (node.get("inputs") or {}).get("parameters") or ()
    return {f"inputs.parameters.{one['name']}": one["value"] for one in several if one.get("value") is not None}


def _outputs(outputs: Mapping[str, Any], before: str = "") -> Object:
    found = {
        f"{before}outputs.parameters.{one['name']}": one["value"]
        for one in outputs.get("parameters") or ()
        if one.get("value") is not None
    }
    found |= {f"{before}outputs.result": outputs["result"]} if outputs.get("result") is not None else {}
    return found | ({"exitCode": outputs["exitCode"]} if outputs.get("exitCode") is not None else {})


def _measured(metric: Object, scope: Object, *, is_over: bool, since: str) -> Measured | None:
    """None while it is not due, or where its `when` says no."""
    is_growing = bool((metric.get("gauge") or {}).get("realtime")) and not is_over
    if not (is_over or is_growing):
        return None
    metric = dict(tags.replaced(metric, scope))
    if metric.get("when") and not when.decide(str(metric["when"])):
        return None
    kind = next((one for one in KINDS if metric.get(one) is not None), "")
    if not kind:
        raise WorkflowError(f"has none of {', '.join(KINDS)}")
    fields = metric[kind]
    return Measured(
        metric["name"],
        str(metric.get("help", "")),
        kind,
        tuple((str(one["key"]), _resolved(one.get("value", ""))) for one in metric.get("labels") or ()),
        _number(fields.get("value"), "value"),
        str(fields.get("operation") or "Set") if kind == "gauge" else "",
        tuple(_number(one, "buckets") for one in fields.get("buckets") or ()),
        since if is_growing else "",
    )


def _resolved(value: Any) -> str:
    text = str(value)
    if "{{" in text:
        raise WorkflowError(f"{text} has no value here")
    return text


def _number(value: Any, field: str) -> float:
    try:
        return float(_resolved(value))
    except ValueError as error:
        raise WorkflowError(f"{field} is {value!r}, which is no number") from error
