"""The custom resource definitions of workflows, for an API server that has none. Contract: workflows A."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
GROUP, VERSION = "argoproj.io", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_COLUMNS = (
    {"name": "Status", "type": "string", "jsonPath": ".status.phase", "description": "Status of the workflow"},
    {"name": "Age", "type": "date", "jsonPath": ".status.startedAt", "description": "When the workflow was started"},
    {
        "name": "Message",
        "type": "string",
        "jsonPath": ".status.message",
        "description": "Human readable message indicating details about why the workflow is in this condition.",
    },
)


@dataclass(frozen=True)
class _Kind:
    kind: str
    plural: str
    short: tuple[str, ...] = ()
    scope: str = "Namespaced"


KINDS = (
    _Kind("ClusterWorkflowTemplate", "clusterworkflowtemplates", ("clusterwftmpl", "cwft"), "Cluster"),
    _Kind("CronWorkflow", "cronworkflows", ("cwf", "cronwf")),
    _Kind("Workflow", "workflows", ("wf",)),
    _Kind("WorkflowArtifactGCTask", "workflowartifactgctasks", ("wfat",)),
    _Kind("WorkflowEventBinding", "workfloweventbindings", ("wfeb",)),
    _Kind("WorkflowTaskResult", "workflowtaskresults"),
    _Kind("WorkflowTaskSet", "workflowtasksets", ("wfts",)),
    _Kind("WorkflowTemplate", "workflowtemplates", ("wftmpl",)),
)


def definitions() -> list[Object]:
    """One per kind, to be applied. None has a status subresource; fields are checked by `validation`."""
    return [_definition(kind) for kind in KINDS]


def _definition(kind: _Kind) -> Object:
    version: Object = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _OPEN},
    }
    if kind.kind == "Workflow":
        version["additionalPrinterColumns"] = [dict(column) for column in _COLUMNS]
    names: Object = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
    }
    if kind.short:
        names["shortNames"] = list(kind.short)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": kind.scope, "versions": [version]},
    }
