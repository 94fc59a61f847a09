"""The bus of a Sensor or EventSource, for its controller. Contract: sensors F.6, E.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventbus import resources
from eventbus.roles import Role
from events.errors import UserError
from events.kube import conditions
from events.kube.api import Object
from events.kube.conditions import Condition
from events.kube.informer import Informer
from events.kube.rollout import DEPLOYED

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of it."""

    config: Mapping[str, Any] | None
    """The BusConfig for the pods of this role; None: there is none yet."""
    problem: Condition | None = None
    """Why nothing can be expected of the bus now."""


def name_of(raw: Object) -> str:
    """The name of the EventBus that an object uses."""
    spec = raw.get("spec")
    name = spec.get("eventBusName") if isinstance(spec, dict) else None
    return name if isinstance(name, str) and name else DEFAULT


def find(buses: Informer, raw: Object, role: Role) -> Found:
    """The bus of an object, and whether it is ready."""
    name = name_of(raw)
    bus = buses.get(raw["metadata"].get("namespace") or "", name)
    if bus is None:
        text = f"there is no EventBus {name!r} in this namespace"
        return Found(None, Condition(DEPLOYED, "False", "EventBusNotFound", text))
    config = client_config(bus, role)
    if config is None or not conditions.ready(bus):
        return Found(config, Condition(DEPLOYED, "False", "EventBusNotReady", f"EventBus {name!r}: {_why(bus)}"))
    return Found(config)


def client_config(bus: Object, role: Role) -> Mapping[str, Any] | None:
    """The BusConfig of a bus for pods of a role; None: there is none yet."""
    status = bus.get("status")
    found = status.get("config") if isinstance(status, dict) else None
    if not isinstance(found, dict) or not found:
        return None
    try:
        return resources.client_config(bus, role)[0].wire() or None
    except UserError:
        return found  # what it says was of use once


def _why(bus: Object) -> str:
    found = [one for one in conditions.all_of(bus) if one.get("status") != "True"]
    told = "; ".join(
        str(one.get("message") or one.get("reason")) for one in found if one.get("message") or "reason" in one
    )
    return told or "it is not ready yet"
