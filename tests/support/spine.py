"""What tests of the spine share: events, pipelines, an Action and a State of our own making."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from eventbus.base import Delivery, Entry, Position, Start, State
from events.errors import Conflict, NotOwner, Unavailable, Unknown
from events.event import Event
from events.logs import Log
from events.metrics import Metrics
from sensors import conditions, types
from sensors.base import Firing
from sensors.concurrency import Concurrency
from sensors.decision import Decision, Outcome
from sensors.dependencies import Dependencies
from sensors.former import Upstream
from sensors.pipeline import Pipeline
from sensors.trigger_runner import Owner, Plan, TriggerRunner

LOG = Log("test")


def event(identity: int | str, *, name: str = "orders", data: bytes = b"{}", source: str = "hooks") -> Event:
    return Event(id=str(identity), source=source, type="webhook", subject=name, data=data, time="2026-01-01T00:00:00Z")


def delivery(sequence: int, one: Event | None, *, stream: str = "s1", error: str = "") -> Delivery:
    return Delivery(one, Position(stream, sequence, 1000 + sequence), 1, error)


def dependency(name: str, topic: str = "", **more: Any) -> types.EventDependency:
    raw = {"name": name, "eventSourceName": "hooks", "eventName": topic or name, **more}
    return types.EventDependency.parse(raw)


def only(path: str, *values: str) -> dict[str, Any]:
    """A filter on a text in the data."""
    return {"filters": {"data": [{"path": path, "type": "string", "value": list(values)}]}}


def pipeline(
    expression: str | None, *specs: types.EventDependency, scope: Iterable[str] = ("ns", "s", "t")
) -> Pipeline:
    condition = conditions.compile(expression, [spec.name for spec in specs])
    used = Dependencies([spec for spec in specs if spec.name in condition.dependencies])
    return Pipeline(used, condition, scope)


async def until(true: Callable[[], Any], *, seconds: float = 30) -> None:
    """Poll, with a deadline."""
    async with asyncio.timeout(seconds):
        for tries in itertools.count():
            if true():
                return
            await asyncio.sleep(0 if tries < 50 else 0.002)


class Decisions(list[Decision]):
    """Takes the place of a Recorder."""

    def record(self, decision: Decision) -> None:
        self.append(decision)

    def final(self) -> Counter[tuple[str, str]]:
        """(event id, outcome) of all that is over; an interrupted firing has only its sequence."""
        return Counter(
            (one.event_id or str(one.sequence), one.outcome.value) for one in self if one.outcome is not Outcome.WAITING
        )

    def ids(self, outcome: Outcome, reason: str = "") -> list[str]:
        return [one.event_id for one in self if one.outcome is outcome and (not reason or one.reason == reason)]

    def sequences(self, outcome: Outcome, reason: str = "") -> list[int]:
        return [one.sequence for one in self if one.outcome is outcome and (not reason or one.reason == reason)]


class FakeAction:
    """Keeps the contract of `lines.Action`: records what starts, and ends it when told (at once, unless `holding`)."""

    def __init__(self, *, holding: bool = False, permits: int | None = None) -> None:
        self.started: list[str] = []
        self.finished: list[str] = []
        self.running: dict[str, asyncio.Future[Decision]] = {}
        self.holding = holding
        self.most = 0
        self.on_start: Callable[[Firing], None] = lambda _firing: None
        self.failing: Callable[[Firing], bool] = lambda _firing: False
        self.firings: list[Firing] = []
        self._permits, self._permitted = permits, asyncio.Event()
        self.closed = 0

    def permits(self) -> int:
        return 1 << 30 if self._permits is None else self._permits

    async def permitted(self) -> None:
        while self.permits() < 1:
            self._permitted.clear()
            await self._permitted.wait()

    def permit(self, count: int) -> None:
        self._permits = (self._permits or 0) + count
        self._permitted.set()

    async def carry_out(self, firing: Firing, require: Callable[[], None]) -> Decision:
        await self.permitted()
        if self._permits is not None:
            self._permits -= 1
        require()
        name = "+".join(sorted(one.id for one in firing.events.values()))
        self.on_start(firing)
        self.started.append(name)
        self.firings.append(firing)
        future = self.running[name] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.running))
        if not self.holding:
            future.set_result(Decision(Outcome.FIRED, 0))
        try:
            end = await future
        finally:
            del self.running[name]
        if self.failing(firing):
            return Decision(Outcome.FAILED, 0, reason="action", detail="the target said no", attempts=1)
        self.finished.append(name)
        return end

    def finish(self, name: str) -> None:
        self.running[name].set_result(Decision(Outcome.FIRED, 0))

    def finish_all(self) -> None:
        for future in self.running.values():
            if not future.done():
                future.set_result(Decision(Outcome.FIRED, 0))

    async def aclose(self) -> None:
        self.closed += 1


class FakeLease:
    """Owned until told otherwise."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    @property
    def held(self) -> bool:
        return not self.over.is_set()

    def require(self) -> None:
        if not self.held:
            raise NotOwner("over")

    async def lost(self) -> None:
        await self.over.wait()


class FaultyState:
    """A State whose writes can go wrong. `faults`: what happens to the n-th write (from 1).

    before: the writer dies before it is written; after: it dies afterwards; lost: written, the answer is lost;
    unsent: not written, and no answer; away: Unavailable; stuck: written, and never answered; late: it arrives with
    `deliver`, and is never answered.
    """

    def __init__(self, state: State, faults: dict[int, str] | None = None) -> None:
        self.state, self.faults = state, faults or {}
        self.writes = 0
        self.log: list[str] = []
        self.gate: asyncio.Event | None = None
        """Writes reach the bus once it is set."""
        self.withheld: asyncio.Event | None = None
        """Answers come once it is set."""
        self.written = 0
        self.on_the_way: tuple[str, bytes, int] | None = None

    async def deliver(self) -> None:
        """What was on the way arrives now."""
        if self.on_the_way is not None:
            with contextlib.suppress(Conflict):
                await self.state.update(*self.on_the_way)
            self.on_the_way = None

    async def get(self, key: str) -> Entry | None:
        return await self.state.get(key)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        self.writes += 1
        self.log.append(key)
        fault = self.faults.get(self.writes, "")
        if fault == "before":
            raise Died
        if fault == "away":
            raise Unavailable("away")
        if fault == "unsent":
            raise Unknown("no answer")
        if self.gate is not None:
            await self.gate.wait()
        if fault == "late":
            self.on_the_way = (key, value, revision)
            await asyncio.Event().wait()
        written = await self.state.update(key, value, revision)
        if fault == "stuck":
            await asyncio.Event().wait()
        if self.withheld is not None:
            await self.withheld.wait()
        self.written += 1
        if fault == "after":
            raise Died
        if fault == "lost":
            raise Unknown("no answer")
        return written

    async def create(self, key: str, value: bytes) -> int:
        return await self.update(key, value, 0)

    async def put(self, key: str, value: bytes) -> int:
        return await self.state.put(key, value)

    async def purge(self, key: str) -> None:
        await self.state.purge(key)

    async def keys(self, prefix: str = "") -> list[str]:
        return await self.state.keys(prefix)


class Died(BaseException):
    """The process is no more: nothing of ours catches it."""


class OtherState:
    """A bus whose `state` is another one; everything else is the bus's."""

    def __init__(self, bus: Any, state: State) -> None:
        self._bus, self._state = bus, state

    async def state(self, _name: str) -> State:
        return self._state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


def runner(
    bus: Any,
    action: FakeAction,
    decisions: Decisions,
    pipe: Pipeline | None = None,
    *,
    at_least_once: bool,
    grace: float = 5,
    signatures: dict[str, str] | None = None,
    since: Any = Start.FIRST,
    concurrency: dict[str, Any] | None = None,
    upstream: Upstream | None = None,
    on_wait: Callable[[str, str], None] = lambda _trigger, _reason: None,
) -> TriggerRunner:
    """One process's runner of the trigger `t` of the sensor `s`."""
    pipe = pipe or pipeline(None, dependency("orders"))
    known = pipe._dependencies
    plan = Plan(
        name="t",
        pipeline=pipe,
        action=action,  # type: ignore[arg-type]
        is_at_least_once=at_least_once,
        topics=known.topics,
        signatures={one.name: one.signature for one in known} if signatures is None else signatures,
        recorder=decisions,  # type: ignore[arg-type]
        concurrency=Concurrency(types.Concurrency.parse(concurrency) if concurrency else None),
        upstream=upstream,
    )
    return TriggerRunner(plan, Owner("ns", "s", "", since, grace), bus, Metrics(), LOG, lambda _name: None, on_wait)


async def crash(task: asyncio.Task[Any]) -> None:
    """The process is killed: whatever runs in it ends where it is."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
