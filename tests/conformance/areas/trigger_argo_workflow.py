"""trigger.argoworkflow: what upstream has the `argo` command do, done on an API in memory.

Compared are the outcome, the Workflow that is submitted (without what tells firings apart), or which Workflow was acted
on and how. `listed` is what upstream's search by labels finds; we know the name of what we made.
"""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.core import Case, Error, Outcome, attempt, judge

from events.credentials import Credentials
from events.kube.api import Object
from events.kube.memory import MemoryKube
from events.logs import Log
from sensors import kubernetes_objects
from sensors.base import Firing, TriggerContext
from sensors.triggers.argo_workflow import ArgoWorkflowTrigger
from sensors.workflow_operations import RETRIED_BY

_OURS = ("events.argoproj.io/action-timestamp", "events.argoproj.io/firing")
_ACTED = {"Stop": "stop", "Terminate": "terminate"}
_TEMPLATE = {"workflowTemplateRef": {"name": "tpl"}}


def run(case: Case) -> Outcome:
    """Compare with upstream, or with what submitting from a template is to do (A1)."""
    wanted = _wanted(case)
    return judge(Case(case.id, case.area, case.input, wanted, case.flaw), attempt(lambda: _got(case)), {"A1": _intent})


def _wanted(case: Case) -> dict[str, Any]:
    if not case.expect["ok"]:
        return {"ok": False, "error": case.expect["error"]}
    value = case.expect["value"]
    if "manifest" in value:
        return {"ok": True, "value": {"submitted": _comparable(value["manifest"])}}
    _, _, namespace, operation, name = value["argv"][:5]
    return {"ok": True, "value": {"operation": operation, "name": name, "namespace": namespace}}


def _intent(case: Case) -> Any:
    """Submitting from a WorkflowTemplate makes a Workflow that refers to it."""
    spec = case.input["trigger"]["template"]["argoWorkflow"]
    kind = spec["source"]["resource"]["kind"]
    if kind != "WorkflowTemplate":
        return Error("there is no such template, or no such kind")
    made = dict(_TEMPLATE)
    if spec.get("args"):
        made["arguments"] = {"parameters": [{"name": "a", "value": "b"}]}
    labels = {
        "workflows.argoproj.io/workflow-template": "tpl",
        "events.argoproj.io/sensor": "sens",
        "events.argoproj.io/trigger": "trg",
    }
    metadata = {"generateName": "tpl-", "labels": labels}
    return {"submitted": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": made}}


def _got(case: Case) -> Any:
    return asyncio.run(_executed(case))


async def _executed(case: Case) -> Any:
    template, sensor = case.input["trigger"]["template"], case.input["sensor"]
    operation = template["argoWorkflow"]["operation"]
    kube = MemoryKube()
    for it in case.input["existing"]:
        await kube.create(_running(it, operation))
    context = TriggerContext(
        sensor["namespace"], sensor["name"], template["name"], Log("test"), Credentials(()), lambda: kube, _nothing
    )
    trigger = ArgoWorkflowTrigger(ArgoWorkflowTrigger.Spec.parse(template["argoWorkflow"]), context)
    resource = await trigger.fetch()
    given = kubernetes_objects.parse(resource)
    made = (await trigger.execute(resource, Firing("f-1", {}))).value
    if operation in ("submit", "submit-from"):
        return {"submitted": _comparable(_as_given(made, given))}
    metadata = made["metadata"]
    name = given["metadata"]["name"] if operation == "resubmit" else metadata["name"]
    return {"operation": _operation(made), "name": name, "namespace": metadata["namespace"]}


def _running(it: Object, operation: str) -> Object:
    """A Workflow on which the operation can be done."""
    status = {"phase": "Failed" if operation == "retry" else "Running", "nodes": {}}
    return {**it, "spec": {"suspend": True} if operation == "resume" else {}, "status": status}


def _operation(made: Object) -> str:
    """What was done, read from the Workflow."""
    spec = made.get("spec") or {}
    if RETRIED_BY in (made["metadata"].get("annotations") or {}):
        return "retry"
    if "workflows.argoproj.io/resubmitted-from-workflow" in (made["metadata"].get("labels") or {}):
        return "resubmit"
    if spec.get("shutdown"):
        return _ACTED[spec["shutdown"]]
    return "suspend" if spec.get("suspend") else "resume"


def _as_given(made: Object, given: Object) -> Object:
    """With the namespace only where it was said, and a derived name as the prefix that it has."""
    metadata = dict(made["metadata"])
    if "namespace" not in given["metadata"]:
        metadata.pop("namespace", None)
    if metadata.get("generateName"):
        metadata.pop("name", None)
    return {**made, "metadata": metadata}


def _comparable(it: Object) -> Object:
    metadata = {key: it["metadata"][key] for key in ("name", "generateName", "namespace") if it["metadata"].get(key)}
    labels = {key: value for key, value in (it["metadata"].get("labels") or {}).items() if key not in _OURS}
    return {
        "apiVersion": it["apiVersion"],
        "kind": it["kind"],
        "metadata": {**metadata, "labels": labels},
        "spec": it.get("spec") or {},
    }


def _nothing() -> Any:
    raise AssertionError("no HTTP here")
