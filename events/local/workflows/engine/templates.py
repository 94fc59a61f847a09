"""Which template a step, a task or a node means. Contract: workflows J.2.

A `Context` is where names are looked up: the Workflow itself, a WorkflowTemplate or a ClusterWorkflowTemplate. What
came through a templateRef is kept in `status.storedTemplates`, so that later changes do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events.local.workflows import arguments, merging
from events.local.workflows.engine.run import Object, Run
from events.local.workflows.errors import WorkflowError

LOCAL, NAMESPACED, CLUSTER = "local", "namespaced", "cluster"


@dataclass(frozen=True)
class Context:
    """Where the names of templates are looked up."""

    scope: str
    resource: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.resource}"


def resolve(run: Run, holder: Mapping[str, Any], context: Context) -> tuple[Context, Object]:
    """The template that is meant, with templateDefaults under it, and where its own names are looked up."""
    found, template = _find(run, holder, context)
    return found, merging.with_defaults(template, run.spec.get("templateDefaults"))


def _find(run: Run, holder: Mapping[str, Any], context: Context) -> tuple[Context, Object]:
    if holder.get("templateRef"):
        reference = holder["templateRef"]
        place = CLUSTER if reference.get("clusterScope") else NAMESPACED
        inside = Context(place, reference.get("name", ""))
        return inside, _stored(run, inside, reference.get("template", ""))
    if holder.get("inline") is not None:
        return context, {key: value for key, value in holder["inline"].items() if key != "name"}
    name = holder.get("template") or holder.get("templateName") or ""
    if context.scope == LOCAL:
        for template in run.spec.get("templates") or ():
            if template.get("name") == name:
                return context, template
        raise WorkflowError(f"template {name} not found in workflow template")
    return context, _stored(run, context, name)


def _stored(run: Run, context: Context, name: str) -> Object:
    stored = run.status.setdefault("storedTemplates", {})
    key = f"{context}/{name}"
    if key not in stored:
        stored[key] = _outside(run, context, name)
    return dict(stored[key])


def _outside(run: Run, context: Context, name: str) -> Object:
    several = run.given.cluster_templates if context.scope == CLUSTER else run.given.workflow_templates
    resource = several.get(context.resource)
    if resource is None:
        kind = "clusterworkflowtemplates" if context.scope == CLUSTER else "workflowtemplates"
        raise WorkflowError(f'{kind}.argoproj.io "{context.resource}" not found')
    spec = arguments.normalized(resource.get("spec") or {})
    for template in spec.get("templates") or ():
        if template.get("name") == name:
            if spec.get("podMetadata"):
                template = {**template, "metadata": _under(template.get("metadata") or {}, spec["podMetadata"])}
            return dict(template)
    raise WorkflowError(f"template {name} not found in workflow template {context.resource}")


def _under(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> Object:
    found = dict(upper)
    for key in ("labels", "annotations"):
        if lower.get(key):
            found[key] = {**lower[key], **(upper.get(key) or {})}
    return found


def of_node(run: Run, node: Mapping[str, Any]) -> Object | None:
    """The template of a node, or None when it cannot be told (inline ones have no name)."""
    scope, _, resource = str(node.get("templateScope") or "").partition("/")
    holder = {key: node[key] for key in ("templateRef", "templateName") if key in node}
    if not holder or not scope:
        return inline_of(run, node)
    try:
        return resolve(run, holder, Context(scope, resource))[1]
    except WorkflowError:
        return None


def inline_of(run: Run, node: Mapping[str, Any]) -> Object | None:
    """The inline template of a node's step or task."""
    above = run.nodes.get(node.get("boundaryID", ""))
    if above is None:
        return None
    around = of_node(run, above)
    shown = str(node.get("displayName", "")).partition("(")[0]
    for one in parts(around or {}):
        if one.get("name") == shown and one.get("inline") is not None:
            return dict(one["inline"])
    return None


def parts(template: Mapping[str, Any]) -> list[Object]:
    """The steps or tasks of a template."""
    if template.get("dag") is not None:
        return list((template["dag"] or {}).get("tasks") or ())
    return [step for group in template.get("steps") or () for step in group_of(group)]


def group_of(group: Any) -> list[Object]:
    """The steps of a group; a bare one is a group of one."""
    return [group] if isinstance(group, dict) else list(group)


def type_of(template: Mapping[str, Any]) -> str:
    """`container`, `steps`… or empty."""
    return next((one for one in merging.TYPES if template.get(one) is not None), "")


NODE_TYPES: Mapping[str, str] = {
    "container": "Pod",
    "containerSet": "Pod",
    "script": "Pod",
    "resource": "Pod",
    "data": "Pod",
    "steps": "Steps",
    "dag": "DAG",
    "suspend": "Suspend",
    "http": "HTTP",
    "plugin": "Plugin",
}
POD_TYPES = ("container", "containerSet", "script", "resource", "data")
