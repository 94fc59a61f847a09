"""Secrets and config maps that objects name, and which of them are nowhere to be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from events.app.data_directory import Values
from events.credentials import SecretRef
from events.model import Model
from events.problems import Problem, Severity, did_you_mean
from events.references import Found, walk
from eventsources import references as event_sources
from eventsources.types import EventSource
from sensors import references as sensors
from sensors.types import Sensor


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
        return event_sources.named(model)
    if isinstance(model, Sensor):
        return sensors.used(model)
    return walk(model, "")
