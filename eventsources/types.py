"""The EventSource custom resource. Contract: eventsources 1.1.

The sources themselves stay raw here; `validation` and `service` load the one `Spec` that each needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from pydantic import Field

from events.errors import InvalidObject
from events.model import Model
from events.problems import Problem, Problems, Severity, unknown
from events.resources import Metadata, ObjectMeta, Status, Template
from eventsources.registry import SOURCES

KIND = "EventSource"
MAX_WORKERS = 64


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
    workers: int | None = Field(
        None,
        description="Not in Argo Events: processes that serve the HTTP endpoints in each pod, 1 to 64. On Linux only.",
    )
    sources: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        exclude=True,
        description="Source type -> event name -> spec, as it was written: a wrong one is its event's problem only.",
    )


class EventSource(Model):
    """An EventSource object."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: EventSourceSpec
    status: Status | None = None

    @classmethod
    def parse(
        cls, raw: Any, *, lenient: bool = False, on_stray: Callable[[Iterable[Problem]], None] | None = None
    ) -> Self:
        """As `Model.parse`; the source types of the spec are gathered in `spec.sources` first."""
        spec = raw.get("spec") if isinstance(raw, dict) else None
        if not isinstance(spec, dict):
            return super().parse(raw, lenient=lenient, on_stray=on_stray)
        problems = Problems()
        fields = _without_sources(spec, problems, lenient=lenient)
        fields["sources"] = _sources(spec, problems)
        try:
            parsed = super().parse(raw | {"spec": fields}, lenient=lenient, on_stray=on_stray and problems.extend)
        except InvalidObject as error:
            problems.extend(error.problems)
            raise InvalidObject(list(problems)) from error
        if problems.errors or (problems and on_stray is None):
            raise InvalidObject(list(problems))
        if on_stray is not None:
            on_stray(problems)
        return parsed


def _without_sources(spec: dict[Any, Any], problems: Problems, *, lenient: bool) -> dict[Any, Any]:
    """The fields that are no source types; an unknown key may be meant as either."""
    known = [field.alias or name for name, field in EventSourceSpec.model_fields.items() if name != "sources"]
    for key in spec:
        if key not in known and key not in SOURCES and not lenient:
            cure = f"fields: {', '.join(known)}; event sources: {', '.join(SOURCES)}"
            what = "unknown event source or field"
            problem = unknown(f"spec.{key}", str(key), (*known, *SOURCES.keys()), what, cure, tolerated=("type",))
            # A map is meant as an event source, and without it the object does not do what it says.
            problems.extend([replace(problem, severity=Severity.ERROR) if isinstance(spec[key], dict) else problem])
    return {key: value for key, value in spec.items() if key in known}


def _sources(spec: dict[Any, Any], problems: Problems) -> dict[str, dict[str, Any]]:
    """Source type -> event name -> spec. An event without a spec has an empty one, as in Go."""
    found: dict[str, dict[str, Any]] = {}
    for key, events in spec.items():
        if key not in SOURCES or events is None:
            continue
        if not isinstance(events, dict):
            problems.error(f"spec.{key}", "should be a map from event name to what the event listens to")
            continue
        found[key] = {}
        for name, event in events.items():
            if not isinstance(name, str):
                problems.error(f"spec.{key}", f"event name {name!r} should be text", "put it in quotes")
            found[key][str(name)] = {} if event is None else event
    return found
