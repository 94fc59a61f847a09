"""Whether the pods of a Deployment are there and ready, and if not, why. Pure. Flaw C4.

The reasons are those a person can act on, found in the Deployment's conditions and its pods: the image cannot be
pulled, the container ends with a message, no node fits, a quota is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from events.kube.api import Object
from events.kube.conditions import Condition

DEPLOYED = "Deployed"
READY, SCALED_TO_ZERO, PROGRESSING = "PodsReady", "ScaledToZero", "PodsNotReady"
CRASHED, UNSCHEDULABLE = "CrashLoopBackOff", "Unschedulable"
_QUIET = ("", "ContainerCreating", "PodInitializing")
_MAX_MESSAGE = 1000


def is_ready(deployment: Object) -> bool:
    """Whether all pods that are wanted run what is wanted, and are ready."""
    status, wanted = deployment.get("status") or {}, _wanted(deployment)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False
    is_there = all((status.get(count) or 0) >= wanted for count in ("updatedReplicas", "availableReplicas"))
    return is_there and not status.get("unavailableReplicas")


def condition(deployment: Object, pods: Iterable[Object], waiting: Callable[[Object], str] = lambda _: "") -> Condition:
    """The condition `Deployed`; `pods` may be more than the Deployment's own, `waiting` is what one says of itself."""
    wanted = _wanted(deployment)
    if is_ready(deployment):
        if not wanted:
            return Condition(DEPLOYED, "True", SCALED_TO_ZERO, "it is scaled to no pods")
        return Condition(DEPLOYED, "True", READY)
    reason, message = _why(deployment, sorted(pods, key=lambda pod: pod["metadata"]["name"]), waiting)
    return Condition(DEPLOYED, "False", reason, _cut(message))


def _why(deployment: Object, pods: Sequence[Object], waiting: Callable[[Object], str]) -> tuple[str, str]:
    failure = _condition(deployment, "ReplicaFailure")
    if failure is not None and failure.get("status") == "True":
        return failure.get("reason") or "ReplicaFailure", failure.get("message") or "pods cannot be created"
    if why := why_not(pods, waiting):
        return why
    available = (deployment.get("status") or {}).get("availableReplicas") or 0
    return PROGRESSING, f"{min(available, _wanted(deployment))} of {_wanted(deployment)} pods are ready"


def why_not(pods: Iterable[Object], waiting: Callable[[Object], str] = lambda _: "") -> tuple[str, str] | None:
    """Reason and message of the first pod that is not ready and says most; None: there is nothing to say."""
    there = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    found = [why for pod in there if (why := _why_not(pod, waiting))]
    return min(found, key=lambda why: why[0] == PROGRESSING) if found else None


def _why_not(pod: Object, waiting: Callable[[Object], str]) -> tuple[str, str] | None:
    """Why a pod is not ready; None: it is, or there is nothing to say yet."""
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    ready = _condition(pod, "Ready")
    if ready is not None and ready.get("status") == "True":
        return None
    scheduled = _condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return scheduled.get("reason") or UNSCHEDULABLE, f"pod {name}: {scheduled.get('message') or 'no node fits'}"
    if why := _of_containers([*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]):
        return why[0], f"pod {name}: {why[1]}"
    if status.get("phase") == "Failed":
        return status.get("reason") or "PodFailed", f"pod {name}: {status.get('message') or 'it failed'}"
    if status.get("phase") == "Running":
        return PROGRESSING, f"pod {name} runs and is not ready yet: {waiting(pod) or 'its log and /readyz say why'}"
    mounted = _mounted(pod)
    if status.get("phase") == "Pending" and mounted:
        return PROGRESSING, f"pod {name} is being created; it cannot start without {mounted}"
    return None


def _of_containers(containers: Sequence[Object]) -> tuple[str, str] | None:
    """Of the first that cannot go on; one that only ended well has mostly followed another one."""
    found = [(one, why) for one in containers if (why := _of_container(one))]
    if not found:
        return None
    container, (reason, text) = min(found, key=lambda one: _has_ended_well(one[0]))
    return reason, text if len(containers) == 1 else f"{container.get('name', '')}: {text}"


def _has_ended_well(container: Object) -> bool:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated")
    return ended is not None and not ended.get("exitCode")


def _of_container(container: Object) -> tuple[str, str] | None:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or last.get("terminated")
    if "running" in state and ended and not ended.get("exitCode"):
        return None  # it was told to end, and is there again: the machine was started anew
    if ended is not None and (waiting.get("reason") or CRASHED) == CRASHED:
        return CRASHED, f"the container ends with {_end(ended)}"
    if waiting.get("reason", "") in _QUIET:
        return (PROGRESSING, waiting["message"]) if waiting.get("message") else None
    return waiting["reason"], waiting.get("message") or f"the container waits: {waiting['reason']}"


def _end(ended: Object) -> str:
    """How a container ended, by the last line it wrote, without what is another one each time."""
    code = f"exit code {ended.get('exitCode', '?')}"
    if ended.get("reason") not in (None, "", "Error", "Completed"):
        code = f"{ended['reason']} ({code})"
    lines = [line for line in str(ended.get("message") or "").splitlines() if line.strip()]
    return f"{code}: {_said(lines[-1])}" if lines else code


def _said(line: str) -> str:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.strip()
    if not isinstance(found, dict) or "msg" not in found:
        return line.strip()
    return ": ".join(str(found[key]) for key in ("msg", "reason") if found.get(key))


def _mounted(pod: Object) -> str:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    secrets = [one["secret"]["secretName"] for one in volumes if (one.get("secret") or {}).get("secretName")]
    maps = [one["configMap"]["name"] for one in volumes if (one.get("configMap") or {}).get("name")]
    named = [f"Secret {name!r}" for name in sorted(set(secrets))] + [
        f"ConfigMap {name!r}" for name in sorted(set(maps))
    ]
    return ", ".join(named)


def _wanted(deployment: Object) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _condition(obj: Object, type_: str) -> dict[str, Any] | None:
    found = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in found if one.get("type") == type_), None)


def _cut(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"
