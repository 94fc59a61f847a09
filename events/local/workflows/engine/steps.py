"""steps: groups one after the other, the steps of a group side by side. Contract: workflows F.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events.local.workflows import loops, phases, when
from events.local.workflows.engine import caches, daemons, execution, hooks, scopes, templates
from events.local.workflows.engine.execution import Options, Work
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.engine.scopes import Scope
from events.local.workflows.errors import Postponed, TimedOut, Unresolved, WorkflowError


@dataclass(frozen=True)
class _Steps:
    """What the groups of one Steps node share."""

    run: Run
    work: Work
    node: Node
    scope: Scope

    @property
    def boundary(self) -> str:
        return str(self.node["id"])


def execute(run: Run, work: Work) -> Node:
    """Begin or go on with a Steps node."""
    node = run.node(work.name)
    if node is None:
        node = work.begin(run, "Steps", phases.RUNNING)
    elif node["phase"] == phases.PENDING:
        run.mark(work.name, phases.RUNNING)
    try:
        return _execute(_Steps(run, work, node, Scope(work.template)))
    finally:
        if phases.is_completed(node):
            daemons.end_below(run, node["id"])


def _execute(steps: _Steps) -> Node:
    run, work, node = steps.run, steps.work, steps.node
    groups = [templates.group_of(group) for group in work.template.get("steps") or ()]
    for index, group in enumerate(groups):
        name = f"{work.name}[{index}]"
        _begin_group(steps, index, name)
        found = _group(steps, group, name)
        if not found:
            return node
        ended = run.existing(name)
        if not phases.is_fulfilled(ended):
            return node
        if phases.is_bad(ended):
            _set_outbound(steps, len(groups))
            return run.mark(work.name, phases.FAILED, str(ended.get("message", "")))
        for step in group:
            _collect(steps, f"{name}.{step['name']}", f"steps.{step['name']}")
    outputs = steps.scope.outputs(work.template)
    if outputs is not None:
        node["outputs"] = outputs
        scopes.publish(run, outputs)
    caches.save(run, node)
    _set_outbound(steps, len(groups))
    return run.mark(work.name, phases.SUCCEEDED)


def _begin_group(steps: _Steps, index: int, name: str) -> None:
    run, work = steps.run, steps.work
    if run.node(name) is None:
        run.begin(name, "StepGroup", phases.RUNNING, {}, str(work.context), steps.boundary)
    if index == 0:
        run.link(work.name, name)
        return
    former = run.existing(f"{work.name}[{index - 1}]")
    children = run.children(former)
    if not children:
        run.link(former["name"], name)
    for child in children:
        if (child.get("nodeFlag") or {}).get("hooked"):
            continue
        for above in run.outbound(child):
            run.link(run.nodes[above]["name"], name)


def _set_outbound(steps: _Steps, count: int) -> None:
    run = steps.run
    for index in range(count - 1, -1, -1):
        group = run.node(f"{steps.work.name}[{index}]")
        if group is not None:
            found = [leaf for child in run.children(group) for leaf in run.outbound(child)]
            if found:
                steps.node["outboundNodes"] = list(dict.fromkeys(found))
            return


def _collect(steps: _Steps, name: str, prefix: str) -> None:
    """Outputs of a step that has ended, for those after it."""
    run = steps.run
    child = run.node(name)
    if child is not None:
        steps.scope.add_node(run, prefix, child, steps.work.context)
        scopes.publish(run, child.get("outputs"))
        return
    items = scopes.items_of(run, steps.boundary, name)
    if items:
        steps.scope.add_items(prefix, items)


def _group(steps: _Steps, group: list[Object], name: str) -> bool:
    """Go on with one group; whether it was looked at to its end, so that its phase counts."""
    run = steps.run
    if phases.is_fulfilled(run.existing(name)):
        return True
    try:
        expanded = _expanded(steps, group, name)
    except Unresolved:
        return False
    except WorkflowError as error:
        run.fail(name, error)
        return True
    parts: dict[str, Object] = {}
    for step in expanded:
        child = f"{name}.{step['name']}"
        if not _step(steps, step, child, name, parts):
            return True
    if not _hooked(steps, name, parts):
        return False
    for child_node in run.children(run.existing(name)):
        step = parts.get(child_node["name"], {})
        if phases.is_bad(child_node) and not _goes_on(step, child_node):
            run.mark(name, phases.FAILED, f"child '{child_node['id']}' failed")
            return True
    run.mark(name, phases.SUCCEEDED)
    return True


def _goes_on(step: Mapping[str, Any], node: Node) -> bool:
    wanted = step.get("continueOn") or {}
    return bool(wanted.get("error" if node["phase"] == phases.ERROR else "failed"))


def _expanded(steps: _Steps, group: list[Object], name: str) -> list[Object]:
    """The steps of a group with references in and loops expanded."""
    run, work = steps.run, steps.work
    found: list[Object] = []
    ready = []
    for step in group:
        try:
            ready.append(scopes.resolved(run, step, steps.scope, "steps"))
        except Unresolved:
            raise
        except WorkflowError as error:
            raise WorkflowError(f"failed to resolve references: {error.message}") from error
    for step in ready:
        several = loops.expanded(step, {**run.globals, **_present(steps.scope)})
        if not several:
            child = f"{name}.{step['name']}"
            if run.node(child) is None:
                more = {"message": "Skipped, empty params"}
                run.begin(child, "Skipped", phases.SKIPPED, step, str(work.context), steps.boundary, **more)
                run.link(name, child)
        found += several
    return found


def _present(scope: Scope) -> dict[str, Any]:
    return {name: value for name, value in scope.values.items() if value is not None}


def _step(steps: _Steps, step: Object, child: str, group: str, parts: dict[str, Object]) -> bool:
    """One step; False when the group's phase is decided with it, or nothing more can be done now."""
    run, work = steps.run, steps.work
    parts[child] = step
    more: dict[str, Any] = {}
    try:
        if not when.decide(step.get("when") or ""):
            if run.node(child) is None:
                more = {"message": f"when '{step['when']}' evaluated false"}
                run.begin(child, "Skipped", phases.SKIPPED, step, str(work.context), steps.boundary, **more)
                run.link(group, child)
            return True
    except WorkflowError as error:
        if run.node(child) is None:
            more = {"message": error.message}
            run.begin(child, "Skipped", phases.ERROR, step, str(work.context), steps.boundary, **more)
            run.link(group, child)
        run.fail(group, error)
        return False
    options = Options(boundary=steps.boundary, is_exit=work.options.is_exit, word="steps")
    try:
        found = execution.execute(run, child, step, work.context, step.get("arguments") or {}, options)
    except Postponed:
        return True
    except TimedOut as error:
        run.link(group, child)
        run.mark(group, phases.FAILED, error.message)
        return False
    except WorkflowError as error:
        run.link(group, child)
        says = f"step group deemed errored due to child {child} error: {error.message}"
        run.fail(group, WorkflowError(says))
        return False
    if found is not None:
        run.link(group, child)
    return True


def _hooked(steps: _Steps, name: str, parts: Mapping[str, Object]) -> bool:
    """Hooks and exit handlers of a group's steps; whether all steps have ended, and those with them."""
    run, work = steps.run, steps.work
    is_done = all(run.node(part) is not None for part in parts)
    for child in list(run.children(run.existing(name))):
        step = parts.get(child["name"])
        if step is None:
            is_done = is_done and phases.is_fulfilled(child)
            continue
        prefix = f"steps.{step['name']}"
        scope = Scope(work.template)
        scope.values |= steps.scope.values
        scope.artifacts |= steps.scope.artifacts
        scope.values[f"steps.{child['displayName']}.status"] = child["phase"]
        around = (child, scope, prefix, work.context, steps.boundary)
        try:
            is_hooked = hooks.run_hooks(run, step, *around) and phases.is_fulfilled(child)
            if is_hooked and phases.is_completed(child):
                is_hooked = hooks.run_exit(run, step, *around)
            is_done = is_done and is_hooked
        except Postponed:
            is_done = False
        except WorkflowError as error:
            run.fail(name, error)
            is_done = False
    return is_done
