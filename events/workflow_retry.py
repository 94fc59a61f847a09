"""What `argo retry` makes of a Workflow that has failed: which nodes go, which begin again. Contract: workflows H.2.

Pure: a Workflow and the time in, the Workflow as it is to be stored and the names of pods to delete out.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.errors import ActionError

Object = dict[str, Any]
Nodes = Mapping[str, Object]

_LABELS = "workflows.argoproj.io/"
_OVER = ("completed", "workflow-archiving-status")
_FAILED = frozenset({"Failed", "Error"})
_GROUPS = frozenset({"Steps", "DAG", "StepGroup", "TaskGroup"})
_INNER_GROUPS = frozenset({"StepGroup", "TaskGroup", "Retry"})
_EXECUTED = frozenset({"Pod", "Container", "HTTP", "Plugin"})
_POD_NAMES = f"{_LABELS}pod-name-format"
_LONGEST_PREFIX = 252 - 10


@dataclass(frozen=True)
class Options:
    """Of the command: `selector` is a field selector of nodes, such as `displayName=b,phase=Failed`."""

    restart_successful: bool = False
    selector: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retried:
    """The Workflow that begins again, and the pods that must be gone."""

    workflow: Object
    pods: list[str]
    deleted: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    """Names of nodes."""


def retried(workflow: Object, now: str, options: Options | None = None) -> Retried:
    """Raises ActionError for one that cannot be retried."""
    options = options or Options()
    status = workflow.get("status") or {}
    phase = status.get("phase", "")
    if phase == "Succeeded" and not (options.restart_successful and options.selector):
        says = "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector"
        raise ActionError(says)
    if phase not in (*_FAILED, "Succeeded"):
        raise ActionError(f"Cannot retry a workflow in phase {phase}")
    tree = _Tree(status.get("nodes") or {})
    tree.plan(_starts(tree, options))
    if options.parameters:
        tree.forget_groups()
    tree.forget_exit(f"{workflow['metadata']['name']}.onExit")
    return _result(workflow, tree, now, options)


def _starts(tree: _Tree, options: Options) -> set[str]:
    """The nodes that are done again."""
    chosen: set[str] = set()
    if options.restart_successful and options.selector:
        chosen = {identity for identity, node in tree.nodes.items() if is_selected(node, options.selector)}
    failed = set()
    for identity, node in tree.nodes.items():
        if node.get("phase") in _FAILED and node.get("type") in _EXECUTED:
            whole = tree.retry_above(identity) if (node.get("nodeFlag") or {}).get("retried") else identity
            if not tree.has_success_below(whole, chosen):
                failed.add(identity)
    return chosen | failed


def is_selected(node: Mapping[str, Any], selector: str) -> bool:
    """Whether a field selector means a node: `displayName=b`, `phase!=Succeeded`, `inputs.parameters.x.value=1`."""
    for term in filter(None, selector.split(",")):
        key, sign, value = term.partition("!=")
        if not sign:
            key, _, value = term.partition("=")
            value = value.removeprefix("=")
        if (_field(node, key.strip()) == value.strip()) == bool(sign):
            return False
    return True


def _field(node: Mapping[str, Any], key: str) -> str:
    if key.startswith(("inputs.parameters.", "outputs.parameters.")):
        place, _, rest = key.partition(".parameters.")
        name = rest.removesuffix(".value")
        several = (node.get(place) or {}).get("parameters") or ()
        return next((str(one.get("value", "")) for one in several if one.get("name") == name), "")
    if key.startswith("templateRef."):
        return str((node.get("templateRef") or {}).get(key.removeprefix("templateRef."), ""))
    return str(node.get(key, ""))


class _Tree:
    """The nodes of a Workflow, and what becomes of them."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.deleted: set[str] = set()
        self.reset: set[str] = set()
        self._parents: dict[str, list[str]] = {}
        for identity, node in nodes.items():
            for child in node.get("children") or ():
                self._parents.setdefault(child, []).append(identity)

    def plan(self, starts: Collection[str]) -> None:
        """From the root on: what is deleted with one start need not be started from."""
        for identity in self._from_the_root():
            if identity in starts and identity not in self.deleted:
                self.deleted |= self._below(identity)
                self._climb(identity)

    def _from_the_root(self) -> Iterable[str]:
        roots = [identity for identity in self.nodes if identity not in self._parents]
        seen, waiting = set(roots), deque(roots)
        while waiting:
            identity = waiting.popleft()
            yield identity
            for child in self.nodes[identity].get("children") or ():
                if child in self.nodes and child not in seen:
                    seen.add(child)
                    waiting.append(child)

    def _below(self, identity: str) -> set[str]:
        """A node and its descendants."""
        found, waiting = {identity}, [identity]
        while waiting:
            for child in self.nodes[waiting.pop()].get("children") or ():
                if child in self.nodes and child not in found:
                    found.add(child)
                    waiting.append(child)
        return found

    def _climb(self, identity: str) -> None:
        """The groups around a node begin again, up to the root."""
        node = self.nodes[identity]
        if node.get("type") == "Container":
            pod = node.get("boundaryID", "")
            if pod in self.nodes and pod not in self.deleted:
                self.deleted |= self._below(pod)
                self._climb(pod)
            return
        for parent in self._parents.get(identity, ()):
            above = self.nodes[parent]
            kind = above.get("type")
            is_failed_retry = kind == "Retry" and above.get("phase") in _FAILED
            is_around = kind in _INNER_GROUPS and above.get("boundaryID") == node.get("boundaryID")
            if (is_around and kind != "Retry") or is_failed_retry:
                self.reset.add(parent)
                self._climb(parent)
        boundary = node.get("boundaryID", "")
        if boundary in self.nodes and boundary not in self.reset:
            if self.nodes[boundary].get("type") in _GROUPS:
                self.reset.add(boundary)
            self._climb(boundary)

    def retry_above(self, identity: str) -> str:
        """The node that retries an attempt."""
        return next(iter(self._parents.get(identity, ())), identity)

    def has_success_below(self, identity: str, chosen: Collection[str]) -> bool:
        """Whether something after it succeeded that is not done again."""
        below = self._below(identity) - {identity}
        return any(self.nodes[one].get("phase") == "Succeeded" and one not in chosen for one in below)

    def forget_groups(self) -> None:
        """With other parameters, loops have other items."""
        for identity in list(self.reset):
            if self.nodes[identity].get("type") in ("TaskGroup", "StepGroup"):
                for child in self.nodes[identity].get("children") or ():
                    if child in self.nodes:
                        self.deleted |= self._below(child)

    def forget_exit(self, name: str) -> None:
        """Exit handlers run again at the end."""
        for identity, node in self.nodes.items():
            if node.get("name", "") == name or node.get("name", "").startswith((f"{name}.", f"{name}[")):
                self.deleted.add(identity)


def _result(workflow: Object, tree: _Tree, now: str, options: Options) -> Retried:
    new = copy.deepcopy(workflow)
    metadata, spec, status = new["metadata"], new.setdefault("spec", {}), new["status"]
    for label in _OVER:
        (metadata.get("labels") or {}).pop(f"{_LABELS}{label}", None)
    reset = {identity for identity in tree.reset if identity not in tree.deleted}
    status["nodes"] = {
        identity: _begun_again(node, now) if identity in reset else copy.deepcopy(node)
        for identity, node in tree.nodes.items()
        if identity not in tree.deleted
    }
    for node in status["nodes"].values():
        for key in ("children", "outboundNodes"):
            if node.get(key):
                node[key] = [one for one in node[key] if one not in tree.deleted]
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Completed":
            condition["status"] = "False"
    status |= {"phase": "", "message": "", "startedAt": now}
    for key in ("finishedAt", "persistentVolumeClaims"):
        status.pop(key, None)
    spec.pop("shutdown", None)
    if not spec.get("activeDeadlineSeconds", 1):
        del spec["activeDeadlineSeconds"]
    if options.parameters:
        _override_in_place(spec, options.parameters)
    gone = [tree.nodes[identity] for identity in sorted(tree.deleted)]
    pods = [_pod_name(workflow, node) for node in gone if node.get("type") == "Pod"]
    names = {identity: str(node.get("name", "")) for identity, node in tree.nodes.items()}
    return Retried(new, sorted(pods), sorted(names[one] for one in tree.deleted), sorted(names[one] for one in reset))


def _begun_again(node: Object, now: str) -> Object:
    new = copy.deepcopy(node)
    if new.get("phase") != "Skipped":
        new["phase"] = "Running"
    new["startedAt"] = now
    for key in ("message", "finishedAt"):
        new.pop(key, None)
    return new


def _override_in_place(spec: Object, parameters: Mapping[str, str]) -> None:
    arguments = spec.setdefault("arguments", {})
    kept = [one for one in arguments.get("parameters") or () if one.get("name") not in parameters]
    arguments["parameters"] = [{"name": name, "value": value} for name, value in parameters.items()] + kept


def _pod_name(workflow: Object, node: Object) -> str:
    """By the format that the Workflow was made with."""
    name = workflow["metadata"]["name"]
    if (workflow["metadata"].get("annotations") or {}).get(_POD_NAMES, "v2") == "v1":
        return str(node["id"])
    if node.get("name") == name:
        return str(name)
    template = node.get("templateName") or (node.get("templateRef") or {}).get("template", "")
    prefix = f"{name}-{template}" if template and ".inline" not in node.get("name", "") else name
    return f"{prefix[:_LONGEST_PREFIX]}-{str(node['id']).rpartition('-')[2]}"
