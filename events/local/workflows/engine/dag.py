"""dag: tasks that begin when what they depend on has ended. Contract: workflows F.2."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from events.local.workflows import loops, phases, when
from events.local.workflows.depends import Tasks, holds, outcome
from events.local.workflows.engine import caches, daemons, execution, hooks, scopes
from events.local.workflows.engine.execution import Options, Work
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.engine.scopes import Scope
from events.local.workflows.errors import Postponed, TimedOut, Unresolved, WorkflowError


@dataclass
class _Dag:
    """The tasks of one DAG node, and those already looked at."""

    run: Run
    work: Work
    node: Node
    tasks: Tasks
    seen: set[str] = field(default_factory=set)

    def name(self, task: str) -> str:
        return f"{self.work.name}.{task}"

    def task_node(self, task: str) -> Node | None:
        return self.run.node(self.name(task))

    @property
    def boundary(self) -> str:
        return str(self.node["id"])

    @cached_property
    def targets(self) -> list[str]:
        """Tasks that are wanted; the others run only for them."""
        wanted = self.work.template["dag"].get("target")
        return str(wanted).split(" ") if wanted else self.tasks.leaves

    def ancestors(self, task: str) -> list[str]:
        """Tasks that one waits for, and what those wait for."""
        found: dict[str, None] = {}
        waiting = list(self.tasks.dependencies(task))
        while waiting:
            one = waiting.pop()
            if one not in found and one in self.tasks.tasks:
                found[one] = None
                waiting += self.tasks.dependencies(one)
        return sorted(found)

    def scope(self, task: str) -> Scope:
        """What a task may refer to."""
        scope = Scope(self.work.template)
        scope.add_outputs("workflow", self.run.status.get("outputs"))
        for one in self.ancestors(task):
            self.add_to(scope, one)
        return scope

    def add_to(self, scope: Scope, task: str) -> None:
        """The outputs of one task that is there."""
        node = self.task_node(task)
        if node is None:
            return
        if node.get("type") == "TaskGroup":
            scope.add_items(f"tasks.{task}", scopes.items_of(self.run, self.boundary, node["name"]))
        scope.add_node(self.run, f"tasks.{task}", node, self.work.context)


def execute(run: Run, work: Work) -> Node:
    """Begin or go on with a DAG node."""
    node = run.node(work.name)
    if node is None:
        node = work.begin(run, "DAG", phases.RUNNING)
    elif node["phase"] == phases.PENDING:
        run.mark(work.name, phases.RUNNING)
    dag = _Dag(run, work, node, Tasks.of(work.template["dag"].get("tasks") or ()))
    try:
        return _execute(dag)
    finally:
        if phases.is_completed(node):
            daemons.end_below(run, node["id"])


def _execute(dag: _Dag) -> Node:
    run, work, node = dag.run, dag.work, dag.node
    is_done = True
    for name in dag.targets:
        if name not in dag.tasks.tasks:
            raise WorkflowError(f"target '{name}' is not defined")
        _task(dag, name)
        is_done = _after(dag, name) and is_done
    phase = assess(dag)
    if phase == phases.RUNNING or not is_done:
        return node
    if phase in phases.BAD:
        _set_outbound(dag)
        return run.mark(work.name, phase)
    scope = Scope(work.template)
    for name in dag.tasks.tasks:
        dag.add_to(scope, name)
        scopes.publish(run, (dag.task_node(name) or {}).get("outputs"))
    outputs = scope.outputs(work.template)
    if outputs is not None:
        node["outputs"] = outputs
        scopes.publish(run, outputs)
    caches.save(run, node)
    _set_outbound(dag)
    return run.mark(work.name, phases.SUCCEEDED)


def _after(dag: _Dag, name: str) -> bool:
    """Hooks and exit handler of a target, which nobody waits for but the DAG."""
    node = dag.task_node(name)
    if node is None:
        return True
    task, scope = dag.tasks.tasks[name], dag.scope(name)
    scope.values[f"tasks.{name}.status"] = node["phase"]
    around = (node, scope, f"tasks.{name}", dag.work.context, dag.boundary)
    try:
        is_done = hooks.run_hooks(dag.run, task, *around)
        if phases.is_completed(node):
            is_done = hooks.run_exit(dag.run, task, *around) and is_done
    except Postponed:
        return False
    return is_done


def _set_outbound(dag: _Dag) -> None:
    found: list[str] = []
    for name in dag.targets:
        node = dag.task_node(name)
        if node is not None:
            found += dag.run.outbound(node)
    if found:
        dag.node["outboundNodes"] = list(dict.fromkeys(found))


def _task(dag: _Dag, name: str) -> None:
    """One task, and before it those that it waits for."""
    if name in dag.seen:
        return
    dag.seen.add(name)
    node = dag.task_node(name)
    if node is not None and phases.is_fulfilled(node):
        _ended(dag, name, node)
        return
    is_begun = node is not None and node.get("type") != "TaskGroup"
    for one in dag.tasks.dependencies(name):
        if one in dag.tasks.tasks:
            _task(dag, one)
    if not is_begun and not _is_due(dag, name):
        return
    _begin(dag, name)


def _ended(dag: _Dag, name: str, node: Node) -> None:
    """What is left to do for a task that has ended: locks, hooks, its exit handler."""
    run, task = dag.run, dag.tasks.tasks[name]
    run.given.locks.release(execution.holder_key(run, node["id"]))
    for one in dag.tasks.dependencies(name):  # their hooks may go on
        if one in dag.tasks.tasks:
            _task(dag, one)
    if not (task.get("hooks") or task.get("onExit")) or name in dag.targets:
        return
    _hooked(dag, name, node)


def _hooked(dag: _Dag, name: str, node: Node) -> None:
    run, task = dag.run, dag.tasks.tasks[name]
    scope = dag.scope(name)
    scope.values[f"tasks.{name}.status"] = node["phase"]
    around = (node, scope, f"tasks.{name}", dag.work.context, dag.boundary)
    try:
        if hooks.run_hooks(run, task, *around) and phases.is_completed(node):
            hooks.run_exit(run, task, *around)
    except Postponed:
        return
    except WorkflowError as error:
        run.fail(node["name"], error)


def _is_due(dag: _Dag, name: str) -> bool:
    """Whether a task begins now; an omitted one has its node with that."""
    run = dag.run
    dependencies = dag.tasks.dependencies(name)
    if not dependencies:
        return True
    nodes = {one: dag.task_node(one) for one in dependencies}
    if any(node is None or not phases.is_fulfilled(node) or not hooks.all_ended(run, node) for node in nodes.values()):
        return False
    try:
        is_met = holds(dag.tasks.logic(name), {one: _outcome(dag, node) for one, node in nodes.items() if node})
    except WorkflowError as error:
        _not_run(dag, name, name, phases.ERROR, error.message)
        return False
    if not is_met:
        _not_run(dag, name, name, phases.OMITTED, "omitted: depends condition not met")
    return is_met


def _outcome(dag: _Dag, node: Node) -> dict[str, bool]:
    items = None
    if node.get("type") == "TaskGroup":
        items = [one for one in dag.run.children(node) if scopes.is_item(one)]
    return outcome(node, items)


def _not_run(dag: _Dag, name: str, part: str, phase: str, message: str) -> None:
    """The node of a task (or of an item of it) that does not run."""
    task = dag.tasks.tasks[name]
    dag.run.begin(dag.name(part), "Skipped", phase, task, str(dag.work.context), dag.boundary, message=message)
    _connect(dag, name, part)


def _connect(dag: _Dag, name: str, part: str) -> None:
    """Hang a node below what comes before it: its group, the DAG, or what its task waits for."""
    run = dag.run
    group = dag.task_node(name)
    if part != name and group is not None and group.get("type") == "TaskGroup":
        run.link(group["name"], dag.name(part))
        return
    dependencies = dag.tasks.dependencies(name)
    if not dependencies:
        run.link(dag.work.name, dag.name(part))
    for one in dependencies:
        above = dag.task_node(one)
        for leaf in run.outbound(above) if above else ():
            run.link(run.nodes[leaf]["name"], dag.name(part))


def _begin(dag: _Dag, name: str) -> None:
    """Resolve, expand and execute a task."""
    run, task = dag.run, dict(dag.tasks.tasks[name])
    node = dag.task_node(name)
    try:
        scope = dag.scope(name)
        ready = scopes.resolved(run, task, scope, "tasks")
        several = loops.expanded(ready, {**run.globals, **{k: v for k, v in scope.values.items() if v is not None}})
    except Unresolved:
        return
    except WorkflowError as error:
        if node is None:
            _not_run(dag, name, name, phases.ERROR, error.message)
        else:
            run.fail(node["name"], error)
        return
    if loops.is_loop(task):
        if not several:
            _not_run(dag, name, name, phases.SKIPPED, "Skipped, empty params")
            return
        if node is None:
            run.begin(dag.name(name), "TaskGroup", phases.RUNNING, task, str(dag.work.context), dag.boundary)
            _connect(dag, name, name)
    for part in several:
        if not _part(dag, name, part, scope):
            return
    if loops.is_loop(task):
        _end_group(dag, name, [part["name"] for part in several])


def _part(dag: _Dag, name: str, part: Object, scope: Scope) -> bool:
    """One item of a task, or the task itself; False when nothing more of it can be done now."""
    run, work = dag.run, dag.work
    full = dag.name(part["name"])
    if run.node(full) is None:
        try:
            is_wanted = when.decide(part.get("when") or "")
        except WorkflowError as error:
            _not_run(dag, name, part["name"], phases.ERROR, error.message)
            return True
        if not is_wanted:
            _not_run(dag, name, part["name"], phases.SKIPPED, f"when '{part['when']}' evaluated false")
            return True
    options = Options(boundary=dag.boundary, is_exit=work.options.is_exit, word="tasks")
    found: Node | None = None
    try:
        found = execution.execute(run, full, part, work.context, part.get("arguments") or {}, options)
    except Postponed:
        return True
    except WorkflowError as error:
        is_late = isinstance(error, TimedOut)
        run.mark(full, phases.FAILED if is_late else phases.ERROR, error.message)
        return False
    finally:
        if run.node(full) is not None:
            _connect(dag, name, part["name"])
    if found is not None and (part["name"] != name or name not in dag.targets):
        _hooked_part(dag, part, found, scope)
    return True


def _hooked_part(dag: _Dag, part: Object, node: Node, scope: Scope) -> None:
    if node["phase"] == phases.PENDING or not (part.get("hooks") or part.get("onExit")):
        return
    run, prefix = dag.run, f"tasks.{part['name']}"
    scope.values[f"{prefix}.status"] = node["phase"]
    around = (node, scope, prefix, dag.work.context, dag.boundary)
    try:
        if hooks.run_hooks(run, part, *around) and phases.is_completed(node):
            hooks.run_exit(run, part, *around)
    except Postponed:
        return
    except WorkflowError as error:
        run.fail(node["name"], error)


def _end_group(dag: _Dag, name: str, parts: Iterable[str]) -> None:
    """End a TaskGroup when all its items have; the phase is that of the last one that went wrong."""
    phase = phases.SUCCEEDED
    for part in parts:
        node = dag.task_node(part)
        if node is None or not phases.is_fulfilled(node) or not hooks.all_ended(dag.run, node):
            return
        if phases.is_bad(node):
            phase = node["phase"]
    dag.run.mark(dag.name(name), phase)


def assess(dag: _Dag) -> str:
    """The phase of a DAG: its targets inherit from the branches that lead to them."""
    run = dag.run
    targets: dict[str, str] = {run.id(dag.name(name)): "" for name in dag.targets}
    waiting = deque((one, phases.SUCCEEDED) for one in dag.node.get("children") or ())
    seen = set(waiting)
    while waiting:
        identity, phase = waiting.popleft()
        node = run.nodes.get(identity)
        if node is None:
            continue
        if not phases.is_fulfilled(node):
            return phases.RUNNING
        if phases.is_completed(node):
            phase = node["phase"]
        if identity in targets and targets[identity] not in phases.BAD:
            targets[identity] = phase
        for below in _below(run, node):
            if (below, phase) not in seen:
                seen.add((below, phase))
                waiting.append((below, phase))
    return _verdict(dag, targets)


def _below(run: Run, node: Node) -> Iterable[str]:
    """Where a branch goes on; single attempts say nothing that their Retry node does not say."""
    if node.get("type") == "Retry":
        children = run.children(node)
        if not children:
            return ()
        hooked = [one["id"] for one in children if (one.get("nodeFlag") or {}).get("hooked")]
        attempts = scopes.retried(run, node)
        return [*hooked, *((attempts[-1].get("children") or ()) if attempts else ())]
    return tuple(node.get("children") or ())


def _verdict(dag: _Dag, targets: Mapping[str, str]) -> str:
    is_fast = dag.work.template["dag"].get("failFast", True) is not False
    result = phases.SUCCEEDED
    for name in dag.targets:
        phase = targets[dag.run.id(dag.name(name))]
        if not phase:
            result = phases.RUNNING
            if not is_fast:
                break
        elif phase in phases.BAD:
            if _goes_on(dag.tasks.tasks[name], phase):
                continue
            result = phase
            if is_fast:
                break
    if result == phases.RUNNING and dag.run.shutdown and not dag.run.may_run(is_exit=dag.work.options.is_exit):
        return phases.FAILED
    return result


def _goes_on(task: Mapping[str, Any], phase: str) -> bool:
    wanted = task.get("continueOn") or {}
    return bool(wanted.get("error" if phase == phases.ERROR else "failed"))
