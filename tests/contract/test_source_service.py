"""What an EventSource promises around its sources: starts again for ever, publishes once, one owner, clean stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.event_sources import Kinds, Member, Run, events, fake, until

from eventbus.memory import MemoryBroker
from events.errors import CredentialError, NotOwner, TooLarge, Unavailable
from eventsources import service
from eventsources.base import SourceContext


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Kinds:
    return Kinds(monkeypatch)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def member(broker: MemoryBroker) -> AsyncIterator[Member]:
    made = Member(broker)
    yield made
    await made.bus.aclose()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    with caplog.at_level(logging.INFO, logger="argo-events"):
        yield Lines(caplog)


class Lines:
    """What was logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def at(self, level: int) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if record.levelno >= level]

    def fields(self, text: str) -> list[dict[str, Any]]:
        found = [record for record in self._caplog.records if text in record.message]
        return [record.__dict__["fields"] for record in found]


async def for_ever(context: SourceContext) -> None:
    context.started()
    await asyncio.get_running_loop().create_future()


class Sending:
    """A source that listens for ever, and whose `emit` the test calls."""

    def __init__(self) -> None:
        self.contexts: list[SourceContext] = []

    async def __call__(self, context: SourceContext) -> None:
        self.contexts.append(context)
        await for_ever(context)

    async def context(self) -> SourceContext:
        await until(lambda: self.contexts)
        return self.contexts[-1]


# --- one event --------------------------------------------------------------------------------------------------------


async def test_an_event_has_the_attributes_of_the_contract_and_is_stored_when_emit_returns(
    kinds: Kinds, member: Member, broker: MemoryBroker
) -> None:  # P2
    source = Sending()
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}):
        await (await source.context()).emit(b'{"a":1}')
        (event,) = events(broker)
    assert (event.source, event.subject, event.type, event.specversion) == ("src", "ev", "faked", "1.0")
    assert (event.data, event.datacontenttype) == (b'{"a":1}', "application/json")
    assert len(event.id) == 32
    assert event.time.endswith("Z")


async def test_ids_of_the_outside_are_kept_and_a_repeat_is_counted_and_stored_once(
    kinds: Kinds, member: Member, broker: MemoryBroker
) -> None:
    source = Sending()
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}):
        emit = (await source.context()).emit
        await emit(b"{}", id="delivery-7")
        await emit(b"{}", id="delivery-7")
        await emit(b"{}")
    assert [event.id == "delivery-7" for event in events(broker)] == [True, False]
    assert member.number("source_events_duplicate_total") == 1
    assert member.number("events_sent_total") == 3


async def test_the_series_of_an_event_are_there_before_anything_happens(kinds: Kinds, member: Member) -> None:
    kinds["fake"] = fake(for_ever)
    names = ["events_sent", "events_sent_failed", "events_processing_failed", "source_events_duplicate"]
    async with member.running(fake={"ev": {}}):
        assert [member.number(f"{name}_total") for name in names] == [0, 0, 0, 0]
        assert member.number("event_processing_duration_milliseconds_count") == 0


async def test_what_was_published_failed_and_runs_is_counted(kinds: Kinds, member: Member) -> None:
    first, second = Sending(), Sending()
    kinds["one"], kinds["two"] = fake(first), fake(second)
    async with member.running(one={"ev": {}}, two={"other": {}}):
        context = await first.context()
        await second.context()
        await context.emit(b"{}")
        with pytest.raises(TooLarge):
            await context.emit(b'"%b"' % (b"x" * 2_000_000))
        context.failed()  # never reached emit
        context.started()  # said twice, counted once
        assert member.number("event_service_running_total", None) == 2
        assert member.number("events_sent_total") == 1
        assert member.number("events_sent_failed_total") == 1
        assert member.number("events_processing_failed_total") == 2
        assert member.number("event_processing_duration_milliseconds_count") == 1
        assert member.number("publish_seconds_count") == 1
        assert member.number("events_sent_total", "other") == 0
    assert member.number("event_service_running_total", None) == 0


async def test_a_bus_that_is_away_refuses_and_nothing_is_falsely_accepted(
    kinds: Kinds, member: Member, broker: MemoryBroker
) -> None:  # P2
    source = Sending()
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}):
        emit = (await source.context()).emit
        member.bus.cut()
        with pytest.raises(Unavailable):
            await emit(b"{}", id="1")
        assert events(broker) == []
        assert member.number("events_sent_failed_total") == 1
        assert member.number("events_sent_total") == 0
        member.bus.mend()
        await emit(b"{}", id="1")
    assert [event.id for event in events(broker)] == ["1"]


async def test_a_sender_that_gives_up_waiting_for_the_bus_is_a_failure(kinds: Kinds, member: Member) -> None:
    source = Sending()
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}):
        emit = (await source.context()).emit
        member.bus.cut()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await emit(b"{}")
        assert member.number("events_sent_failed_total") == 1


async def test_each_event_has_a_state_of_its_own(kinds: Kinds, member: Member) -> None:
    one, other = Sending(), Sending()
    kinds["one"], kinds["other"] = fake(one), fake(other)
    async with member.running(one={"ev": {}}, other={"ev2": {}}):
        await (await one.context()).state.put("last", b"1")
        assert await (await other.context()).state.get("last") is None


# --- started again ----------------------------------------------------------------------------------------------------


class Failing:
    """A source whose first starts end, each as told; it stays after that."""

    def __init__(self, *ends: BaseException | None, starts: bool = True) -> None:
        self._ends, self._starts = list(ends), starts
        self.count = 0

    async def __call__(self, context: SourceContext) -> None:
        self.count += 1
        if not self._ends:
            await for_ever(context)
        if self._starts:
            context.started()
        end = self._ends.pop(0)
        if isinstance(end, asyncio.CancelledError):
            inner = asyncio.create_task(asyncio.sleep(60))
            inner.cancel()
            await inner
        if end is not None:
            raise end


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.Endless, "next", lambda _self: 0.005)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("end", "reason", "has_traceback"),
    [
        (None, "it ended by itself", False),
        (CredentialError("no such secret"), "no such secret", False),
        (ConnectionResetError("gone"), "ConnectionResetError: gone", False),
        (
            ExceptionGroup("", [CredentialError("no such secret"), OSError("gone")]),
            "no such secret; OSError: gone",
            False,
        ),
        (ZeroDivisionError("defect"), "ZeroDivisionError: defect", True),
        (asyncio.CancelledError(), "CancelledError: ", True),
    ],
)
@pytest.mark.parametrize("starts", [True, False])
async def test_whatever_ends_a_source_it_is_started_again_and_that_is_said_once(
    kinds: Kinds, member: Member, lines: Lines, end: Any, reason: str, has_traceback: bool, starts: bool
) -> None:  # P3
    source = Failing(*[end] * 5, starts=starts)
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}) as run:
        await until(lambda: source.count == 6)
        assert not run.task.done()
        assert member.readiness.reasons == {}
        assert member.number("event_service_running_total", None) == 1
    (line,) = lines.at(logging.WARNING)
    assert line.__dict__["fields"]["reason"] == reason
    assert bool(line.exc_info) == has_traceback
    assert line.__dict__["fields"] | {"seconds": 0, "reason": ""} == {
        "eventSourceName": "src",
        "eventSourceType": "fake",
        "eventName": "ev",
        "reason": "",
        "seconds": 0,
    }
    assert len(lines.fields("Eventing server started.")) == (1 if starts else 0)


@pytest.mark.usefixtures("quick")
async def test_a_new_kind_of_failure_is_said_and_so_is_the_next_one_after_a_time_of_health(
    kinds: Kinds, member: Member, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_HEALTHY_SECONDS", 0.02)
    fail = asyncio.Event()
    starts = 0

    async def behave(context: SourceContext) -> None:
        nonlocal starts
        starts += 1
        if starts <= 4:
            raise CredentialError("a") if starts % 2 else OSError("b")
        context.started()
        await fail.wait()
        fail.clear()
        raise CredentialError("c")

    kinds["fake"] = fake(behave)
    async with member.running(fake={"ev": {}}):
        await until(lambda: lines.fields("runs again"))
        assert [fields["reason"] for fields in lines.fields("The event source ended")] == ["a", "OSError: b"]
        fail.set()
        await until(lambda: len(lines.fields("The event source ended")) == 3)
    assert lines.fields("The event source ended")[2]["reason"] == "c"


async def test_pauses_grow_until_a_start_has_gone_well(kinds: Kinds, member: Member, lines: Lines) -> None:
    source = Failing(*[OSError("gone")] * 3)
    kinds["fake"] = fake(source)
    async with member.running(fake={"ev": {}}):
        before = asyncio.get_running_loop().time()
        await until(lambda: source.count == 4)
        passed = asyncio.get_running_loop().time() - before
    assert passed >= 0.1 + 0.2 + 0.4  # 0.2, 0.4, 0.8, each less up to a half


async def test_an_event_is_not_ready_until_it_listens_and_not_while_it_fails(kinds: Kinds, member: Member) -> None:
    go = asyncio.Event()

    async def behave(context: SourceContext) -> None:
        await go.wait()
        raise CredentialError("no such secret")

    kinds["fake"] = fake(behave)
    async with member.running(fake={"ev": {}}):
        assert member.readiness.reasons == {"event source ns/src ev": "not listening yet"}
        go.set()
        await until(lambda: member.readiness.reasons["event source ns/src ev"] == "no such secret")
    assert member.readiness.reasons == {}  # nobody waits for what was taken away


async def test_an_event_that_cannot_run_does_not_stop_its_siblings(kinds: Kinds, member: Member, lines: Lines) -> None:
    def broken(_self: Any, _spec: Any) -> None:
        raise ZeroDivisionError("a defect")

    source = Sending()
    kinds["fake"], kinds["refused"] = fake(source), fake(for_ever, accepts=False)
    kinds["defect"] = defect = fake(for_ever)
    defect.__init__ = broken  # type: ignore[method-assign]
    entries = {"fake": {"ev": {}, "a.b": {}}, "refused": {"r": {}}, "defect": {"d": {}}, "kafka": {"k": {}}}
    async with member.running(**entries, webhook={"shape": "text", "incomplete": None}):
        await (await source.context()).emit(b"{}")
        assert member.readiness.reasons == {}
    refused = lines.fields("The event is not started")
    assert [fields["eventName"] for fields in refused] == ["a.b", "r", "d", "k", "shape", "incomplete"]
    assert refused[1]["reason"] == "field: is wrong"
    assert "describes this kind" in refused[3]["reason"]
    assert "endpoint: required" in refused[5]["reason"]
    assert member.number("events_sent_total") == 1


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_stop_waits_for_the_clean_up_of_all_sources(kinds: Kinds, member: Member) -> None:
    cleaned = []

    async def behave(context: SourceContext) -> None:
        try:
            await for_ever(context)
        finally:
            await asyncio.sleep(0.02)
            await context.emit(b"{}")  # final acknowledgements work
            cleaned.append(context.event_name)

    kinds["fake"], kinds["owned"] = fake(behave), fake(behave, active_passive=True)
    async with member.running(fake={"a": {}, "b": {}}, owned={"c": {}}):
        await until(lambda: member.number("event_service_running_total", None) == 3)
    assert sorted(cleaned) == ["a", "b", "c"]


@pytest.mark.parametrize("active_passive", [True, False])
async def test_a_source_that_does_not_stop_is_given_up_at_the_deadline(
    kinds: Kinds, member: Member, lines: Lines, monkeypatch: pytest.MonkeyPatch, active_passive: bool
) -> None:
    monkeypatch.setattr(service, "_WIND_UP_SECONDS", 0.05)
    at_last = asyncio.Event()

    async def behave(context: SourceContext) -> None:
        context.started()
        while not at_last.is_set():
            try:
                await at_last.wait()
            except asyncio.CancelledError:
                continue

    kinds["fake"] = fake(behave, active_passive=active_passive)
    async with member.running(fake={"ev": {}}) as run:
        await until(lambda: member.number("event_service_running_total", None) == 1)
        async with asyncio.timeout(10):
            await run.stop()
    assert lines.fields("Does not stop")[0]["what"] == "event ev"
    at_last.set()
    await until(lambda: member.number("event_service_running_total", None) == 0)


async def test_an_event_source_without_events_runs_until_it_is_stopped(member: Member) -> None:
    async with member.running(webhook={}) as run:
        assert not (await asyncio.wait({run.task}, timeout=0))[0]


# --- one of several ---------------------------------------------------------------------------------------------------


class Replicas:
    """Several processes with the same active-passive source; `listening` names those that listen."""

    def __init__(self, kinds: Kinds, broker: MemoryBroker) -> None:
        self._kinds, self._broker = kinds, broker
        self.listening: set[int] = set()
        self.contexts: dict[int, SourceContext] = {}
        self.members: list[Member] = []
        self.stack = AsyncExitStack()

    async def start(self) -> tuple[Member, Run]:
        number = len(self.members)

        async def behave(context: SourceContext) -> None:
            self.listening.add(number)
            self.contexts[number] = context
            try:
                await for_ever(context)
            finally:
                self.listening.discard(number)

        self._kinds["owned"] = fake(behave, active_passive=True)
        member = Member(self._broker)
        self.members.append(member)
        run = await self.stack.enter_async_context(member.running(owned={"ev": {}}))
        return member, run

    async def is_listening(self, *numbers: int) -> None:
        await until(lambda: self.listening == set(numbers))


@pytest.fixture
async def replicas(kinds: Kinds, broker: MemoryBroker) -> AsyncIterator[Replicas]:
    made = Replicas(kinds, broker)
    async with made.stack:
        yield made
    for member in made.members:
        await member.bus.aclose()


async def test_of_two_replicas_one_listens_the_other_is_ready_and_follows_at_once_after_a_stop(
    replicas: Replicas,
) -> None:
    _, first = await replicas.start()
    await replicas.is_listening(0)
    standby, _ = await replicas.start()
    await until(lambda: not standby.readiness.reasons)
    assert replicas.listening == {0}
    assert standby.number("event_service_running_total", None) == 0

    before = asyncio.get_running_loop().time()
    await first.stop()
    await replicas.is_listening(1)
    assert asyncio.get_running_loop().time() - before < 3  # the lease would end after five


async def test_a_replica_whose_bus_is_cut_stops_and_the_other_takes_over_within_five_seconds(
    replicas: Replicas, broker: MemoryBroker
) -> None:  # P3
    leader, _ = await replicas.start()
    await replicas.is_listening(0)
    await replicas.start()

    before = asyncio.get_running_loop().time()
    leader.bus.cut()
    await until(lambda: 0 not in replicas.listening)
    await replicas.is_listening(1)
    assert asyncio.get_running_loop().time() - before < 5
    await replicas.contexts[1].emit(b"{}", id="successor's")

    # What the first one still had in hand is not published beside the successor.
    leader.bus.mend()
    with pytest.raises(NotOwner):
        await replicas.contexts[0].emit(b"{}", id="late")
    assert [event.id for event in events(broker)] == ["successor's"]
    await until(lambda: not leader.readiness.reasons)  # a standby now
    assert replicas.listening == {1}


async def test_a_single_replica_listens_again_after_the_bus_was_away(replicas: Replicas, lines: Lines) -> None:  # P3
    member, run = await replicas.start()
    await replicas.is_listening(0)
    member.bus.cut()
    await replicas.is_listening()
    assert member.readiness.reasons == {"event source ns/src ev": "not listening"}
    member.bus.mend()
    await replicas.is_listening(0)
    assert member.readiness.reasons == {}
    assert not run.task.done()


async def test_a_defect_on_the_way_to_ownership_is_said_once_and_survived(
    replicas: Replicas, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    real = service.subjects.key

    def key(*parts: str) -> str:
        nonlocal tries
        if parts[0] == "owner":
            tries += 1
            if tries < 4:
                raise ZeroDivisionError("a defect")
        return real(*parts)

    monkeypatch.setattr(service.subjects, "key", key)
    await replicas.start()
    await replicas.is_listening(0)
    assert len(lines.fields("Cannot lead")) == 1
