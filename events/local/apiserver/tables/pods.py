"""Cells of pods: what all their containers together are doing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.resources import Object
from events.local.apiserver.tables.ages import Clock, human, moment
from events.local.apiserver.tables.looks import AGE, NAME, Key, Look, text, wide
from events.local.apiserver.tables.texts import NONE, containers, is_going, is_true, labels_text, name_of, part

_RESTARTED = (
    "The number of times the containers in this pod have been restarted and when the last container in this pod "
)
_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
_LOST = "NodeLost"


@dataclass
class _Restarts:
    """How often containers were started again, and when the last one ended before that."""

    count: int = 0
    last: float = 0

    def add(self, status: Object) -> None:
        self.count += status.get("restartCount") or 0
        ended = moment(part(status, "lastState", "terminated").get("finishedAt"))
        self.last = max(self.last, ended or 0)

    def shown(self, clock: Clock) -> str:
        if self.count and self.last:
            return f"{self.count} ({human(clock.now - self.last)} ago)"
        return str(self.count)


def _is_sidecar(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def _has_ended(status: Object) -> bool:
    """A state may be there without a member: it is a state all the same."""
    return (status.get("state") or {}).get("terminated") is not None


def _ended(status: Object) -> str:
    """Why a container ended."""
    found = part(status, "state", "terminated")
    if reason := found.get("reason"):
        return str(reason)
    return f"Signal:{found['signal']}" if found.get("signal") else f"ExitCode:{found.get('exitCode', 0)}"


class _Summary:
    """One pod, summed up: how many containers are ready, of how many, in what state, restarted how often."""

    def __init__(self, it: Object) -> None:
        self.spec, self.status = part(it, "spec"), part(it, "status")
        self.init = {one["name"]: one for one in self.spec.get("initContainers") or ()}
        self.ready = 0
        self.total = len(self.spec.get("containers") or ()) + sum(map(_is_sidecar, self.init.values()))
        self.reason: str = self.status.get("reason") or self.status.get("phase") or ""
        self.restarts = _Restarts()
        conditions = self.status.get("conditions") or ()
        if any((one.get("type"), one.get("reason")) == ("PodScheduled", "SchedulingGated") for one in conditions):
            self.reason = "SchedulingGated"
        of_sidecars = _Restarts()
        is_initializing = self._start(self.status.get("initContainerStatuses") or (), of_sidecars)
        if not is_initializing or is_true(conditions, "Initialized"):
            self.restarts = of_sidecars
            self._run(self.status.get("containerStatuses") or ())
        if is_going(it):
            if self.status.get("reason") == _LOST:
                self.reason = "Unknown"
            elif self.status.get("phase") not in _ENDED:
                self.reason = "Terminating"

    def _start(self, statuses: Iterable[Object], of_sidecars: _Restarts) -> bool:
        """Whether an init container is still at work, or failed: the pod's state is that of the first such one."""
        for index, one in enumerate(statuses):
            is_sidecar = _is_sidecar(self.init.get(one.get("name", ""), {}))
            self.restarts.add(one)
            if is_sidecar:
                of_sidecars.add(one)
            if _has_ended(one) and not part(one, "state", "terminated").get("exitCode"):
                continue
            if is_sidecar and one.get("started"):
                self.ready += bool(one.get("ready"))
                continue
            waits = part(one, "state", "waiting").get("reason")
            if _has_ended(one):
                self.reason = f"Init:{_ended(one)}"
            elif waits and waits != "PodInitializing":
                self.reason = f"Init:{waits}"
            else:
                self.reason = f"Init:{index}/{len(self.init)}"
            return True
        return False

    def _run(self, statuses: Any) -> None:
        is_running = False
        for one in reversed(statuses):
            self.restarts.add(one)
            if waits := part(one, "state", "waiting").get("reason"):
                self.reason = waits
            elif _has_ended(one):
                self.reason = _ended(one)
            elif one.get("ready") and (one.get("state") or {}).get("running") is not None:
                is_running = True
                self.ready += 1
        if self.reason == "Completed" and is_running:
            self.reason = "Running" if is_true(self.status.get("conditions"), "Ready") else "NotReady"


def _pod(it: Object, clock: Clock) -> list[Any]:
    summary = _Summary(it)
    spec, status = summary.spec, summary.status
    address = next((one.get("ip") for one in status.get("podIPs") or ()), status.get("podIP"))
    return [
        name_of(it),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts.shown(clock),
        clock.age(it),
        address or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return NONE
    passed = sum(is_true(status.get("conditions"), one.get("conditionType", "")) for one in gates)
    return f"{passed}/{len(gates)}"


def conditions(it: Object) -> list[Object]:
    """What a client may know of a pod's row beside its cells: whether it has run to its end."""
    phase = part(it, "status").get("phase")
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]


def _template(it: Object, _: Clock) -> list[Any]:
    template = part(it, "template")
    return [name_of(it), *containers(template), labels_text(part(template, "metadata").get("labels"))]


LOOKS: dict[Key, Look] = {
    ("", "Pod"): Look(
        (
            NAME,
            text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            text("Status", "The aggregate status of the containers in this pod."),
            text("Restarts", f"{_RESTARTED}has restarted."),
            AGE,
            wide("IP", "@core.v1.PodStatus.podIP"),
            wide("Node", "@core.v1.PodSpec.nodeName"),
            wide("Nominated Node", "@core.v1.PodStatus.nominatedNodeName"),
            wide("Readiness Gates", "@core.v1.PodSpec.readinessGates"),
        ),
        _pod,
    ),
    ("", "PodTemplate"): Look(
        (
            NAME,
            text("Containers", "Names of each container in the template."),
            text("Images", "Images referenced by each container in the template."),
            text("Pod Labels", "The labels for the pod template."),
        ),
        _template,
    ),
}
