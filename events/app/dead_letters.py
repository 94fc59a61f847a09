"""What `keryx dlq` does: find dead letters, redrive them, discard them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from eventbus import dead_letters
from eventbus.base import Bus
from eventbus.dead_letters import DeadLetter, DeadLetters, Filter, Listed
from events import durations
from events.errors import EventError, TooLarge, UserError
from events.event import parse_time

_PAGE = 500
_AT_ONCE = 32
MISSING = "no such dead letter"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters a command is about: some ids, those that a filter accepts, or all."""

    ids: tuple[str, ...] = ()
    where: Filter = field(default_factory=Filter)
    is_all: bool = False

    def require(self) -> None:
        """UserError unless it is exactly one of the three."""
        given = [bool(self.ids), self.where != Filter(), self.is_all]
        if sum(given) != 1:
            what = "give ids, a filter or --all" if not any(given) else "ids, filters and --all exclude each other"
            raise UserError(what, cure="see --help")


@dataclass(slots=True)
class Done:
    """What became of each letter."""

    ids: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """id -> why."""


def since(text: str, now: datetime) -> datetime:
    """A time, from an age such as `90m`, or from RFC 3339; UserError when it is neither."""
    try:
        return now - durations.delta(text)
    except (UserError, OverflowError):
        pass
    try:
        return parse_time(text)
    except EventError as error:
        cure = "an age such as 90m or 24h, or a time such as 2026-01-31T12:00:00Z"
        raise UserError(f"{text!r} is no time", path="--since", cure=cure) from error


async def found(store: DeadLetters, where: Filter) -> AsyncIterator[Listed]:
    """The letters that are there now, oldest first; none that is added meanwhile."""
    last = (await store.figures()).last
    after = 0
    while True:
        page = await store.page(where, limit=_PAGE, after=after)
        for letter in page:
            if letter.cursor > last:
                return
            yield letter
        if len(page) < _PAGE:
            return
        after = page[-1].cursor


async def redrive(bus: Bus, selection: Selection) -> Done:
    """Have letters sent again; those that cannot be are in `failed`. Unavailable when the bus is away."""
    selection.require()
    store = await bus.dead_letters()

    async def send(letter: Listed | DeadLetter) -> None:
        await bus.publish(dead_letters.redrive_event(letter))

    return await _each(store, selection, send)


async def discard(bus: Bus, selection: Selection) -> Done:
    """Forget letters. Unavailable when the bus is away."""
    selection.require()
    store = await bus.dead_letters()

    async def remove(letter: Listed | DeadLetter) -> None:
        await store.remove(letter.id)

    return await _each(store, selection, remove)


async def _each(
    store: DeadLetters, selection: Selection, act: Callable[[Listed | DeadLetter], Awaitable[None]]
) -> Done:
    """Act on every letter of a selection, some at once."""
    done = Done()

    async def one(letter: Listed | DeadLetter) -> None:
        try:
            await act(letter)
        except (UserError, TooLarge) as error:
            done.failed[letter.id] = str(error)
        else:
            done.ids.append(letter.id)

    batch: list[Listed | DeadLetter] = []
    async for letter in _selected(store, selection, done):
        batch.append(letter)
        if len(batch) == _AT_ONCE:
            await _all(map(one, batch))
            batch = []
    await _all(map(one, batch))
    return done


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """Every call to its end, then the first error: what was done is done."""
    for end in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(end, BaseException):
            raise end


async def _selected(store: DeadLetters, selection: Selection, done: Done) -> AsyncIterator[Listed | DeadLetter]:
    if not selection.ids:
        async for listed in found(store, selection.where):
            yield listed
        return
    for identity in dict.fromkeys(selection.ids):
        letter = await store.get(identity)
        if letter is None:
            done.failed[identity] = MISSING
        else:
            yield letter
