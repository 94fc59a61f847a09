"""Objects that parameters have changed, read again as Go's JSON decoder reads them. Contract: sensors C.4.

Names match without regard to case, unknown ones are dropped, null is as good as nothing, the last of several wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

import orjson
from pydantic import BaseModel

from events.errors import InvalidObject, ParameterError
from events.model import Model
from sensors.registry import TRIGGERS
from sensors.types import TriggerTemplate

ModelT = TypeVar("ModelT", bound=Model)


def document(template: TriggerTemplate) -> str:
    """A template as the JSON that its parameters are applied to."""
    return orjson.dumps(template.wire() | template.kinds).decode()


def template(text: str) -> TriggerTemplate:
    """A template from JSON; ParameterError when it is not one."""
    raw = _object(text)
    fields: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    folded = {key.casefold(): key for key in TRIGGERS}
    for name, value in raw.items():
        kind = folded.get(name.casefold())
        if kind is None:
            fields[name] = value
        elif value is not None:
            kinds[kind] = _kind(kind, value)
    try:
        return TriggerTemplate.parse(conform(TriggerTemplate, fields) | kinds, lenient=True)
    except InvalidObject as error:
        raise ParameterError(f"the parameters do not fit the template: {error}") from error


def read(model: type[ModelT], text: str) -> ModelT:
    """A spec from JSON; ParameterError when it is not one."""
    return _parse(model, conform(model, _object(text)))


def conform(model: type[BaseModel], raw: Any) -> Any:
    """`raw` in the names of the model; whatever else is wrong with it is left for the model to say."""
    if not isinstance(raw, dict):
        return raw
    fields, conformed = _fields(model), {}
    for name, value in raw.items():
        known = fields.get(name.casefold())
        if known is not None and value is not None:
            conformed[known[0]] = _conform_value(known[1], value)
    return conformed


def _object(text: str) -> dict[str, Any]:
    try:
        raw = orjson.loads(text)
    except ValueError as error:
        raise ParameterError(f"the parameters leave no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ParameterError("the parameters leave no JSON object")
    return raw


def _kind(kind: str, raw: Any) -> Any:
    spec = TRIGGERS.load(kind).Spec
    conformed = conform(spec, raw)
    _parse(spec, conformed, f"{kind}.")
    return conformed


def _parse(model: type[ModelT], raw: Any, prefix: str = "") -> ModelT:
    try:
        return model.parse(raw, lenient=True)
    except InvalidObject as error:
        problems = "; ".join(f"{prefix}{problem}" for problem in error.problems)
        raise ParameterError(f"the parameters do not fit: {problems}") from error


@lru_cache(maxsize=128)
def _fields(model: type[BaseModel]) -> Mapping[str, tuple[str, Any]]:
    """Folded wire name -> wire name, type."""
    named = ((field.alias or name, field.annotation) for name, field in model.model_fields.items() if not field.exclude)
    return MappingProxyType({wire.casefold(): (wire, annotation) for wire, annotation in named})


def _conform_value(annotation: Any, value: Any) -> Any:
    """A value of a field: models inside lists, maps and unions are found, everything else is data."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return conform(annotation, value)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list and isinstance(value, list):
        return [_conform_value(inner[0], one) for one in value]
    if origin is dict:
        return {key: _conform_value(inner[1], one) for key, one in value.items()} if isinstance(value, dict) else value
    for one in inner if origin is not list else ():
        conformed = _conform_value(one, value)
        if conformed is not value:
            return conformed
    return value
