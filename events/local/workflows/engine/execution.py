"""A template is carried out for one node. Contract: workflows E.1, F, G."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from events.local.workflows import arguments, names, phases, tags
from events.local.workflows.engine import caches, limits, locks, retries, scopes, templates
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.engine.templates import Context
from events.local.workflows.errors import Postponed, TimedOut, WorkflowError

MAX_DEPTH = 100
TOO_DEEP = (
    "Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/"
    "#maximum-recursion-depth"
)


@dataclass(frozen=True)
class Options:
    """Where and why a template is carried out."""

    boundary: str = ""
    """Id of the Steps or DAG node around."""
    is_exit: bool = False
    flags: Mapping[str, bool] = field(default_factory=dict)
    deadline: datetime | None = None
    """When the pod must have ended."""
    word: str = ""
    """`steps` or `tasks`: of what the caller is one."""


@dataclass(frozen=True)
class Work:
    """One template to be carried out, ready: inputs filled in, and where its names are looked up."""

    name: str
    template: Object
    holder: Mapping[str, Any]
    context: Context
    scope: str
    """templateScope of the node."""
    options: Options

    def begin(self, run: Run, type_: str, phase: str, **more: Any) -> Node:
        """The node of this work."""
        inputs = self.template.get("inputs") or {}
        shown = {key: inputs[key] for key in ("parameters", "artifacts") if inputs.get(key)}
        more = {"inputs": shown, "nodeFlag": dict(self.options.flags), **more}
        return run.begin(self.name, type_, phase, self.holder, self.scope, self.options.boundary, **more)


def execute(
    run: Run,
    name: str,
    holder: Mapping[str, Any],
    context: Context,
    given: Mapping[str, Any],
    options: Options,
) -> Node | None:
    """Begin or go on; the node, or None when it could not be begun yet.

    WorkflowError when the node is in phase Error for it, Postponed when a limit is reached, TimedOut.
    """
    run.depth += 1
    try:
        if run.depth >= MAX_DEPTH:
            error = WorkflowError(TOO_DEEP)
            _begin_or_fail(run, name, holder, "", options, error)
            raise error
        return _execute(run, name, holder, context, given, options)
    finally:
        run.depth -= 1


def _execute(
    run: Run, name: str, holder: Mapping[str, Any], context: Context, given: Mapping[str, Any], options: Options
) -> Node | None:
    node = run.node(name)
    try:
        inside, template = templates.resolve(run, holder, context)
        template = arguments.applied(
            template, given, run.globals, _local(run, name, template, holder, options), run.parameter_value
        )
    except WorkflowError as error:
        _begin_or_fail(run, name, holder, str(context), options, error)
        raise
    work = Work(name, template, holder, inside, str(context), options)
    if node is not None and phases.is_fulfilled(node):
        _release(run, node, template)
        return node
    limits.check_timeout(run, template, node)
    limits.check_parallelism(run, template, node, options.boundary)
    node, is_waiting = _locked(run, work, node)
    if is_waiting:
        return node
    if retries.strategy(run, template) is not None:
        return _retried(run, work, given, context)
    return _carried_out(run, work)


def _local(run: Run, name: str, template: Object, holder: Mapping[str, Any], options: Options) -> dict[str, str]:
    found = {"node.name": name}
    if templates.type_of(template) in templates.POD_TYPES and retries.strategy(run, template) is None:
        found["pod.name"] = names.pod_name(run.name, name, template.get("name", ""), pod_format(run))
    if options.word and holder.get("name"):
        found[f"{options.word}.name"] = holder["name"]
    return found


def pod_format(run: Run) -> str:
    """`v1` or `v2`."""
    return str((run.meta.get("annotations") or {}).get(names.POD_NAME_FORMAT, "v2"))


def _begin_or_fail(
    run: Run, name: str, holder: Mapping[str, Any], scope: str, options: Options, error: WorkflowError
) -> None:
    if run.node(name) is not None:
        run.fail(name, error)
        return
    more = {"message": error.message, "nodeFlag": dict(options.flags)}
    run.begin(name, "Skipped", phases.ERROR, holder, scope, options.boundary, **more)


def _release(run: Run, node: Node, template: Object) -> None:
    if template.get("synchronization"):
        run.given.locks.release(holder_key(run, node["id"]))


def holder_key(run: Run, node: str = "") -> str:
    """Who holds a lock: the Workflow, or one of its nodes."""
    return f"{run.namespace}/{run.name}" + (f"/{node}" if node else "")


def semaphore_limit(run: Run, reference: Mapping[str, Any]) -> int:
    """The limit that a config map says."""
    key = reference.get("configMapKeyRef")
    if not key:
        raise WorkflowError("there is no database for semaphores")
    found = run.config_map(key.get("name", ""), "")
    try:
        return int((found.get("data") or {})[key.get("key", "")])
    except (KeyError, ValueError) as error:
        raise WorkflowError(f"no limit at the key {key.get('key')} of the config map {key.get('name')}") from error


def acquire(run: Run, wanted: Mapping[str, Any], node: str = "") -> locks.Refused | None:
    """Take locks for the Workflow or for one node."""
    asking = locks.Asking(
        holder_key(run, node),
        holder_key(run),
        int(run.spec.get("priority") or 0),
        str(run.meta.get("creationTimestamp", "")),
    )
    return run.given.locks.take(asking, wanted, run.namespace, lambda one: semaphore_limit(run, one))


def _locked(run: Run, work: Work, node: Node | None) -> tuple[Node | None, bool]:
    """Take the locks and look into the cache; whether the node waits or has ended with that."""
    template, unlocked = work.template, False
    if template.get("synchronization"):
        try:
            refused = acquire(run, template["synchronization"], run.id(work.name))
        except WorkflowError as error:
            _begin_or_fail(run, work.name, work.holder, work.scope, work.options, error)
            raise
        if refused is not None:
            if node is None:
                node = work.begin(run, _node_type(run, template), phases.PENDING)
            node["message"] = refused.message
            node["synchronizationStatus"] = {"waiting": refused.lock}
            return node, True
        unlocked = True
        if node is not None and node.pop("synchronizationStatus", None):
            node.pop("message", None)
    if template.get("memoize") and (node is None or unlocked):
        return _remembered(run, work, node)
    return node, False


def _node_type(run: Run, template: Object) -> str:
    if retries.strategy(run, template) is not None:
        return "Retry"
    return templates.NODE_TYPES.get(templates.type_of(template), "Pod")


def _remembered(run: Run, work: Work, node: Node | None) -> tuple[Node | None, bool]:
    if node is not None and "memoizationStatus" in node:
        return node, False
    try:
        status, outputs = caches.looked_up(run, work.template)
    except WorkflowError as error:
        _begin_or_fail(run, work.name, work.holder, work.scope, work.options, error)
        raise
    if node is None:
        kind = _node_type(run, work.template)
        node = work.begin(run, kind, phases.PENDING if kind in phases.EXECUTED else phases.RUNNING)
    node["memoizationStatus"] = status
    if outputs is None:
        return node, False
    if outputs:
        node["outputs"] = outputs
    run.mark(work.name, phases.SUCCEEDED)
    scopes.publish(run, outputs)
    _release(run, node, work.template)
    return node, True


def _retried(run: Run, work: Work, given: Mapping[str, Any], context: Context) -> Node | None:
    """Through a Retry node."""
    wanted = retries.strategy(run, work.template) or {}
    parent = run.node(work.name)
    if parent is None or parent.get("type") != "Retry":
        parent = work.begin(run, "Retry", phases.RUNNING)
    parent["phase"] = phases.RUNNING if parent["phase"] == phases.PENDING else parent["phase"]
    try:
        verdict = retries.judge(run, parent, wanted)
    except WorkflowError as error:
        run.fail(work.name, error)
        raise
    attempts = scopes.retried(run, parent)
    if not verdict.goes_on:
        return parent
    if phases.is_fulfilled(parent):
        if attempts and attempts[-1].get("outputs"):
            parent["outputs"] = attempts[-1]["outputs"]
        if parent.get("phase") == phases.SUCCEEDED:
            caches.save(run, parent)
        _release(run, parent, work.template)
        return parent
    options = replace(work.options, flags={**work.options.flags, "retried": True}, deadline=verdict.deadline)
    if attempts and not phases.is_fulfilled(attempts[-1]):
        attempt = replace(work, name=attempts[-1]["name"], options=options)
    else:
        attempt = _next_attempt(run, work, options, attempts)
    ended = _carried_out(run, attempt)
    if not phases.is_fulfilled(parent) and ended is not None and phases.is_fulfilled(ended):
        return execute(run, work.name, work.holder, context, given, work.options)
    return parent


def _next_attempt(run: Run, work: Work, options: Options, attempts: list[Node]) -> Work:
    name = f"{work.name}({len(attempts)})"
    local = retries.local(attempts)
    if templates.type_of(work.template) in templates.POD_TYPES:
        local["pod.name"] = names.pod_name(run.name, name, work.template.get("name", ""), pod_format(run))
    parent = run.existing(work.name)
    parent.setdefault("children", []).append(run.id(name))
    try:
        template = arguments.substituted(work.template, run.globals, local)
    except WorkflowError as error:
        _begin_or_fail(run, name, work.holder, work.scope, options, error)
        raise
    return replace(work, name=name, template=template, options=options)


def _carried_out(run: Run, work: Work) -> Node | None:
    """By its type. A WorkflowError becomes the node's."""
    from events.local.workflows.engine import dag, leaves, steps

    kinds = {
        "steps": steps.execute,
        "dag": dag.execute,
        "suspend": leaves.suspend,
        "http": leaves.ask,
        "plugin": leaves.ask,
    }
    kind = templates.type_of(work.template)
    if not kind:
        error = WorkflowError(f"Template '{work.template.get('name', '')}' missing specification")
        _begin_or_fail(run, work.name, work.holder, work.scope, work.options, error)
        raise error
    try:
        node = kinds.get(kind, leaves.pod)(run, work)
    except (Postponed, TimedOut):
        raise
    except WorkflowError as error:
        _begin_or_fail(run, work.name, work.holder, work.scope, work.options, error)
        _release(run, run.existing(work.name), work.template)
        strategy = retries.strategy(run, work.template)
        if strategy is None or strategy.get("retryPolicy") not in ("Always", "OnError", "OnTransientError"):
            raise
        return run.existing(work.name)
    if phases.is_fulfilled(node):
        _release(run, node, work.template)
    return node


def substituted_arguments(run: Run, given: Mapping[str, Any]) -> Object:
    """Arguments of the Workflow with its variables in."""
    return dict(tags.replaced(dict(given), run.globals))
