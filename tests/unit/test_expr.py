"""Expressions of event-source filters: what they give. The tables are facts asked of expr-lang/expr 1.15.5 itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.expressions import DATA

from events.errors import FilterError
from events.expressions import expr
from events.expressions.expr.filters import environment
from events.expressions.expr.texts import go_text
from events.expressions.expr.values import go_type


def value(text: str, data: bytes = DATA) -> Any:
    return expr.compile(text, clock=lambda: 1_700_000_000_000_000_000).evaluate(environment(data))


# Expression, Go type, how Go prints it.
FACTS = [
    ("1 + 2", "int", "3"),
    ("1 + 2.0", "float64", "3"),
    ("7 / 2", "float64", "3.5"),
    ("6 / 2", "float64", "3"),
    ("7 % 3", "int", "1"),
    ("-7 % 3", "int", "-1"),
    ("2 ** 3", "float64", "8"),
    ("2 ^ 0.5", "float64", "1.4142135623730951"),
    ("-2 ** 2", "float64", "-4"),
    ("2 ** 3 ** 2", "float64", "512"),
    ("10 ** 400", "float64", "+Inf"),
    ("1 / 0", "float64", "+Inf"),
    ("0x1f + 1_000", "int", "1031"),
    (".5 + 1e3", "float64", "1000.5"),
    ("9223372036854775807 + 1", "int", "-9223372036854775808"),
    ("1..3", "[]int", "[1 2 3]"),
    ("3..1", "[]int", "[]"),
    ("1..3 == [1, 2, 3]", "bool", "false"),
    ("[1, 2] == [1, 2]", "bool", "true"),
    ("[1, 2] == [1.0, 2]", "bool", "false"),
    ("body.nums == [3, 1, 2]", "bool", "false"),
    ('body.list == ["a", "b"]', "bool", "true"),
    ('split("a,b", ",") == ["a", "b"]', "bool", "false"),
    ("body.n == 7", "bool", "true"),
    ("body.big == 9007199254740993", "bool", "true"),
    ('body.n == "7"', "bool", "false"),
    ("int(body.n) % 2", "int", "1"),
    ("nil == body.nul", "bool", "true"),
    ("zzz?.y", "nil", "<nil>"),
    ("zzz?.y.z", "nil", "<nil>"),
    ("(zzz?.y).z", "nil", "<nil>"),
    ("body.eo.x", "nil", "<nil>"),
    ("body.s[0]", "uint8", "72"),
    ("body.s[-1:]", "string", "d"),
    ("body.u[0:2]", "string", "ż"),
    ("len(body.u)", "int", "10"),
    ('len("żółw")', "int", "7"),
    ("body.list[-1]", "string", "b"),
    ("body.list[1:]", "[]any", "[b]"),
    ("body.list[-9:9]", "[]any", "[a b]"),
    ('"a" in body.list', "bool", "true"),
    ('"action" in body', "bool", "true"),
    ("body.n in 1..10", "bool", "true"),
    ("body.f in 1..10", "bool", "false"),
    ("body.n in [7]", "bool", "true"),
    ('body.n in [7, "a"]', "bool", "true"),
    ('body.nul in ["", "a"]', "bool", "true"),
    ("1 + 2 not in [3]", "bool", "true"),
    ('not ("a" in body.list)', "bool", "false"),
    ('"a" not in body.list', "bool", "false"),
    ("true and body.s", "string", "Hello World"),
    ("body.s and true", "string", "Hello World"),
    ("false and zzz.y", "bool", "false"),
    ("zzz.y and false", "bool", "false"),
    ("zzz.y or true", "bool", "true"),
    ("body.t ? 1 : zzz.y", "int", "1"),
    ("(body.t ? 1 : body.f) == 1", "bool", "true"),
    ("(body.t ? body.f : 1) == 1.5", "bool", "true"),
    ("(body.t ? 1 : body.s) == 1", "bool", "true"),
    ('body.zzz ?? "d"', "string", "d"),
    ('"" ?? "d"', "string", ""),
    ("body.t ?: 3", "bool", "true"),
    ("let x = 5; x + 1", "int", "6"),
    ('let f = trim; f(" a ")', "string", "a"),
    ('$env["zzz"]', "nil", "<nil>"),
    ('$env.trim(" a ")', "string", "a"),
    ("body.s | len()", "int", "11"),
    ('" a " | trim() | upper()', "string", "A"),
    ("filter(body.nums, # > 1)", "[]any", "[3 2]"),
    ("filter(body.nums, {# > 1})[0]", "float64", "3"),
    ("first(filter(body.nums, # > 5))", "nil", "<nil>"),
    ("map(body.objs, .v)", "[]any", "[2 1]"),
    ("map(filter(body.objs, .v > 1), .k)", "[]any", "[x]"),
    ("map(1..3, # * 2)", "[]any", "[2 4 6]"),
    ("map(body.nums, #index)", "[]any", "[0 1 2]"),
    ("all([], false)", "bool", "true"),
    ("any(body.nums, # == 2)", "bool", "true"),
    ("none(body.nums, # > 5)", "bool", "true"),
    ("one(body.nums, # == 2)", "bool", "true"),
    ("count(body.nums, # > 1)", "int", "2"),
    ("count(body.o, true)", "int", "1"),
    ("count(body.s, # == 108)", "int", "3"),
    ("find(body.objs, .v == 1).k", "string", "y"),
    ("find(body.nums, # > 9)", "nil", "<nil>"),
    ("findIndex(body.nums, # == 1)", "int", "1"),
    ("findLast(body.nums, # > 1)", "float64", "2"),
    ("findLastIndex(body.nums, # > 1)", "int", "2"),
    ("groupBy(body.objs, .k).x[0].v", "float64", "2"),
    ("groupBy([], #) == nil", "bool", "true"),
    ("len(groupBy(body.nums, # > 1))", "int", "2"),
    ("reduce(body.nums, #acc + #)", "float64", "6"),
    ("reduce(body.nums, #acc + #, 10)", "float64", "16"),
    ("reduce(1..3, #index, 0)", "int", "2"),
    ("sum(body.nums)", "float64", "6"),
    ("sum([1, 2])", "int", "3"),
    ("sum([1, 2.5])", "float64", "3.5"),
    ("mean(body.nums)", "float64", "2"),
    ("median([1, 2, 3, 4])", "float64", "2.5"),
    ("mean([])", "float64", "0"),
    ("max(1, 2.5)", "float64", "2.5"),
    ("min(body.n, 3)", "int", "3"),
    ("abs(-3)", "int", "3"),
    ("ceil(1.2)", "float64", "2"),
    ("floor(-1.2)", "float64", "-2"),
    ("round(2.5)", "float64", "3"),
    ("round(-2.5)", "float64", "-3"),
    ("round(1)", "float64", "1"),
    ('int("12")', "int", "12"),
    ('int("+5")', "int", "5"),
    ("int(2.9)", "int", "2"),
    ("int(1e30)", "int", "-9223372036854775808"),
    ('float("1e3")', "float64", "1000"),
    ('asInt("7") + 1', "int", "8"),
    ("asFloat(7)", "float64", "7"),
    ("string(body.n)", "string", "7"),
    ("string(1e6)", "string", "1e+06"),
    ("string(123456.0)", "string", "123456"),
    ("string(1e-5)", "string", "1e-05"),
    ("string(0.1)", "string", "0.1"),
    ("string(1e20)", "string", "1e+20"),
    ('string([1, "a", nil, 2.5])', "string", "[1 a <nil> 2.5]"),
    ('string({"b": 1, "a": [true]})', "string", "map[a:[true] b:1]"),
    ("string(nil)", "string", "<nil>"),
    ("type(1)", "string", "int"),
    ("type(1.5)", "string", "float"),
    ("type(nil)", "string", "nil"),
    ("type(body.s[0])", "string", "uint"),
    ("type(now())", "string", "time.Time"),
    ('type(duration("1s"))', "string", "time.Duration"),
    ("type([])", "string", "array"),
    ("type({})", "string", "map"),
    ('upper("ßé")', "string", "ßÉ"),
    ('trim("xax", "x")', "string", "a"),
    ('trimPrefix("abc", "a")', "string", "bc"),
    ('trimSuffix("abc", "c")', "string", "ab"),
    ('split("a,b,c", ",", 2)', "[]string", "[a b,c]"),
    ('splitAfter("a,b", ",")', "[]string", "[a, b]"),
    ('split("ab", "")', "[]string", "[a b]"),
    ('replace("aaa", "a", "b", 2)', "string", "bba"),
    ('replace("ab", "", "-")', "string", "-a-b-"),
    ('repeat("ab", 2)', "string", "abab"),
    ('join(["a", "b"], "-")', "string", "a-b"),
    ("join(body.list)", "string", "ab"),
    ('indexOf("żółw", "w")', "int", "6"),
    ('indexOf("a", "z")', "int", "-1"),
    ('lastIndexOf("aba", "a")', "int", "2"),
    ('hasPrefix("abc", "a")', "bool", "true"),
    ('"abc" matches "^a.c$"', "bool", "true"),
    (
        'toJSON({"a": [1, 1.5, nil], "b": "<"})',
        "string",
        '{\n  "a": [\n    1,\n    1.5,\n    null\n  ],\n  "b": "\\u003c"\n}',
    ),
    ("toJSON(1e21)", "string", "1e+21"),
    ("toJSON(1e-7)", "string", "1e-7"),
    ("toJSON([])", "string", "[]"),
    ("toJson(body.list)", "string", '["a","b"]'),
    ("toJson(sprig)", "string", ""),
    ("fromJSON('{\"a\": 1}').a", "float64", "1"),
    ('toBase64("żó")', "string", "xbzDsw=="),
    ('fromBase64("YWI=")', "string", "ab"),
    ("first(body.list)", "string", "a"),
    ("first([])", "nil", "<nil>"),
    ("last(body.list)", "string", "b"),
    ("get(body.list, 9)", "nil", "<nil>"),
    ('get(body.o, "p").q', "string", "deep"),
    ("take(body.list, 1)", "[]any", "[a]"),
    ("take([1, 2], 9)", "[]any", "[1 2]"),
    ('keys({"a": 1})', "[]any", "[a]"),
    ('values({"a": 1})', "[]any", "[1]"),
    ('toPairs({"a": 1})', "[][2]any", "[[a 1]]"),
    ('fromPairs([["a", 1]])', "map[any]any", "map[a:1]"),
    ("fromPairs([[1, 2]])[1]", "int", "2"),
    ("fromPairs([[1, 2]])[1.0]", "nil", "<nil>"),
    ("sort([3, 1, 2])", "[]any", "[1 2 3]"),
    ('sort(["b", "a"], "desc")', "[]any", "[b a]"),
    ("sort([nil])", "[]any", "[<nil>]"),
    ('sortBy(body.objs, "v")[0].k', "string", "y"),
    ('date("2024-02-29").Year()', "int", "2024"),
    ('date("2024-02-29").Month()', "time.Month", "February"),
    ('date("2024-02-29").Month() == 2', "bool", "false"),
    ('string(date("2024-02-29").Month())', "string", "February"),
    ('date("2024-02-29").Weekday().String()', "string", "Thursday"),
    ('date("2024-02-29").YearDay()', "int", "60"),
    ('date("2024-02-29").AddDate(1, 0, 0).Day()', "int", "1"),
    ('date("2024-02-29T10:00:00+02:00")', "time.Time", "2024-02-29 10:00:00 +0200 +0200"),
    ('date("2024-02-29T10:00:00+02:00").UTC().Hour()', "int", "8"),
    ('date("29.02.2024", "02.01.2006").Unix()', "int64", "1709164800"),
    ('date("2024-07-01 10:00", "2006-01-02 15:04", "Europe/Warsaw")', "time.Time", "2024-07-01 10:00:00 +0200 CEST"),
    ('date("2024-02-29") > date("2024-02-28")', "bool", "true"),
    ('date("2024-02-29") - date("2024-02-28")', "time.Duration", "24h0m0s"),
    ('date("2024-02-29") + duration("1h30m")', "time.Time", "2024-02-29 01:30:00 +0000 UTC"),
    ('date("2024-02-29") == date("2024-02-29T00:00:00Z")', "bool", "true"),
    ('date("2024-02-29").Format("Jan 2, 2006 at 3:04pm (MST)")', "string", "Feb 29, 2024 at 12:00am (UTC)"),
    ('duration("1h30m")', "time.Duration", "1h30m0s"),
    ('duration("1h") > duration("1m")', "bool", "true"),
    ('duration("1m") * 2', "time.Duration", "2m0s"),
    ('duration("90m").Hours()', "float64", "1.5"),
    ('duration("1500ms").Milliseconds()', "int64", "1500"),
    ('string(duration("1.5s"))', "string", "1.5s"),
    ('{"a": 1}.a', "int", "1"),
    ('{a: 1, "b": 2, 3: 4}', "map[string]any", "map[3:4 a:1 b:2]"),
    ("[1, 2,]", "[]any", "[1 2]"),
    ("'a' + \"b\\n\\x41\\u00e9\\101\"", "string", "ab\nAéA"),
    ('"\\ud800" == "�"', "bool", "true"),
    ("true // comment", "bool", "true"),
    ("true /* c */", "bool", "true"),
    ("1 + + 2", "int", "3"),
    ("a.b", "string", "dotted"),
    ("a", "map[string]any", "map[b:dotted]"),
    ("dash_key", "string", "dv"),
    ("[1][0]", "int", "1"),
]
SPRIG = [
    ('sprig.upper("a")', "string", "A"),
    ("sprig.add(1, 2)", "int64", "3"),
    ('sprig.trunc(2, "abc")', "string", "ab"),
    ('sprig.splitList(",", "a,b")', "[]string", "[a b]"),
    ('sprig.default("x", "")', "string", "x"),
    ('sprig.semverCompare("^1.2.0", "1.3.0")', "bool", "true"),
    ("sprig.list(1, 2)", "[]any", "[1 2]"),
    ('sprig.regexMatch("^o", body.action)', "bool", "true"),
]


@pytest.mark.parametrize(("text", "kind", "printed"), FACTS)
def test_values_are_those_of_the_library(text: str, kind: str, printed: str) -> None:
    found = value(text)
    assert (go_type(found), go_text(found)) == (kind, printed)


@pytest.mark.parametrize(("text", "kind", "printed"), SPRIG)
def test_sprig_is_called_as_strictly_as_go_calls_it(text: str, kind: str, printed: str) -> None:
    found = value(text)
    assert (go_type(found), go_text(found)) == (kind, printed)


def test_now_is_the_clock_that_was_given() -> None:
    assert value("now().Unix()") == 1_700_000_000
    assert value("now().Year()") == 2023
    assert value('now() - duration("1h") < now()') is True


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.a.b", 5.0),
        ("$['a']['b']", 5.0),
        ("$.l[1]", "y"),
        ("$.l[-1]", "z"),
        ("$.l[0:2]", ["x", "y"]),
        ("$.l[::-2]", ["z", "x"]),
        ("$.l[0,2]", ["x", "z"]),
        ("$.l.length", 3),
        ("$..k", [1.0, 2.0]),
        ("$.o[*].k", [1.0, 2.0]),
        ("$.o[?(@.k > 1)].n", ["two"]),
        ("$.o[?(@.n == 'one' || @.k == 2)].k", [1.0, 2.0]),
        ("$.o[?(!@.n)]", []),
        ("$..nothing", []),
        ("$", {"a": {"b": 5.0}, "l": ["x", "y", "z"], "o": [{"k": 1.0, "n": "one"}, {"k": 2.0, "n": "two"}]}),
    ],
)
def test_jsonpath(path: str, found: Any) -> None:
    document = {"a": {"b": 5}, "l": ["x", "y", "z"], "o": [{"k": 1, "n": "one"}, {"k": 2, "n": "two"}]}
    data = json.dumps({"j": json.dumps(document), "p": path}).encode()
    assert value("jsonpath(j, p)", data) == found


@pytest.mark.parametrize(
    "path", ["$.x", "$.a.b.c", "$.l[9]", "a.b", "", "$[", "$.l[?(]", "$.l[0:2:0]", "$[]", "$" + "[0]" * 99]
)
def test_jsonpath_without_a_value_is_an_error(path: str) -> None:
    data = json.dumps({"j": '{"a":{"b":5},"l":["x"]}', "p": path}).encode()
    with pytest.raises(FilterError):
        value("jsonpath(j, p)", data)


# --- the event as an environment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data", "passes"),
    [
        ("dash_key == 1", b'{"dash-key":1}', True),
        ("a_b == 2", b'{"a-b":1,"a_b":2}', True),
        ("a_b == 2", b'{"a_b":2,"a-b":1}', True),
        ("a.b == 1", b'{"a.b":1}', True),
        ("a.b.c == 1 and a.d == 2", b'{"a.b.c":1,"a.d":2,"a":3,"a.b":4}', True),
        ('body["p.q"] == 1 and body.p == nil', b'{"body":{"p.q":1}}', True),
        ('body["x-y"] == 1', b'{"body":{"x-y":1}}', True),
        ("n == 9007199254740992", b'{"n":9007199254740993}', True),
        ("x == 2", b'{"x":1,"x":2}', True),
        ('u == "\ufffd"', b'{"u":"\\ud800"}', True),
        ('u == "\ufffd\ufffd"', b'{"u":"\xff\xfe"}', True),
        ("true", b"null", True),
        ('type == "a" and count == 1 and len(len) == 2', b'{"type":"a","count":1,"len":[1,2]}', True),  # N6: ours
        ("asInt(asInt) == 1", b'{"asInt":1}', None),
        ("true", b"[1]", None),
        ("true", b'"x"', None),
        ("true", b"zzz", None),
        ("true", b"", None),
        ("true", b'{"a":1e999}', None),
        ("true", b'{"a":NaN}', None),
        ("n", b'{"n":1}', None),
        ("n", b'{"n":null}', None),
    ],
)
def test_the_event_data_are_the_environment(text: str, data: bytes, passes: bool | None) -> None:
    chosen = expr.filter(text)
    if passes is None:
        with pytest.raises(FilterError):
            chosen.passes(data)
    else:
        assert chosen.passes(data) is passes
