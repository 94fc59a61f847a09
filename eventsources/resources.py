"""What the controller makes for an EventSource: ConfigMap, Deployment, Service. Pure. Contract: eventsources 1.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.errors import UserError
from events.kube import carried, objects, pods
from events.kube.api import Object
from events.resources import Template
from eventsources import references, validation
from eventsources.stored import Stored
from eventsources.types import EventSource, Service

_MAX_SERVICE_NAME = 63
_PRIVILEGED = 1024


def resources(
    raw: Object, stored: Stored, bus: Mapping[str, Any], settings: pods.PodSettings, *, name: str
) -> tuple[Object, Object, Object | None]:
    """ConfigMap, Deployment and, when it wants one, Service of what can run of `raw`.

    ConfigMap and Deployment are for a Deployment called `name`; `bus` is the BusConfig that its pods get. UserError
    when the object cannot become a Deployment.
    """
    event_source = stored.event_source
    assert event_source is not None
    spec = event_source.spec
    parcel = carried.Parcel(carried.told(raw, pods.EVENT_SOURCE.kind, stored.raw_spec), bus)
    workload = pods.Workload(
        role=pods.EVENT_SOURCE,
        owner=raw,
        template=spec.template or Template(),
        replicas=spec.replicas,
        references=[ref for _, ref in references.named(event_source)],
        bus=bus,
        files=parcel.files,
        checksum=parcel.checksum,
        processes=max(1, spec.workers or 1),
        has_low_ports=_has_low_ports(event_source),
    )
    config_map = parcel.config_map(name, raw, pods.EVENT_SOURCE)
    return config_map, pods.deployment(workload, name, settings), service(raw, spec.service)


def service_name(name: str) -> str:
    """The name of an EventSource's Service."""
    return f"{name}-eventsource-svc"


def service(raw: Object, wanted: Service | None) -> Object | None:
    """The Service; None when there is none to be. UserError when its name would be too long."""
    if wanted is None or not wanted.ports:
        return None
    name = raw["metadata"]["name"]
    if len(service_name(name)) > _MAX_SERVICE_NAME:
        message = f"the Service would be called {service_name(name)!r}, which is longer than {_MAX_SERVICE_NAME}"
        raise UserError(message, path="metadata.name", cure="use a shorter name, or remove spec.service")
    own = wanted.metadata
    meta: Object = {
        "name": service_name(name),
        **pods.metadata(raw, pods.EVENT_SOURCE, own.labels if own else None),
    }
    if own and own.annotations:
        meta["annotations"] = dict(own.annotations)
    spec: Object = {"type": "ClusterIP", "ports": wanted.ports, "selector": pods.EVENT_SOURCE.labels(name)}
    if wanted.cluster_ip:
        spec["clusterIP"] = wanted.cluster_ip
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": objects.copied(spec)}


def _has_low_ports(event_source: EventSource) -> bool:
    """Whether it listens where only root may on some nodes."""
    ports = [spec.port for _, spec in validation.endpoints(event_source)]
    return any(port.isascii() and port.isdigit() and 0 < int(port) < _PRIVILEGED for port in ports)
