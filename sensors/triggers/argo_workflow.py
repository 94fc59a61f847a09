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
from sensors import artifacts, base, kubernetes_objects, submit_options, workflow_operations
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

SUBMIT = "submit"
SUBMIT_FROM = "submit-from"
RETRY = "retry"
OPERATIONS = (SUBMIT, SUBMIT_FROM, "resubmit", RETRY, *workflow_operations.CHANGES)
_NOT_RUN = "this version of Keryx describes operation {0!r}, but does not run it"


class ArgoWorkflowSpec(base.Spec):
    """Contract: sensors D.2."""

    source: ArtifactLocation | None = Field(None, description="Where the Workflow comes from.")
    operation: str = Field(
        SUBMIT, description="submit (default), submit-from, suspend, resubmit, retry, resume, terminate or stop."
    )
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the Workflow.")
    args: list[str] | None = Field(None, description="Options of `argo submit`, such as --entrypoint=main.")


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
        elif operation in (SUBMIT, SUBMIT_FROM):
            try:
                submit_options.parse(spec.args or [])
            except UserError as error:
                problems.error(error.path, error.message, error.cure)
        elif spec.args:
            problems.warn("args", f"options of `argo {operation}` are not known here, and have no effect")

    @classmethod
    def not_run(cls, spec: ArgoWorkflowSpec) -> str:
        return _NOT_RUN.format(RETRY) if spec.operation == RETRY else ""

    async def fetch(self) -> str:
        return await self._artifact.load()

    async def execute(self, resource: str, firing: Firing) -> Result:
        named, operation = kubernetes_objects.parse(resource), self.spec.operation or SUBMIT
        if operation in (SUBMIT, SUBMIT_FROM):
            return Result(value=await self._submit(named, operation, firing))
        if operation == "resubmit":
            return Result(value=await workflow_operations.resubmit(named, self.context, firing))
        if operation in workflow_operations.CHANGES:
            return Result(value=await workflow_operations.change(operation, named, self.context))
        raise ActionError(self.not_run(self.spec) or f"unknown operation {operation!r}")

    async def _submit(self, named: Object, operation: str, firing: Firing) -> Object:
        if operation == SUBMIT_FROM:
            workflow = await workflow_operations.submitted_from(named, self.context)
        else:
            workflow = named
            _check_kind(workflow)
        try:
            submit_options.apply(submit_options.parse(self.spec.args or []), workflow)
        except UserError as error:
            raise ActionError(str(error)) from error
        return await kubernetes_objects.create(workflow, self.context, firing)


def _check_kind(obj: Object) -> None:
    if obj["kind"] != "Workflow" or not obj["apiVersion"].startswith("argoproj.io/"):
        raise ActionError(f"submit takes a Workflow of argoproj.io, not {obj['kind']} of {obj['apiVersion']}")
