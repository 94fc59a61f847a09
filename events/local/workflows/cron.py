"""What a CronWorkflow does when it is looked at. Contract: workflows L. Pure: objects and time in, what to do out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from events.local.workflows import expressions, gotexts, schedules, tags, variables, when
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
LABELS = "workflows.argoproj.io/"
LAST_USED = "cronworkflows.argoproj.io/last-used-schedule"
ENDED = "cronworkflows.argoproj.io/completed"
_FINAL = ("Succeeded", "Failed", "Error")


@dataclass
class Tick:
    """What is to be done."""

    cron: Object
    create: Object | None = None
    terminate: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    look_again: float | None = None


def look(cron: Object, workflows: Sequence[Object], now: datetime) -> Tick:
    """`workflows` are those that this CronWorkflow made."""
    tick = Tick(copy.deepcopy(cron))
    spec, status = tick.cron["spec"], tick.cron.setdefault("status", {})
    _count(tick.cron, workflows)
    tick.delete = _history(spec, workflows)
    try:
        parsed = schedules.parse_all(spec.get("schedules") or (), spec.get("timezone") or "")
    except WorkflowError as error:
        _condition(status, "SpecError", error.message)
        return tick
    _condition(status, "SpecError", "")
    is_changed = _note_schedule(tick.cron)
    due = _due(tick.cron, parsed, now, is_changed=is_changed)
    following = schedules.upcoming(parsed, now)
    if following is not None:
        tick.look_again = max(0.05, (following - now).total_seconds() + 0.01)
    if due is not None:
        _run(tick, workflows, due)
    return tick


def _count(cron: Object, workflows: Sequence[Object]) -> None:
    """active, succeeded and failed: those that have ended since are counted once."""
    status = cron["status"]
    known = {one.get("name") for one in status.get("active") or ()}
    by_name = {one["metadata"]["name"]: one for one in workflows}
    for name in sorted(filter(None, known)):
        phase = (by_name.get(name, {}).get("status") or {}).get("phase")
        if phase in _FINAL:
            key = "succeeded" if phase == "Succeeded" else "failed"
            status[key] = int(status.get(key) or 0) + 1
    status["active"] = [
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": one["metadata"]["name"],
            "namespace": one["metadata"].get("namespace", ""),
            "uid": one["metadata"].get("uid", ""),
        }
        for one in sorted(workflows, key=lambda one: str(one["metadata"]["name"]))
        if (one.get("status") or {}).get("phase") not in _FINAL
    ]
    status.setdefault("phase", "Active")
    _stop_if_wanted(cron)


def _scope(cron: Object) -> dict[str, Any]:
    meta, status = cron["metadata"], cron.get("status") or {}
    found = {
        "cronworkflow.name": meta["name"],
        "cronworkflow.namespace": meta.get("namespace", ""),
        "cronworkflow.lastScheduledTime": status.get("lastScheduledTime"),
        "cronworkflow.failed": int(status.get("failed") or 0),
        "cronworkflow.succeeded": int(status.get("succeeded") or 0),
    }
    for place in ("labels", "annotations"):
        values = meta.get(place) or {}
        found[f"cronworkflow.{place}.json"] = gotexts.marshaled(values)
        found |= {f"cronworkflow.{place}.{key}": value for key, value in values.items()}
    return found


def _stop_if_wanted(cron: Object) -> None:
    expression = (cron["spec"].get("stopStrategy") or {}).get("expression")
    if not expression:
        return
    try:
        is_wanted = expressions.decide(expression, _scope(cron))
    except WorkflowError as error:
        _condition(cron["status"], "SpecError", error.message)
        return
    if is_wanted:
        cron["status"]["phase"] = "Stopped"
        cron["metadata"].setdefault("labels", {})[ENDED] = "true"
    elif (cron["metadata"].get("labels") or {}).get(ENDED) != "true":
        cron["status"]["phase"] = "Active"


def _note_schedule(cron: Object) -> bool:
    """Whether the schedules are others than those that were last used; then nothing is made up."""
    zone = cron["spec"].get("timezone")
    prefix = f"CRON_TZ={zone} " if zone else ""
    text = ",".join(f"{prefix}{one}" for one in cron["spec"].get("schedules") or ())
    notes = cron["metadata"].setdefault("annotations", {})
    former = notes.get(LAST_USED)
    notes[LAST_USED] = text
    return bool(former != text)


def _due(cron: Object, parsed: Sequence[schedules.Schedule], now: datetime, *, is_changed: bool) -> datetime | None:
    """The latest run that is due: the tick of this moment, or a missed one that is young enough."""
    status = cron["status"]
    last = status.get("lastScheduledTime")
    since = variables.parsed(last or cron["metadata"].get("creationTimestamp") or variables.instant(now))
    if is_changed and last is None:
        since = max(since, now - timedelta(seconds=1))
    if is_changed and last is not None:
        since = now - timedelta(seconds=1)
    deadline = int(cron["spec"].get("startingDeadlineSeconds") or 0)
    earliest = now - timedelta(seconds=max(deadline, _LATE))
    moment = max(since, earliest)
    found: datetime | None = None
    for _ in range(_MOST):
        following = schedules.upcoming(parsed, moment)
        if following is None or following > now:
            break
        found = moment = following
    return found


_LATE = 10
"""Seconds that a tick may come late because the controller was busy; older ones are missed."""
_MOST = 100_000


def _run(tick: Tick, workflows: Sequence[Object], due: datetime) -> None:
    cron, status = tick.cron, tick.cron["status"]
    spec = cron["spec"]
    if spec.get("suspend") or status.get("phase") == "Stopped":
        return
    status["lastScheduledTime"] = variables.instant(due)
    try:
        if spec.get("when") and not _is_wanted(cron):
            return
    except WorkflowError as error:
        _condition(status, "SubmissionError", error.message)
        return
    active = [one["name"] for one in status["active"]]
    policy = spec.get("concurrencyPolicy") or "Allow"
    if active and policy == "Forbid":
        return
    if active and policy == "Replace":
        tick.terminate = active
    name = schedules.run_name(cron["metadata"]["name"], due)
    if not any(one["metadata"]["name"] == name for one in workflows):
        tick.create = made(cron, name, due)


def _is_wanted(cron: Object) -> bool:
    scope = {
        key: value if isinstance(value, str) else gotexts.dumps(value)
        for key, value in _scope(cron).items()
        if value is not None
    }
    typed = {key: value for key, value in _scope(cron).items() if value is not None}
    text = str(cron["spec"]["when"])
    if text.strip().startswith("{{=") and text.strip().endswith("}}"):
        found = expressions.evaluate(text.strip()[3:-2], expressions.environment(typed))
        return when.decide(found if isinstance(found, str) else gotexts.dumps(found))
    return when.decide(str(tags.replaced(text, scope)))


def made(cron: Object, name: str, due: datetime) -> Object:
    """The Workflow of one run."""
    meta, spec = cron["metadata"], cron["spec"]
    given = spec.get("workflowMetadata") or {}
    labels = {**(given.get("labels") or {}), f"{LABELS}cron-workflow": meta["name"]}
    notes = {**(given.get("annotations") or {}), f"{LABELS}scheduled-time": variables.instant(due)}
    found: Object = {
        "name": name,
        "namespace": meta.get("namespace", ""),
        "labels": labels,
        "annotations": notes,
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "CronWorkflow",
                "name": meta["name"],
                "uid": meta.get("uid", ""),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if given.get("finalizers"):
        found["finalizers"] = list(given["finalizers"])
    body = copy.deepcopy(spec.get("workflowSpec") or {})
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": found, "spec": body}


def _history(spec: Mapping[str, Any], workflows: Sequence[Object]) -> list[str]:
    """Names of finished Workflows beyond the limits, the oldest."""
    found = []
    limits = (("successfulJobsHistoryLimit", 3, ("Succeeded",)), ("failedJobsHistoryLimit", 1, ("Failed", "Error")))
    for key, default, phases in limits:
        most = int(spec[key]) if spec.get(key) is not None else default
        ended = [one for one in workflows if (one.get("status") or {}).get("phase") in phases]
        ended.sort(key=lambda one: str(one["status"].get("finishedAt", "")), reverse=True)
        found += [str(one["metadata"]["name"]) for one in ended[most:]]
    return found


def _condition(status: Object, type_: str, message: str) -> None:
    """One that is true with a message; without, it goes."""
    kept = [one for one in status.get("conditions") or () if one.get("type") != type_]
    if message:
        kept.append({"type": type_, "status": "True", "message": message})
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)


def note_refusal(cron: Object, message: str) -> None:
    """A run whose Workflow was refused."""
    status = cron["status"]
    status["failed"] = int(status.get("failed") or 0) + 1
    _condition(status, "SubmissionError", message)
