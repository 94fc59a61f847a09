"""How an object is, in one word and a reason: for the terminal of `keryx up` and for `keryx status`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from events.kube import conditions

Object = dict[str, Any]
Word = Literal["waits", "runs", "ready", "ended", "failed", "goes"]
KINDS: Mapping[str, str] = {
    "EventBus": "argoproj.io/v1alpha1",
    "EventSource": "argoproj.io/v1alpha1",
    "Sensor": "argoproj.io/v1alpha1",
    "Workflow": "argoproj.io/v1alpha1",
    "Pod": "v1",
}
"""What people look at, and in this order."""
_SOON = ("ContainerCreating", "PodInitializing")
PORTS = "LocalhostPorts"
_REFUSED = re.compile(r"localhost:(\d+) ([^;]+)")


class Health(NamedTuple):
    """`waits` and `failed` have a reason."""

    word: Word
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nobody need look."""
        return self.word not in ("failed", "waits")


def of(obj: Object) -> Health:
    """Of an object of `KINDS`."""
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return Health("goes")
    kind = obj.get("kind")
    return _pod(obj) if kind == "Pod" else _workflow(obj) if kind == "Workflow" else _ours(obj)


def _ours(obj: Object) -> Health:
    if conditions.ready(obj):
        return Health("ready")
    bad = [one for one in conditions.all_of(obj) if one.get("status") != "True"]
    if not bad:
        return Health("waits", "nobody has looked at it yet")
    # What is not known yet has an end of its own; what is False has a reason.
    one = next((it for it in bad if it.get("status") == "False"), bad[0])
    return Health("waits", str(one.get("message") or one.get("reason") or f"{one.get('type')} is not true"))


def _workflow(obj: Object) -> Health:
    status = obj.get("status") or {}
    phase = status.get("phase") or ""
    if phase in ("Failed", "Error"):
        return Health("failed", str(status.get("message") or phase))
    return Health("ended" if phase == "Succeeded" else "runs")


def _pod(obj: Object) -> Health:
    status = obj.get("status") or {}
    phase = status.get("phase")
    if phase == "Succeeded":
        return Health("ended")
    if phase == "Failed":
        return Health("failed", status.get("message") or _ended(status) or str(status.get("reason") or "Failed"))
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for one in containers:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _SOON:
            said = ": ".join(text for text in (waiting["reason"], waiting.get("message")) if text)
            return Health("waits", f"{one.get('name')}: {said}")
    found = {one.get("type"): one for one in status.get("conditions") or ()}
    scheduled = found.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return Health("waits", str(scheduled.get("message") or scheduled.get("reason") or "not scheduled"))
    if phase != "Running":
        return Health("waits", "it is being started")
    ready = found.get("Ready") or {}
    if ready.get("status") == "True":
        return Health("ready")
    return Health("runs", str(ready.get("message") or "not ready yet"))


def _ended(status: Object) -> str:
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        end = (one.get("state") or {}).get("terminated") or {}
        if end.get("exitCode"):
            why = f"exit code {end['exitCode']}"
            return f"{one.get('name')}: {why}{', ' + end['message'] if end.get('message') else ''}"
    return ""


def ports(pod: Object) -> list[tuple[int, str]]:
    """The ports of localhost that a pod did not get, and why, as its condition says."""
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == PORTS and one.get("status") == "False":
            return [(int(port), why) for port, why in _REFUSED.findall(str(one.get("message")))]
    return []


def name_of(obj: Object) -> str:
    """As people write it: `sensor argo-events/webhook`."""
    metadata = obj["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{str(obj.get('kind')).lower()} {where}{metadata['name']}"
