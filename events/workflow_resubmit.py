"""What `argo resubmit` makes of a Workflow: another one like it, or one that begins where it failed. Contract:
workflows H.3. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from events.errors import ActionError

Object = dict[str, Any]
Nodes = Mapping[str, Object]
API_VERSION = "argoproj.io/v1alpha1"
_LABELS = "workflows.argoproj.io/"
_LEFT_OUT = ("archive-status", "completed", "creator", "phase", "workflow-archiving-status")
_FAILED = frozenset({"Failed", "Error"})


def resubmitted(former: Object) -> Object:
    """A Workflow like `former`, to be created (workflows H.3)."""
    meta, spec = former["metadata"], dict(former.get("spec") or {})
    spec.pop("shutdown", None)
    if not spec.get("activeDeadlineSeconds", 1):
        del spec["activeDeadlineSeconds"]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if _is_kept(key)}
    made: Object = {
        "generateName": meta.get("generateName") or f"{meta['name']}-",
        "labels": labels | {f"{_LABELS}resubmitted-from-workflow": meta["name"]},
    }
    for field in ("annotations", "ownerReferences", "namespace"):
        if meta.get(field):
            made[field] = meta[field]
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": made, "spec": spec}


def _is_kept(label: str) -> bool:
    rest = label.removeprefix(_LABELS)
    return rest == label or not rest.startswith(_LEFT_OUT)


def memoized(former: Object, name: str, identify: Callable[[str, str], str], now: str) -> Object:
    """A Workflow named `name` with the nodes of `former` that succeeded; ActionError unless that one failed.

    `identify` gives the id of a node, from the names of its Workflow and its own.
    """
    status = former.get("status") or {}
    if status.get("phase") not in _FAILED:
        raise ActionError("workflow must be Failed/Error to resubmit in memoized mode")
    made = resubmitted(former)
    made["metadata"].pop("generateName")
    made["metadata"]["name"] = name
    kept = _Kept(former, name, identify, now)
    made["status"] = {"nodes": kept.nodes(), "phase": "", "startedAt": now}
    for key in ("storedTemplates", "storedWorkflowTemplateSpec"):
        if status.get(key):
            made["status"][key] = copy.deepcopy(status[key])
    return made


class _Kept:
    """The nodes of a former run, as the new one begins with them."""

    def __init__(self, former: Object, name: str, identify: Callable[[str, str], str], now: str) -> None:
        self._old = former["metadata"]["name"]
        self._new, self._identify, self._now = name, identify, now
        nodes: Nodes = (former.get("status") or {}).get("nodes") or {}
        self._nodes = {
            key: node for key, node in nodes.items() if not node.get("name", "").startswith(f"{self._old}.onExit")
        }

    def nodes(self) -> dict[str, Object]:
        """By their new ids. Others may go on naming nodes that were left out; nobody finds them."""
        wanted = {key: node for key, node in self._nodes.items() if self._is_wanted(node)}
        ids = {key: self._identify(self._new, self._renamed(node["name"])) for key, node in self._nodes.items()}
        return {ids[key]: self._converted(node, ids) for key, node in wanted.items()}

    def _is_wanted(self, node: Object) -> bool:
        return node.get("phase") not in ("Skipped", "Omitted") or self._has_success(node)

    def _has_success(self, node: Object) -> bool:
        waiting, seen = list(node.get("children") or ()), set()
        while waiting:
            key = waiting.pop()
            below = self._nodes.get(key)
            if below is None or key in seen:
                continue
            seen.add(key)
            if below.get("phase") == "Succeeded":
                return True
            waiting += below.get("children") or ()
        return False

    def _renamed(self, name: str) -> str:
        return self._new + name.removeprefix(self._old)

    def _converted(self, node: Object, ids: Mapping[str, str]) -> Object:
        new = copy.deepcopy(node)
        new["name"] = self._renamed(node["name"])
        new["id"] = self._identify(self._new, new["name"])
        if node.get("boundaryID"):
            new["boundaryID"] = ids.get(node["boundaryID"], "")
        for key in ("children", "outboundNodes"):
            if node.get(key):
                new[key] = [ids[one] for one in node[key] if one in ids]
        is_bad = node.get("phase") in _FAILED
        if node.get("type") == "Pod" and not is_bad:
            new |= {"type": "Skipped", "phase": "Skipped", "message": f"original pod: {node['id']}"}
        elif node.get("phase") not in ("Skipped", "Omitted"):
            new["phase"] = "Pending"
            new.pop("message", None)
            if is_bad and node.get("type") == "Pod":
                new["startedAt"] = self._now
                new.pop("finishedAt", None)
        return new
