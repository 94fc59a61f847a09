"""What is known of a container, and what a pod's status makes of all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

WAITING: Object = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING: Object = {"waiting": {"reason": "PodInitializing"}}
UNKNOWN_CODE = 137
_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass
class ContainerState:
    """One container: `state` and `last` are written as in a containerStatus."""

    name: str
    image: str = ""
    state: Object = field(default_factory=lambda: dict(WAITING))
    last: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """Once it has ended."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def status(self) -> Object:
        """As it stands in `containerStatuses`."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"process://{self.image}" if self.container_id else "",
            "containerID": self.container_id,
            "state": self.state,
            "lastState": self.last,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
        }


def kept_waiting(why: str) -> Object:
    """The state of a container that cannot be made yet."""
    return {"waiting": WAITING["waiting"] | {"message": why}}


def terminated(
    exit_code: int,
    *,
    started: str,
    finished: str,
    container_id: str,
    signal: int = 0,
    reason: str = "",
    message: str = "",
) -> Object:
    """The state of a container that ended."""
    said = reason or ("Completed" if exit_code == 0 else "Error")
    ended: Object = {
        "exitCode": exit_code,
        "reason": said,
        "startedAt": started or None,
        "finishedAt": finished,
        "containerID": container_id,
    }
    if signal:
        ended["signal"] = signal
    if message:
        ended["message"] = message
    return {"terminated": ended}


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """An init container that goes on beside the others."""
    return container.get("restartPolicy") == "Always"


def phase(spec: Mapping[str, Any], states: Mapping[str, ContainerState], *, is_over: bool) -> str:
    """Pending until the first main container ran; ended once all have and none is to run again (`is_over`)."""
    mains = [states[one["name"]] for one in spec["containers"]]
    inits = [(one, states[one["name"]]) for one in spec.get("initContainers") or ()]
    failed = [it for one, it in inits if not is_sidecar(one) and (it.exit_code or 0) != 0]
    if is_over:
        bad = failed or [it for it in mains if it.exit_code != 0]
        return "Failed" if bad else "Succeeded"
    if any(it.is_running or it.exit_code is not None or it.last for it in mains):
        return "Running"
    return "Pending"


@dataclass(frozen=True)
class Overall:
    """What is said of a pod as a whole. `extra` conditions replace those of the same type."""

    address: str
    host: str
    started: str
    is_initialized: bool
    is_over: bool = False
    is_failed: bool = False
    reason: str = ""
    message: str = ""
    extra: tuple[Object, ...] = ()


def pod_status(pod: Object, states: Mapping[str, ContainerState], overall: Overall, now: str) -> Object:
    """The status to write; conditions of others stay, unchanged ones keep their times."""
    spec = pod["spec"]
    found = "Failed" if overall.is_failed else phase(spec, states, is_over=overall.is_over)
    mains = [states[one["name"]] for one in spec["containers"]]
    inits = [states[one["name"]] for one in spec.get("initContainers") or ()]
    status: Object = {
        "phase": found,
        "hostIP": overall.host,
        "hostIPs": [{"ip": overall.host}],
        "podIP": overall.address,
        "podIPs": [{"ip": overall.address}],
        "startTime": overall.started,
        "qosClass": (pod.get("status") or {}).get("qosClass", "BestEffort"),
        "containerStatuses": [it.status() for it in mains],
        "conditions": _conditions(pod, states, overall, found, now),
    }
    if inits:
        status["initContainerStatuses"] = [it.status() for it in inits]
    for key in ("reason", "message"):
        value = getattr(overall, key)
        if value or (pod.get("status") or {}).get(key):
            status[key] = value or None
    return status


def _conditions(
    pod: Object, states: Mapping[str, ContainerState], overall: Overall, found: str, now: str
) -> list[Object]:
    spec = pod["spec"]
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(found, "")
    unready = [one["name"] for one in spec["containers"] if not states[one["name"]].ready]
    unfinished = [
        one["name"]
        for one in spec.get("initContainers") or ()
        if not (states[one["name"]].started if is_sidecar(one) else states[one["name"]].exit_code == 0)
    ]
    is_initialized = overall.is_initialized or found == "Succeeded"
    waits = "" if is_initialized else f"containers with incomplete status: [{' '.join(unfinished)}]"
    why = f"containers with unready status: [{' '.join(unready)}]" if unready and not ended else ""
    is_ready = not unready and not ended and is_initialized
    gates = _closed_gates(pod) if is_ready else []
    gate_says = f'the status of pod readiness gate "{gates[0]}" is not "True", but False' if gates else ""
    reason = ended or ("" if is_ready else "ContainersNotReady")
    wanted = [
        _condition("PodReadyToStartContainers", is_true=not ended and bool(overall.address)),
        _condition(
            "Initialized",
            is_true=is_initialized,
            reason=ended if is_initialized and found == "Succeeded" else "ContainersNotInitialized" if waits else "",
            message=waits,
        ),
        _condition(
            "Ready",
            is_true=is_ready and not gates,
            reason="ReadinessGatesNotReady" if gates else reason,
            message=gate_says or why,
        ),
        _condition("ContainersReady", is_true=is_ready, reason=reason, message=why),
        _condition("PodScheduled", is_true=True),
        *overall.extra,
    ]
    return merged((pod.get("status") or {}).get("conditions") or (), wanted, now)


def _condition(kind: str, *, is_true: bool, reason: str = "", message: str = "") -> Object:
    return condition(kind, "True" if is_true else "False", reason, message)


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    """A condition without its times."""
    texts = {"reason": reason, "message": message}
    return {"type": kind, "status": status} | {key: value for key, value in texts.items() if value}


def _closed_gates(pod: Object) -> list[str]:
    known = {one["type"]: one["status"] for one in (pod.get("status") or {}).get("conditions") or ()}
    gates = [one["conditionType"] for one in pod["spec"].get("readinessGates") or ()]
    return [gate for gate in gates if known.get(gate) != "True"]


def merged(old: Iterable[Object], wanted: Iterable[Object], now: str) -> list[Object]:
    """`wanted` with the time of their last change; those that only others know are kept."""
    former = {one["type"]: one for one in old}
    new = {one["type"]: one for one in wanted}
    found = []
    for kind, one in new.items():
        before = former.get(kind)
        same = before is not None and before["status"] == one["status"]
        since = before.get("lastTransitionTime") if before is not None and same else None
        found.append({"lastProbeTime": None, "lastTransitionTime": since or now, **one})
    return found + [one for kind, one in former.items() if kind not in new]
