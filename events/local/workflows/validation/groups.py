"""steps and dag. Contract: workflows M 23-26."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from events.local.workflows.depends import OF_ITEMS, Tasks
from events.local.workflows.engine.templates import Context
from events.local.workflows.errors import WorkflowError
from events.local.workflows.validation import leaves, naming, scopes

if TYPE_CHECKING:
    from events.local.workflows.validation.templates import Checking

Object = Mapping[str, Any]
_TASK = re.compile(r"\{\{\s*tasks\.(.+?)\.")


def check_steps(
    checking: Checking, name: str, groups: Sequence[Sequence[Object]], context: Context, scope: set[str]
) -> None:
    """Groups of steps."""
    from events.local.workflows.validation import templates

    seen: set[str] = set()
    for index, group in enumerate(groups):
        where = f"templates.{name}.steps[{index}]"
        inner: set[str] = set()
        for step in group:
            _check_step_name(where, step, seen)
            with_where = f"{where}.{step['name']}"
            with_prefix = f"steps.{step['name']}"
            try:
                scopes.add_items(step, inner)
                template = templates.check_holder(checking, step, context, None)
            except WorkflowError as error:
                raise WorkflowError(f"{with_where} {error.message}") from error
            naming.check_arguments(f"{with_where}.arguments.", step.get("arguments") or {}, may_be_empty=False)
            _check_hooks(with_where, step)
            scopes.add_outputs(template, with_prefix, scope, is_loop=scopes.is_loop(step))
        try:
            scopes.check(list(group), scope | checking.known | inner, is_template=checking.is_template)
        except WorkflowError as error:
            raise WorkflowError(f"templates.{name}.steps {error.message}") from error
        for step in group:
            try:
                templates.check_holder(checking, step, context, step.get("arguments") or {})
            except WorkflowError as error:
                raise WorkflowError(f"{where}.{step['name']} {error.message}") from error


def _check_step_name(where: str, step: Object, seen: set[str]) -> None:
    name = step.get("name") or ""
    if not name:
        raise WorkflowError(f"{where}.name is required")
    if name in seen:
        raise WorkflowError(f"{where}.name '{name}' is not unique")
    if problem := naming.field_problem(name):
        raise WorkflowError(f"{where}.name '{name}' is invalid: {problem}")
    seen.add(name)


def _check_hooks(where: str, part: Object) -> None:
    for name, hook in sorted((part.get("hooks") or {}).items()):
        if name != "exit" and not hook.get("expression"):
            raise WorkflowError(f"{where}.{name} Expression required")


def check_dag(checking: Checking, name: str, dag: Object, context: Context, scope: set[str]) -> None:
    """Tasks and what they wait for."""
    from events.local.workflows.validation import templates

    listed, where = dag.get("tasks") or (), f"templates.{name}"
    if not listed:
        raise WorkflowError(f"{where} must have at least one task")
    tasks = _check_order(where, listed)
    _check_words(where, listed)
    called: dict[str, Object | None] = {}
    for task in listed:
        try:
            called[task["name"]] = templates.check_holder(checking, task, context, None)
            words = tasks.words(task["name"])
        except WorkflowError as error:
            raise WorkflowError(f"{where}.tasks.{task['name']} {error.message}") from error
        prefix = f"tasks.{task['name']}"
        scopes.add_outputs(called[task["name"]], prefix, scope, is_loop=scopes.is_loop(task))
        for other, result in words:
            if result in OF_ITEMS and not scopes.is_loop(tasks.tasks[other]):
                says = (
                    "uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items"
                )
                raise WorkflowError(f"{where}.tasks.{other} dependency '{other}' {says}")
    _check_targets(checking, where, dag, tasks, scope)
    for task in listed:
        _check_task(checking, where, task, tasks, scope, context)


def _check_order(where: str, listed: Sequence[Object]) -> Tasks:
    names: set[str] = set()
    for task in listed:
        if task.get("name") in names:
            raise WorkflowError(f"{where} sorting failed: duplicated nodeName {task['name']}")
        names.add(task.get("name", ""))
    naming.check_names(f"{where}.tasks", listed, are_parameters=False)
    tasks = Tasks.of(listed)
    graph = {}
    for task in listed:
        try:
            graph[task["name"]] = tasks.dependencies(task["name"])
        except WorkflowError as error:
            raise WorkflowError(f"{where}.tasks.{task['name']} {error.message}") from error
        for one in graph[task["name"]]:
            if one not in names:
                raise WorkflowError(f"{where} sorting failed: invalid dependency {one}")
    if leaves.cycle(graph):
        raise WorkflowError(f"{where} sorting failed: graph with cycle")
    return tasks


def _check_words(where: str, listed: Sequence[Object]) -> None:
    has_depends = any(task.get("depends") for task in listed)
    waits = has_depends or any(task.get("dependencies") for task in listed)
    for task in listed:
        if has_depends and task.get("dependencies"):
            raise WorkflowError(f"{where} cannot use both 'depends' and 'dependencies' in the same DAG template")
        if has_depends and task.get("continueOn"):
            says = "Instead use 'dep-task.Failed'/'dep-task.Errored'"
            raise WorkflowError(f"{where} cannot use 'continueOn' when using 'depends'. {says}")
        if waits and task["name"][0].isdigit():
            says = "name cannot begin with a digit when using either 'depends' or 'dependencies'"
            raise WorkflowError(f"{where}.tasks.{task['name']} {says}")


def _check_targets(checking: Checking, where: str, dag: Object, tasks: Tasks, scope: set[str]) -> None:
    target = dag.get("target") or ""
    try:
        scopes.check(target, scope | checking.known, is_template=checking.is_template)
    except WorkflowError as error:
        raise WorkflowError(f"{where}.targets {error.message}") from error
    for one in target.split(" ") if target and "{{" not in target else ():
        if one not in tasks.tasks:
            raise WorkflowError(f"{where}.targets target '{one}' is not defined")


def _check_task(checking: Checking, where: str, task: Object, tasks: Tasks, scope: set[str], context: Context) -> None:
    from events.local.workflows.validation import templates

    with_where = f"{where}.tasks.{task['name']}"
    inner = scope | checking.known
    try:
        scopes.add_items(task, inner)
        scopes.check(dict(task), inner, is_template=checking.is_template)
        naming.check_arguments(f"{with_where}.arguments.", task.get("arguments") or {}, may_be_empty=False)
    except WorkflowError as error:
        if error.message.startswith("templates."):
            raise
        raise WorkflowError(f"{with_where} {error.message}") from error
    ancestors = _ancestors(tasks, task["name"])
    for one in (task.get("arguments") or {}).get("parameters") or ():
        for found in _TASK.findall(str(one.get("value") or "")):
            if found in tasks.tasks and found not in ancestors:
                raise WorkflowError(f"{with_where} missing dependency '{found}' for parameter '{one['name']}'")
    for one in (task.get("arguments") or {}).get("artifacts") or ():
        for found in _TASK.findall(str(one.get("from") or "")):
            if found in tasks.tasks and found not in ancestors:
                raise WorkflowError(f"{with_where} missing dependency '{found}' for artifact '{one['name']}'")
    try:
        templates.check_holder(checking, task, context, task.get("arguments") or {})
    except WorkflowError as error:
        raise WorkflowError(f"{with_where} {error.message}") from error


def _ancestors(tasks: Tasks, name: str) -> set[str]:
    found: set[str] = set()
    waiting = list(tasks.dependencies(name))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += tasks.dependencies(one)
    return found
