"""The EventSource custom resource. Contract: eventsources 1.1.

The sources themselves stay raw here; `validation` and `service` load the one `Spec` that each needs.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from events.model import Model
from events.resources import Metadata, ObjectMeta, Status, Template
from eventsources.registry import SOURCES

KIND = "EventSource"


class Service(Model):
    """The ClusterIP Service in front of the source's pods."""

    metadata: Metadata | None = Field(None, description="Labels and annotations of the Service.")
    ports: list[dict[str, Any]] | None = Field(None, description="Ports of the Service.")
    cluster_ip: str | None = Field(None, alias="clusterIP", description="Fixed address of the Service.")


class EventSourceSpec(Model):
    """What to listen to. Every key beside the named ones is a source type: a map from event name to its spec."""

    event_bus_name: str | None = Field(None, description="EventBus in the same namespace; `default` when absent.")
    template: Template | None = Field(None, description="Settings of the pods.")
    service: Service | None = Field(None, description="Service in front of the pods.")
    replicas: int | None = Field(None, description="Number of pods; at least 1.")
    sources: dict[str, dict[str, dict[str, Any]]] = Field(
        default_factory=dict, exclude=True, description="Source type -> event name -> spec."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_sources(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "sources" in raw:
            return raw
        found = {key: value for key, value in raw.items() if key in SOURCES and value is not None}
        return {key: value for key, value in raw.items() if key not in SOURCES} | {"sources": found}


class EventSource(Model):
    """An EventSource object."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: EventSourceSpec
    status: Status | None = None
