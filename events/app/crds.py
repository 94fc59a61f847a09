"""The custom resource definitions, made from the models. Contract: sensors G.1.

Every field is typed and described, so that `kubectl explain` teaches and a mistyped key is refused at apply. Types are
all that is demanded: what an API server refuses, it refuses at every write, also of a status or a finalizer, so
`required`, `enum` or `pattern` would leave an object of another version impossible to mend or to delete. What else is
wrong with an object is for validation to say. Anything goes where objects of Kubernetes are embedded, where
`dlqTrigger` recurs, and where Argo Events takes any JSON.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from eventbus.types import EventBusSpec, EventBusStatus
from events.model import Model
from events.resources import Condition, Status
from eventsources.registry import SOURCES
from eventsources.types import EventSourceSpec
from sensors.artifacts.locations import ArtifactLocation
from sensors.registry import TRIGGERS
from sensors.types import EventContext, SensorSpec, TriggerTemplate

Schema = dict[str, Any]

GROUP, VERSION = "argoproj.io", "v1alpha1"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
_SCALARS: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
# Argo Events keeps any JSON there and looks at it when it is used.
_ANY_JSON = frozenset({(ArtifactLocation, "resource")})
_TIMES = frozenset({(Condition, "last_transition_time"), (EventContext, "time")})
_WITHOUT_EFFECT = {PRESERVE: True, "description": "Has no effect; manifests that are in use have it."}
_LABELS = {"app.kubernetes.io/name": "keryx", "app.kubernetes.io/part-of": "keryx"}


def definitions() -> list[dict[str, Any]]:
    """The three CustomResourceDefinitions, in the order of their names."""
    return [
        _definition("EventBus", "eventbus", "eb", "A bus that carries events.", EventBusSpec, EventBusStatus, _BUS),
        _definition("EventSource", "eventsources", "es", "Where events come from.", EventSourceSpec, Status, _SOURCE),
        _definition("Sensor", "sensors", "sn", "What is done about events.", SensorSpec, Status, _SENSOR),
    ]


def _column(name: str, path: str, text: str, *, wide: bool = False, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, "description": text} | ({"priority": 1} if wide else {})


# Of several conditions that are not true a cell shows the first one: they are sorted by type.
_WRONG = '.status.conditions[?(@.status!="True")]'
_BUS_NAME = _column("Bus", ".spec.eventBusName", "The EventBus; `default` when empty.", wide=True)
_BUS = [
    _column("Servers", ".spec.jetstream.replicas", "Servers of a JetStream; 3 when empty.", wide=True, kind="integer"),
    _column("URL", ".status.config.jetstream.url", "Where clients find it.", wide=True),
]
_SOURCE = [_BUS_NAME]
_SENSOR = [_BUS_NAME]


def _columns(more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Is it working, and if not, why not."""
    return [
        _column("Ready", '.status.conditions[?(@.type=="Deployed")].status', "Whether it works."),
        _column("Reason", f"{_WRONG}.reason", "Why it does not work, or not all of it."),
        *more,
        _column("Message", f"{_WRONG}.message", "What to do about it.", wide=True),
        _column("Age", ".metadata.creationTimestamp", "How long ago it was made.", kind="date"),
    ]


def _definition(
    kind: str,
    plural: str,
    short: str,
    text: str,
    spec: type[Model],
    status: type[Model],
    columns: list[dict[str, Any]],
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": text,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind},
            "metadata": {"type": "object"},
            "spec": _model(spec, ()) | {"description": _text(spec)},
            "status": _model(status, ()) | {"description": "What the controller has seen; written by it alone."},
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(columns),
        "schema": {"openAPIV3Schema": schema},
    }
    singular = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": dict(_LABELS)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
            },
            "versions": [version],
        },
    }


# -- from models to schemas


def _model(model: type[BaseModel], inside: tuple[type[BaseModel], ...]) -> Schema:
    """The object that a model describes; `inside` are the models around it. What recurs is open the second time."""
    if inside.count(model) > 1:
        return {"type": "object", PRESERVE: True}
    here = (*inside, model)
    properties: dict[str, Schema] = {}
    for name, field in model.model_fields.items():
        if not field.exclude:
            properties[field.alias or name] = _field(model, name, field, here)
    properties |= dict(_gathered(model, here))
    for key in sorted(getattr(model, "tolerated", ())):
        properties[key] = dict(_WITHOUT_EFFECT)
    schema: Schema = {"type": "object", "properties": properties}
    if model is Condition:
        schema["required"] = ["type", "status"]
    if model.model_config.get("extra") == "allow":
        schema[PRESERVE] = True
    return schema


def _field(model: type[BaseModel], name: str, field: FieldInfo, inside: tuple[type[BaseModel], ...]) -> Schema:
    if (model, name) in _ANY_JSON:
        schema: Schema = {PRESERVE: True}
    elif (model, name) in _TIMES:
        schema = {"type": "string"}
    else:
        schema = _typed(field.annotation, inside)
    if field.description:
        schema["description"] = field.description
    if schema.get("items", {}).get("properties", {}).keys() >= {"type", "status", "lastTransitionTime"}:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return schema


def _typed(annotation: Any, inside: tuple[type[BaseModel], ...]) -> Schema:
    """The schema of a type."""
    if kind := _SCALARS.get(annotation):
        return {"type": kind}
    origin, arguments = get_origin(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if annotation is Any:
        return {PRESERVE: True}
    if origin is typing.Annotated:
        return _typed(arguments[0], inside)
    if origin in (typing.Union, types.UnionType):
        if len(arguments) == 1:
            return _typed(arguments[0], inside)
        if set(arguments) == {int, str}:
            return {"x-kubernetes-int-or-string": True}
    if origin is list:
        return {"type": "array", "items": _typed(arguments[0], inside)}
    if origin is dict:
        values = arguments[1]
        if values is Any:
            return {"type": "object", PRESERVE: True}
        return {"type": "object", "additionalProperties": _typed(values, inside)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = _text(annotation)
        return _model(annotation, inside) | ({"description": text} if text else {})
    raise TypeError(f"no schema for {annotation!r}")


def _gathered(model: type[BaseModel], inside: tuple[type[BaseModel], ...]) -> Iterator[tuple[str, Schema]]:
    """What the registries add: the kinds of triggers and of event sources."""
    if model is TriggerTemplate:
        for key in TRIGGERS:
            trigger = TRIGGERS.load(key).Spec
            yield key, _model(trigger, inside) | {"description": _text(trigger)}
    elif model is EventSourceSpec:
        for key in SOURCES:
            spec = SOURCES.load(key).Spec
            # An event without a spec stays: it is one whose fields all have their defaults.
            event = _model(spec, inside) | {"nullable": True}
            yield key, {"type": "object", "description": f"{_text(spec)} By event name.", "additionalProperties": event}
        yield "type", dict(_WITHOUT_EFFECT)


def _text(model: type[BaseModel]) -> str:
    """What a model's docstring says to users: its first line, without where that is written."""
    first = (model.__doc__ or "").strip().partition("\n")[0]
    return re.sub(r"\s*(Contract:? .*|\((eventsources|sensors) [^)]*\)(?=\.))", "", first).strip()
