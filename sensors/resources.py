"""What the controller makes for a Sensor: Deployment, and the ConfigMap its pods read. Pure. Contract: sensors F.6."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.kube import carried, pods
from events.kube.api import Object
from events.resources import Template
from sensors import references
from sensors.stored import Stored


def resources(
    raw: Object,
    stored: Stored,
    bus: Mapping[str, Any],
    since: Mapping[str, Any],
    settings: pods.PodSettings,
    *,
    name: str,
) -> tuple[Object, Object]:
    """ConfigMap and Deployment of what can run of `raw`; both are for a Deployment called `name`.

    `bus` is the BusConfig that its pods get. UserError when the object cannot become a Deployment.
    """
    sensor = stored.sensor
    assert sensor is not None
    parcel = carried.Parcel(carried.told(raw, pods.SENSOR.kind, stored.raw_spec), bus, since)
    workload = pods.Workload(
        role=pods.SENSOR,
        owner=raw,
        template=sensor.spec.template or Template(),
        replicas=sensor.spec.replicas,
        references=[ref for _, ref in references.named(sensor)],
        bus=bus,
        files=parcel.files,
        checksum=parcel.checksum,
        history=sensor.spec.revision_history_limit,
    )
    return parcel.config_map(name, raw, pods.SENSOR), pods.deployment(workload, name, settings)


def appeared(raw: Object, stored: Stored, known: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """When each trigger first appeared: what is `known` stays; a new one appears now, a new Sensor's with the Sensor.

    A trigger without a checkpoint starts there, so that what arrived before its pod is not missed. While a trigger's
    name cannot be read, it may be any that was known: none of those is forgotten.
    """
    seen = f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"
    moment = seen if known is not None else str(raw["metadata"].get("creationTimestamp") or seen)
    listed = (known or {}).get("triggers")
    before = listed if isinstance(listed, dict) else {}
    names = stored.names if stored.knows_all else stored.names | before.keys()
    return {
        "triggers": {name: str(before.get(name, moment)) for name in sorted(names)},
        "complete": stored.knows_all,
    }
