"""Pods that were cut off with their node: their work is done again, by another pod of the same node.

A pod that was cut off has the condition `DisruptionTarget`. Argo Workflows does the same for pods that fail before they
start, and with the same fields of the node: `failedPodRestarts`, `restartingPodUID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.workflows import gotexts, names, phases
from events.local.workflows.engine import podphases, retries
from events.local.workflows.engine.run import Node, Object, Run

MOST = 10
"""Pods that are made again for one node: one that takes its node down with it is not tried for ever."""
COUNT, FORMER = "failedPodRestarts", "restartingPodUID"
_CONDITION = "DisruptionTarget"
_AROUND = {"StepGroup": ".", "TaskGroup": "(", "Retry": "("}
"""Nodes that are nothing but those in them, and what follows their name there."""


def is_cut_off(pod: Mapping[str, Any]) -> bool:
    """Whether it ended because of its node, and not by itself."""
    status = pod.get("status") or {}
    conditions = status.get("conditions") or ()
    return status.get("phase") == "Failed" and any(
        one.get("type") == _CONDITION and one.get("status") == "True" for one in conditions
    )


def as_it_ended(pod: Object, template: Mapping[str, Any] | None, codes: Mapping[str, int]) -> Object | None:
    """The pod as it would be if its node had lived to see its end, where what it left tells how; None otherwise.

    A container that was asked to end may have left a code, too: that says nothing of its work.
    """
    status = pod.get("status") or {}
    mains, containers = podphases.main_names(template), status.get("containerStatuses") or ()
    if not all(name in codes for name in mains) or not any(_is_unseen(one) for one in containers):
        return None
    bad = [codes[name] for name in mains if codes[name]]
    if bad and all(code in podphases.KILLED for code in bad):
        return None
    seen = [_with_code(one, codes[one["name"]]) if one["name"] in codes else one for one in containers]
    phase = "Failed" if bad else "Succeeded"
    return pod | {"status": {**status, "phase": phase, "message": "", "containerStatuses": seen}}


def _is_unseen(container: Mapping[str, Any]) -> bool:
    return ((container.get("state") or {}).get("terminated") or {}).get("reason") == podphases.UNKNOWN


def _with_code(container: Object, code: int) -> Object:
    ended = dict((container.get("state") or {}).get("terminated") or {})
    ended |= {"exitCode": code, "reason": "Error" if code else "Completed"}
    ended.pop("message", None)
    return container | {"state": {"terminated": ended}}


def replace(run: Run, node: Node, pod: Object, template: Mapping[str, Any] | None) -> bool:
    """Whether this pod gives way to another one: see that it goes; the node waits for the next."""
    uid = str(pod["metadata"].get("uid", ""))
    if not uid:
        return False
    if node.get(FORMER) != uid:
        if not _may_again(run, node, template):
            return False
        _begin_again(run, node, uid)
    run.result.replaced[pod["metadata"]["name"]] = uid
    return True


def _may_again(run: Run, node: Node, template: Mapping[str, Any] | None) -> bool:
    if run.shutdown or (run.is_late and not run.is_exit(node)) or int(node.get(COUNT) or 0) >= MOST:
        return False
    limit = (retries.strategy(run, template or {}) or {}).get("limit")
    try:
        return limit in (None, "") or gotexts.integer(limit) != 0
    except ValueError:
        return True  # an expression, of which nobody says that it is 0


def _begin_again(run: Run, node: Node, uid: str) -> None:
    node[COUNT], node[FORMER] = int(node.get(COUNT) or 0) + 1, uid
    if node.pop("daemoned", None):
        _reopen(run, node)
    node["phase"], node["message"], node["startedAt"] = phases.PENDING, said(node), run.stamp()
    for one in run.within(node["id"]):
        if one.get("type") == "Container":
            one["phase"] = phases.PENDING
            for key in ("message", "finishedAt", "outputs"):
                one.pop(key, None)


def _reopen(run: Run, daemon: Node) -> None:
    """What counted as ended because a daemon was there waits for it once more."""
    for one in list(run.nodes.values()):
        mark = _AROUND.get(str(one.get("type")))
        if mark and daemon["name"].startswith(one["name"] + mark) and daemon["id"] in (one.get("children") or ()):
            one["phase"] = phases.RUNNING
            for key in ("daemoned", "finishedAt"):
                one.pop(key, None)
            _reopen(run, one)


def has_missing(run: Run) -> bool:
    """Whether a pod that was begun is not there: made again, or not made yet when somebody died."""
    return any(
        node.get("type") == "Pod"
        and node.get("phase") == phases.PENDING
        and not (node.get("synchronizationStatus") or {}).get("waiting")
        and names.pod_of(run.workflow, node) not in run.given.pods
        for node in run.nodes.values()
    )


def said(node: Mapping[str, Any]) -> str:
    """The message of a node whose work was begun again; empty for others."""
    count = node.get(COUNT)
    return f"its pod was cut off, and is made again ({count} of at most {MOST} times)" if count else ""
