"""Transformations and script filters in the pipeline: step 7 before step 8, and what becomes of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from support.spine import delivery, dependency

from eventbus.base import Position
from events.event import Event
from events.problems import Problems
from events.scripting.pool import Scripts
from sensors import conditions, dependencies
from sensors.checkpoint import Checkpoint
from sensors.decision import Outcome
from sensors.dependencies import Dependencies
from sensors.pipeline import Match, Pipeline

EVENT = Event("1", "hooks", "webhook", "d", b'{"a": 1}', datacontenttype="text/plain")
ONE = {"data": [{"path": "b", "type": "number", "value": ["1"]}]}


@pytest.fixture
async def scripts() -> AsyncIterator[Scripts]:
    made = Scripts()
    yield made
    await made.aclose()


def pipeline(scripts: Scripts | None, **more: Any) -> Pipeline:
    used = Dependencies([dependency("d", **more)], scripts)
    return Pipeline(used, conditions.compile(None, ["d"]), ("ns", "s", "t"))


async def matched(scripts: Scripts | None, event: Event = EVENT, **more: Any) -> Match:
    (match,) = (await pipeline(scripts, **more).prepare(delivery(1, event))).matches
    return match


@pytest.mark.parametrize("transform", [{"jq": "{b: .a}"}, {"script": "return {b=event.a}"}, {"jmespath": "{b: a}"}])
async def test_filters_see_what_the_transformation_made(scripts: Scripts, transform: dict[str, str]) -> None:
    match = await matched(scripts, transform=transform, filters={**ONE, "script": "return event.b == 1"})
    assert match.event == replace(EVENT, data=b'{"b":1}', datacontenttype="application/json")


async def test_jq_counts_when_there_is_a_script_too(scripts: Scripts) -> None:
    match = await matched(scripts, transform={"jq": "{b: 1}", "script": "return {b=2}"})
    assert match.event is not None
    assert match.event.data == b'{"b":1}'


async def test_an_event_without_data_is_left_alone_and_passes(scripts: Scripts) -> None:
    event = replace(EVENT, data=None)
    assert (await matched(scripts, event, transform={"jq": "{"}, filters={"script": "("})).event is event


@pytest.mark.parametrize("transform", [{"jq": ".a"}, {"jq": "{"}, {"script": "return 1"}, {"jmespath": "nope"}])
async def test_what_cannot_be_transformed_has_failed(scripts: Scripts, transform: dict[str, str]) -> None:
    line = pipeline(scripts, transform=transform)
    prepared = await line.prepare(delivery(1, EVENT))
    step = line.fold(Checkpoint(Position("s1", 0, 0)), prepared)
    (decision,) = step.decisions
    assert (decision.outcome, decision.reason, step.firings) == (Outcome.FAILED, "transform", [])
    assert "transform." in decision.detail


@pytest.mark.parametrize(
    ("filters", "operator", "passes", "reason"),
    [
        ({"script": "return event.a == 1"}, None, True, ""),
        ({"script": "return false"}, None, False, "did not return true"),
        ({"script": "error('boom')"}, None, False, "dependency d: filters.script: line 1: boom"),
        ({"script": "error('boom')", **ONE}, None, False, "b"),
        ({"script": "return false", "context": {"type": "webhook"}}, None, False, "did not return true"),
        ({"script": "return true", "context": {"type": "x"}}, None, False, "context.type"),
        ({"script": "error('boom')", "context": {"type": "x"}}, None, False, "boom"),
        ({"script": "return true", "context": {"type": "x"}}, "or", True, ""),
        ({"script": "return false", "context": {"type": "x"}}, "or", False, "context.type"),
        ({"script": "error('boom')", "context": {"type": "webhook"}}, "or", True, ""),
        ({"script": "return true"}, "or", True, ""),
        ({"script": "error('boom')"}, "or", False, "boom"),
    ],
)
async def test_script_filters(
    scripts: Scripts, filters: dict[str, Any], operator: str | None, passes: bool, reason: str
) -> None:
    match = await matched(scripts, filters=filters, filtersLogicalOperator=operator)
    assert (match.event is not None) is passes
    assert reason in match.detail
    assert match.outcome is Outcome.FILTERED


async def test_without_a_worker_nothing_passes_unchanged() -> None:
    assert (await matched(None, transform={"jq": "."})).event is None
    assert (await matched(None, filters={"script": "return true"})).event is None


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"transform": {"jq": "."}}, []),
        ({"transform": {"jq": "."}, "filters": {"script": "return true"}}, []),
        ({"transform": {"jq": ".", "script": "return event"}}, ["warning dependencies[0].transform.script"]),
        ({"transform": {"jq": "{"}}, ["error dependencies[0].transform.jq"]),
        ({"transform": {"script": "return {"}}, ["error dependencies[0].transform.script"]),
        ({"transform": {"jmespath": "a."}}, ["error dependencies[0].transform.jmespath"]),
        ({"filters": {"script": "return ("}}, ["error dependencies[0].filters.script"]),
    ],
)
def test_validation_names_the_field(raw: dict[str, Any], found: list[str]) -> None:
    problems = Problems()
    dependencies.validate([dependency("d", **raw)], problems)
    assert [f"{problem.severity.value} {problem.path}" for problem in problems] == found
