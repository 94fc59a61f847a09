"""A template with the arguments that it is called with, and the templates that it calls. Contract: workflows M."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from events.local.workflows import arguments, merging
from events.local.workflows.engine.templates import CLUSTER, LOCAL, NAMESPACED, Context, group_of, type_of
from events.local.workflows.errors import WorkflowError
from events.local.workflows.validation import groups, leaves, naming, scopes

Object = Mapping[str, Any]
_POLICIES = ("Always", "OnFailure", "OnError", "OnTransientError")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_CHOOSE = "container, containerSet, steps, script, resource, dag, suspend, template, template ref"
_GROUPS = ("steps", "dag")


@dataclass
class Checking:
    """One object being checked: where templates are found, what has been looked at."""

    spec: Object
    templates: Mapping[str, Object]
    """WorkflowTemplates and…"""
    cluster_templates: Mapping[str, Object]
    known: set[str]
    """Variables that may stand everywhere."""
    is_template: bool = False
    checked: set[tuple[str, str]] = field(default_factory=set)

    def resolve(self, holder: Object, context: Context) -> tuple[Context, dict[str, Any]] | None:
        """The template that is meant; None when its name holds a variable. Raises when there is none."""
        reference = holder.get("templateRef")
        if reference is not None:
            return self._referenced(holder, reference)
        if holder.get("inline") is not None:
            return context, {**holder["inline"], "name": holder["inline"].get("name", "")}
        name = holder.get("template") or ""
        if not name:
            raise WorkflowError("failed to get a template")
        if "{{" in name:
            return None
        spec = self._spec(context)
        for one in spec.get("templates") or ():
            if one.get("name") == name:
                return context, dict(one)
        raise WorkflowError(f"template name '{name}' undefined")

    def _spec(self, context: Context) -> Object:
        if context.scope == LOCAL:
            return self.spec
        several = self.cluster_templates if context.scope == CLUSTER else self.templates
        return several.get(context.resource, {}).get("spec") or {}

    def _referenced(self, holder: Object, reference: Object) -> tuple[Context, dict[str, Any]] | None:
        if holder.get("template"):
            raise WorkflowError("template name cannot be specified with templateRef")
        name, template = reference.get("name"), reference.get("template")
        if not name:
            raise WorkflowError("resource name is required")
        if not template:
            raise WorkflowError("template name is required")
        if "{{" in name or "{{" in template:
            return None
        context = Context(CLUSTER if reference.get("clusterScope") else NAMESPACED, name)
        for one in self._spec(context).get("templates") or ():
            if one.get("name") == template:
                return context, dict(one)
        raise WorkflowError(f"template reference {name}.{template} not found")


def check_holder(checking: Checking, holder: Object, context: Context, given: Object | None) -> dict[str, Any] | None:
    """The template that a step, a task or a spec names; `given` None: whatever its arguments."""
    found = checking.resolve(holder, context)
    if found is None:
        return None
    inside, template = found
    template = dict(arguments.normalized(template))
    check_template(checking, template, inside, given)
    return template


def check_template(checking: Checking, template: dict[str, Any], context: Context, given: Object | None) -> None:
    """One template, and what it calls."""
    name = template.get("name", "")
    template = merging.with_defaults(template, checking.spec.get("templateDefaults"))
    kind = _check_type(template)
    scope = _check_inputs(template, kind)
    retries = template.get("retryStrategy") or checking.spec.get("retryStrategy")
    policy = (template.get("retryStrategy") or {}).get("retryPolicy")
    if policy and policy not in _POLICIES:
        raise WorkflowError(f"{policy} is not a valid RetryPolicy")
    if str(template.get("timeout") or "").isdecimal():
        raise WorkflowError(f"{name} has invalid duration format in timeout")
    if kind not in _GROUPS:
        scope.add("pod.name")
    if retries is not None:
        scope.update(f"lastRetry.{one}" for one in ("exitCode", "status", "duration", "message"))
    _check_supplied(template, given)
    key = (str(context), name)
    if name and key in checking.checked:  # only its arguments are others
        return
    checking.checked.add(key)
    scope |= checking.known
    if kind in _GROUPS:
        _check_group(checking, template, kind, context, scope)
    else:
        _check_leaf(checking, template, kind, scope)
    _check_rest(checking, template, kind, scope)
    checking.known |= scopes.globals_of(template)


def _check_type(template: Object) -> str:
    said = [kind for kind in merging.TYPES if template.get(kind) is not None]
    if len(said) > 1:
        name = template.get("name", "")
        raise WorkflowError(f"templates.{name} multiple template types specified. choose one of: {_CHOOSE}")
    if not said:
        raise WorkflowError(f"template '{template.get('name', '')}' type is unknown")
    return type_of(template)


def _check_inputs(template: Object, kind: str) -> set[str]:
    """What the template may refer to of itself."""
    where, inputs = f"templates.{template.get('name', '')}", template.get("inputs") or {}
    scope = set()
    for place in ("parameters", "artifacts"):
        naming.check_names(f"{where}.inputs.{place}", inputs.get(place) or (), are_parameters=True)
    for one in inputs.get("parameters") or ():
        scope.add(f"inputs.parameters.{one['name']}")
        if one.get("enum") is not None and not one["enum"]:
            says = "enum should contain at least one value"
            raise WorkflowError(f"{where}.inputs.parameters.{one['name']}.{says}")
    scope.add("inputs.parameters")
    for one in inputs.get("artifacts") or ():
        place = f"{where}.inputs.artifacts.{one['name']}"
        scope.add(f"inputs.artifacts.{one['name']}")
        if kind in _GROUPS:
            if one.get("path"):
                raise WorkflowError(f"{place}.path only valid in container/script templates")
        elif not one.get("path"):
            raise WorkflowError(f"error in {place}: Artifact '{one['name']}' did not specify a path")
        else:
            scope.add(f"inputs.artifacts.{one['name']}.path")
        for field_ in ("from", "fromExpression"):
            if one.get(field_):
                raise WorkflowError(f"{place}.{field_} not valid in inputs")
        naming.check_location(place, one)
    return scope


def _check_supplied(template: Object, given: Object | None) -> None:
    """Raises when an input has no value; without `given` it may have any."""
    if given is None:
        return
    inputs, where = template.get("inputs") or {}, f"templates.{template.get('name', '')}"
    offered = {
        one.get("name")
        for one in given.get("parameters") or ()
        if any(one.get(key) is not None for key in ("value", "valueFrom"))
    }
    for one in inputs.get("parameters") or ():
        has_own = any(one.get(key) is not None for key in ("value", "default", "valueFrom"))
        if not has_own and one["name"] not in offered:
            raise WorkflowError(f"{where} inputs.parameters.{one['name']} was not supplied")
    artifacts = {one.get("name") for one in given.get("artifacts") or ()}
    for one in inputs.get("artifacts") or ():
        if one["name"] not in artifacts and not one.get("optional") and not arguments.has_location(one):
            raise WorkflowError(f"{where} inputs.artifacts.{one['name']} was not supplied")


def _check_group(checking: Checking, template: dict[str, Any], kind: str, context: Context, scope: set[str]) -> None:
    name = template.get("name", "")
    if template.get("activeDeadlineSeconds") is not None:
        raise WorkflowError(f"templates.{name}.activeDeadlineSeconds is only valid for leaf templates")
    shown = "Steps" if kind == "steps" else "DAG"
    for field_ in ("timeout", "pendingTimeout"):
        if template.get(field_):
            raise WorkflowError(f"{shown} template doesn't support {field_} field")
    if template.get("parallelism") is not None and int(template["parallelism"]) < 1:
        raise WorkflowError(f"templates.{name}.parallelism should be a positive integer")
    if kind == "steps":
        several = [group_of(group) for group in template["steps"]]
        groups.check_steps(checking, name, several, context, scope)
    else:
        groups.check_dag(checking, name, template["dag"], context, scope)


def _check_leaf(checking: Checking, template: Object, kind: str, scope: set[str]) -> None:
    rest = {key: value for key, value in template.items() if key not in ("outputs", "inputs", "metrics")}
    inner = {**rest, "inputs": template.get("inputs") or {}}
    try:
        produced = {
            f"outputs.{place}.{one.get('name')}.path"
            for place in ("parameters", "artifacts")
            for one in (template.get("outputs") or {}).get(place) or ()
        }
        scopes.check(inner, scope | produced, is_template=checking.is_template)
    except WorkflowError as error:
        raise WorkflowError(f"templates.{template.get('name', '')}: {error.message}") from error
    leaves.check(template, kind)


def _check_rest(checking: Checking, template: Object, kind: str, scope: set[str]) -> None:
    """Outputs and metrics."""
    name, outputs = template.get("name", ""), template.get("outputs") or {}
    for place in ("parameters", "artifacts"):
        naming.check_names(f"templates.{name}.outputs.{place}", outputs.get(place) or (), are_parameters=True)
    try:
        scopes.check(outputs, scope, is_template=checking.is_template)
    except WorkflowError as error:
        raise WorkflowError(f"templates.{name}.outputs {error.message}") from error
    naming.check_outputs(template, kind, is_leaf=kind not in _GROUPS)
    for one in (template.get("metrics") or {}).get("prometheus") or ():
        check_metric(f"templates.{name}", one)


def check_metric(where: str, metric: Object) -> None:
    """A metric's name, help and value."""
    name = metric.get("name", "")
    if not _METRIC.fullmatch(name):
        says = "Metric names must contain alphanumeric characters or '_'"
        raise WorkflowError(f"{where} metric name '{name}' is invalid. {says}")
    if not metric.get("help"):
        raise WorkflowError(f"{where} metric '{name}' must contain a help string under 'help: ' field")
    for one in metric.get("labels") or ():
        if not _METRIC.fullmatch(str(one.get("key", ""))):
            says = "Label names must contain alphanumeric characters or '_'"
            raise WorkflowError(f"{where} metric '{name}' error: metric label name is invalid. {says}")
    for kind in ("gauge", "counter", "histogram"):
        if metric.get(kind) is not None and not str(metric[kind].get("value") or ""):
            raise WorkflowError(f"{where} metric '{name}' error: missing {kind}.value")
