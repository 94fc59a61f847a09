"""Secrets and config maps that objects name, and which of them are nowhere to be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from events.app.data_directory import Values
from events.credentials import ConfigMapRef, SecretRef
from events.errors import UserError
from events.model import Model
from events.problems import Problem, Severity, did_you_mean, join
from events.registry import Registry
from eventsources.registry import SOURCES
from eventsources.types import EventSource
from sensors.registry import PRECEDENCE, TRIGGERS
from sensors.types import TriggerTemplate

Found = Iterator[tuple[str, SecretRef | ConfigMapRef]]


def problems(model: Model, values: Values, roots: Sequence[Path]) -> Iterator[Problem]:
    """A problem for each reference of an object to what is neither in `values` nor in a file below a root."""
    for path, ref in _references(model):
        is_secret = isinstance(ref, SecretRef)
        folder, kind = ("secrets", "Secret") if is_secret else ("config", "ConfigMap")
        if not (ref.name and ref.key):
            continue  # reported by the object's own validation
        if ref.key in values.get((folder, ref.name), {}):
            continue
        if any((root / folder / ref.name / ref.key).is_file() for root in roots):
            continue
        if (folder, ref.name) in values:
            message = f"{kind} {ref.name!r} has no key {ref.key!r}"
            cure = did_you_mean(ref.key, values[folder, ref.name])
        else:
            message = f"there is no {kind} {ref.name!r}"
            cure = did_you_mean(ref.name, [name for of, name in values if of == folder])
        cure = cure or f"add it to the files, or give --credentials DIR with the file {folder}/{ref.name}/{ref.key}"
        yield Problem(path, message, cure, Severity.WARNING if ref.optional else Severity.ERROR)


def _references(model: Model) -> Found:
    """Every reference of an object, with its field path."""
    if isinstance(model, EventSource):
        for key, events in model.spec.sources.items():
            for name, raw in events.items():
                yield from _of_raw(SOURCES, key, raw, f"spec.{key}.{name}")
    yield from _walk(model, "")


def _walk(value: Any, path: str) -> Found:
    if isinstance(value, SecretRef | ConfigMapRef):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if not field.exclude:
                yield from _walk(getattr(value, name), join(path, field.alias or name))
        if isinstance(value, TriggerTemplate):
            yield from _of_template(value, path)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _walk(one, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _walk(one, join(path, str(key)))


def _of_template(template: TriggerTemplate, path: str) -> Found:
    kind = next((kind for kind in PRECEDENCE if kind in template.kinds), None)
    if kind is not None:
        yield from _of_raw(TRIGGERS, kind, template.kinds[kind], join(path, kind))


def _of_raw(table: Registry[Any], key: str, raw: Any, path: str) -> Found:
    """References of an adapter's part; one that cannot be read has been reported by its own validation."""
    try:
        yield from _walk(table.load(key).Spec.parse(raw, lenient=True), path)
    except UserError:
        return
