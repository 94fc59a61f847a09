"""What is said of a resource source's filter, and how it is put to the server."""

from __future__ import annotations

from typing import Any

import pytest

from events.problems import Problems
from eventsources.object_filter import ResourceFilter


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": [{"key": "a", "operation": "exists"}], "createdBy": "2026-01-01T00:00:00Z"}, ""),
        ({"labels": [{"operation": "exists"}]}, "labels[0].key"),
        ({"labels": [{"key": "a", "operation": "like"}]}, "'like' is no operation"),
        ({"fields": [{"key": "a", "operation": "in"}]}, "fields[0].operation"),
        ({"fields": [{"key": "a", "value": "("}]}, "fields[0].value"),
        ({"createdBy": "yesterday"}, "createdBy"),
    ],
)
def test_what_is_said_of_a_filter(fields: dict[str, Any], said: str) -> None:
    problems = Problems()
    ResourceFilter.parse(fields).check(problems)
    assert said in "\n".join(map(str, problems))
    assert len(problems) == bool(said)


def test_the_label_selector() -> None:
    rows = [
        ("a", None, "1"),
        ("b", "!=", "2"),
        ("c", "notin", "3,4"),
        ("d", "exists", ""),
        ("e", "!", ""),
        ("f", "lt", "5"),
    ]
    labels = [{"key": key, "operation": operation, "value": value} for key, operation, value in rows]
    chosen = ResourceFilter.parse({"labels": labels})
    assert chosen.label_selector == "a=1,b!=2,c notin (3,4),d,!e,f<5"
