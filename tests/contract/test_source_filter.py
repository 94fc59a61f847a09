"""Filters of event sources: what is not published, and who hears of it. Contract: eventsources 1.9."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import Field
from support.event_sources import Kinds, Member, events, until

from eventbus.memory import MemoryBroker
from events.errors import Unavailable
from events.logs import Log
from eventsources import filters
from eventsources.base import EventSourceFilter, Source, SourceContext, Spec
from eventsources.types import EventSource
from eventsources.validation import validate


class FilteredSpec(Spec):
    """A spec that declares a filter."""

    filter: EventSourceFilter | None = Field(None, description="Which events are published.")


class Filtered(Source[FilteredSpec]):
    """Listens for ever; the test calls `emit`."""

    Spec, event_type, active_passive = FilteredSpec, "filtered", False
    contexts: list[SourceContext]

    async def listen(self, context: SourceContext) -> None:
        self.contexts.append(context)
        context.started()
        await asyncio.get_running_loop().create_future()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def member(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> Any:
    Kinds(monkeypatch)["fake"] = Filtered
    Filtered.contexts = []
    made = Member(broker)
    yield made
    await made.bus.aclose()


async def emit(*documents: bytes) -> None:
    await until(lambda: Filtered.contexts)
    for document in documents:
        await Filtered.contexts[-1].emit(document)


def dropped(member: Member) -> tuple[float | None, float | None]:
    name = "source_events_filtered_total"
    return member.number(name, reason="false"), member.number(name, reason="error")


def filtering(expression: str) -> dict[str, Any]:
    return {"ev": {"filter": {"expression": expression}}}


async def test_only_events_for_which_it_is_true_are_published(member: Member, broker: MemoryBroker) -> None:
    async with member.running(fake=filtering('body.action == "opened"')):
        await emit(b'{"body":{"action":"opened"}}', b'{"body":{"action":"closed"}}', b'{"body":{"action":"opened"}}')
    assert [event.data for event in events(broker)] == [b'{"body":{"action":"opened"}}'] * 2
    assert member.number("events_sent_total") == 2
    assert dropped(member) == (1, 0)
    assert member.number("events_processing_failed_total") == 0


@pytest.mark.parametrize("data", [b'{"body":null}', b'{"body":{"n":{"x":7}}}', b"[1]", b"zzz", b""])
async def test_what_cannot_be_decided_is_success_outside_and_counted(
    member: Member, broker: MemoryBroker, data: bytes
) -> None:
    async with member.running(fake=filtering("body.n.x")):  # never a boolean
        await emit(data)
    assert events(broker) == []
    assert dropped(member) == (0, 1)


async def test_the_series_are_there_before_anything_happens(member: Member) -> None:
    async with member.running(fake=filtering("true")):
        assert dropped(member) == (0, 0)


async def test_without_a_filter_everything_is_published(member: Member, broker: MemoryBroker) -> None:
    async with member.running(fake={"ev": {}}):
        await emit(b"[1]")
    assert len(events(broker)) == 1
    assert dropped(member) == (None, None)


async def test_a_bus_that_is_away_is_not_asked_about_what_is_dropped(member: Member) -> None:
    async with member.running(fake=filtering("pass")):
        await until(lambda: Filtered.contexts)
        member.bus.cut()
        await emit(b'{"pass":false}')
        with pytest.raises(Unavailable):
            await emit(b'{"pass":true}')
        member.bus.mend()


async def test_an_event_with_a_bad_filter_is_not_started_and_its_siblings_are(
    member: Member, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="argo-events"):
        async with member.running(fake=filtering("a ==") | {"good": {}, "empty": {"filter": {}}}):
            await emit(b"{}")
    assert [event.subject for event in events(broker)] == ["good"]
    assert [record.message for record in caplog.records] == ["The event is not started"] * 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"filter": {"expression": "a =="}}, "spec.fake.ev.filter.expression: unexpected the end (at 1:4)"),
        ({"filter": {"expression": "a = 1"}}, "unexpected '=' (at 1:3) (compare with ==)"),
        ({"filter": {}}, "spec.fake.ev.filter.expression: an empty expression would drop every event (write an"),
        ({"filter": {"expression": " "}}, "spec.fake.ev.filter.expression: an empty expression"),
        ({"filter": {"expression": '1 > "a"'}}, "> cannot be applied to int and string"),
    ],
)
def test_validation_says_where_and_what_to_do(member: Member, given: dict[str, Any], expected: str) -> None:
    raw = {"apiVersion": "v", "kind": "EventSource", "metadata": {"name": "src"}, "spec": {"fake": {"ev": given}}}
    (problem,) = validate(EventSource.parse(raw)).errors
    assert expected in str(problem)


def test_an_error_is_said_once_until_it_has_been_over_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock, counted = [0.0], list[str]()
    chosen = filters.compiled(FilteredSpec.parse({"filter": {"expression": "ok"}}))
    assert chosen is not None
    gate = filters.Gate(chosen, counted.append, Log("test"), lambda: clock[0])
    with caplog.at_level(logging.INFO, logger="argo-events"):
        for seconds, data in ((0, b"{}"), (1, b'{"ok":true}'), (2, b"{}"), (99, b'{"ok":true}'), (100, b"{}")):
            clock[0] = seconds
            assert gate.passes(data) is (data != b"{}")
    assert counted == ["error"] * 3
    bad, good = "The filter cannot be decided; such events are not published", "The filter can be decided again"
    assert [record.message for record in caplog.records] == [bad, good, bad]
