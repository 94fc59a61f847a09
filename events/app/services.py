"""`keryx sensor-service` and `keryx eventsource-service`: one object in a pod, told by its environment (0.4).

Our controllers name mounted files in it; what Argo Events puts into variables is taken as well.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventbus import connecting
from eventbus.base import Bus, Session
from eventbus.roles import Role
from eventbus.types import BusConfig
from events import mounted, yamls
from events.clients import Clients
from events.credentials import MOUNTED, Credentials
from events.errors import UserError
from events.kube.api import KubeApi
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.settings import Settings

if TYPE_CHECKING:
    from eventsources.http.server import HttpServers
    from eventsources.types import EventSource

_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
WORKER_COMMAND = (sys.executable, "-P", "-m", "events.app.source_worker")
"""Starts a worker of an event source; the pid of this process and the number of the worker follow."""
OpenSession = Callable[[], Awaitable[Session]]
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
    """Run the sensor of KERYX_OBJECT_FILE or SENSOR_OBJECT; the exit code."""
    from sensors.removed import Appeared
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
            appeared=Appeared.of_wire(settings.since, log),
            session=_session(settings, namespace, f"sensor-{parsed.metadata.name}", clients, log),
            findings=process.findings,
        )
        process.started()
        await service.run(process.stopping)

    return await _run(settings, version, namespace, f"sensor {parsed.metadata.name}", log, serve, role="sensor")


async def event_source(settings: Settings, version: str) -> int:
    """Run the event source of KERYX_OBJECT_FILE or EVENTSOURCE_OBJECT; the exit code."""
    from eventsources.http.routes import HttpSettings
    from eventsources.http.server import HttpServers
    from eventsources.types import EventSource
    from eventsources.workers import supervisor

    raw = _object(settings.event_source_object, "EventSource", "EVENTSOURCE_OBJECT")
    parsed = EventSource.parse(raw, lenient=True)
    namespace = _namespace(settings, raw)
    log = Log("eventsource")
    if (workers := supervisor.count(parsed, log)) > 1:
        return await _supervise(parsed, workers, settings, version, namespace, log)

    http = HttpSettings(address=settings.address)

    async def serve(process: Process, bus: Bus, clients: Clients) -> None:
        session = _session(settings, namespace, f"eventsource-{parsed.metadata.name}", clients, log)
        await serve_source(parsed, process, bus, clients, HttpServers(http), log, namespace, session)

    return await _run(settings, version, namespace, f"eventsource {parsed.metadata.name}", log, serve, role="source")


async def serve_source(
    event_source: EventSource,
    process: Process,
    bus: Bus,
    clients: Clients,
    http: HttpServers,
    log: Log,
    namespace: str,
    session: OpenSession | None = None,
) -> None:
    """One event source as a process of its own, until it is to stop."""
    from eventsources.service import EventSourceService, Shared

    try:
        metrics, readiness, findings = process.metrics, process.readiness, process.findings
        shared = Shared(bus, clients, http, metrics, readiness, log, namespace, session=session, findings=findings)
        service = EventSourceService(event_source, shared)
        process.started()
        await service.run(process.stopping)
    finally:
        await http.aclose()


async def _supervise(
    event_source: EventSource, workers: int, settings: Settings, version: str, namespace: str, log: Log
) -> int:
    """Have workers do it."""
    from eventsources.workers.plan import BusPlan, Plan, Surroundings, wire_of
    from eventsources.workers.supervisor import Supervisor

    raw_bus = settings.bus_config or {}
    connecting.jetstream_config(BusConfig.parse(raw_bus, lenient=True))  # here it is said once
    process = _process(settings, version, log)
    plan = Plan(
        f"{settings.pod_name} eventsource {event_source.metadata.name}",
        namespace,
        wire_of(event_source),
        BusPlan(raw_bus, settings.bus_auth_file, role="source"),
        Surroundings([_secrets()], settings.grace, settings.log_level, settings.address, settings.kubeconfig),
    )

    async def work(process: Process) -> None:
        supervisor = Supervisor(
            event_source,
            workers,
            WORKER_COMMAND,
            plan,
            metrics=process.metrics,
            readiness=process.readiness,
            log=log,
            findings=process.findings,
        )
        process.started()
        await supervisor.run(process.stopping)

    return await process.run(work)


def _process(settings: Settings, version: str, log: Log) -> Process:
    return Process(
        Metrics(version),
        log,
        grace=settings.grace,
        metrics_port=settings.metrics_port,
        address=settings.address,
    )


def _object(raw: dict[str, Any] | None, kind: str, variable: str) -> dict[str, Any]:
    if raw is None:
        raise UserError(
            "required", path=variable, cure="base64 of the object's JSON; or KERYX_OBJECT_FILE, or --object FILE"
        )
    if raw.get("kind", kind) not in (kind, ""):
        raise UserError(f"has a {raw['kind']}, not a {kind}", path=variable, cure="look at the name of the command")
    # The controllers hand on metadata, spec and status only.
    return {"apiVersion": "", "kind": kind, **raw}


def _namespace(settings: Settings, raw: dict[str, Any]) -> str:
    metadata = raw.get("metadata")
    named = (metadata.get("namespace") if isinstance(metadata, dict) else "") or settings.namespace
    file = Path(mounted.where(_NAMESPACE_FILE))
    if not named and file.is_file():
        named = file.read_text(encoding="utf-8").strip()
    return str(named or "default")


def _secrets() -> str:
    """The folder of mounted Secrets and ConfigMaps."""
    return mounted.where(str(MOUNTED))


async def _run(
    settings: Settings, version: str, namespace: str, name: str, log: Log, serve: Serve, *, role: Role
) -> int:
    """Connect the bus, serve, wind down."""
    config = BusConfig.parse(settings.bus_config or {}, lenient=True)
    process = _process(settings, version, log)
    credentials = Credentials((Path(_secrets()),))
    clients = Clients(credentials, lambda: kube(settings.kubeconfig), limits=settings.script_limits)
    auth_file = Path(settings.bus_auth_file)
    bus = connecting.bus(
        config,
        namespace,
        name=f"{settings.pod_name} {name}",
        credentials=credentials,
        auth_file=auth_file,
        metrics=process.metrics,
        log=log,
        role=role,
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


def _session(settings: Settings, namespace: str, lease: str, clients: Clients, log: Log) -> OpenSession | None:
    """Ownership by a Lease, where it is asked for; None: the bus's (contract B.9, eventsources 1.8)."""
    from eventbus import kubernetes_session as sessions

    if not sessions.asked_for(settings.leader_election):
        return None
    candidate = sessions.Candidate(namespace, lease, settings.pod_name)
    times = sessions.times(settings.election_times, log)
    return sessions.opener(sessions.KubernetesSession(clients.kube, candidate, log, times=times))


def kube(kubeconfig: str) -> KubeApi:
    """The Kubernetes API of a file; empty: of the pod."""
    from events.kube.client import KubeClient

    return KubeClient(kubeconfig or None)
