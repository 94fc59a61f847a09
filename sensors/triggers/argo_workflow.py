"""Argo Workflows, submitted. Contract: sensors D.2.

Upstream runs the `argo` command line. Here submitting is what that command does in the end, creating a Workflow, so
neither command nor shell is needed and nothing in an event can become an option of it (flaw A4).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.errors import ActionError, UserError
from events.kube.api import Object
from events.problems import Problems, did_you_mean
from sensors import artifacts, base, kubernetes_objects, submit_options
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

SUBMIT = "submit"
LATER = ("submit-from", "suspend", "resubmit", "retry", "resume", "terminate", "stop")
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
    """Creates one Workflow per firing; a repeated firing finds the Workflow it made."""

    Spec = ArgoWorkflowSpec
    needs_kube: ClassVar[bool] = True

    def __init__(self, spec: ArgoWorkflowSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._artifact = artifacts.Artifact(spec.source or ArtifactLocation(), context)

    @classmethod
    def validate(cls, spec: ArgoWorkflowSpec, problems: Problems) -> None:
        artifacts.validate(spec.source, problems.at("source"))
        if spec.operation not in ("", SUBMIT, *LATER):
            cure = did_you_mean(spec.operation, (SUBMIT, *LATER))
            problems.error("operation", f"unknown operation {spec.operation!r}", cure)
            return
        if spec.operation in LATER:
            return
        try:
            submit_options.parse(spec.args or [])
        except UserError as error:
            problems.error(error.path, error.message, error.cure)

    @classmethod
    def not_run(cls, spec: ArgoWorkflowSpec) -> str:
        return _NOT_RUN.format(spec.operation) if spec.operation in LATER else ""

    async def fetch(self) -> str:
        return await self._artifact.load()

    async def execute(self, resource: str, firing: Firing) -> Result:
        if problem := _operation_problem(self.spec):
            raise ActionError(problem)
        workflow = kubernetes_objects.parse(resource)
        _check_kind(workflow)
        try:
            submit_options.apply(submit_options.parse(self.spec.args or []), workflow)
        except UserError as error:
            raise ActionError(str(error)) from error
        return Result(value=await kubernetes_objects.create(workflow, self.context, firing))


def _operation_problem(spec: ArgoWorkflowSpec) -> str:
    if spec.operation in LATER:
        return _NOT_RUN.format(spec.operation)
    return "" if spec.operation in (SUBMIT, "") else f"unknown operation {spec.operation!r}"


def _check_kind(obj: Object) -> None:
    if obj["kind"] != "Workflow" or not obj["apiVersion"].startswith("argoproj.io/"):
        raise ActionError(f"submit takes a Workflow of argoproj.io, not {obj['kind']} of {obj['apiVersion']}")
