"""Conditions: what they mean, and what is refused with which cure."""

from __future__ import annotations

from itertools import combinations

import pytest

from events.errors import UserError
from sensors import conditions


def fires(expression: str | None, names: str) -> set[str]:
    """Every set of names, as a word, that satisfies the condition."""
    condition = conditions.compile(expression, list(names))
    sets = [set(some) for count in range(len(names) + 1) for some in combinations(names, count)]
    return {"".join(sorted(some)) for some in sets if condition.satisfied_by(some)}


@pytest.mark.parametrize(
    ("expression", "satisfied"),
    [
        (None, {"abc"}),
        ("", {"abc"}),
        ("  ", {"abc"}),
        ("a", {"a", "ab", "ac", "abc"}),
        ("a && b", {"ab", "abc"}),
        ("a || b && c", {"a", "ab", "ac", "bc", "abc"}),
        ("(a || b) && c", {"ac", "bc", "abc"}),
        ("a && (b || c)", {"ab", "ac", "abc"}),
        ("((a)) || b && b", {"a", "b", "ab", "ac", "bc", "abc"}),
        ("(a && b) || (b && c)", {"ab", "bc", "abc"}),
    ],
)
def test_and_binds_tighter_than_or(expression: str | None, satisfied: set[str]) -> None:
    assert fires(expression, "abc") == satisfied


@pytest.mark.parametrize(
    ("expression", "normalised", "names", "is_stateful"),
    [
        ("dep-1 &&\n dep-2", "dep-1&&dep-2", ("dep-1", "dep-2"), True),
        ("dep-2||dep-1", "dep-2||dep-1", ("dep-2", "dep-1"), False),
        ("( dep-1 )", "(dep-1)", ("dep-1",), False),
        ("dep-1 || dep-1", "dep-1||dep-1", ("dep-1",), False),
        (None, "dep-1&&dep-2&&len", ("dep-1", "dep-2", "len"), True),
        ("len && dep-1", "len&&dep-1", ("len", "dep-1"), True),  # N3: names of functions are names
    ],
)
def test_a_condition_knows_its_names_in_order(
    expression: str | None, normalised: str, names: tuple[str, ...], is_stateful: bool
) -> None:
    condition = conditions.compile(expression, ["dep-1", "dep-2", "len"])
    assert (condition.normalised, condition.dependencies, condition.is_stateful) == (normalised, names, is_stateful)


def test_one_dependency_needs_no_state() -> None:
    assert not conditions.compile(None, ["only"]).is_stateful


def test_the_keys_of_a_dictionary_will_do() -> None:
    assert conditions.compile("a && (b || c)", ["a", "b", "c"]).satisfied_by({"a": 1, "c": 2}.keys())


@pytest.mark.parametrize(
    ("expression", "names", "message", "cure"),
    [
        ("a and b", ["a", "b"], "'and' after a complete condition", "write &&"),
        ("a or b", ["a", "b"], "'or'", "write ||"),
        ("not a", ["a"], "'not' is a reserved word", "cannot say that an event is absent"),
        ("!a", ["a"], "'!' at column 1", "cannot say that an event is absent"),
        ("a & b", ["a", "b"], "'&' at column 3", "write &&"),
        ("a | b", ["a", "b"], "'|' at column 3", "write ||"),
        ("a, b", ["a", "b"], "',' at column 2", "write && or ||"),
        ("a == b", ["a", "b"], "'=' at column 3", "use the names"),
        ("a b", ["a", "b"], "'b' after a complete condition", "use the names"),
        ("a (b)", ["a", "b"], "'('", "use the names"),
        ("(a", ["a"], "nothing where a parenthesis should close", "use the names"),
        ("a &&", ["a"], "nothing where a dependency should be named", "use the names"),
        ("a && && a", ["a"], "'&&' where a dependency", "use the names"),
        ("()", ["a"], "')' where a dependency", "use the names"),
        ("ordes", ["orders", "x"], "no dependency 'ordes'", "did you mean 'orders'?"),
        ("zz", ["a", "b"], "no dependency 'zz'", "there are a, b"),
        ("x-y", ["x_y"], "no dependency 'x-y'", "did you mean 'x_y'?"),
        ("in && b", ["in", "b"], "'in' is a reserved word", "rename the dependency"),
        (None, ["in", "b"], "'in' is a reserved word", "rename the dependency"),
        (None, ["a.b", "c"], "'a.b' cannot stand in conditions", "rename the dependency"),
        (None, ["1a"], "'1a' cannot stand", "rename"),
        (None, ["_a"], "'_a' cannot stand", "rename"),
        (None, ["x-y", "x_y"], "differ only in - and _", "rename one of them"),
        ("x-y", ["x-y", "x_y"], "differ only in - and _", "rename one of them"),
        (None, [], "there are no dependencies", "at least one"),
        ("(" * 60 + "a" + ")" * 60, ["a"], "more than 50 parentheses", ""),
        ("true", ["a"], "reserved", "use the names"),
        ("'a'", ["a"], '"\'" at column 1', "use the names"),
    ],
)
def test_everything_else_is_refused_with_a_cure(
    expression: str | None, names: list[str], message: str, cure: str
) -> None:
    with pytest.raises(UserError) as refused:
        conditions.compile(expression, names)
    assert message in refused.value.message
    assert cure in refused.value.cure


def test_names_that_differ_only_in_hyphens_are_fine_where_they_are_not_used() -> None:
    assert conditions.compile("b", ["x-y", "x_y", "b"]).dependencies == ("b",)
