"""The objects of a run as running services: start what is described, stop what is not, leave the rest alone.

`apply` brings what runs to what is wanted; the first call starts everything, a reload is another call. Order: buses,
then sensors, then sources, whose events wait until the sensors are subscribed (`gate`). Nothing here waits for ever,
whatever is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventbus import connecting
from eventbus.base import Bus
from eventbus.embedded import EmbeddedServer
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.types import BusConfig, EventBus
from events.app.gate import Gate, GatedBus
from events.app.objects import Key, Objects, bus_of
from events.app.services import WORKER_COMMAND
from events.backoff import Endless
from events.clients import Clients
from events.errors import UserError
from events.model import Model
from events.process import Process
from eventsources.http.server import HttpServers
from eventsources.service import EventSourceService, Shared
from eventsources.types import EventSource
from eventsources.workers import supervisor
from eventsources.workers.plan import BusPlan, Plan, Surroundings, wire_of
from eventsources.workers.supervisor import Supervisor
from sensors.service import SensorService
from sensors.types import Sensor

_FIRST_SECONDS = 2.0
"""Sources are started this long after the sensors at the latest: while the bus is away they answer with 503."""
_STOP_SECONDS = 20.0
"""On top of the grace: what a source has for requests that wait for the bus, a sensor for giving up its ownership."""

Run = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(slots=True)
class Unit:
    """One running object."""

    model: Model
    bus: Key
    task: asyncio.Task[None]
    stopping: asyncio.Event


@dataclass(slots=True)
class OpenBus:
    """A connection, the server behind it when it is ours, and the gates that wait for it."""

    model: EventBus | None
    bus: JetStreamBus
    server: EmbeddedServer | None
    gates: set[asyncio.Task[None]] = field(default_factory=set)

    async def aclose(self) -> None:
        """Connection first, then the server."""
        for task in self.gates:
            task.cancel()
        try:
            await asyncio.gather(*self.gates, return_exceptions=True)
            await self.bus.aclose()
        finally:
            if self.server is not None:
                await self.server.aclose()


class Running:
    """What runs now, by key."""

    def __init__(self, process: Process, clients: Clients, http: HttpServers, data: Path, around: Surroundings) -> None:
        """`around` is what workers of event sources are told of this process."""
        self._process, self._clients, self._http, self._data = process, clients, http, data
        self._around = around
        self._buses: dict[Key, OpenBus] = {}
        self._sensors: dict[Key, Unit] = {}
        self._sources: dict[Key, Unit] = {}

    async def apply(self, objects: Objects) -> None:
        """Bring what runs to `objects`. UserError when a bus of ours cannot be started; what has a bus runs then."""
        await self._stop_changed(objects)
        problems = await self._open_buses(objects)
        for key, sensor in objects.sensors.items():
            if key not in self._sensors and bus_of(key, sensor) in self._buses:
                self._sensors[key] = self._start_sensor(key, sensor)
        new = [key for key in objects.sources if key not in self._sources]
        gates = await self._gates({bus_of(key, objects.sources[key]) for key in new})
        for key in new:
            if (gate := gates.get(bus_of(key, objects.sources[key]))) is not None:
                self._sources[key] = self._start_source(key, objects.sources[key], gate)
        if problems:
            raise problems[0]

    async def _stop_changed(self, objects: Objects) -> None:
        """Stop what is gone or different, and whoever uses a bus that is."""
        wanted = _buses(objects)
        changed = {key for key, one in self._buses.items() if key not in wanted or one.model != wanted[key]}
        stop: list[Unit] = []
        both: tuple[tuple[dict[Key, Unit], Any], ...] = (
            (self._sources, objects.sources),
            (self._sensors, objects.sensors),
        )
        for running, described in both:
            gone = [key for key, unit in running.items() if described.get(key) != unit.model or unit.bus in changed]
            stop += [running.pop(key) for key in gone]
        await self._stop(stop)
        for key in changed:
            await self._buses.pop(key).aclose()

    async def _stop(self, units: Iterable[Unit]) -> None:
        """Ask all of them to stop; they keep their own deadlines, and one that does not is cancelled."""
        units = list(units)
        tasks = {unit.task for unit in units}
        for unit in units:
            unit.stopping.set()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._process.grace + _STOP_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- buses

    async def _open_buses(self, objects: Objects) -> list[UserError]:
        problems = []
        for key, model in _buses(objects).items():
            if key not in self._buses:
                try:
                    self._buses[key] = await self._open_bus(key, model)
                except UserError as error:
                    problems.append(error)
        return problems

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
            bus = connecting.own(
                lambda: Access(server.url, server.username, server.password),
                key.namespace,
                name=name,
                stream_config=_stream_config(model),
                label=str(key),
                metrics=self._process.metrics,
                log=self._process.log,
                is_alone=True,
            )
            await bus.start()
        except BaseException:
            await server.aclose()
            raise
        return OpenBus(model, bus, server)

    async def _gates(self, keys: Collection[Key]) -> dict[Key, Gate]:
        """A gate for each of these buses that is open; they get a moment to open."""
        gates = {}
        tasks = set()
        for key in keys & self._buses.keys():
            opened = self._buses[key]
            sensors = {_part(name) for name, unit in self._sensors.items() if unit.bus == key}
            gates[key] = gate = Gate(opened.bus, self._process.readiness, sensors)
            task = asyncio.create_task(gate.run(), name=f"gate {key}")
            opened.gates.add(task)
            task.add_done_callback(opened.gates.discard)
            tasks.add(task)
        if tasks:
            await asyncio.wait(tasks, timeout=_FIRST_SECONDS)
        return gates

    # ---- sensors and sources

    def _start_sensor(self, key: Key, sensor: Sensor) -> Unit:
        process, bus = self._process, self._buses[bus_of(key, sensor)].bus
        process.readiness.waiting(_part(key), "not started yet")

        def make() -> Run:
            return SensorService(
                sensor,
                bus,
                self._clients,
                process.metrics,
                process.readiness,
                process.log,
                namespace=key.namespace,
                grace=process.grace,
            ).run

        return self._unit(key, sensor, make, _part(key))

    def _start_source(self, key: Key, source: EventSource, gate: Gate) -> Unit:
        process, opened = self._process, self._buses[bus_of(key, source)].bus
        bus: Bus = opened if gate.is_open else GatedBus(opened, gate)
        workers = supervisor.count(source, process.log)

        def make() -> Run:
            if workers > 1:
                return self._supervisor(key, source, gate, workers).run
            shared = Shared(
                bus, self._clients, self._http, process.metrics, process.readiness, process.log, key.namespace
            )
            return EventSourceService(source, shared).run

        return self._unit(key, source, make, f"event source {key}")

    def _supervisor(self, key: Key, source: EventSource, gate: Gate, workers: int) -> Supervisor:
        plan = Plan(
            f"keryx run {key}",
            key.namespace,
            wire_of(source),
            self._bus_plan(bus_of(key, source)),
            self._around,
            is_gated=not gate.is_open,
        )
        process = self._process
        return Supervisor(
            source,
            workers,
            WORKER_COMMAND,
            plan,
            metrics=process.metrics,
            readiness=process.readiness,
            log=process.log,
            opened=gate.opened,
        )

    def _bus_plan(self, key: Key) -> BusPlan:
        opened = self._buses[key]
        if opened.server is None:
            assert opened.model is not None
            assert opened.model.spec.jetstream_exotic is not None
            return BusPlan({"jetstream": opened.model.spec.jetstream_exotic.wire()})
        server = opened.server
        return BusPlan(
            url=server.url,
            username=server.username,
            password=server.password,
            stream_config=_stream_config(opened.model),
            label=str(key),
        )

    def _unit(self, key: Key, model: Sensor | EventSource, make: Callable[[], Run], name: str) -> Unit:
        stopping = asyncio.Event()

        async def keep() -> None:
            pauses, readiness = Endless(0.5, 30), self._process.readiness
            try:
                while not stopping.is_set():
                    try:
                        await make()(stopping)
                    except Exception as error:  # a defect of ours must not end the object for good
                        self._process.log.exception(f"{name} ended by a defect; it is started again", error)
                        readiness.waiting(name, "ended by a defect")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pauses.next()):
                            await stopping.wait()
            finally:
                readiness.ready(name)  # nobody waits for what is not wanted any more

        return Unit(model, bus_of(key, model), asyncio.create_task(keep(), name=name), stopping)

    async def aclose(self) -> None:
        """Stop everything at once, then the buses: what comes in while sensors finish is stored, and waits there."""
        units = [*self._sources.values(), *self._sensors.values()]
        self._sources.clear()
        self._sensors.clear()
        buses = list(self._buses.values())
        self._buses.clear()
        try:
            await self._stop(units)
        finally:
            for end in await asyncio.gather(*(bus.aclose() for bus in buses), return_exceptions=True):
                if isinstance(end, Exception):
                    self._process.log.exception("A bus was not closed", end)


def _stream_config(model: EventBus | None) -> str:
    return (model.spec.jetstream.stream_config if model and model.spec.jetstream else None) or ""


def _part(sensor: Key) -> str:
    """What `SensorService` calls itself in the readiness."""
    return f"sensor {sensor}"


def _buses(objects: Objects) -> dict[Key, EventBus | None]:
    """The buses that are used; None: none is described, the embedded one with its defaults."""
    used = [bus_of(key, one) for key, one in objects.sensors.items()]
    used += [bus_of(key, one) for key, one in objects.sources.items()]
    return {key: objects.buses.get(key) for key in used}
