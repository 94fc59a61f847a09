"""A process that dies before or after any of its writes: checkpoints, slots and dead letters, in every order.

One small story with everything in it: pairs that wait in slots, an event that cannot be transformed, an action that
fails, a redrive. Whatever the moment of death, its successors bring the story to the same end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.lives import Life, publish
from support.spine import crash, dependency, pipeline

from eventbus.base import Entry
from eventbus.dead_letters import DeadLetter, redrive_event
from eventbus.memory import MemoryBroker, MemoryBus
from events.errors import TransformError
from events.event import Event
from sensors.base import Firing
from sensors.decision import Outcome
from sensors.pipeline import Pipeline

LINES = {
    "in order": {"at_least_once": True},
    "overlapping": {"at_least_once": True, "concurrency": {"max": 4}},
    "at most once": {"at_least_once": False},
}
PAIRS = ["a1+b1", "a2+b2", "a3+b3", "a4+b4"]
FAILING = "a3+b3"


class Writes:
    """Counts the writes of a process, and ends it at one of them."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.count = at, when, 0
        self.dead = asyncio.Event()

    async def do(self, write: Any) -> Any:
        self.count += 1
        number = self.count
        if self.dead.is_set() or (number == self.at and self.when == "before"):
            write.close()
            await self._die()
        result = await write
        if number == self.at or self.dead.is_set():
            await self._die()
        return result

    async def _die(self) -> None:
        """Nothing of this process goes on from here."""
        self.dead.set()
        await asyncio.Event().wait()


class MortalBus:
    """A bus whose state and dead letters count their writes."""

    def __init__(self, bus: Any, writes: Writes) -> None:
        self._bus, self._writes = bus, writes

    async def state(self, name: str) -> Any:
        return MortalState(await self._bus.state(name), self._writes)

    async def dead_letters(self) -> Any:
        return MortalLetters(await self._bus.dead_letters(), self._writes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class MortalState:
    def __init__(self, state: Any, writes: Writes) -> None:
        self._state, self._writes = state, writes

    async def get(self, key: str) -> Entry | None:
        return await self._state.get(key)  # type: ignore[no-any-return]

    async def update(self, key: str, value: bytes, revision: int) -> int:
        return await self._writes.do(self._state.update(key, value, revision))  # type: ignore[no-any-return]


class MortalLetters:
    def __init__(self, letters: Any, writes: Writes) -> None:
        self._letters, self._writes = letters, writes

    async def get(self, identity: str) -> DeadLetter | None:
        return await self._letters.get(identity)  # type: ignore[no-any-return]

    async def add(self, letter: DeadLetter) -> None:
        await self._writes.do(self._letters.add(letter))

    async def remove(self, identity: str) -> None:
        await self._writes.do(self._letters.remove(identity))


class Picky:
    async def apply(self, one: Event) -> Event:
        if one.id == "bad":
            raise TransformError("no")
        return one


def story() -> Pipeline:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    for one in pipe._dependencies:
        object.__setattr__(one, "transform", Picky())
    return pipe


async def told(bus: MemoryBus) -> None:
    """The events of the story, and the letter of an earlier time that is redriven in the middle of it."""
    for number in (1, 2, 3):
        await publish(bus, f"a{number}", name="a")
        if number == 2:
            await publish(bus, "bad", name="a")
        await publish(bus, f"b{number}", name="b")
    letter = _earlier()
    await (await bus.dead_letters()).add(letter)
    await bus.publish(redrive_event(letter))
    await publish(bus, "a5", name="a")  # waits to the end


def _earlier() -> DeadLetter:
    from datetime import UTC, datetime

    from support.spine import event

    events = {name: event(f"{name}4", name=name) for name in "ab"}
    return DeadLetter(
        id="earlier-0",
        namespace="ns",
        sensor="s",
        trigger="t",
        reason="action",
        failed_at=datetime.now(UTC),
        firing_id="earlier",
        sequences={"a": 100, "b": 101},
        events=events,
    )


async def live(bus: MemoryBus, writes: Writes, line: dict[str, Any]) -> Life:
    """One life, to its death or the end of the story."""
    life = Life(MortalBus(bus, writes), pipe=story(), **line)
    life.action.failing = _fails
    last, over = bus.broker.last, asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            found = life.runner._line
            if found is not None and not found._writer._is_touched:
                checkpoint = found._checkpoint
                if checkpoint.applied.sequence == last and not checkpoint.claims and not getattr(found, "_window", ()):
                    return
            await asyncio.sleep(0.001)

    watching, dying = asyncio.ensure_future(watch()), asyncio.ensure_future(writes.dead.wait())
    async with asyncio.timeout(60):
        await asyncio.wait({watching, dying}, return_when=asyncio.FIRST_COMPLETED)
    over.set()
    await watching
    dying.cancel()
    await (crash(life.task) if writes.dead.is_set() else life.stop())
    return life


def _fails(firing: Firing) -> bool:
    return "+".join(sorted(one.id for one in firing.events.values())) == FAILING


async def lived(line: dict[str, Any], at: int, when: str) -> tuple[MemoryBus, list[Life], int]:
    """The story, with a death at the `at`-th write of the first life and of the second."""
    bus = MemoryBus(MemoryBroker())
    await told(bus)
    lives, first = [], 0
    for death in (at, at, 0):
        writes = Writes(death, when)
        lives.append(await live(bus, writes, line))
        first = first or writes.count
    return bus, lives, first


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
async def test_a_death_at_any_write_leaves_nothing_out(line: dict[str, Any], when: str) -> None:
    _, _, most = await lived(line, 0, when)
    assert most > 5
    for at in range(1, most + 1):
        bus, lives, _ = await lived(line, at, when)
        await _check(bus, lives, at, at_least_once=line["at_least_once"])


async def _check(bus: MemoryBus, lives: list[Life], at: int, *, at_least_once: bool) -> None:
    started = Counter(name for life in lives for name in life.action.started)
    store = await bus.dead_letters()
    letters = [found for one in await store.page() if (found := await store.get(one.id)) is not None]
    kept = Counter("+".join(sorted({one.id for one in letter.events.values()})) for letter in letters)
    assert kept["bad"] == 1, f"death at write {at}: {kept}"
    assert kept[FAILING] == 1, f"death at write {at}: {kept}"
    ended = {name for life in lives for name in life.action.finished}
    if at_least_once:
        assert set(started) == set(PAIRS), f"death at write {at}: {started}"
        assert set(kept) == {"bad", FAILING}
    else:
        assert set(started.values()) <= {1}, f"death at write {at}: {started}"
        for name in PAIRS:
            assert name in ended or kept[name] >= 1, f"death at write {at}: {name} is nowhere"
    head = lives[-1].runner._known
    assert head is not None
    assert [one.event.id for one in head.pending.values()] == ["a5"], f"death at write {at}"
    failed = [one for one in lives[-1].decisions if one.outcome is Outcome.FAILED]
    assert all(one.reason in ("action", "transform", "interrupted") for one in failed)
