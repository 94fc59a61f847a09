"""Objects of any kind, created in Kubernetes. Contract: sensors D.1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.errors import ActionError
from events.problems import Problems, did_you_mean
from sensors import artifacts, base, kubernetes_objects
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

CREATE = "create"
LATER = ("update", "patch", "delete")
_NOT_RUN = "this version of Keryx describes operation {0!r}, but does not run it"
STRATEGIES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


class K8sSpec(base.Spec):
    """Contract: sensors D.1."""

    source: ArtifactLocation | None = Field(None, description="Where the resource comes from.")
    operation: str = Field(CREATE, description="create (default), update, patch or delete.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the resource.")
    patch_strategy: str | None = Field(None, description="Media type of a patch; merge patch when absent.")
    live_object: bool | None = Field(None, description="With update: read the object from the cluster first.")


class K8sTrigger(base.Trigger[K8sSpec]):
    """Creates one object per firing; a repeated firing finds the object it made (`kubernetes_objects.create`)."""

    Spec = K8sSpec
    needs_kube: ClassVar[bool] = True

    def __init__(self, spec: K8sSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._artifact = artifacts.Artifact(spec.source or ArtifactLocation(), context)

    @classmethod
    def validate(cls, spec: K8sSpec, problems: Problems) -> None:
        artifacts.validate(spec.source, problems.at("source"))
        if spec.operation not in ("", CREATE, *LATER):
            cure = did_you_mean(spec.operation, (CREATE, *LATER))
            problems.error("operation", f"unknown operation {spec.operation!r}", cure)
        if spec.patch_strategy and spec.patch_strategy not in STRATEGIES:
            problems.warn("patchStrategy", f"unknown patch strategy {spec.patch_strategy!r}", " or ".join(STRATEGIES))
        for field, value in (("patchStrategy", spec.patch_strategy), ("liveObject", spec.live_object)):
            if value and (spec.operation or CREATE) == CREATE:
                problems.warn(field, "means nothing with create")

    @classmethod
    def not_run(cls, spec: K8sSpec) -> str:
        return _NOT_RUN.format(spec.operation) if spec.operation in LATER else ""

    async def fetch(self) -> str:
        return await self._artifact.load()

    async def execute(self, resource: str, firing: Firing) -> Result:
        if problem := _operation_problem(self.spec):
            raise ActionError(problem)
        obj = kubernetes_objects.parse(resource)
        return Result(value=await kubernetes_objects.create(obj, self.context, firing))


def _operation_problem(spec: K8sSpec) -> str:
    if spec.operation in LATER:
        return _NOT_RUN.format(spec.operation)
    # Upstream's default for the empty string, which Go cannot tell from an absent field.
    return "" if spec.operation in (CREATE, "") else f"unknown operation {spec.operation!r}"
