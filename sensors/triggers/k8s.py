"""Objects of any kind, created, changed or deleted in Kubernetes. Contract: sensors D.1."""

from __future__ import annotations

from typing import ClassVar

import orjson
from pydantic import Field

from events.errors import ActionError
from events.problems import Problems, did_you_mean
from sensors import artifacts, base, kubernetes_changes, kubernetes_objects
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

CREATE = "create"
OPERATIONS = (CREATE, "update", "patch", "delete")
JSON_PATCH = "application/json-patch+json"
STRATEGIES = (
    JSON_PATCH,
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


class K8sSpec(base.Spec):
    """Creates, updates, patches or deletes a Kubernetes object. Contract: sensors D.1."""

    source: ArtifactLocation | None = Field(None, description="Where the resource comes from.")
    operation: str = Field(CREATE, description="create (default), update, patch or delete.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the resource.")
    patch_strategy: str | None = Field(None, description="Media type of a patch; merge patch when absent.")
    live_object: bool | None = Field(None, description="With update: read the object from the cluster first.")


class K8sTrigger(base.Trigger[K8sSpec]):
    """Acts on one object per firing; a repeated firing finds the object it made (`kubernetes_objects.create`)."""

    Spec = K8sSpec
    needs_kube: ClassVar[bool] = True

    def __init__(self, spec: K8sSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._artifact = artifacts.Artifact(spec.source or ArtifactLocation(), context)

    @classmethod
    def validate(cls, spec: K8sSpec, problems: Problems) -> None:
        artifacts.validate(spec.source, problems.at("source"))
        operation = spec.operation or CREATE
        if operation not in OPERATIONS:
            problems.error("operation", f"unknown operation {operation!r}", did_you_mean(operation, OPERATIONS))
        if spec.patch_strategy and spec.patch_strategy not in STRATEGIES:
            problems.warn("patchStrategy", f"unknown patch strategy {spec.patch_strategy!r}", " or ".join(STRATEGIES))
        elif spec.patch_strategy == JSON_PATCH and operation == "patch":
            message = "the resource is sent as the patch, and a JSON patch is a list: the API server refuses it"
            problems.warn("patchStrategy", message, "use a merge patch, or server-side apply")
        for field, value, of in (
            ("patchStrategy", spec.patch_strategy, "patch"),
            ("liveObject", spec.live_object, "update"),
        ):
            if value and operation != of:
                problems.warn(field, f"means nothing with {operation}")

    async def fetch(self) -> str:
        text = await self._artifact.load()
        if not (self.spec.live_object and self.spec.operation == "update"):
            return text
        found = await kubernetes_changes.live(kubernetes_objects.parse(text), self.context)
        return orjson.dumps(found).decode()

    async def execute(self, resource: str, firing: Firing) -> Result:
        obj, operation = kubernetes_objects.parse(resource), self.spec.operation or CREATE
        if operation == CREATE:  # upstream's default for the empty string, too
            return Result(value=await kubernetes_objects.create(obj, self.context, firing))
        if operation == "update":
            return Result(value=await kubernetes_changes.update(obj, self.context))
        if operation == "patch":
            return Result(value=await kubernetes_changes.patch(obj, self.context, self.spec.patch_strategy or ""))
        if operation == "delete":
            await kubernetes_changes.delete(obj, self.context)
            return Result()
        raise ActionError(f"unknown operation {operation!r}")
