"""`keryx dlq`: what its commands find, do and print. Exit code 1: something could not be done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from eventbus.base import Bus
from eventbus.dead_letters import Filter
from events import logs, settings
from events.app import attaching, dead_letter_texts, dead_letters
from events.app.cli.guard import FAILED, show
from events.app.dead_letters import MISSING, Done, Selection

_PAGE = 500
_FULL = 0.95


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says."""

    url: str = ""
    data: Path | None = None
    namespace: str = ""
    event_bus: str = ""
    output: str = "text"
    sensor: str = ""
    trigger: str = ""
    reason: str = ""
    since: str = ""
    ids: Sequence[str] = ()
    is_all: bool = False

    @property
    def selection(self) -> Selection:
        """Which letters; UserError for a time that is none."""
        since = dead_letters.since(self.since, datetime.now(UTC)) if self.since else None
        return Selection(tuple(self.ids), Filter(self.sensor, self.trigger, self.reason, since), self.is_all)


def list_letters(request: Request) -> int:
    """Print the letters, oldest first; the exit code."""
    where = request.selection.where

    async def work(bus: Bus) -> int:
        store = await bus.dead_letters()
        table, count = dead_letter_texts.Table(datetime.now(UTC)), 0
        batch = []
        async for letter in dead_letters.found(store, where):
            if request.output == "json":
                show(("," if count else "[") + dead_letter_texts.document(letter).decode())
            else:
                batch.append(letter)
            count += 1
            if len(batch) == _PAGE:
                _show_all(table.lines(batch))
                batch = []
        if batch:
            _show_all(table.lines(batch))
        if request.output == "json":
            show("]" if count else "[]")
        elif not count:
            _say("no dead letters")
        figures = await store.figures()
        if figures.bytes > _FULL * figures.max_bytes:
            _say(f"the store is full ({figures.max_bytes >> 20} MiB): the oldest letters are discarded")
        return 0

    return _with_bus(work, request)


def show_letters(request: Request) -> int:
    """Print some letters with their events; the exit code."""

    async def work(bus: Bus) -> int:
        store, now = await bus.dead_letters(), datetime.now(UTC)
        letters = {identity: await store.get(identity) for identity in request.ids}
        is_first = True
        for identity, letter in letters.items():
            if letter is None:
                _say(f"{identity}: {MISSING}")
            elif request.output == "json":
                show(dead_letter_texts.document(letter).decode())
            else:
                if not is_first:
                    show("")
                _show_all(dead_letter_texts.description(letter, now))
                is_first = False
        return FAILED if None in letters.values() else 0

    return _with_bus(work, request)


def redrive(request: Request) -> int:
    """Have letters handled again; the exit code."""
    return _act(dead_letters.redrive, "redriven", request)


def discard(request: Request) -> int:
    """Forget letters; the exit code."""
    return _act(dead_letters.discard, "discarded", request)


def _act(act: Callable[[Bus, Selection], Awaitable[Done]], name: str, request: Request) -> int:
    selection = request.selection
    selection.require()

    async def work(bus: Bus) -> int:
        done = await act(bus, selection)
        if request.output == "json":
            show(orjson.dumps({name: done.ids, "failed": done.failed}).decode())
        else:
            for identity, why in done.failed.items():
                _say(f"{identity}: {why}")
            show(f"{name}: {len(done.ids)}")
        return FAILED if done.failed else 0

    return _with_bus(work, request)


def _with_bus(work: Callable[[Bus], Awaitable[int]], request: Request) -> int:
    logs.set_up("error")  # what is wrong with the bus is in the error
    where = attaching.Where(request.url, request.data, request.namespace, request.event_bus)

    async def run() -> int:
        async with attaching.bus(where, settings.read(), logs.Log("dlq")) as bus:
            return await work(bus)

    return asyncio.run(run())


def _show_all(lines: Iterable[str]) -> None:
    for line in lines:
        show(line)


def _say(text: str) -> None:
    print(dead_letter_texts.printable(f"keryx: {text}"), file=sys.stderr)  # noqa: T201
