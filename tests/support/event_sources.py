"""Event sources in one process: fakes made of a coroutine, a clock that is set, processes on one bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from eventbus.memory import MemoryBroker, MemoryBus
from events.clients import Clients
from events.credentials import Credentials
from events.event import Event, from_wire
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from eventsources.base import Clock, Source, SourceContext, Spec
from eventsources.registry import SOURCES
from eventsources.service import EventSourceService, Shared, SystemClock
from eventsources.types import EventSource

Behaviour = Callable[[SourceContext], Awaitable[None]]


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Returns once `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class SetClock:
    """A clock that moves when told to; `awake` counts what it moved while the machine did not sleep."""

    def __init__(self, text: str) -> None:
        self.moment = moment(text)
        self.seconds = 0.0
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.moment

    def awake(self) -> float:
        return self.seconds

    async def sleep_until(self, moment: datetime) -> None:
        if moment <= self.moment:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((moment, future))
        await future

    def set(self, text: str, *, asleep: bool = False) -> None:
        """Move to a time; `asleep`: nobody ran meanwhile, or it was set by hand."""
        to = moment(text)
        if not asleep:
            self.seconds += max(0.0, (to - self.moment).total_seconds())
        self.moment = to
        for until, future in self._sleepers:
            if until <= to and not future.done():
                future.set_result(None)

    @property
    def waited_for(self) -> list[str]:
        """What somebody sleeps until."""
        return sorted(text(until) for until, future in self._sleepers if not future.done())

    async def asked_for(self, time: str) -> None:
        """Returns once somebody sleeps until `time`."""
        await until(lambda: text(moment(time)) in self.waited_for)


def moment(text: str) -> datetime:
    """`2026-03-14 12:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def fake(behave: Behaviour, *, active_passive: bool = False, accepts: bool = True) -> type[Source[Any]]:
    """A source that does `behave`; with `accepts` false its validation has an error."""

    class Fake(Source[Spec]):
        Spec, event_type = type("FakeSpec", (Spec,), {}), "faked"

        @classmethod
        def validate(cls, spec: Any, problems: Any) -> None:
            if not accepts:
                problems.error("field", "is wrong")

        async def listen(self, context: SourceContext) -> None:
            await behave(context)

    Fake.active_passive = active_passive
    return Fake


class Kinds:
    """Fake sources by spec key, beside the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self._classes = monkeypatch, dict[str, type[Source[Any]]]()
        real = SOURCES.load
        monkeypatch.setattr(SOURCES, "load", lambda key: self._classes.get(key) or real(key))

    def __setitem__(self, key: str, kind: type[Source[Any]]) -> None:
        self._monkeypatch.setitem(SOURCES.rows, key, "here")
        self._classes[key] = kind


class Member:
    """One process: its connection to the bus, its metrics, what it is waiting for."""

    def __init__(self, broker: MemoryBroker, clock: Clock | None = None) -> None:
        self.bus, self.metrics, self.readiness = MemoryBus(broker), Metrics(), Readiness()
        self.shared = Shared(
            self.bus,
            Clients(Credentials(())),
            cast("Any", None),
            self.metrics,
            self.readiness,
            Log("test"),
            "ns",
            clock or SystemClock(),
        )

    def number(self, name: str, event: str | None = "ev", **labels: str) -> float | None:
        """A series of an event of the source `src`, or of the source itself."""
        labels |= {"namespace": "ns", "eventsource_name": "src"} | ({"event_name": event} if event else {})
        return self.metrics.registry.get_sample_value(f"argo_events_{name}", labels)

    @asynccontextmanager
    async def running(self, **sources: Any) -> AsyncIterator[Run]:
        """An EventSource `src` that runs; stopped on exit."""
        raw = {"apiVersion": "v", "kind": "EventSource", "metadata": {"name": "src"}, "spec": sources}
        run = Run(EventSourceService(EventSource.parse(raw), self.shared))
        try:
            yield run
        finally:
            await run.stop()


class Run:
    """A running EventSource."""

    def __init__(self, service: EventSourceService) -> None:
        self._stopping = asyncio.Event()
        self.task = asyncio.create_task(service.run(self._stopping))

    async def stop(self) -> None:
        self._stopping.set()
        await self.task


def events(broker: MemoryBroker) -> list[Event]:
    """What the bus has stored."""
    return [from_wire(wire) for _, _, wire, _ in broker.stored]
