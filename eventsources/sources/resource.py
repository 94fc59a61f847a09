"""Kubernetes objects that come, change and go. Contract: eventsources 3.32."""

from __future__ import annotations

from pydantic import Field

from events.model import Model
from events.problems import Problems, did_you_mean
from eventsources.base import Kind, Spec
from eventsources.fields import require

EVENT_TYPES = ("ADD", "UPDATE", "DELETE")


class Selector(Model):
    """A condition on a label or field."""

    key: str = Field("", description="Label, or path of a field.")
    operation: str | None = Field(None, description="How key and value compare; = when absent.")
    value: str = Field("", description="Value, or values separated by commas.")


class ResourceFilter(Model):
    """Which objects."""

    prefix: str = Field("", description="Beginning of the name.")
    labels: list[Selector] | None = Field(None, description="Labels that objects have.")
    fields: list[Selector] | None = Field(None, description="Fields that objects have.")
    created_by: str | None = Field(None, description="Objects made at or before this time (RFC 3339).")
    after_start: bool | None = Field(None, description="Only what happens after the start.")


class ResourceSpec(Spec):
    """Contract: eventsources 3.32."""

    namespace: str = Field("", description="Namespace; all when absent.")
    group: str = Field("", description="API group; the core group when absent.")
    version: str = Field("", description="API version.")
    resource: str = Field("", description="Name of the resource, in the plural.")
    event_types: list[str] | None = Field(None, description="ADD, UPDATE and DELETE.")
    filter: ResourceFilter | None = Field(None, description="Which objects.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")

    def check(self, problems: Problems) -> None:
        """Contract 3.32."""
        require(problems, version=self.version, resource=self.resource, eventTypes=self.event_types)
        for index, kind in enumerate(self.event_types or ()):
            if kind not in EVENT_TYPES:
                cure = did_you_mean(kind, EVENT_TYPES) or f"one of {', '.join(EVENT_TYPES)}"
                problems.warn(f"eventTypes[{index}]", f"{kind!r} is none: the source never starts", cure)
        if self.filter is None:
            return
        for name, selectors in (("labels", self.filter.labels), ("fields", self.filter.fields)):
            for index, selector in enumerate(selectors or ()):
                require(problems.at(f"filter.{name}[{index}]"), key=selector.key)


class ResourceSource(Kind[ResourceSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = ResourceSpec, "resource", True

    @classmethod
    def validate(cls, spec: ResourceSpec, problems: Problems) -> None:
        spec.check(problems)
