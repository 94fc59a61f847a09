"""What is left to do for a Workflow that has ended. Contract: workflows K. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from events import durations
from events.errors import UserError
from events.local.workflows import variables

Object = Mapping[str, Any]
_COMPLETED = "workflows.argoproj.io/completed"
_DELAY = 5.0


def spec_of(workflow: Object) -> Object:
    """The spec that was carried out."""
    merged = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or {}
    return {**merged, **workflow["spec"]}


def expires(workflow: Object) -> datetime | None:
    """When it is deleted; None: never."""
    strategy, status = spec_of(workflow).get("ttlStrategy") or {}, workflow.get("status") or {}
    finished = status.get("finishedAt")
    if not finished:
        return None
    seconds = strategy.get("secondsAfterCompletion")
    if status.get("phase") == "Succeeded" and strategy.get("secondsAfterSuccess") is not None:
        seconds = strategy["secondsAfterSuccess"]
    if status.get("phase") == "Failed" and strategy.get("secondsAfterFailure") is not None:
        seconds = strategy["secondsAfterFailure"]
    return None if seconds is None else variables.parsed(finished) + timedelta(seconds=int(seconds))


def superfluous(workflow: Object, pods: Iterable[Object], now: datetime) -> tuple[list[str], float | None]:
    """Names of pods that podGC deletes now, and the seconds until the next one."""
    collection = spec_of(workflow).get("podGC") or {}
    strategy = collection.get("strategy")
    delay = _delay(collection)
    found, waits = [], []
    is_over = (workflow.get("metadata", {}).get("labels") or {}).get(_COMPLETED) == "true"
    is_good = (workflow.get("status") or {}).get("phase") == "Succeeded"
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase")
        if phase not in ("Succeeded", "Failed") or not _selected(collection.get("labelSelector"), pod):
            continue
        wanted = {
            "OnPodCompletion": True,
            "OnPodSuccess": phase == "Succeeded",
            "OnWorkflowCompletion": is_over,
            "OnWorkflowSuccess": is_over and is_good,
        }.get(str(strategy), False)
        if not wanted:
            continue
        due = variables.parsed(_ended(workflow, pod, now)) + timedelta(seconds=delay)
        if due <= now:
            found.append(pod["metadata"]["name"])
        else:
            waits.append((due - now).total_seconds())
    return found, min(waits, default=None)


def _delay(collection: Object) -> float:
    try:
        return durations.seconds(str(collection["deleteDelayDuration"]))
    except (KeyError, UserError):
        return _DELAY


def _ended(workflow: Object, pod: Object, now: datetime) -> str:
    nodes = (workflow.get("status") or {}).get("nodes") or {}
    identity = (pod["metadata"].get("annotations") or {}).get("workflows.argoproj.io/node-id", "")
    return str((nodes.get(identity) or {}).get("finishedAt") or variables.instant(now))


def _selected(selector: Object | None, pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    wanted = (selector or {}).get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for one in (selector or {}).get("matchExpressions") or ():
        value, values = labels.get(one["key"]), one.get("values") or ()
        is_met = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(one.get("operator"), False)
        if not is_met:
            return False
    return True


def drops_claims(workflow: Object) -> bool:
    """Whether the PersistentVolumeClaims of an ended Workflow go."""
    strategy = (spec_of(workflow).get("volumeClaimGC") or {}).get("strategy") or "OnWorkflowSuccess"
    return strategy == "OnWorkflowCompletion" or (workflow.get("status") or {}).get("phase") == "Succeeded"


def retired(workflows: Iterable[Object], retention: Mapping[str, int]) -> list[tuple[str, str]]:
    """(name, namespace) of ended Workflows beyond those that are kept of their phase, the oldest."""
    found = []
    by_phase: dict[str, list[Object]] = {}
    for one in workflows if retention else ():
        is_over = (one["metadata"].get("labels") or {}).get(_COMPLETED) == "true"
        phase = (one.get("status") or {}).get("phase", "")
        if is_over and phase in retention and not one["metadata"].get("deletionTimestamp"):
            by_phase.setdefault(phase, []).append(one)
    for phase, several in by_phase.items():
        several.sort(key=lambda one: (str(one["status"].get("finishedAt", "")), one["metadata"]["name"]), reverse=True)
        found += [
            (one["metadata"]["name"], one["metadata"].get("namespace", "")) for one in several[retention[phase] :]
        ]
    return found
