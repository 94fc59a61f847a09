"""Argo Workflows, submitted or acted on. Contract: sensors D.2.

Upstream runs the `argo` command line. Here submitting is what that command does in the end, creating a Workflow, so
neither command nor shell is needed and nothing in an event can become an option of it (flaw A4).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.errors import ActionError, UserError
from events.kube.api import Object
from events.problems import Problems, did_you_mean
from sensors import artifacts, base, kubernetes_objects, workflow_operations, workflow_options
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

SUBMIT = "submit"
SUBMIT_FROM = "submit-from"
RESUBMIT, RETRY = workflow_options.RESUBMIT, workflow_options.RETRY
OPERATIONS = (SUBMIT, SUBMIT_FROM, RESUBMIT, RETRY, *workflow_operations.CHANGES)


class ArgoWorkflowSpec(base.Spec):
    """Submits an Argo Workflow, or acts on one that is there. Contract: sensors D.2."""

    source: ArtifactLocation | None = Field(None, description="Where the Workflow comes from.")
    operation: str = Field(
        SUBMIT, description="submit (default), submit-from, suspend, resubmit, retry, resume, terminate or stop."
    )
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the Workflow.")
    args: list[str] | None = Field(None, description="Options of the argo command, such as --entrypoint=main.")


class ArgoWorkflowTrigger(base.Trigger[ArgoWorkflowSpec]):
    """Creates one Workflow per firing, which a repeated firing finds; or acts on one that is there."""

    Spec = ArgoWorkflowSpec
    needs_kube: ClassVar[bool] = True

    def __init__(self, spec: ArgoWorkflowSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._artifact = artifacts.Artifact(spec.source or ArtifactLocation(), context)

    @classmethod
    def validate(cls, spec: ArgoWorkflowSpec, problems: Problems) -> None:
        artifacts.validate(spec.source, problems.at("source"))
        operation = spec.operation or SUBMIT
        if operation not in OPERATIONS:
            problems.error("operation", f"unknown operation {operation!r}", did_you_mean(operation, OPERATIONS))
        elif workflow_options.has_options(operation):
            try:
                workflow_options.parse(spec.args or [], operation)
            except UserError as error:
                problems.error(error.path, error.message, error.cure)
        elif spec.args:
            problems.warn("args", f"options of `argo {operation}` are not known here, and have no effect")

    async def fetch(self) -> str:
        return await self._artifact.load()

    async def execute(self, resource: str, firing: Firing) -> Result:
        named, operation = kubernetes_objects.parse(resource), self.spec.operation or SUBMIT
        if operation in (SUBMIT, SUBMIT_FROM):
            return Result(value=await self._submit(named, operation, firing))
        options = self._options(operation)
        if operation == RESUBMIT:
            return Result(value=await workflow_operations.resubmit(named, self.context, firing, options))
        if operation == RETRY:
            return Result(value=await workflow_operations.retry(named, self.context, firing, options))
        if operation in workflow_operations.CHANGES:
            return Result(value=await workflow_operations.change(operation, named, self.context, options))
        raise ActionError(f"unknown operation {operation!r}")

    def _options(self, operation: str) -> workflow_options.Options:
        if not workflow_options.has_options(operation):
            return []
        try:
            return workflow_options.parse(self.spec.args or [], operation)
        except UserError as error:
            raise ActionError(str(error)) from error

    async def _submit(self, named: Object, operation: str, firing: Firing) -> Object:
        if operation == SUBMIT_FROM:
            workflow = await workflow_operations.submitted_from(named, self.context)
        else:
            workflow = named
            _check_kind(workflow)
        workflow_options.apply(self._options(operation), workflow)
        return await kubernetes_objects.create(workflow, self.context, firing)


def _check_kind(obj: Object) -> None:
    if obj["kind"] != "Workflow" or not obj["apiVersion"].startswith("argoproj.io/"):
        raise ActionError(f"submit takes a Workflow of argoproj.io, not {obj['kind']} of {obj['apiVersion']}")
