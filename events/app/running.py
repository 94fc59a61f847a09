"""The objects of a run as running services: start what is described, stop what is not, leave the rest alone.

`apply` brings what runs to what is wanted; the first call starts everything, a reload is another call. Order: buses,
then sensors until they are subscribed, then sources: nothing is published before somebody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventbus import connecting
from eventbus.base import Bus
from eventbus.embedded import EmbeddedServer
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.jetstream.streams import StreamConfig
from eventbus.types import BusConfig, EventBus
from events.app.objects import Key, Objects
from events.clients import Clients
from events.model import Model
from events.process import Process
from eventsources.http.server import HttpServers
from eventsources.service import EventSourceService, Shared
from eventsources.types import EventSource
from sensors.service import SensorService
from sensors.types import Sensor

_SUBSCRIBED_SECONDS = 10.0


@dataclass(slots=True)
class Unit:
    """One running object."""

    model: Model
    task: asyncio.Task[None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self) -> None:
        """Ask it to stop and wait until it has; it keeps its own deadlines."""
        self.stopping.set()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass(slots=True)
class OpenBus:
    """A connection, and the server behind it when it is ours."""

    model: EventBus | None
    bus: JetStreamBus
    server: EmbeddedServer | None

    async def aclose(self) -> None:
        """Connection first, then the server."""
        await self.bus.aclose()
        if self.server is not None:
            await self.server.aclose()


class Running:
    """What runs now, by key."""

    def __init__(self, process: Process, clients: Clients, http: HttpServers, data: Path) -> None:
        self._process, self._clients, self._http, self._data = process, clients, http, data
        self._buses: dict[Key, OpenBus] = {}
        self._sensors: dict[Key, Unit] = {}
        self._sources: dict[Key, Unit] = {}

    async def apply(self, objects: Objects) -> None:
        """Bring what runs to `objects`. UserError when a bus of ours cannot be started."""
        await self._stop_changed(self._sources, objects.sources)
        await self._stop_changed(self._sensors, objects.sensors)
        await self._open_buses(objects)
        for key, sensor in objects.sensors.items():
            if key not in self._sensors:
                self._sensors[key] = self._start_sensor(key, sensor, objects)
        await self._until_subscribed()
        for key, source in objects.sources.items():
            if key not in self._sources:
                self._sources[key] = self._start_source(key, source, objects)

    async def _stop_changed(self, running: dict[Key, Unit], wanted: dict[Key, Any]) -> None:
        gone = [key for key, unit in running.items() if wanted.get(key) != unit.model]
        await asyncio.gather(*(running.pop(key).stop() for key in gone))

    async def _until_subscribed(self) -> None:
        """Sources wait for the sensors, but not for ever: a bus that is away is answered with 503."""
        deadline = asyncio.get_running_loop().time() + _SUBSCRIBED_SECONDS
        while any(part.startswith("sensor ") for part in self._process.readiness.reasons):
            if asyncio.get_running_loop().time() > deadline or self._process.stopping.is_set():
                return
            await asyncio.sleep(0.01)

    # ---- buses

    async def _open_buses(self, objects: Objects) -> None:
        wanted: dict[Key, EventBus | None] = {}
        for owners in (objects.sensors, objects.sources):
            for key, one in owners.items():
                bus = objects.bus_key(key, one.spec.event_bus_name)
                wanted[bus] = objects.buses.get(bus)
        changed = [key for key, opened in self._buses.items() if key not in wanted or opened.model != wanted[key]]
        for key in changed:
            await self._close_bus(key)
        for key, model in wanted.items():
            if key not in self._buses:
                self._buses[key] = await self._open_bus(key, model)

    async def _close_bus(self, key: Key) -> None:
        """Whoever uses the bus stops first, and is started again with the new one."""
        for units in (self._sources, self._sensors):
            users = [name for name, unit in units.items() if _bus_of(name, unit.model) == key]
            await asyncio.gather(*(units.pop(name).stop() for name in users))
        await self._buses.pop(key).aclose()

    async def _open_bus(self, key: Key, model: EventBus | None) -> OpenBus:
        exotic = model.spec.jetstream_exotic if model else None
        name = f"keryx run {key}"
        if exotic is not None:
            bus = connecting.bus(
                BusConfig(jetstream=exotic),
                key.namespace,
                name=name,
                credentials=self._clients.credentials,
                auth_file=None,
                metrics=self._process.metrics,
                log=self._process.log,
            )
            await bus.start()
            return OpenBus(model, bus, None)
        server = EmbeddedServer(self._data / "bus" / key.namespace / key.name)
        await server.__aenter__()
        try:
            bus = self._embedded_bus(key, model, server, name)
            await bus.start()
        except BaseException:
            await server.aclose()
            raise
        return OpenBus(model, bus, server)

    def _embedded_bus(self, key: Key, model: EventBus | None, server: EmbeddedServer, name: str) -> JetStreamBus:
        text = model.spec.jetstream.stream_config if model and model.spec.jetstream else None
        config = StreamConfig.parse(text or "")
        bus = JetStreamBus(
            lambda: Access(server.url, server.username, server.password),
            key.namespace,
            name=name,
            log=self._process.log.bind(bus=str(key)),
            # One server, whatever the object says of a cluster's.
            stream=StreamConfig(
                config.max_msgs,
                config.max_bytes,
                config.max_age,
                1,
                config.duplicates,
                config.retention,
                config.discard,
            ),
            is_alone=True,
        )
        connecting.watch(bus, self._process.metrics)
        return bus

    # ---- sensors and sources

    def _start_sensor(self, key: Key, sensor: Sensor, objects: Objects) -> Unit:
        process = self._process
        service = SensorService(
            sensor,
            self._bus(key, sensor, objects),
            self._clients,
            process.metrics,
            process.readiness,
            process.log,
            namespace=key.namespace,
            grace=process.grace,
        )
        return self._unit(sensor, service.run, f"sensor {key}")

    def _start_source(self, key: Key, source: EventSource, objects: Objects) -> Unit:
        process = self._process
        bus = self._bus(key, source, objects)
        shared = Shared(bus, self._clients, self._http, process.metrics, process.readiness, process.log, key.namespace)
        return self._unit(source, EventSourceService(source, shared).run, f"event source {key}")

    def _bus(self, key: Key, model: Sensor | EventSource, objects: Objects) -> Bus:
        return self._buses[objects.bus_key(key, model.spec.event_bus_name)].bus

    def _unit(self, model: Model, run: Callable[[asyncio.Event], Awaitable[None]], name: str) -> Unit:
        stopping = asyncio.Event()

        async def keep() -> None:
            try:
                await run(stopping)
            except Exception as error:
                self._process.log.exception(f"{name} ended by a defect", error)

        return Unit(model, asyncio.create_task(keep(), name=name), stopping)

    async def aclose(self) -> None:
        """Sources first, so that nothing new comes; then sensors finish; then the buses."""
        for units in (self._sources, self._sensors):
            await asyncio.gather(*(unit.stop() for unit in units.values()))
            units.clear()
        for key in list(self._buses):
            with contextlib.suppress(OSError):
                await self._buses.pop(key).aclose()


def _bus_of(key: Key, model: Model) -> Key:
    assert isinstance(model, Sensor | EventSource)
    return Objects().bus_key(key, model.spec.event_bus_name)
