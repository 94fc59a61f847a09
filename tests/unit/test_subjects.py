"""Names on the bus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import subjects
from events.errors import UserError


def test_a_subject_has_the_stream_the_source_and_the_event() -> None:
    assert subjects.subject("my-es", "example_1") == "default.my-es.example_1"


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a*", ">", "a\n", "\t"])
def test_what_cannot_be_one_token_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be published"):
        subjects.subject("source", name)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_key_is_made_of_safe_characters_and_can_be_read_back(parts: list[str]) -> None:
    key = subjects.key(*parts)
    assert all(char.isascii() and (char.isalnum() or char in "-_=.") for char in key)
    assert [subjects.unescape(part) for part in key.split(".")] == parts


def test_the_consumers_of_upstream_are_named_as_upstream_names_them() -> None:
    assert subjects.upstream_consumer("webhook", "webhook-workflow-trigger", "test-dep") == "group-3702381868"
