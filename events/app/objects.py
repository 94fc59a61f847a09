"""The objects of a run: manifests parsed, validated one by one and against each other. All problems at once."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from eventbus import validation as bus_validation
from eventbus.types import EventBus
from events.app.documents import Document
from events.model import Model
from events.problems import Problem, Problems, did_you_mean
from events.resources import API_VERSION
from events.verdict import Verdict
from eventsources import validation as source_validation
from eventsources.types import EventSource
from sensors import validation as sensor_validation
from sensors.registry import PRECEDENCE, TRIGGERS
from sensors.types import Sensor

DEFAULT_NAMESPACE = "default"
DEFAULT_BUS = "default"
_OURS = ("EventBus", "EventSource", "Sensor")
_READ = (*_OURS, "Secret", "ConfigMap")
_OTHERS = (
    "AnalysisRun",
    "AnalysisTemplate",
    "AppProject",
    "Application",
    "ApplicationSet",
    "ClusterAnalysisTemplate",
    "ClusterWorkflowTemplate",
    "CronWorkflow",
    "Experiment",
    "Rollout",
    "Workflow",
    "WorkflowEventBinding",
    "WorkflowTemplate",
)
"""Kinds of the same API group that are other controllers' concern."""
_MEANT = re.compile("(?i)(secret|config-?map)s?")
_NAME = re.compile(r"[-._A-Za-z0-9]+")
M = TypeVar("M", bound=Model)
Fingerprint = dict[Path, tuple[int, int, int]]
"""File -> what tells that it was changed."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Objects:
    """What a set of manifests describes, with the place of each."""

    buses: dict[Key, EventBus] = field(default_factory=dict)
    sources: dict[Key, EventSource] = field(default_factory=dict)
    sensors: dict[Key, Sensor] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    """("secrets" | "config", name) -> key -> value."""
    places: dict[tuple[str, Key], Document] = field(default_factory=dict)
    seen: Fingerprint = field(default_factory=dict)
    """What the files looked like when they were read."""

    def all(self) -> Iterator[tuple[Document, EventBus | EventSource | Sensor]]:
        """Every object that could be read, with its place."""
        tables: dict[str, Mapping[Key, EventBus | EventSource | Sensor]] = {
            "EventBus": self.buses,
            "EventSource": self.sources,
            "Sensor": self.sensors,
        }
        for kind, found in tables.items():
            for key, one in found.items():
                yield self.places[kind, key], one


def bus_of(key: Key, one: EventSource | Sensor) -> Key:
    """The EventBus that an object uses."""
    return Key(key.namespace, one.spec.event_bus_name or DEFAULT_BUS)


class Loader:
    """Parses and validates documents."""

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        self._namespace = namespace
        self.objects = Objects()
        self.problems: list[Problem] = []

    def load(self, documents: Iterable[Document], *, can_create: bool) -> None:
        """Take all documents. `can_create`: there is a Kubernetes API (or a dry run) to create objects in."""
        for document in documents:
            self.take(document)
        self._check_references(can_create)

    # ---- one document

    def take(self, document: Document) -> None:
        """Take one document, with the rules that hold for its object alone."""
        kind, version = document.raw.get("kind"), document.raw.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str):
            self._say(document, "", "apiVersion and kind are required")
        elif kind in _OURS:
            if version == API_VERSION:
                self._take_ours(document, kind)
            else:
                self._say(document, "apiVersion", f"{version!r} is not a version of {kind}", f"write {API_VERSION}")
        elif kind in ("Secret", "ConfigMap") and version == "v1":
            self._take_values(document, kind)
        elif (version == API_VERSION and kind not in _OTHERS) or (version == "v1" and _MEANT.fullmatch(kind)):
            cure = did_you_mean(kind, _READ) or f"known here: {', '.join(_READ)}"
            self._say(document, "kind", f"unknown kind {kind!r}", cure)
        # Other objects are no concern of this command.

    def _take_ours(self, document: Document, kind: str) -> None:
        metadata = document.raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not name:
            self._say(document, "metadata.name", "required")
            return
        assert isinstance(metadata, dict)
        namespace = metadata.get("namespace") or self._namespace
        if not isinstance(namespace, str):
            self._say(document, "metadata.namespace", f"{namespace!r} is not text", "put it in quotes")
            return
        key = Key(namespace, name)
        if (other := self.objects.places.get((kind, key))) is not None:
            self._say(document, "metadata.name", f"{kind} {key} is also in {other.file}", "keep one of them")
            return
        self.objects.places[kind, key] = document
        if kind == "EventBus":
            self._keep(document, key, bus_validation.verdict, self.objects.buses)
        elif kind == "EventSource":
            self._keep(document, key, source_validation.verdict, self.objects.sources)
        else:
            self._keep(document, key, sensor_validation.verdict, self.objects.sensors)

    def _keep(
        self, document: Document, key: Key, judge: Callable[[Mapping[str, Any]], Verdict[M]], into: dict[Key, M]
    ) -> None:
        verdict = judge(document.raw)
        self._add(document, verdict.problems)
        if verdict.parsed is not None:
            into[key] = verdict.parsed

    def _take_values(self, document: Document, kind: str) -> None:
        metadata = document.raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not _is_file_name(name):
            self._say(document, "metadata.name", f"{name!r} is not the name of a {kind}" if name else "required")
            return
        # One process, one set of credentials: namespaces do not keep them apart here.
        place = (kind, Key("", name))
        if (other := self.objects.places.get(place)) is not None:
            self._say(document, "metadata.name", f"{kind} {name} is also in {other.file}", "keep one of them")
            return
        self.objects.places[place] = document
        values: dict[str, bytes] = {}
        for field_name in ("data", "stringData", "binaryData"):
            raw = document.raw.get(field_name) or {}
            if not isinstance(raw, dict):
                self._say(document, field_name, "should be a map from key to value")
                continue
            is_base64 = field_name == "binaryData" or (kind == "Secret" and field_name == "data")
            for key, value in raw.items():
                self._take_value(document, f"{field_name}.{key}", str(key), value, values, is_base64=is_base64)
        self.objects.values["secrets" if kind == "Secret" else "config", name] = values

    def _take_value(
        self, document: Document, path: str, key: str, value: Any, values: dict[str, bytes], *, is_base64: bool
    ) -> None:
        if not _is_file_name(key):
            self._say(document, path, f"{key!r} cannot be a key", "use letters, digits, hyphens, dots, underscores")
        elif not isinstance(value, str):
            self._say(document, path, f"{value!r} is not text", "put it in quotes")
        elif not is_base64:
            values[key] = value.encode()
        else:
            try:
                values[key] = base64.b64decode("".join(value.split()), validate=True)
            except (binascii.Error, ValueError):
                self._say(document, path, "is not base64", "write it under stringData as it is")

    # ---- against each other

    def _check_references(self, can_create: bool) -> None:  # noqa: FBT001 - one caller
        objects = self.objects
        for kind, found in (("EventSource", objects.sources), ("Sensor", objects.sensors)):
            for key, one in found.items():
                self._check_bus(objects.places[kind, key], key, one)
        documents = {id(one): objects.places["EventSource", key] for key, one in objects.sources.items()}
        for one, problem in source_validation.clashes(list(objects.sources.values())):
            self._add(documents[id(one)], [problem])
        for key, sensor in objects.sensors.items():
            document = objects.places["Sensor", key]
            self._check_events(document, key, sensor)
            if not can_create:
                self._check_kube(document, sensor)

    def _check_bus(self, document: Document, key: Key, one: EventSource | Sensor) -> None:
        bus, name = bus_of(key, one), one.spec.event_bus_name
        if name in (None, "", DEFAULT_BUS) or ("EventBus", bus) in self.objects.places:
            return  # none is described: the embedded one; or it is there, perhaps with problems of its own
        known = [other.name for other in self.objects.buses if other.namespace == bus.namespace]
        self._say(document, "spec.eventBusName", f"there is no EventBus {name!r}", did_you_mean(str(name), known))

    def _check_events(self, document: Document, key: Key, sensor: Sensor) -> None:
        """A dependency on an event that nobody here publishes is odd, but other publishers may share the bus."""
        published = {
            (source.name, event)
            for source, one in self.objects.sources.items()
            if source.namespace == key.namespace
            for events in one.spec.sources.values()
            for event in events
        }
        for index, dependency in enumerate(sensor.spec.dependencies):
            topic = (dependency.event_source_name, dependency.event_name)
            if published and all(topic) and topic not in published:
                known = [f"{source}/{event}" for source, event in sorted(published)]
                problems = Problems(f"spec.dependencies[{index}]")
                problems.warn(
                    "", f"no event source here publishes {'/'.join(topic)}", did_you_mean("/".join(topic), known)
                )
                self._add(document, problems)

    def _check_kube(self, document: Document, sensor: Sensor) -> None:
        for index, trigger in enumerate(sensor.spec.triggers):
            kinds = trigger.template.kinds if trigger.template else {}
            kind = next((key for key in PRECEDENCE if key in kinds), "")
            if kind in TRIGGERS.rows and TRIGGERS.load(kind).needs_kube:
                self._say(
                    document,
                    f"spec.triggers[{index}].template.{kind}",
                    "there is no Kubernetes API to act on",
                    "give --kubeconfig FILE, or --dry-run to print what would be created",
                )

    # ---- saying it

    def _say(self, document: Document, path: str, message: str, cure: str = "") -> None:
        self._add(document, [Problem(path, message, cure)])

    def _add(self, document: Document, problems: Iterable[Problem]) -> None:
        self.problems += map(document.located, problems)


def _is_file_name(text: str) -> bool:
    """Names and keys become folders and files."""
    return _NAME.fullmatch(text) is not None and text not in (".", "..")
