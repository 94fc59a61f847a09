"""Lifecycle hooks and exit handlers. Contract: workflows F.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.workflows import expressions, phases, tags
from events.local.workflows.engine import execution, scopes
from events.local.workflows.engine.execution import Options
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.engine.scopes import Scope
from events.local.workflows.engine.templates import Context
from events.local.workflows.errors import WorkflowError

EXIT = "exit"


def hook_name(node: str, hook: str) -> str:
    """The name of a hook's node."""
    return f"{node}.hooks.{hook}"


def exit_hook(run: Run, part: Mapping[str, Any]) -> Object | None:
    """The exit hook of a step, a task or a spec; without arguments it gets those of the Workflow."""
    hook = (part.get("hooks") or {}).get(EXIT)
    if hook is None and part.get("onExit"):
        hook = {"template": part["onExit"]}
    if hook is None:
        return None
    given = hook.get("arguments") or {}
    if not (given.get("parameters") or given.get("artifacts")):
        hook = {**hook, "arguments": run.spec.get("arguments") or {}}
    return dict(hook)


def run_hooks(
    run: Run, part: Mapping[str, Any], node: Node, scope: Scope, prefix: str, context: Context, boundary: str
) -> bool:
    """Start and go on with the hooks of a step or task; whether all that were started have ended."""
    is_done = True
    for name, hook in sorted((part.get("hooks") or {}).items()):
        if name == EXIT:
            continue
        hooked = hook_name(node["name"], name)
        if not hook.get("expression"):
            raise WorkflowError(f"Expression required for hook {hooked}")
        variables = {**run.globals, **scope.values}
        is_due = expressions.decide(hook["expression"], variables, is_named=False)
        if not is_due and run.node(hooked) is None:
            continue
        arguments = _arguments(run, hook, node, scope, prefix)
        options = Options(boundary=boundary, flags={"hooked": True})
        found = execution.execute(run, hooked, _holder(hook), context, arguments, options)
        if found is not None:
            run.link(node["name"], hooked)
        is_done = is_done and found is not None and phases.is_fulfilled(found)
    return is_done


def run_exit(
    run: Run, part: Mapping[str, Any], node: Node, scope: Scope, prefix: str, context: Context, boundary: str
) -> bool:
    """Start and go on with the exit handler of a step or task; whether there is none left to wait for."""
    hook = exit_hook(run, part)
    if hook is None or not run.may_run(is_exit=True):
        return True
    if hook.get("expression"):
        scope.add_outputs(prefix, _outputs(run, node))
        if not expressions.decide(hook["expression"], {**run.globals, **scope.values}, is_named=False):
            return True
    name = f"{node['name']}.onExit"
    arguments = _arguments(run, hook, node, scope, prefix)
    options = Options(boundary=boundary, is_exit=True, flags={"hooked": True})
    found = execution.execute(run, name, _holder(hook), context, arguments, options)
    if found is None:
        return False
    run.link(node["name"], name)
    return phases.is_fulfilled(found)


def _holder(hook: Mapping[str, Any]) -> Object:
    return {key: hook[key] for key in ("template", "templateRef") if hook.get(key)}


def _outputs(run: Run, node: Node) -> Object | None:
    if node.get("type") == "Retry":
        attempts = scopes.retried(run, node)
        return attempts[-1].get("outputs") if attempts else None
    return node.get("outputs")


def _arguments(run: Run, hook: Mapping[str, Any], node: Node, scope: Scope, prefix: str) -> Object:
    given = hook.get("arguments") or {}
    if not (given.get("parameters") or given.get("artifacts")):
        return {}
    scope.add_outputs(prefix, _outputs(run, node))
    found: Object = tags.replaced(given, {**run.globals, **scope.values})
    artifacts = []
    for one in found.get("artifacts") or ():
        if one.get("from") or one.get("fromExpression"):
            try:
                artifacts.append({**scope.artifact(one), "name": one["name"]})
            except WorkflowError:
                if not one.get("optional"):
                    raise
        else:
            artifacts.append(one)
    return {**found, "artifacts": artifacts} if artifacts else found


def run_workflow_hooks(run: Run, context: Context) -> bool:
    """The hooks of the Workflow itself; whether all that were started have ended."""
    is_done = True
    for name, hook in sorted((run.spec.get("hooks") or {}).items()):
        if name == EXIT:
            continue
        hooked = hook_name(run.name, name)
        if not hook.get("expression"):
            raise WorkflowError(f"Expression required for hook {hooked}")
        is_due = expressions.decide(hook["expression"], run.globals, is_named=False)
        if not is_due and run.node(hooked) is None:
            continue
        options = Options(flags={"hooked": True})
        found = execution.execute(run, hooked, _holder(hook), context, hook.get("arguments") or {}, options)
        if found is not None:
            run.link(run.name, hooked)
        is_done = is_done and found is not None and phases.is_fulfilled(found)
    return is_done


def all_ended(run: Run, node: Node) -> bool:
    """Whether every hook below a node has ended."""
    return all(phases.is_fulfilled(one) for one in run.children(node) if (one.get("nodeFlag") or {}).get("hooked"))
