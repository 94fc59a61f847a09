"""Dependencies: exact look-up, several on one topic, and signatures that change with what counts."""

from __future__ import annotations

from typing import Any

import pytest

from events.event import Event
from events.problems import Problems
from sensors import types
from sensors.dependencies import Dependencies, signature, validate


def spec(name: str = "d", **more: Any) -> types.EventDependency:
    return types.EventDependency.parse({"name": name, "eventSourceName": "hooks", "eventName": "orders", **more})


def event(source: str = "hooks", subject: str = "orders") -> Event:
    return Event(id="1", source=source, type="webhook", subject=subject)


def test_an_event_goes_to_every_dependency_of_its_topic() -> None:
    found = Dependencies([spec("a"), spec("b"), spec("c", eventName="other")])
    assert [one.name for one in found.matching(event())] == ["a", "b"]
    assert [one.name for one in found.matching(event(subject="other"))] == ["c"]
    assert found.topics == (("hooks", "orders"), ("hooks", "other"))
    assert found.names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("source", "subject"), [("hooks", "order"), ("hook", "orders"), ("*", "orders"), ("hooks", "")]
)
def test_names_are_compared_exactly(source: str, subject: str) -> None:
    assert Dependencies([spec()]).matching(event(source, subject)) == ()


def test_a_star_is_a_name_not_a_pattern() -> None:
    assert Dependencies([spec(eventName="*")]).matching(event()) == ()


def test_of_two_with_one_name_the_last_counts() -> None:
    found = Dependencies([spec("a"), spec("a", eventName="other")])
    assert len(found) == 1
    assert found["a"].topic == ("hooks", "other")


def test_what_is_compiled_is_joined_as_it_is() -> None:
    a, b = Dependencies([spec("a")]), Dependencies([spec("b", eventName="other")])
    both = Dependencies.joined([a, b])
    assert (both.names, both.topics) == (("a", "b"), (*a.topics, *b.topics))
    assert both["b"] is b["b"]


BASE = {"filters": {"data": [{"path": "a", "type": "string", "value": ["x"]}]}}


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"eventName": "other"},
        {"eventSourceName": "other"},
        {"filters": {"data": [{"path": "a", "type": "string", "value": ["y"]}]}},
        {**BASE, "filtersLogicalOperator": "or"},
        {**BASE, "transform": {"jq": "."}},
    ],
)
def test_an_edit_of_what_counts_changes_the_signature(edit: dict[str, Any]) -> None:
    assert signature(spec(**edit)) != signature(spec(**BASE))


@pytest.mark.parametrize("same", [BASE, {**BASE, "name": "renamed"}, {**BASE, "transform": None}])
def test_nothing_else_changes_it(same: dict[str, Any]) -> None:
    assert signature(types.EventDependency.parse(spec().wire() | same)) == signature(spec(**BASE))


def test_signatures_are_the_same_in_every_process() -> None:
    assert signature(spec(**BASE)) == "4864845570bdd3ad"


def problems(*specs: dict[str, Any]) -> list[str]:
    found = Problems()
    validate([types.EventDependency.parse(one) for one in specs], found)
    return [f"{problem.severity.value} {problem.path}" for problem in found]


FULL = {"name": "d", "eventSourceName": "hooks", "eventName": "orders"}


@pytest.mark.parametrize(
    ("specs", "found"),
    [
        ((), ["error dependencies"]),
        ((FULL,), []),
        (({**FULL, "name": ""},), ["error dependencies[0].name"]),
        (({**FULL, "eventSourceName": ""},), ["error dependencies[0].eventSourceName"]),
        (({**FULL, "eventName": "a.b"},), ["error dependencies[0].eventName"]),
        (({**FULL, "eventName": "*"},), ["error dependencies[0].eventName"]),
        ((FULL, FULL), ["warning dependencies[1].name"]),
        ((FULL, {**FULL, "name": "other"}), []),
        (({**FULL, "filters": {"context": {}}},), ["error dependencies[0].filters.context"]),
    ],
)
def test_validation_names_the_field(specs: tuple[dict[str, Any], ...], found: list[str]) -> None:
    assert problems(*specs) == found
