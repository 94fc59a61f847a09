"""The hash of a dependency as Argo Events' own sensor stores it. Contract: sensors Appendix 5."""

from __future__ import annotations

from typing import Any

import pytest

from sensors.former_hashes import dependency_hash
from sensors.types import EventDependency

BARE: dict[str, Any] = {"name": "test-dep", "eventSourceName": "webhook", "eventName": "example"}
DATA = {"path": "body.a", "type": "string", "value": ["x", "y"]}
EXPR = {"expr": 'a == "x"', "fields": [{"path": "body.a", "name": "a"}]}


def hash_of(**more: Any) -> int | None:
    return dependency_hash(EventDependency.parse(BARE | more))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 5850909302366463076),
        ({"transform": {"jq": "."}}, 14131942471090816547),
        ({"filters": {"data": [DATA], "dataLogicalOperator": "or"}}, 17589870270260103174),
        ({"filters": {"context": {"type": "webhook"}}}, 7623884435284283542),
    ],
)
def test_the_recorded_hashes(more: dict[str, Any], expected: int) -> None:
    assert hash_of(**more) == expected


EDITS: list[dict[str, Any]] = [
    {},
    {"name": "other"},
    {"eventSourceName": "other"},
    {"eventName": "other"},
    {"filtersLogicalOperator": "or"},
    {"filters": {}},
    {"filters": {"script": "return true"}},
    {"filters": {"dataLogicalOperator": "or"}},
    {"filters": {"exprLogicalOperator": "or"}},
    {"filters": {"time": {"start": "09:00:00", "stop": "17:00:00"}}},
    {"filters": {"time": {"start": "09:00:00", "stop": "17:00:00", "timezone": "Europe/Berlin"}}},
    {"filters": {"data": [DATA]}},
    {"filters": {"data": [DATA, DATA]}},
    {"filters": {"data": [DATA | {"value": ["y", "x"]}]}},
    {"filters": {"data": [DATA | {"value": ["x"]}]}},
    {"filters": {"data": [DATA | {"comparator": "!="}]}},
    {"filters": {"data": [DATA | {"template": "{{ .Input }}"}]}},
    {"filters": {"data": [DATA | {"type": "number"}]}},
    {"filters": {"data": [DATA | {"path": "body.b"}]}},
    {"filters": {"exprs": [EXPR]}},
    {"filters": {"exprs": [EXPR | {"expr": 'a == "y"'}]}},
    {"filters": {"exprs": [EXPR | {"fields": [{"path": "body.b", "name": "a"}]}]}},
    {"filters": {"exprs": [EXPR | {"fields": [{"path": "body.a", "name": "b"}]}]}},
    *({"filters": {"context": {key: "x"}}} for key in ("id", "source", "specversion", "type", "subject")),
    {"filters": {"context": {"datacontenttype": "x"}}},
    {"transform": {}},
    {"transform": {"jq": ".body"}},
    {"transform": {"script": ".body"}},
]


def test_every_edit_gives_another_hash() -> None:
    hashes = [hash_of(**edit) for edit in EDITS]
    assert None not in hashes
    assert len(set(hashes)) == len(EDITS)


def test_what_is_absent_and_what_is_empty_are_the_same_text_and_the_same_list() -> None:
    assert hash_of(filtersLogicalOperator="") == hash_of()
    assert hash_of(filters={"data": [], "exprs": None, "script": ""}) == hash_of(filters={})
    assert hash_of(filters=None, transform=None) == hash_of()


@pytest.mark.parametrize(
    "more",
    [
        {"filters": {"jmespath": "a"}},
        {"transform": {"jmespath": "a"}},
        {"filters": {"context": {"time": "2026-01-01T00:00:00Z"}}},
    ],
)
def test_what_argo_events_cannot_say_has_no_hash(more: dict[str, Any]) -> None:
    assert hash_of(**more) is None
