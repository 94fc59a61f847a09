"""The language of `exprs`: facts asked of govaluate itself, and what no expression may do to us."""

from __future__ import annotations

import math
from typing import Any

import pytest

from events.errors import FilterError, UserError
from events.expressions import govaluate
from events.expressions.govaluate import dates

VARIABLES: dict[str, Any] = {
    "a": 1,
    "b": 2.5,
    "s": "hello",
    "t": True,
    "n": None,
    "l": [1, "x", None, True, {"k": 1.5}],
    "o": {"b": 1e21, "a": []},
    "neg": -5,
    "big": 1e300,
    "exact": 9007199254740993,
    "a-b": 5,
    "sp ace": 6,
    "u.n": 7,
    "zółw": "żółw",
    "_a": 8,
}


def value(text: str, **more: Any) -> Any:
    return govaluate.compile(text).evaluate(VARIABLES | more)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x1F + 1", 32.0),
        ("0x  ff", 255.0),
        (".5 + 5.", 5.5),
        ("1\\e3", 1000.0),
        ("'a\\nb'", "anb"),
        ("'mixed\"", "mixed"),
        ("t\\rue", True),
        ("[a-b] + a\\-b", 10.0),
        ("[sp ace]", 6.0),
        ("[u.n]", 7.0),
        ("[_a]", 8.0),
        ("zółw == 'żółw'", True),
        ("a IN (1, 2)", True),
        ("exact == 9007199254740992", True),
    ],
)
def test_literals_and_names(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 ** 3 ** 2", 64.0),
        ("10 - 4 - 3", 3.0),
        ("2 + 3 * 4 ** 2", 50.0),
        ("1 + 1 << 2 | 1", 9.0),
        ("5 & 3 == 1", True),  # bits before comparisons, unlike C
        ("1 < 2 == true", True),
        ("-2 ** 2", 4.0),
        ("a == 2 || a == 1 && s == 'nope'", False),
        ("true ? 1 : 2", 1.0),
        ("false ? 1 : 2", 2.0),
        ("n ?? 2", 2.0),
        ("a ?? 2", 1.0),
        ("t ? n : 4", 4.0),
        ("t ? 1", 1.0),
        ("f ? 1", None),
        ("n : 3", 3.0),
        ("f ? 1 : t ? 2 : 3", 2.0),
    ],
)
def test_everything_binds_to_the_left(text: str, expected: Any) -> None:
    assert value(text, f=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == '1'", False),
        ("t == 1", False),
        ("a == t", False),
        ("n == n", True),
        ("n == 0", False),
        ("l == l", True),
        ("(1, 2) == (1, 2)", True),
        ("s < 'z'", True),
        ("'1' + a", "11"),
        ("l + 'x'", "[1 x <nil> true map[k:1.5]]x"),
        ("o + ''", "map[a:[] b:1e+21]"),
        ("'' + t + n", "true<nil>"),
        ("'' + 100000", "100000"),
        ("'' + 1000000", "1e+06"),
        ("'' + 123456789", "1.23456789e+08"),
        ("'' + 0.0001", "0.0001"),
        ("'' + 0.00001", "1e-05"),
        ("'' + (1 / 0) + (-1 / 0) + (0 / 0)", "+Inf-InfNaN"),
        ("a in (true, 1)", True),
        ("'1' in (1, 2)", False),
        ("n in l", True),
        ("l in (1, 2)", False),
        ("a, s", [1.0, "hello"]),
        ("(l, 1) == (1, 'x')", False),
    ],
)
def test_nothing_is_converted_but_by_a_plus_with_a_text(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 / 0", math.inf),
        ("-7 / 0", -math.inf),
        ("7.5 % -2", 1.5),
        ("-7 % 4", -3.0),
        ("0 ** -1", math.inf),
        ("10 ** 400", math.inf),
        ("(-10) ** 401", -math.inf),
        ("~1.9", -2.0),
        ("big | 0", -9223372036854775808.0),
        ("~big", 9223372036854775807.0),
        ("big << 1", 0.0),
        ("big >> 0", 9223372036854775808.0),
        ("neg >> 60", 15.0),
        ("neg << 1", 18446744073709551606.0),
        ("1 << 63", 9223372036854775808.0),
        ("1 << 64", 0.0),
        ("1 << -1", 0.0),
    ],
)
def test_numbers_are_those_of_the_machine(text: str, expected: float) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", ["0 / 0", "7 % 0", "big ** 2 % 3", "(-8) ** 0.5"])
def test_what_is_no_number_is_not_an_exception(text: str) -> None:
    assert math.isnan(value(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t || zz", True),
        ("a == 2 && zz == 1", False),
        ("true || a.B(1)", True),
        ("a ?? zz", 1.0),
        ("false ? zz : 1", 1.0),
    ],
)
def test_what_is_not_needed_is_not_looked_at(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zz == 1", "there is no variable zz"),
        ("s < 1", "two numbers or two texts"),
        ("a && t", "&& wants bools, not 1"),
        ("1 ? 2", "a bool on its left"),
        ("a in (1)", "a list of two or more values"),
        ("o in l", "in wants a text"),  # upstream crashes
        ("a =~ '1'", "a text on its left"),
        ("s =~ ('(')", "not a regular expression"),
        ("'x' =~ 'x' + 1", "+ wants"),
        ("a == '2020-01-01' - 's'", "- wants numbers"),
        ("!s", "! wants a bool"),
        ("a.B", "no members"),
        ("(a +)", "+ wants"),
    ],
)
def test_what_cannot_be_decided_says_why(text: str, message: str) -> None:
    with pytest.raises(FilterError) as failure:
        value(text)
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early (at 1:1)"),
        ("a ==", "ends too early (at 1:5)"),
        ("(a == 1", "a bracket is not closed"),
        ("a == 1)", "a bracket too many"),
        ("a = 1", "unknown operator = (at 1:3) (write ==)"),
        ("a == 1 and t", "and cannot stand here (at 1:8) (write &&)"),
        ("strlen(s)", "there is no function strlen (at 1:7)"),
        ("1x == 1", "x cannot stand after 1 (at 1:2)"),
        ("a+.5", "unknown operator +. (at 1:2) (put a space before .)"),
        ("!!t", "unknown operator !!"),
        ("_a == 1", "[_name]"),
        ("s == 'x", "a string is not closed (at 1:6)"),
        ("[a", "a variable in brackets is not closed"),
        ("o.k == 1", "o.k: values of an event have no members (at 1:1)"),
        ("o. == 1", "o. ends with a dot"),
        ("s =~ '('", "not a regular expression"),
        (r"s =~ 'a\\Cb'", "half a character"),
        ("s =~ 'h(?=e)'", "not a regular expression"),
        ("1 + '2020-01-01'", "cannot stand after + (at 1:5)"),
        ("-'x'", "cannot stand after -"),
        ("a ? , b", ", cannot stand after ? (at 1:5)"),
        ("a\\", "nothing follows the backslash"),
        ("1.2.3", "1.2.3 is not a number"),
        ("0x + 1", "is not a number"),
        ("9" * 400, "is not a number"),
        ("a == 1\n&& a ==", "(at 2:8)"),
    ],
)
def test_what_is_no_expression_says_where(text: str, message: str) -> None:
    with pytest.raises(UserError) as failure:
        govaluate.compile(text)
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("text", "ignored", "expected"),
    [
        ("(a) s", "s", 1.0),
        ("((a) s)", "s)", 1.0),
        ("a ) ( a", ") ( a", 1.0),
        ("() == n", "", True),
        ("(a == )", "", False),
    ],
)
def test_what_is_not_read_is_told(text: str, ignored: str, expected: Any) -> None:
    expression = govaluate.compile(text)
    assert (expression.evaluate(VARIABLES), expression.ignored) == (expected, ignored)


def test_names_are_the_variables_in_their_order() -> None:
    assert govaluate.compile("s == [a-b] && a\\ b in (s, 1) && x.Y").names == ("s", "a-b", "a b")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020-01-01", 1577836800),
        ("2020-02-30", None),
        ("2020-01-01 5:04", 1577855040),
        ("2020-01-01   10:00:00", 1577872800),
        ("2020-01-01 10:00:00,5", 1577872800),
        ("2020-01-01 10:00:00+02:00", 1577865600),
        ("2020-01-01T10Z", 1577872800),
        ("2020-01-01T10+0160", 1577865600),
        ("2020-01-01T10:00:00.123456789012Z", 1577872800),
        ("2020-01-01t10:00:00z", None),
        ("Mon Jan  2 15:04:05 2006", 1136214245),
        ("tue JAN 2 15:04:05 GMT+3 2006", 1136214245),
        ("Mon Jan 02 15:04:05 -0700 2006", 1136239445),
        ("3:04PM", -62167164960),
        ("3:04pm", None),
        ("13:04PM", None),
        ("2020", None),
        ("Jan", None),
        ("10", None),
    ],
)
def test_strings_that_look_like_dates_are_seconds(text: str, seconds: int | None) -> None:
    assert dates.unix_seconds(text) == seconds
    assert value(f"'{text}'") == (text if seconds is None else seconds)


NESTED: list[Any] = []
for _ in range(5000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "a" + ")" * 5000,
        "!(" * 3000 + "t" + ")" * 3000,
        "a ** (" * 300 + "a" + ")" * 300,
        "a+" * 9000 + "a",
        "s+" * 499 + "s",
        "2" + "**9" * 5000,
        "1," * 9999 + "1, 1",
        "d == d && '' + d == d + ''",
        "d in (d, 1)",
        "s + '" + "x" * 30_000 + "'",
        "[" * 9999,
        "\\" * 9999,
        "'" * 9999,
        "0x" + "f" * 9999,
        "?" * 9999,
        "s =~ '" + "(a*)*" * 3000 + "'",
    ],
)
def test_no_expression_raises_anything_else(text: str) -> None:
    said = ""
    try:
        value(text, s="x" * 100_000, d=NESTED)
    except (UserError, FilterError) as error:
        said = str(error)
    assert len(said) < 400


def test_ordinary_nesting_is_fine() -> None:
    assert value("(" * 90 + "a" + " + 1)" * 90) == 91
    assert value(" && ".join(["a == 1"] * 400)) is True
