"""The one function per kind that says whether an object is accepted: for lint, `keryx run` and admission."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from eventbus import validation as bus_validation
from events.verdict import Verdict
from eventsources import validation as source_validation
from sensors import validation as sensor_validation

BY_KIND: Mapping[str, Callable[[Any], Verdict[Any]]] = MappingProxyType(
    {
        "EventBus": bus_validation.verdict,
        "EventSource": source_validation.verdict,
        "Sensor": sensor_validation.verdict,
    }
)
