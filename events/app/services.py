"""`keryx sensor-service` and `keryx eventsource-service`: one object in a pod, told by its environment (0.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eventbus import connecting
from eventbus.base import Bus
from eventbus.types import BusConfig
from events import yamls
from events.clients import Clients
from events.credentials import MOUNTED, Credentials
from events.errors import UserError
from events.kube.api import KubeApi
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.settings import Settings

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
Serve = Callable[[Process, Bus, Clients], Awaitable[None]]


def with_object(settings: Settings, path: Path) -> Settings:
    """Settings whose object comes from a file (`--object FILE`), for both services."""
    try:
        raw = yamls.load_one(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", path=str(path)) from error
    if not isinstance(raw, dict):
        raise UserError("is not an object", path=str(path))
    return replace(settings, sensor_object=raw, event_source_object=raw)


async def sensor(settings: Settings, version: str) -> int:
    """Run the sensor of SENSOR_OBJECT; the exit code."""
    from sensors.service import SensorService
    from sensors.types import Sensor

    raw = _object(settings.sensor_object, "Sensor", "SENSOR_OBJECT")
    parsed = Sensor.parse(raw, lenient=True)
    namespace = _namespace(settings, raw)
    log = Log("sensor")

    async def serve(process: Process, bus: Bus, clients: Clients) -> None:
        service = SensorService(
            parsed,
            bus,
            clients,
            process.metrics,
            process.readiness,
            log,
            namespace=namespace,
            grace=process.grace,
        )
        process.started()
        await service.run(process.stopping)

    return await _run(settings, version, namespace, f"sensor {parsed.metadata.name}", log, serve)


async def event_source(settings: Settings, version: str) -> int:
    """Run the event source of EVENTSOURCE_OBJECT; the exit code."""
    from eventsources.http.server import HttpServers
    from eventsources.service import EventSourceService, Shared
    from eventsources.types import EventSource

    raw = _object(settings.event_source_object, "EventSource", "EVENTSOURCE_OBJECT")
    parsed = EventSource.parse(raw, lenient=True)
    namespace = _namespace(settings, raw)
    log = Log("eventsource")

    async def serve(process: Process, bus: Bus, clients: Clients) -> None:
        http = HttpServers()
        try:
            shared = Shared(bus, clients, http, process.metrics, process.readiness, log, namespace)
            service = EventSourceService(parsed, shared)
            process.started()
            await service.run(process.stopping)
        finally:
            await http.aclose()

    return await _run(settings, version, namespace, f"eventsource {parsed.metadata.name}", log, serve)


def _object(raw: dict[str, Any] | None, kind: str, variable: str) -> dict[str, Any]:
    if raw is None:
        raise UserError("required", path=variable, cure="base64 of the object's JSON, or --object FILE")
    if raw.get("kind", kind) not in (kind, ""):
        raise UserError(f"has a {raw['kind']}, not a {kind}", path=variable, cure="look at the name of the command")
    # The controllers hand on metadata, spec and status only.
    return {"apiVersion": "", "kind": kind, **raw}


def _namespace(settings: Settings, raw: dict[str, Any]) -> str:
    metadata = raw.get("metadata")
    named = (metadata.get("namespace") if isinstance(metadata, dict) else "") or settings.namespace
    if not named and _NAMESPACE_FILE.is_file():
        named = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    return str(named or "default")


async def _run(settings: Settings, version: str, namespace: str, name: str, log: Log, serve: Serve) -> int:
    """Connect the bus, serve, wind down."""
    config = BusConfig.parse(settings.bus_config or {}, lenient=True)
    process = Process(Metrics(version), log, grace=settings.grace, metrics_port=settings.metrics_port)
    credentials = Credentials((MOUNTED,))
    clients = Clients(credentials, lambda: _kube(settings), script_seconds=settings.script_seconds)
    auth_file = Path(settings.bus_auth_file)
    bus = connecting.bus(
        config,
        namespace,
        name=f"{settings.pod_name} {name}",
        credentials=credentials,
        auth_file=auth_file,
        metrics=process.metrics,
        log=log,
    )

    async def work(process: Process) -> None:
        await bus.start()
        try:
            await serve(process, bus, clients)
        finally:
            try:
                await bus.aclose()
            finally:
                await clients.aclose()

    return await process.run(work)


def _kube(settings: Settings) -> KubeApi:
    from events.kube.client import KubeClient

    return KubeClient(settings.kubeconfig or None)
