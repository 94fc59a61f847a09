"""Whole objects. Contract: workflows M."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events import cron
from events.errors import UserError
from events.local.workflows import arguments, merging, schedules
from events.local.workflows.engine.templates import LOCAL, Context
from events.local.workflows.errors import WorkflowError
from events.local.workflows.validation import naming, scopes
from events.local.workflows.validation.templates import Checking, check_holder
from events.local.workflows.validation.templates import check_template as check_one

Object = Mapping[str, Any]
Templates = Mapping[str, Object]
MAX_NAME, MAX_CRON_NAME = 63, 52
_COLLECTIONS = ("OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess")
_CONCURRENCY = ("Allow", "Forbid", "Replace")


def check(obj: Object, templates: Templates, cluster_templates: Templates, *, is_lint: bool = False) -> None:
    """Any of the four kinds; WorkflowError with the first thing that is wrong."""
    checks: dict[str, Callable[[], None]] = {
        "Workflow": lambda: check_workflow(obj, templates, cluster_templates, is_lint=is_lint),
        "CronWorkflow": lambda: check_cron(obj, templates, cluster_templates),
        "WorkflowTemplate": lambda: check_template(obj, templates, cluster_templates),
        "ClusterWorkflowTemplate": lambda: check_template(obj, templates, cluster_templates),
    }
    found = checks.get(str(obj.get("kind")))
    if found is None:
        raise WorkflowError(f"{obj.get('kind')} is no kind of a workflow")
    found()


def check_workflow(obj: Object, templates: Templates, cluster_templates: Templates, *, is_lint: bool = False) -> None:
    """A Workflow."""
    meta = obj.get("metadata") or {}
    _check_length("workflow name", meta.get("name") or "", MAX_NAME)
    own = arguments.normalized(obj.get("spec") or {})
    reference = own.get("workflowTemplateRef")
    spec = own
    if reference is not None:
        if own.get("templates"):
            says = "Templates is invalid field in spec if workflow referred WorkflowTemplate reference"
            raise WorkflowError(says)
        spec = merging.merged(own, _referenced(reference, templates, cluster_templates), None)
    _check_spec(meta, spec, templates, cluster_templates, may_lack_values=is_lint, is_template=False)


def _referenced(reference: Object, templates: Templates, cluster_templates: Templates) -> dict[str, Any]:
    is_cluster = bool(reference.get("clusterScope"))
    found = (cluster_templates if is_cluster else templates).get(reference.get("name", ""))
    if found is None:
        kind = "clusterworkflowtemplates" if is_cluster else "workflowtemplates"
        raise WorkflowError(f'{kind}.argoproj.io "{reference.get("name", "")}" not found')
    return dict(arguments.normalized(found.get("spec") or {}))


def check_template(obj: Object, templates: Templates, cluster_templates: Templates) -> None:
    """A WorkflowTemplate or a ClusterWorkflowTemplate."""
    meta = obj.get("metadata") or {}
    what = (
        "cluster workflow template name" if obj.get("kind") == "ClusterWorkflowTemplate" else "workflow template name"
    )
    _check_length(what, meta.get("name") or "", MAX_NAME)
    spec = arguments.normalized(obj.get("spec") or {})
    _check_spec(meta, spec, templates, cluster_templates, may_lack_values=True, is_template=True)


def _check_length(what: str, name: str, most: int) -> None:
    if len(name) > most:
        says = f"must not be more than {most} characters long (currently {len(name)})"
        raise WorkflowError(f'{what} "{name}" {says}')


def _check_spec(
    meta: Object, spec: Object, templates: Templates, cluster: Templates, *, may_lack_values: bool, is_template: bool
) -> None:
    listed = spec.get("templates") or ()
    naming.check_names("spec.templates", listed, are_parameters=False)
    given = spec.get("arguments") or {}
    naming.check_arguments("spec.arguments.", given, may_be_empty=may_lack_values)
    known = scopes.of_workflow(meta, spec)
    checking = Checking(spec, templates, cluster, known, is_template)
    context = Context(LOCAL, "")
    entrypoint = spec.get("entrypoint")
    if not entrypoint and not is_template:
        raise WorkflowError("spec.entrypoint is required")
    if entrypoint:
        loose = {"parameters": [_with_something(one) for one in given.get("parameters") or ()]}
        loose["artifacts"] = list(given.get("artifacts") or ())
        entry = {"template": entrypoint}
        check_holder(checking, entry, context, None if is_template else loose if may_lack_values else given)
    if spec.get("onExit"):
        check_holder(checking, {"template": spec["onExit"]}, context, given)
    for name, hook in sorted((spec.get("hooks") or {}).items()):
        if name != "exit" and not hook.get("expression"):
            raise WorkflowError(f"hooks.{name} Expression required")
    _check_collection(spec.get("podGC") or {})
    for template in listed:
        _check_remaining(checking, template, context)


def _with_something(parameter: Object) -> dict[str, Any]:
    return {"value": "?", **parameter}


def _check_remaining(checking: Checking, template: Object, context: Context) -> None:
    """A template that nothing has called yet, whatever its arguments."""
    try:
        check_one(checking, dict(template), context, None)
    except WorkflowError as error:
        raise WorkflowError(f"templates.{template['name']} {error.message}") from error


def _check_collection(collection: Object) -> None:
    strategy = collection.get("strategy")
    if strategy and strategy not in _COLLECTIONS:
        raise WorkflowError(f"podGC.strategy unknown strategy '{strategy}'")
    for one in (collection.get("labelSelector") or {}).get("matchExpressions") or ():
        if one.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise WorkflowError(
                f'podGC.labelSelector invalid: "{one.get("operator")}" is not a valid selector operator'
            )


def check_cron(obj: Object, templates: Templates, cluster_templates: Templates) -> None:
    """A CronWorkflow."""
    meta, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    _check_length("cron workflow name", meta.get("name") or "", MAX_CRON_NAME)
    listed = spec.get("schedules") or ()
    if not listed:
        raise WorkflowError("cron workflow must have at least one schedule")
    for one in listed:
        try:
            schedules.parse(one)
        except WorkflowError as error:
            raise WorkflowError(f"cron schedule {one} is malformed: {error.message}") from error
    if spec.get("timezone"):
        try:
            cron.zone_named(spec["timezone"])
        except UserError as error:
            raise WorkflowError(f'invalid timezone "{spec["timezone"]}": {error.message}') from error
    policy = spec.get("concurrencyPolicy")
    if policy and policy not in _CONCURRENCY:
        raise WorkflowError(f"'{policy}' is not a valid concurrencyPolicy")
    seconds = spec.get("startingDeadlineSeconds")
    if seconds is not None and int(seconds) < 0:
        raise WorkflowError("startingDeadlineSeconds must be positive")
    workflow = {"metadata": dict(spec.get("workflowMetadata") or {}), "spec": spec.get("workflowSpec") or {}}
    try:
        check_workflow(workflow, templates, cluster_templates)
    except WorkflowError as error:
        raise WorkflowError(f"cannot validate Workflow: {error.message}") from error
