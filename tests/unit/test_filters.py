"""Filters: each kind by itself, how kinds combine, and what a person reads when an event does not pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.event import Event
from events.problems import Problems
from sensors import filters, types
from sensors.filters import Verdict
from sensors.filters.data import matcher, parse_float

DATA = {
    "body": {
        "kind": "issue",
        "n": 42,
        "text": "42",
        "flag": True,
        "off": False,
        "none": None,
        "list": [1, "two"],
        "name": "Zażółć",
        "long": "x" * 200,
    }
}


def event(data: Any = DATA, **attributes: str) -> Event:
    raw = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    given = {"id": "1", "source": "hooks", "type": "webhook", "subject": "orders", "time": "2026-03-14T12:00:00Z"}
    return Event(**(given | attributes), data=raw)


def accepts(raw: dict[str, Any], one: Event | None = None, operator: str | None = None) -> Verdict:
    spec = types.EventDependency.parse({"name": "d", "filters": raw, "filtersLogicalOperator": operator})
    return filters.compile(spec).accepts(one or event())


def data(path: str, kind: str, *values: str, comparator: str = "") -> dict[str, Any]:
    return {"data": [{"path": path, "type": kind, "value": list(values), "comparator": comparator}]}


def templated(template: str, kind: str = "string", value: str = "x", path: str = "body.n") -> dict[str, Any]:
    return {"data": [{"path": path, "type": kind, "value": [value], "template": template}]}


def exprs(*texts: str, operator: str | None = None, n: str = "body.n") -> dict[str, Any]:
    fields = [{"path": n, "name": "n"}, {"path": "body.kind", "name": "kind"}, {"path": "body.list", "name": "list"}]
    return {"exprs": [{"expr": text, "fields": fields} for text in texts], "exprLogicalOperator": operator}


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        (data("body.kind", "string", "^(push|issue)$"), True),
        (data("body.kind", "string", "push", "^iss"), True),
        (data("body.kind", "string", "sue$"), True),
        (data("body.kind", "string", "^issue$"), True),
        (data("body.kind", "string", "^iss$"), False),
        (data("body.kind", "string", "ss"), True),
        (data("body.kind", "string", "^$"), False),
        (data("body.kind", "string", "push", comparator="!="), True),
        (data("body.kind", "string", "issue", comparator="!="), False),
        (data("body.kind", "string", "issue", comparator="<"), False),
        (data("body.name", "string", "(?i)ZAŻÓŁĆ"), True),
        (data("body.name", "string", "^.{6}$"), True),
        (data("body.n", "number", "42"), True),
        (data("body.n", "number", "41.9", comparator=">"), True),
        (data("body.n", "number", "42", comparator="<"), False),
        (data("body.n", "number", "nan", comparator="!="), True),
        (data("body.text", "number", "42"), True),
        (data("body.kind", "number", "0"), True),
        (data("body.flag", "number", "1"), True),
        (data("body.list", "number", "0"), True),
        (data("body.n", "bool", "true"), True),
        (data("body.off", "bool", "F"), True),
        (data("body.kind", "bool", "false"), True),
        (data("body.none", "string", "^$"), True),
        (data("body.list.1", "string", "^two$"), True),
        (data("body.list", "string", r"^\[1"), True),
    ],
)
def test_a_value_is_compared_by_its_type(raw: dict[str, Any], passes: bool) -> None:
    verdict = accepts(raw)
    assert (verdict.passed, verdict.is_error) == (passes, False), verdict


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (data("body.kind", "string", "^(push)$"), "data[0] body.kind: 'issue' does not match ^(push)$"),
        (data("body.kind", "string", "a", "b"), "data[0] body.kind: 'issue' matches none of a, b"),
        (data("body.kind", "string", "i", comparator="!="), "data[0] body.kind: 'issue' matches i"),
        (data("body.n", "number", "1", "2"), "data[0] body.n: 42 is not 1 or 2"),
        (data("body.n", "number", "43", comparator=">="), "data[0] body.n: 42 is not >= 43"),
        (data("body.off", "bool", "true"), "data[0] body.off: false is not true"),
        (data("body.long", "string", "y"), f"data[0] body.long: '{'x' * 79}…' does not match y"),
        ({"context": {"type": "kafka"}}, "context.type: 'webhook' is not 'kafka'"),
        (
            {"time": {"start": "01:00:00", "stop": "02:00:00"}},
            "time: 2026-03-14T12:00:00Z is not from 01:00:00 to 02:00:00 UTC",
        ),
    ],
)
def test_a_refusal_says_why(raw: dict[str, Any], detail: str) -> None:
    verdict = accepts(raw)
    assert (verdict.passed, verdict.is_error, verdict.detail) == (False, False, detail)
    assert verdict.reason in ("data", "context", "time")


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (data("body.nope", "string", "x"), "data[0] body.nope: there is no such value in the data"),
        (data("body.n", "number", "many"), "'many' is not a number"),
        (data("body.n", "number", "0x2A"), "is not a number"),
        (data("body.n", "number", "1e999"), "is not a number"),
        (data("body.n", "bool", "yes"), "'yes' is not a bool"),
        (data("body.kind", "string", "("), "missing"),
        (data("body.kind", "string", r"a\Cb"), r"\C would match half a character"),
        (data("body.kind", "string", "(?=x)"), "RE2"),
        (data("body.kind", "integer", "1"), "unknown type 'integer'"),
        (data("body.kind", "string"), "no value to compare with"),
        (templated("{{ if false }}x{{ end }}"), "the template gives nothing"),
        (templated("{{ fail `boom` }}"), "boom"),
        (templated("{{ nosuch }}"), "function 'nosuch' not defined"),
        (exprs("n =="), "exprs[0] n ==: the expression ends too early"),
        (exprs("n < 'x'"), "two numbers or two texts"),
        (exprs("n == 1", n="body.nope"), "there is no body.nope in the data"),
        ({"script": "return true"}, "script"),
        ({"time": {"start": "9am", "stop": "17:00:00"}}, "'9am' is not a time of day"),
        ({"time": {"start": "09:00:00", "stop": "17:00:00", "timezone": "Mars/Base"}}, "unknown time zone"),
    ],
)
def test_what_cannot_be_decided_passes_nothing_and_says_why(raw: dict[str, Any], detail: str) -> None:
    verdict = accepts(raw)
    assert (verdict.passed, verdict.is_error) == (False, True)
    assert detail in verdict.detail


def test_a_bad_value_behind_one_that_matches_does_no_harm() -> None:
    assert accepts(data("body.kind", "string", "issue", "(")).passed
    assert accepts(data("body.n", "number", "7", "many")).is_error


@pytest.mark.parametrize(("raw", "passes", "is_error"), [(None, True, False), (b"", False, True), (b"{", False, True)])
def test_an_event_without_data_passes_one_with_other_data_does_not(raw: Any, passes: bool, is_error: bool) -> None:
    verdict = accepts(data("body.n", "number", "1"), event(raw))
    assert (verdict.passed, verdict.is_error) == (passes, is_error)


def test_bytes_that_are_not_utf8_are_no_reason_to_refuse() -> None:
    assert accepts(data("s", "string", "^a.b$"), event(b'{"s":"a\xffb"}')).passed


def test_the_first_of_two_equal_keys_counts_as_in_parameters() -> None:
    assert accepts(data("k", "string", "^1$"), event(b'{"k":"1","k":"2"}')).passed


T, F, X = (
    data("body.n", "number", "42")["data"],
    data("body.n", "number", "1")["data"],
    data("z", "number", "1")["data"],
)


@pytest.mark.parametrize(
    ("parts", "operator", "passes", "is_error"),
    [
        ((T, T), "", True, False),
        ((T, F), "and", False, False),
        ((F, X), "and", False, False),
        ((X, F), "and", False, True),
        ((T, F), "or", True, False),
        ((X, T), "or", True, False),
        ((F, F), "or", False, False),
        ((F, X), "or", False, True),
        ((T, F), "xor", False, False),
    ],
)
def test_data_filters_combine(parts: Any, operator: str, passes: bool, is_error: bool) -> None:
    verdict = accepts({"data": [one for part in parts for one in part], "dataLogicalOperator": operator})
    assert (verdict.passed, verdict.is_error) == (passes, is_error)


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        (templated("{{ .Input | upper }}", value="^ISSUE$", path="body.kind"), True),
        (templated("{{ add .Input 1 }}", "number", "43"), True),
        (templated("{{ .Input }}", "bool", "true", "body.flag"), True),
        (templated("[{{ .Input }}]", value=r"^\[\]$", path="body.none"), True),  # null is an empty text
        (templated("{{ (fromJson .Input | last) }}", value="^two$", path="body.list"), True),
        (templated("{{ .Input }}", value="^43$"), False),
    ],
)
def test_a_template_changes_the_text_of_a_value(raw: dict[str, Any], passes: bool) -> None:
    verdict = accepts(raw)
    assert (verdict.passed, verdict.is_error) == (passes, False), verdict


GONE = {"expr": "z == 1", "fields": [{"path": "gone", "name": "z"}]}


@pytest.mark.parametrize(
    ("raw", "passes", "is_error"),
    [
        (exprs("n == 42 && kind =~ '^iss'"), True, False),
        (exprs("n == 42", "n == 1"), False, False),
        (exprs("n == 1", "n == 42", operator="or"), True, False),
        (exprs("n == 1", "n ==", operator="or"), False, True),
        (exprs("n ==", "n == 42", operator="or"), True, False),
        (exprs("n == 1", "n =="), False, False),
        (exprs("n"), False, False),  # only exactly true
        (exprs("'two' in list"), True, False),
        ({"exprs": [GONE, *exprs("n == 42")["exprs"]]}, False, True),
        ({"exprs": [GONE, *exprs("n == 42")["exprs"]], "exprLogicalOperator": "or"}, True, False),
        ({"exprs": [{"expr": "false"}]}, True, False),
        ({"exprs": [{"expr": "true"}], "exprLogicalOperator": "or"}, False, False),
        ({"exprs": []}, True, False),
        ({"exprs": [], "exprLogicalOperator": "or"}, False, False),
    ],
)
def test_expressions_combine(raw: dict[str, Any], passes: bool, is_error: bool) -> None:
    verdict = accepts(raw)
    assert (verdict.passed, verdict.is_error) == (passes, is_error), verdict
    assert accepts(raw, event(None)).passed
    assert verdict.passed or verdict.detail


def test_an_expression_that_is_false_is_shown_with_its_values() -> None:
    assert accepts(exprs("n == 1")).detail == "exprs[0] n == 1: false with n = 42, kind = 'issue', list = a list"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (exprs("n == 42"), ""),
        (exprs("n =="), "error exprs[0].expr the expression ends too early (at 1:5)"),
        (exprs("n == m"), "warning exprs[0].expr there is no field named m"),
        (exprs("(n == 1) kind"), "warning exprs[0].expr 'kind' has no effect"),
        ({"exprs": [{"expr": "true"}]}, "error exprs[0].fields required"),
        ({"exprs": [{"fields": [{"path": "p", "name": "n"}]}]}, "error exprs[0].expr required"),
        ({"exprs": [{"expr": "1", "fields": [{"path": "p"}]}]}, "error exprs[0].fields[0].name required"),
        (templated("{{ .Input | upper }}"), ""),
        (templated("{{ .Input"), "error data[0].template unclosed action (at 1:1)"),
        (templated("{{ env `HOME` }}"), "error data[0].template function 'env' not defined (at 1:4)"),
    ],
)
def test_validation_of_expressions_and_templates(raw: dict[str, Any], problem: str) -> None:
    problems = Problems()
    filters.validate(types.EventDependency.parse({"name": "d", "filters": raw}), problems)
    found = [f"{one.severity.value} {one.path.removeprefix('filters.')} {one.message}" for one in problems]
    assert found == ([problem] if problem else [])


HIT, MISS = {"type": "webhook"}, {"type": "kafka"}
NOW, BAD = {"start": "09:00:00", "stop": "17:00:00"}, {"start": "bad", "stop": "17:00:00"}


@pytest.mark.parametrize(
    ("raw", "operator", "passes", "is_error"),
    [
        (None, "or", True, False),
        ({}, "", True, False),
        ({}, "or", False, False),
        ({"data": []}, "or", True, False),
        ({"data": T, "context": HIT, "time": NOW}, "and", True, False),
        ({"data": T, "context": MISS}, "and", False, False),
        ({"context": MISS, "time": BAD}, "and", False, True),  # an error is the better reason
        ({"data": F, "context": HIT}, "or", True, False),
        ({"data": X, "context": HIT}, "or", True, False),  # F1: an error counts as false for its own kind only
        ({"data": X, "context": MISS}, "or", False, True),
        ({"data": T, "time": BAD}, "or", True, False),
        ({"script": "x", "context": HIT}, "or", True, False),
        ({"script": "x", "context": HIT}, "and", False, True),
        ({"jmespath": "body.n == `42`", "data": T}, "and", True, False),
        ({"jmespath": "body.n == `1`", "data": T}, "and", False, False),
        ({"jmespath": "body.n == `42`", "data": X}, "and", False, True),
        ({"jmespath": "body.n == `42`", "data": X}, "or", True, False),
        ({"jmespath": "length(body.n)", "context": HIT}, "or", True, False),
        ({"jmespath": "length(body.n)", "context": HIT}, "and", False, True),
        ({"jmespath": "body.n"}, "and", False, False),
        ({"jmespath": "body.("}, "and", False, True),
    ],
)
def test_kinds_combine(raw: Any, operator: str, passes: bool, is_error: bool) -> None:
    verdict = accepts(raw, operator=operator)
    assert (verdict.passed, verdict.is_error) == (passes, is_error)


def test_every_reason_is_given_when_none_of_several_passes() -> None:
    verdict = accepts({"data": F, "context": MISS}, operator="or")
    assert verdict.detail == "data[0] body.n: 42 is not 1; context.type: 'webhook' is not 'kafka'"


@pytest.mark.parametrize(
    ("one", "passes", "detail"),
    [
        (event(None), True, ""),
        (event(b"not json"), False, "the data is not JSON"),
        (event({"n": 1}), False, "jmespath gives 1, not true"),
        (event({"n": True}), True, ""),
        (event({"n": "true"}), False, "jmespath gives 'true', not true"),
    ],
)
def test_jmespath_passes_what_is_exactly_true(one: Event, passes: bool, detail: str) -> None:
    verdict = accepts({"jmespath": "n"}, one)
    assert (verdict.passed, verdict.detail) == (passes, detail)


def test_a_script_is_not_decided_where_nothing_can_run_it() -> None:
    verdict = accepts({"script": "return true"})
    assert verdict.is_error
    assert "script" in verdict.detail


@pytest.mark.parametrize(
    ("start", "stop", "zone", "time", "passes"),
    [
        ("09:00:00", "17:00:00", None, "2026-03-14T09:00:00Z", True),
        ("09:00:00", "17:00:00", None, "2026-03-14T16:59:59.999Z", True),
        ("09:00:00", "17:00:00", None, "2026-03-14T17:00:00Z", False),
        ("22:00:00", "06:00:00", "UTC", "2026-03-14T23:00:00Z", True),
        ("22:00:00", "06:00:00", None, "2026-03-14T06:00:00Z", False),
        ("9:00:00", "17:00:00", None, "2026-03-14T08:59:59Z", False),
        ("00:00:00", "01:00:00", None, "", True),
        ("09:00:00", "17:00:00", "Asia/Tokyo", "2026-03-14T00:00:00Z", True),
        ("09:00:00", "17:00:00", "Asia/Tokyo", "2026-03-14T08:00:00Z", False),
        # Clocks go forward from 02:00 to 03:00 at 07:00 UTC; Go reads 02:30 as 06:30 UTC.
        ("02:30:00", "04:00:00", "America/New_York", "2026-03-08T06:29:59Z", False),
        ("02:30:00", "04:00:00", "America/New_York", "2026-03-08T06:30:00Z", True),
        # At 01:00 UTC; east of Greenwich Go reads 02:30 as 01:30 UTC.
        ("02:30:00", "04:00:00", "Europe/Berlin", "2026-03-29T01:29:59Z", False),
        ("02:30:00", "04:00:00", "Europe/Berlin", "2026-03-29T01:30:00Z", True),
        # Back from 03:00 to 02:00 at 01:00 UTC; Go reads 02:30 as the second one.
        ("02:30:00", "04:00:00", "Europe/Berlin", "2026-10-25T00:45:00Z", False),
        ("02:30:00", "04:00:00", "Europe/Berlin", "2026-10-25T01:30:00Z", True),
    ],
)
def test_time_of_day(start: str, stop: str, zone: str | None, time: str, passes: bool) -> None:
    raw = {"time": {"start": start, "stop": stop, "timezone": zone}}
    assert accepts(raw, event(time=time)).passed is passes


@pytest.mark.parametrize(
    ("text", "number"),
    [("42", 42), ("+4_2", 42), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("0x1p4", 16), ("0x_ap0", 10), ("-inf", -1e999)],
)
def test_numbers_are_read_as_go_reads_them(text: str, number: float) -> None:
    assert parse_float(text) == number


@pytest.mark.parametrize("text", ["", " 1", "1 ", "_1", "1_", "1__0", "1_.5", "0x10", "1e", "١", "--1", "1,5"])
def test_what_go_does_not_read_is_no_number(text: str) -> None:
    assert parse_float(text) is None


@pytest.mark.parametrize("pattern", ["x", "^x", "x$", "^x$", "", "^", "$", "^$", "x y", "a-b"])
@pytest.mark.parametrize("text", ["", "x", "ax", "xa", "axa", "x\n", "x y", "a-b", "a-b c"])
def test_patterns_without_special_characters_mean_what_re2_makes_of_them(pattern: str, text: str) -> None:
    plain, compiled = matcher("string", "", pattern), matcher("string", "", f"(?:{pattern})")
    assert plain(text) == compiled(text)


def problems(raw: dict[str, Any]) -> list[str]:
    found = Problems()
    filters.validate(types.EventDependency.parse({"name": "d", **raw}), found)
    return [f"{problem.severity.value} {problem.path}" for problem in found]


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({}, []),
        ({"filters": data("a", "string", "x")}, []),
        ({"filtersLogicalOperator": "AND"}, ["error filtersLogicalOperator"]),
        ({"filters": {"dataLogicalOperator": "xor"}}, ["error filters.dataLogicalOperator"]),
        ({"filters": {"exprLogicalOperator": "xor"}}, ["error filters.exprLogicalOperator"]),
        ({"filters": {"exprs": [{"expr": "a", "fields": []}]}}, ["error filters.exprs[0].fields"]),
        ({"filters": {"exprs": []}}, []),
        ({"filters": {"jmespath": "a == `1`"}}, []),
        ({"filters": {"jmespath": "a == "}}, ["error filters.jmespath"]),
        ({"filters": data("", "string", "x")}, ["error filters.data[0].path"]),
        ({"filters": data("a", "", "x")}, ["error filters.data[0].type"]),
        ({"filters": data("a", "string")}, ["error filters.data[0].value"]),
        ({"filters": data("a", "string", "x", "")}, ["error filters.data[0].value[1]"]),
        ({"filters": data("a", "string", "(")}, ["error filters.data[0].value[0]"]),
        ({"filters": data("a", "number", "x")}, ["warning filters.data[0].value[0]"]),
        ({"filters": data("a", "bool", "x")}, ["warning filters.data[0].value[0]"]),
        ({"filters": data("a", "text", "x")}, ["warning filters.data[0].type"]),
        ({"filters": data("a", "number", "1", comparator="==")}, ["error filters.data[0].comparator"]),
        ({"filters": data("a", "string", "1", comparator="<")}, ["warning filters.data[0].comparator"]),
        ({"filters": data("a", "bool", "1", comparator="!=")}, ["warning filters.data[0].comparator"]),
        ({"filters": data("a", "number", "1", "2", comparator="!=")}, ["warning filters.data[0].value"]),
        ({"filters": data("a", "number", "1", comparator="!=")}, []),
        ({"filters": {"context": {"id": "1"}}}, ["error filters.context"]),
        (
            {"filters": {"time": {"start": "1am", "stop": "25:00:00"}}},
            ["error filters.time.start", "error filters.time.stop"],
        ),
        (
            {"filters": {"time": {"start": "01:00:00", "stop": "1:00:00"}}},
            ["warning filters.time.stop", "error filters.time.stop"],
        ),
        (
            {"filters": {"time": {"start": "01:00:00", "stop": "02:00:00", "timezone": "X"}}},
            ["error filters.time.timezone"],
        ),
    ],
)
def test_validation_names_the_field(raw: dict[str, Any], found: list[str]) -> None:
    assert problems(raw) == found


@pytest.mark.parametrize(
    ("path", "value", "warns"),
    [
        ("body.ref", "refs/heads/main", True),
        ("body.x", "refs/heads/main", True),
        ("body.x", "main", True),
        ("body.ref", "release", True),
        ("body.pull_request.base.ref", "release-1.0", True),
        ("target_branch", "stable", True),
        ("body.ref", "^refs/heads/main$", False),
        ("body.ref", "refs/heads/.*", False),
        ("body.ref", "refs/heads/main$", False),
        ("body.action", "opened", False),
        ("body.message", "urgent", False),
        ("bucket.name", "input", False),
    ],
)
def test_a_pattern_without_anchors_where_one_value_was_meant_is_a_warning(path: str, value: str, warns: bool) -> None:
    assert problems({"filters": data(path, "string", value)}) == ["warning filters.data[0].value[0]"] * warns
    assert problems({"filters": data(path, "number", value)}) == ["warning filters.data[0].value[0]"]
