"""The state of one look at a Workflow: its nodes, its variables, and what is to be done afterwards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from events.local.workflows import names, phases, variables
from events.local.workflows.arguments import MissingKey
from events.local.workflows.engine.locks import Locks
from events.local.workflows.errors import WorkflowError

if TYPE_CHECKING:
    from events.local.workflows.engine.measuring import Measured

Object = dict[str, Any]
Node = dict[str, Any]
PARAMETERS, CACHE = "Parameter", "Cache"
CONFIG_MAP_TYPE = "workflows.argoproj.io/configmap-type"
STOP, TERMINATE = "Stop", "Terminate"


@dataclass(frozen=True)
class Given:
    """All that one look may know. Nothing in it is changed, but `locks`."""

    workflow: Object
    now: datetime
    pods: Mapping[str, Object] = field(default_factory=dict)
    """By name, those of this Workflow."""
    reported: Mapping[str, Object] = field(default_factory=dict)
    """Outputs by id of node, as the pods (or whoever did the work) reported them; `codes`: of containers that ended."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why a pod cannot be made, by its name."""
    answers: Mapping[str, Object] = field(default_factory=dict)
    """`phase`, `message` and `outputs` by id of HTTP and plugin nodes."""
    workflow_templates: Mapping[str, Object] = field(default_factory=dict)
    cluster_templates: Mapping[str, Object] = field(default_factory=dict)
    config_maps: Mapping[str, Object] = field(default_factory=dict)
    defaults: Object = field(default_factory=dict)
    """The Workflow of the configuration's workflowDefaults."""
    repository: Object = field(default_factory=dict)
    """The configuration's artifactRepository; empty: the local store."""
    locks: Locks = field(default_factory=Locks)
    validate: Callable[[Object], None] | None = None
    """Raises for a Workflow that cannot be carried out; asked once, at the first look."""


@dataclass
class Result:
    """What a look decided."""

    workflow: Object
    pods: list[Object] = field(default_factory=list)
    """To be created; their names follow from the nodes, so creating one again is harmless."""
    templates: dict[str, Object] = field(default_factory=dict)
    """The template of each pod to be created, with all its values, by the name of the pod."""
    stopped: set[str] = field(default_factory=set)
    """Names of pods whose containers are to be ended."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Names of pods to be deleted so that others can take their place, and their uids."""
    requests: dict[str, Object] = field(default_factory=dict)
    """Templates of HTTP and plugin nodes that wait for an answer, by id of node."""
    caches: list[tuple[str, str, Object]] = field(default_factory=list)
    """(config map, key, entry) to be saved."""
    metrics: list[Measured] = field(default_factory=list)
    """Values of the metrics of templates and of the Workflow, to be counted once the status is written."""
    claims: list[Object] = field(default_factory=list)
    """PersistentVolumeClaims to be created."""
    look_again: float | None = None
    """Seconds until something may be due."""


class Run:
    """One look. Methods that change a node take its name, as everything else does."""

    def __init__(self, given: Given) -> None:
        self.given, self.now = given, given.now
        self.workflow = copy.deepcopy(given.workflow)
        self.meta: Object = self.workflow["metadata"]
        self.name: str = self.meta["name"]
        self.namespace: str = self.meta.get("namespace", "")
        self.status: Object = self.workflow.setdefault("status", {})
        self.nodes: dict[str, Node] = self.status.setdefault("nodes", {})
        self.spec: Object = {}
        self.globals: dict[str, Any] = {}
        self.result = Result(self.workflow)
        self.active_pods = 0
        self.has_missing_pods = False
        """A pod that was begun is not there: nodes that have begun are gone on with, whatever else is full."""
        self.depth = 0
        self.aggregated: dict[str, Any] = {}

    # --- time

    def stamp(self) -> str:
        """Now, as statuses have it."""
        return variables.instant(self.now)

    def look_at(self, moment: datetime) -> None:
        """See that the Workflow is looked at then."""
        delay = max(0.0, (moment - self.now).total_seconds())
        self.result.look_again = min(self.result.look_again if self.result.look_again is not None else delay, delay)

    @property
    def deadline(self) -> datetime | None:
        """When the whole Workflow must end."""
        seconds = self.spec.get("activeDeadlineSeconds")
        if seconds is None or not self.status.get("startedAt"):
            return None
        return variables.parsed(self.status["startedAt"]) + timedelta(seconds=int(seconds))

    @property
    def is_late(self) -> bool:
        return self.deadline is not None and self.now >= self.deadline

    # --- shutdown

    @property
    def shutdown(self) -> str:
        """`Stop`, `Terminate` or empty."""
        return str(self.workflow["spec"].get("shutdown") or self.spec.get("shutdown") or "")

    def may_run(self, *, is_exit: bool) -> bool:
        """Whether a pod may still start: under Stop those of exit handlers may."""
        return not self.shutdown or (self.shutdown == STOP and is_exit)

    def is_exit(self, node: Node) -> bool:
        """Whether a node belongs to an exit handler."""
        seen: Node | None = node
        while seen is not None:
            if str(seen.get("displayName", "")).endswith(".onExit"):
                return True
            seen = self.nodes.get(seen.get("boundaryID", ""))
        return False

    # --- config maps

    def config_map(self, name: str, kind: str) -> Object:
        """A config map that is labelled for this use; MissingKey otherwise."""
        found = self.given.config_maps.get(name)
        labels = ((found or {}).get("metadata") or {}).get("labels") or {}
        if found is None or (kind and labels.get(CONFIG_MAP_TYPE) != kind):
            raise MissingKey(
                f"ConfigMap '{name}' does not exist. Please make sure it has the label {CONFIG_MAP_TYPE}: {kind} "
                "to be detectable by the controller"
            )
        return found

    def parameter_value(self, source: Mapping[str, Any]) -> str:
        """The value that a configMapKeyRef of a parameter means."""
        found = self.config_map(source.get("name", ""), PARAMETERS)
        value = (found.get("data") or {}).get(source.get("key"))
        if value is None:
            raise MissingKey(f"ConfigMap '{source.get('name')}' does not have the key '{source.get('key')}'")
        return str(value)

    # --- nodes

    def id(self, name: str) -> str:
        return names.node_id(self.name, name)

    def node(self, name: str) -> Node | None:
        """The node with this name."""
        return self.nodes.get(self.id(name))

    def existing(self, name: str) -> Node:
        """The node with this name, which is there."""
        return self.nodes[self.id(name)]

    def begin(
        self, name: str, type_: str, phase: str, holder: Mapping[str, Any], scope: str, boundary: str, **more: Any
    ) -> Node:
        """A new node; `holder` is the step or task (or what stands for one), `boundary` the id of the node around."""
        above = self.nodes.get(boundary) if boundary else None
        node: Node = {
            "id": self.id(name),
            "name": name,
            "displayName": names.display_name(name, above["name"] if above else ""),
            "type": type_,
            "phase": phase,
            "startedAt": self.stamp(),
        }
        if holder.get("templateRef"):
            node["templateRef"] = dict(holder["templateRef"])
        elif holder.get("template"):
            node["templateName"] = holder["template"]
        if scope:
            node["templateScope"] = scope
        if boundary:
            node["boundaryID"] = boundary
        node.update({key: value for key, value in more.items() if value})
        if phase in phases.FULFILLED:
            node["finishedAt"] = node["startedAt"]
        self.nodes[node["id"]] = node
        return node

    def mark(self, name: str, phase: str, message: str = "") -> Node:
        """Change the phase of a node; an empty message leaves the former one."""
        node = self.existing(name)
        node["phase"] = phase
        if message:
            node["message"] = message
        if phases.is_fulfilled(node) and not node.get("finishedAt"):
            node["finishedAt"] = self.stamp()
        return node

    def fail(self, name: str, error: WorkflowError) -> Node:
        """Phase Error, with what went wrong."""
        return self.mark(name, phases.ERROR, error.message)

    def link(self, parent: str, child: str) -> None:
        """Hang a node below another one, once."""
        children = self.existing(parent).setdefault("children", [])
        identity = self.id(child)
        if identity not in children:
            children.append(identity)

    def children(self, node: Node) -> list[Node]:
        """The nodes directly below that are there."""
        return [self.nodes[one] for one in node.get("children") or () if one in self.nodes]

    def within(self, boundary: str) -> list[Node]:
        """The nodes whose boundary this is."""
        return [node for node in self.nodes.values() if node.get("boundaryID") == boundary]

    def outbound(self, node: Node) -> list[str]:
        """Ids of the nodes that what comes next hangs below (C.3)."""
        kind, children = node.get("type"), self.children(node)
        if kind == "Pod":
            containers = [one for one in children if one.get("type") == "Container"]
            if not containers:
                return [node["id"]]
            found = [leaf for one in containers for leaf in self.outbound(one)]
        elif kind == "Retry":
            return [children[-1]["id"]] if children else []
        elif kind in ("Container", "TaskGroup"):
            inner = [one for one in children if kind == "TaskGroup" or one.get("type") == "Container"]
            found = [leaf for one in inner for leaf in self.outbound(one)] or [node["id"]]
        elif kind in ("Steps", "DAG"):
            if (node.get("memoizationStatus") or {}).get("hit"):
                return [node["id"]]
            below = [self.nodes[one] for one in node.get("outboundNodes") or () if one in self.nodes]
            found = [leaf for one in below for leaf in self.outbound(one)]
        else:
            return [node["id"]]
        return list(dict.fromkeys(found))
