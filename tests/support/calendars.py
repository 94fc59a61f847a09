"""A calendar source over a bus in memory, driven by a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.event_sources import Member, SetClock, events, until

from eventbus.memory import MemoryBroker, MemoryBus
from events.errors import Unavailable
from eventsources import service
from eventsources.service import EventRunner
from eventsources.sources.calendar import CalendarSource, CalendarSpec

EVERY_FIVE = {"schedule": "*/5 * * * *", "timezone": "UTC"}
CATCH_UP = {"persistence": {"catchup": {"enabled": True}}}
KEY = "source.src.ev.last"


def catch_up(**fields: Any) -> dict[str, Any]:
    return {"persistence": {"catchup": {"enabled": True} | fields}}


class Here:
    """One source on one bus; it can be ended and begun again, as another process or as the same."""

    def __init__(self, start: str) -> None:
        self.clock, self.broker = SetClock(start), MemoryBroker()
        self.member = Member(self.broker, self.clock)

    def runner(self, entry: dict[str, Any]) -> EventRunner:
        source = CalendarSource(CalendarSpec.parse(entry), self.clock.awake)
        return EventRunner(source, "calendar", "ev", "src", self.member.shared)

    @asynccontextmanager
    async def running(self, entry: dict[str, Any] | EventRunner) -> AsyncIterator[EventRunner]:
        runner = entry if isinstance(entry, EventRunner) else self.runner(entry)
        task = asyncio.create_task(runner.run())
        try:
            await until(lambda: self.member.number("event_service_running_total", None) == 1)
            yield runner
        finally:
            task.cancel()
            await asyncio.wait({task})

    @property
    def slots(self) -> list[str]:
        """The times of what is stored, as their ids have them."""
        return [event.id for event in events(self.broker)]

    @property
    def last(self) -> str:
        """What is kept."""
        entry = self.broker.values.get("state", {}).get(KEY)
        return entry.value.decode() if entry else ""

    async def have(self, *slots: str) -> None:
        """Returns once these are stored; at once more must not be there."""
        wanted = [f"2026-03-14T{slot}Z" if "T" not in slot else slot for slot in slots]
        await until(lambda: len(self.slots) >= len(wanted))
        assert self.slots == wanted
        await until(lambda: not wanted or self.last == wanted[-1])


async def stopped_at(here: Here, entry: dict[str, Any]) -> None:
    """One slot, at 12:05, then the process ends."""
    async with here.running(entry):
        await here.clock.asked_for("2026-03-14 12:05")
        here.clock.set("2026-03-14 12:05")
        await here.have("12:05:00")


def said(lines: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.message for record in lines.records)


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a few milliseconds, an away bus refuses at once."""

    async def reach(self: MemoryBus) -> None:
        if not self.connected.is_set():
            raise Unavailable("the bus is away")

    monkeypatch.setattr(service.Endless, "next", _short)
    monkeypatch.setattr(MemoryBus, "reach", reach)


def _short(self: Any) -> float:
    self.count += 1
    return 0.002
