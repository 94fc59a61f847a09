"""JMESPath over the data of events."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import EventError, UserError
from events.expressions import jmes

DOC = {
    "body": {
        "id": "A-1",
        "total": 12.5,
        "paid": True,
        "items": [{"sku": "x", "n": 1}, {"sku": "y", "n": 5}, {"sku": "z", "n": "many"}],
    },
    "header": {"X-Kind": ["order"]},
}
SIZE = len(json.dumps(DOC))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("body.id", "A-1"),
        ("body.nothing", None),
        ('header."X-Kind"[0]', "order"),
        ("{id: body.id, skus: body.items[].sku}", {"id": "A-1", "skus": ["x", "y", "z"]}),
        ("body.items[?n > `2`].sku", ["y"]),
        ("body.total > `10` && body.paid", True),
        ("body.total < body.id", None),
        ("`null` < `null`", None),
        ("body.items[-1].n", "many"),
        ("length(body.items)", 3),
        ("sum(body.items[:2].n)", 6),
        ("join('-', body.items[].sku)", "x-y-z"),
        ("sort_by(body.items, &sku)[0].sku", "x"),
        ("map(&sku, body.items)", ["x", "y", "z"]),
        ("body.items[?sku==`y`] | [0].n", 5),
        ("to_number('1e999')", None),
        ("to_number('nan')", None),
        ("to_number('1.50')", 1.5),
        ("to_string(body.items[0])", '{"sku":"x","n":1}'),
        ("body.[id, total]", ["A-1", 12.5]),
    ],
)
def test_an_expression_gives_the_same_whether_it_is_counted_or_not(text: str, result: Any) -> None:
    expression = jmes.compile(text)
    assert expression.search(DOC, SIZE) == result
    assert expression.search(DOC, 10**9) == result
    assert json.loads(expression.search_json(DOC, SIZE)) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be empty"),
        ("a.", "at column 3"),
        ("a b", "at column 3: Unexpected token: b"),
        ("a[", "it ends too early"),
        ("'x", "at column 1: Unclosed ' delimiter"),
        ("fo(a)", "no function fo"),
        ("lenght(a)", "did you mean 'length'"),
        ("length(a, b)", "takes 1 arguments, not 2"),
        ("merge()", "takes at least 1"),
        ("[?a[::0]]", "step of 0"),
        ("(" * 500 + "a" + ")" * 500, "nested too deeply"),
        ("|".join("a" * 100), "more than 60 expressions"),
        ("a" * 20_000, "longer than"),
        ("a[" + "9" * 5000 + "]", "is not JMESPath"),
        ("\ud800", "at column 1"),
    ],
)
def test_what_is_no_expression_is_refused_when_it_is_compiled(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        jmes.compile(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "length(nothing)",
        "contains(body.id, `5`)",
        "sum(body.items[].n)",
        "abs(body.id)",
        "ceil(`1e400`)",
    ],
)
def test_what_cannot_be_told_is_our_error(text: str) -> None:
    with pytest.raises(EventError, match="jmespath: "):
        jmes.compile(text).search(DOC)


@pytest.mark.parametrize("text", ["&body", "to_number('9999999999999999999999')"])
def test_a_result_that_is_no_json_is_our_error(text: str) -> None:
    with pytest.raises(EventError, match="the result is not JSON"):
        jmes.compile(text).search_json(DOC)


BIG = {"l": [{"a": i} for i in range(20_000)]}


@pytest.mark.parametrize(
    "text",
    [
        "|".join(["[@, @]"] * 50),
        "|".join(["[@, @][]"] * 50),
        "|".join(["to_string([@, @])"] * 50),
        "|".join(["{a: @, b: @, c: @}"] * 50),
        "|".join(["join(to_string(@), [to_string(@), to_string(@), to_string(@)])"] * 40),
        f"({'|'.join(['[@, @]'] * 50)}) == ({'|'.join(['[@, @]'] * 50)})",
        f"contains({'|'.join(['[@, @]'] * 50)}, @)",
        f"{'|'.join(['map(&[@, @], [@, @, @][])'] * 40)}",
        "l[].[`" + json.dumps("x" * 5000) + "`]",
        "l[].{" + "k" * 5000 + ": a}",
        "l[?" + " || ".join(f"a == `{-n}`" for n in range(1, 50)) + "]",
        "l[?contains(`" + json.dumps(list(range(-1500, 0))) + "`, a)]",
        "sort_by(l, &to_string([a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]))",
    ],
)
def test_an_expression_that_makes_too_much_is_stopped_in_time(text: str) -> None:
    started = time.process_time()
    expression = jmes.compile(text)
    with pytest.raises(EventError, match=r"too much|more than|not JSON"):
        expression.search_json(BIG, 260_000)
    assert time.process_time() - started < 10  # without the bound it would be hours


def test_numbers_are_pythons() -> None:
    tree = json.loads('{"a": 1.50, "b": 12345678901234567, "c": 1e3}')
    assert jmes.compile("[a, b, c]").search_json(tree) == b"[1.5,12345678901234567,1000.0]"


WORDS = [
    "a",
    "b",
    '"x y"',
    "*",
    "@",
    ".",
    "[",
    "]",
    "[]",
    "[?",
    "(",
    ")",
    "{",
    "}",
    ":",
    ",",
    "|",
    "||",
    "&&",
    "!",
    "==",
    "<",
]
WORDS += [
    "&",
    "`1`",
    "`[1,",
    "'t'",
    "0",
    "-1",
    "length",
    "sort_by",
    "to_number",
    "join",
    "map",
    "merge",
    "\\",
    "é",
    "\ud800",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join) | st.text(max_size=20))
def test_any_text_is_an_expression_or_our_error(text: str) -> None:
    try:
        expression = jmes.compile(text)
    except UserError:
        return
    for size in (10, 10**9):
        with contextlib.suppress(EventError):
            expression.search_json({"a": [1, "t", None, {"b": 1.5}], "b": {"a": True}}, size)
