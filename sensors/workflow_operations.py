"""What the `argo` command line does to a Workflow, done on the API. Contract: sensors D.2, workflows H."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events import workflow_retry
from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.workflow_resubmit import resubmitted
from sensors import kubernetes_objects, workflow_options
from sensors.base import Firing, TriggerContext
from sensors.kubernetes_changes import FIELD_MANAGER, MERGE
from sensors.workflow_options import Options

API_VERSION = "argoproj.io/v1alpha1"
CHANGES = ("suspend", "resume", "stop", "terminate")
RETRIED_BY = "events.argoproj.io/retried-by"
"""Holds the firing that began the Workflow again."""
NOT_FOUND = 404
_LABELS = "workflows.argoproj.io/"
_SHUTDOWN = {"stop": "Stop", "terminate": "Terminate"}


async def change(operation: str, named: Object, context: TriggerContext, options: Options) -> Object:
    """Suspend, resume, stop or terminate the Workflow that `named` names; the changed one. ActionError otherwise."""
    kube = context.kube()
    resource, name, namespace = await _place(named, context)
    workflow = await kube.get(resource, name, namespace=namespace)
    is_over = (workflow.get("metadata", {}).get("labels") or {}).get(f"{_LABELS}completed") == "true"
    if is_over and operation in _SHUTDOWN:
        raise ActionError(f'cannot shutdown a completed workflow: workflow: "{name}", namespace: "{namespace}"')
    if is_over:
        raise ActionError(f"cannot {operation} a completed workflow: {name}")
    if operation in _SHUTDOWN:
        patch: dict[str, Any] = {"spec": {"shutdown": _SHUTDOWN[operation]}}
    elif operation == "suspend":
        patch = {"spec": {"suspend": True}}
    else:
        selector = dict(options).get("node-field-selector", "")
        patch = {} if selector else {"spec": {"suspend": None}}
        if nodes := _resumed(workflow, selector):
            patch["status"] = {"nodes": nodes}
        elif selector:
            raise ActionError(f"no suspended node of {name} is meant by {selector}")
    # The version that was looked at: nobody ended it meanwhile.
    patch["metadata"] = {"resourceVersion": workflow["metadata"].get("resourceVersion")}
    params = {"fieldManager": FIELD_MANAGER}
    return await kube.patch(resource, name, patch, content_type=MERGE, namespace=namespace, params=params)


def _resumed(workflow: Object, selector: str) -> dict[str, Any]:
    """The suspend nodes that wait, ended; all of them, or those that are selected."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    nodes = (workflow.get("status") or {}).get("nodes") or {}
    return {
        identity: {"phase": "Succeeded", "finishedAt": now}
        for identity, node in nodes.items()
        if node.get("type") == "Suspend"
        and node.get("phase") == "Running"
        and (not selector or workflow_retry.is_selected(node, selector))
    }


async def retry(named: Object, context: TriggerContext, firing: Firing, options: Options) -> Object:
    """Begin the Workflow that `named` names again where it failed; a repeated firing finds it begun (workflows H.2)."""
    kube = context.kube()
    resource, name, namespace = await _place(named, context)
    workflow = await kube.get(resource, name, namespace=namespace)
    notes = workflow["metadata"].get("annotations") or {}
    if notes.get(RETRIED_BY) == firing.id:
        return workflow
    said = dict(options)
    wanted = workflow_retry.Options(
        "restart-successful" in said,
        said.get("node-field-selector", ""),
        dict(value for option, value in options if option == "parameter"),
    )
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    found = workflow_retry.retried(workflow, now, wanted)
    if found.pods:
        pods = await kube.resource("v1", "Pod")
        for pod in found.pods:
            await _delete(kube, pods, pod, namespace)
    new = found.workflow
    new["metadata"]["annotations"] = {**notes, RETRIED_BY: firing.id}
    patch = merge_diff(workflow, new)
    patch["metadata"]["resourceVersion"] = workflow["metadata"].get("resourceVersion")
    params = {"fieldManager": FIELD_MANAGER}
    return await kube.patch(resource, name, patch, content_type=MERGE, namespace=namespace, params=params)


async def _delete(kube: KubeApi, resource: Resource, name: str, namespace: str | None) -> None:
    try:
        await kube.delete(resource, name, namespace=namespace)
    except KubeError as error:
        if error.status != NOT_FOUND:
            raise


def merge_diff(old: Object, new: Object) -> Object:
    """The merge patch from one object to another."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_diff(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


async def resubmit(named: Object, context: TriggerContext, firing: Firing, options: Options) -> Object:
    """A new Workflow like the one that `named` names; a repeated firing finds the one it made."""
    resource, name, namespace = await _place(named, context)
    former = await context.kube().get(resource, name, namespace=namespace)
    made = resubmitted(former)
    workflow_options.apply(options, made)
    return await kubernetes_objects.create(made, context, firing)


async def submitted_from(named: Object, context: TriggerContext) -> Object:
    """The Workflow that a WorkflowTemplate (by reference) or a CronWorkflow (its own) makes, to be created."""
    _, name, namespace = await _place(named, context)
    made: Object = {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"generateName": f"{name}-"}}
    if namespace:
        made["metadata"]["namespace"] = namespace
    if named["kind"] == "WorkflowTemplate":
        made["metadata"]["labels"] = {f"{_LABELS}workflow-template": name}
        made["spec"] = {"workflowTemplateRef": {"name": name}}
        return made
    if named["kind"] != "CronWorkflow":
        raise ActionError(f"submit-from takes a WorkflowTemplate or a CronWorkflow, not {objects.describe(named)}")
    resource = await context.kube().resource(*objects.kind_of(named))
    cron = await context.kube().get(resource, name, namespace=namespace)
    given = cron["spec"].get("workflowMetadata") or {}
    made["metadata"]["labels"] = {**(given.get("labels") or {}), f"{_LABELS}cron-workflow": name}
    if given.get("annotations"):
        made["metadata"]["annotations"] = dict(given["annotations"])
    made["spec"] = cron["spec"].get("workflowSpec") or {}
    return made


async def _place(named: Object, context: TriggerContext) -> tuple[Resource, str, str | None]:
    name = named["metadata"].get("name")
    if not (isinstance(name, str) and name):
        raise ActionError("the resource has no metadata.name: there is nothing to act on")
    resource = await context.kube().resource(API_VERSION, "Workflow")
    return resource, name, objects.home(named, context.namespace)
