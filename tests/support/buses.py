"""Several processes on one bus, in memory and on a real nats-server, whose parts can be cut, killed and wiped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.nats_server import Line, NatsServer

from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.memory import MemoryBroker, MemoryBus
from events.logs import Log


class MemoryWorld:
    """Several processes on one broker, in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.buses: list[MemoryBus] = []

    async def bus(self, **options: Any) -> MemoryBus:
        if "dead_letter_bytes" in options:
            self.broker.dead_letter_bytes = options["dead_letter_bytes"]
        self.buses.append(MemoryBus(self.broker))
        return self.buses[-1]

    async def cut(self, bus: Any) -> None:
        bus.cut()

    async def mend(self, bus: Any) -> None:
        bus.mend()

    async def crash(self, bus: Any) -> None:
        bus.cut()
        if bus._session is not None:
            bus._session._task.cancel()

    async def wipe(self) -> None:
        self.broker.wipe()

    async def lose_tail(self, publish: Callable[[], Any]) -> None:
        before = self.broker.last
        await publish()
        self.broker.lose_tail(self.broker.last - before)

    async def close(self) -> None:
        for bus in self.buses:
            await bus.aclose()


class JetStreamWorld:
    """Several processes on one real nats-server, each behind a line of its own."""

    def __init__(self, directory: Path) -> None:
        self.server = NatsServer(directory)
        self.lines: dict[int, Line] = {}
        self.buses: list[JetStreamBus] = []

    async def bus(self, **options: Any) -> JetStreamBus:
        if self.server.process is None:
            await self.server.start()
        line = Line(self.server.port)
        await line.mend()
        bus = JetStreamBus(lambda: Access(line.url), "test", name="test", log=Log("test"), publish_seconds=3, **options)
        self.lines[id(bus)] = line
        self.buses.append(bus)
        await bus.start()
        await bus.stream_created()
        return bus

    async def cut(self, bus: Any) -> None:
        await self.lines[id(bus)].cut()

    async def mend(self, bus: Any) -> None:
        await self.lines[id(bus)].mend()

    async def crash(self, bus: Any) -> None:
        await self.cut(bus)
        if bus._session is not None:
            bus._session._task.cancel()

    async def wipe(self) -> None:
        self.server.kill()
        self.server.wipe()
        await self.server.start()

    async def lose_tail(self, publish: Callable[[], Any]) -> None:
        self.server.stop()
        copy = self.server.remember()
        await self.server.start()
        await publish()
        self.server.kill()
        self.server.set_back(copy)
        await self.server.start()

    async def close(self) -> None:
        for bus in self.buses:
            await bus.aclose()
            await self.lines[id(bus)].cut()
        self.server.kill()
