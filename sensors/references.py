"""Which secrets and config maps a Sensor names. Contract: sensors 0.2."""

from __future__ import annotations

from pydantic import BaseModel

from events.problems import join
from events.references import Found, of_raw, walk
from sensors.registry import PRECEDENCE, TRIGGERS
from sensors.types import Sensor, TriggerTemplate


def used(sensor: Sensor) -> Found:
    """Those that its triggers use: of several kinds in a template, only the first counts."""
    return walk(sensor, "", _first)


def named(sensor: Sensor) -> Found:
    """All that it names, also where it has no effect."""
    return walk(sensor, "", _all)


def _first(model: BaseModel, path: str) -> Found:
    if isinstance(model, TriggerTemplate):
        kind = next((kind for kind in PRECEDENCE if kind in model.kinds), None)
        if kind is not None:
            yield from of_raw(TRIGGERS, kind, model.kinds[kind], join(path, kind))


def _all(model: BaseModel, path: str) -> Found:
    if isinstance(model, TriggerTemplate):
        for kind, raw in model.kinds.items():
            yield from of_raw(TRIGGERS, kind, raw, join(path, kind))
