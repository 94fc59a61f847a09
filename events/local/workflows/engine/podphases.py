"""What a pod's status says of its node. Contract: workflows D.3. Pure: pod in, (phase, message) out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.local.workflows import phases

Pod = Mapping[str, Any]
_WRAPPER_FAILED = 64
KILLED = (137, 143)
WAITERS = ("wait", "supervisor")
UNKNOWN = "ContainerStatusUnknown"
"""The reason of a container that nobody saw end."""


def main_names(template: Mapping[str, Any] | None) -> list[str]:
    """Names of the containers that do the work."""
    several = ((template or {}).get("containerSet") or {}).get("containers")
    return [one["name"] for one in several] if several else ["main"]


def pending_reason(pod: Pod) -> str:
    """Why a pod is not running yet."""
    status = pod.get("status") or {}
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (one.get("state") or {}).get("waiting")
        if waiting:
            reason, message = waiting.get("reason", ""), waiting.get("message", "")
            return f"{reason}: {message}" if message else str(reason)
    for one in status.get("conditions") or ():
        if one.get("reason") == "Unschedulable":
            return f"Unschedulable: {one.get('message', '')}"
    return ""


def failure(pod: Pod, template: Mapping[str, Any] | None) -> tuple[str, str]:
    """Phase and message of a node whose pod Failed."""
    status = pod.get("status") or {}
    if status.get("message"):
        return phases.FAILED, str(status["message"])
    mains = main_names(template)
    containers = sorted(status.get("containerStatuses") or (), key=lambda one: _order(one["name"], mains))
    ordered = [*(status.get("initContainerStatuses") or ()), *containers]
    if not ordered:
        meta = pod.get("metadata") or {}
        return phases.FAILED, f"can't find failed message for pod {meta.get('name')} namespace {meta.get('namespace')}"
    for one in ordered:
        found = _container_failure(one, mains)
        if found:
            return found
    return _without_failure(containers, mains)


def _order(name: str, mains: list[str]) -> int:
    return 0 if name in mains else 1 if name in WAITERS else 2


def _container_failure(container: Mapping[str, Any], mains: list[str]) -> tuple[str, str] | None:
    name, state = container["name"], container.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting:
        says = f"{waiting.get('reason', '')}: {waiting.get('message', '')}"
        return phases.ERROR, f"Pod failed before {name} container starts due to {says}"
    if not ended or not ended.get("exitCode"):
        return None
    code = ended["exitCode"]
    text = f"{name}: {ended.get('reason', '')} (exit code {code})"
    if ended.get("message"):
        text += f": {ended['message']}"
    if name in mains:
        return phases.FAILED, text
    if name == "init" or name in WAITERS:
        return phases.ERROR, text
    return None if code in KILLED else (phases.FAILED, text)


def _without_failure(containers: Iterable[Mapping[str, Any]], mains: list[str]) -> tuple[str, str]:
    is_main_done = is_wait_done = is_wait_there = False
    for one in containers:
        is_wait_there = is_wait_there or one["name"] in WAITERS
        ended = ((one.get("state") or {}).get("terminated") or {}).get("exitCode") == 0
        is_main_done = is_main_done or (one["name"] in mains and ended)
        is_wait_done = is_wait_done or (one["name"] in WAITERS and ended)
    is_wait_done = is_wait_done or not is_wait_there
    if is_main_done and is_wait_done:
        return phases.SUCCEEDED, ""
    who = "wait container" if is_main_done else "main container" if is_wait_done else ""
    if who:
        return phases.FAILED, f"pod failed: {who} did not complete successfully"
    return phases.FAILED, "pod failed: neither main nor wait container completed successfully"


def exit_code(pod: Pod) -> int | None:
    """The exit code of `main`."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (one.get("state") or {}).get("terminated")
        if one.get("name") == "main" and ended:
            return int(ended.get("exitCode") or 0)
    return None


def container_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """Phase and message of the node of one container of a set; empty when nothing is known."""
    state, name = status.get("state") or {}, status["name"]
    if "waiting" in state:
        return phases.PENDING, ""
    if "running" in state:
        return phases.RUNNING, ""
    ended = state.get("terminated")
    if ended is None:
        return "", ""
    code = int(ended.get("exitCode") or 0)
    if code == 0:
        return phases.SUCCEEDED, ""
    text = f"{name}: {ended.get('reason', '')} (exit code {code}): {ended.get('message', '')}"
    return (phases.ERROR if code == _WRAPPER_FAILED else phases.FAILED), text


def is_ready(pod: Pod) -> bool:
    """Whether all containers are."""
    return all(one.get("ready") for one in (pod.get("status") or {}).get("containerStatuses") or ())


def ended_at(pod: Pod) -> str:
    """When the last container ended; empty when unknown."""
    times = [
        ((one.get("state") or {}).get("terminated") or {}).get("finishedAt") or ""
        for one in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return max(times, default="")
