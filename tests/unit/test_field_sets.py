"""Sets of fields: what managers own, compared and merged."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kubernetes_values import NODE, objects, paths_of, resolve

from events.local.apiserver.managed import fieldsets
from events.local.apiserver.managed.comparing import compare
from events.local.apiserver.managed.merging import field_set, merge
from events.local.apiserver.managed.types import Compiler

TYPE = Compiler(resolve).root(NODE)


# Sets of fields


def with_self(node: fieldsets.FieldSet) -> fieldsets.FieldSet:
    return {".": {}, **node} if node else node


sets = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(
        st.sampled_from(["f:a", "f:b", 'k:{"name":"a"}', 'v:"x"']), below | below.map(with_self), max_size=3
    ),
    max_leaves=8,
)


def grown(path: str, roots: set[str]) -> bool:
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


@settings(deadline=None)
@given(sets, sets)
def test_sets_of_fields_are_sets(one: fieldsets.FieldSet, other: fieldsets.FieldSet) -> None:
    before = copy.deepcopy((one, other))
    mine, theirs = paths_of(one), paths_of(other)
    assert paths_of(fieldsets.union(one, other)) == mine | theirs
    assert paths_of(fieldsets.intersection(one, other)) == mine & theirs
    assert paths_of(fieldsets.difference(one, other)) == mine - theirs
    assert paths_of(fieldsets.without_subtrees(one, other)) == {path for path in mine if not grown(path, theirs)}
    for result in (fieldsets.union(one, other), fieldsets.difference(one, other), fieldsets.intersection(one, other)):
        assert fieldsets.canonical(result) is result
    assert before == (one, other)


@settings(deadline=None)
@given(objects, objects)
def test_a_comparison_is_told_apart_by_its_three_sets(old: dict[str, Any], new: dict[str, Any]) -> None:
    there, back = compare(old, new, TYPE), compare(new, old, TYPE)
    assert paths_of(there.added) == paths_of(back.removed)
    assert paths_of(there.modified) == paths_of(back.modified)
    assert not paths_of(there.added) & paths_of(there.removed)
    assert (there.added, there.modified, there.removed) == ({}, {}, {}) or old != new


@settings(deadline=None)
@given(objects, objects)
def test_a_merge_holds_everything_that_was_configured(live: dict[str, Any], config: dict[str, Any]) -> None:
    merged = merge(live, config, TYPE)
    again = compare(merged, merge(merged, config, TYPE), TYPE)
    assert (again.added, again.modified, again.removed) == ({}, {}, {})
    assert paths_of(field_set(config, TYPE)) <= paths_of(
        fieldsets.union(field_set(merged, TYPE), field_set(config, TYPE))
    )


@pytest.mark.parametrize(
    ("given_key", "canonical"),
    [
        ('k:{"protocol":"TCP","port":80}', 'k:{"port":80,"protocol":"TCP"}'),
        ('k:{ "a" : "é" }', 'k:{"a":"é"}'),
        ("v: 1", "v:1"),
        ("i:3", "i:3"),
        ("f:a.b/c", "f:a.b/c"),
    ],
)
def test_path_elements_have_one_spelling(given_key: str, canonical: str) -> None:
    assert list(fieldsets.canonical({given_key: {}})) == [canonical]


@pytest.mark.parametrize(
    "bad", [[], {"x": {}}, {"f:a": []}, {"k:[]": {}}, {"k:{": {}}, {"i:x": {}}, {"i:true": {}}, {"f:a": None}]
)
def test_what_is_no_set_of_fields_is_refused(bad: Any) -> None:
    with pytest.raises(fieldsets.InvalidFieldSet):
        fieldsets.canonical(bad)


def test_a_set_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"f:a": deep}
    with pytest.raises(fieldsets.InvalidFieldSet):
        fieldsets.canonical(deep)
