"""Templates: facts asked of Go's text/template with sprig, and what no template may do to us."""

from __future__ import annotations

from typing import Any

import pytest

from events import templates
from events.errors import ParameterError, UserError

INPUT: dict[str, Any] = {
    "s": "alpha-7",
    "n": 42,
    "f": 2.5,
    "big": 9007199254740993,
    "nul": None,
    "t": True,
    "list": ["red", "green", "blue"],
    "nums": [3, 1, 2],
    "mixed": [1, "x", None, True, {"k": "v"}],
    "obj": {"x": 1, "y": "two", "z": [1, 2]},
    "items": [{"id": 1, "name": "kettle"}, {"id": 2, "name": "lamp"}],
    "txt": "Zażółć ✓",
    "html": "<b>&'\"</b>",
    "date": "2026-03-14",
    "dash-key": "dk",
}


def render(text: str, **more: Any) -> str:
    return templates.compile(text).render(INPUT | more)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ .Input.s | upper | quote }}", '"ALPHA-7"'),
        ("{{ .Input.n }} {{ .Input.f }} {{ .Input.big }}", "42 2.5 9.007199254740992e+15"),
        ('{{ .Input.big | int64 }} {{ printf "%.0f" .Input.big }}', "9007199254740992 9007199254740992"),
        ("{{ .Input.obj }} {{ .Input.mixed }}", "map[x:1 y:two z:[1 2]] [1 x <nil> true map[k:v]]"),
        ('{{ range $i, $e := .Input.items }}{{ if $i }}, {{ end }}{{ $e.name }}{{ end }}', "kettle, lamp"),
        ("{{ range $k, $v := .Input.obj }}{{ $k }}={{ $v }};{{ end }}", "x=1;y=two;z=[1 2];"),
        ("{{ range .Input.items }}{{ if eq .name `lamp` }}{{ break }}{{ end }}{{ .id }}{{ end }}", "1"),
        ('{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .Input.s }}', "<alpha-7>"),
        ("{{ with .Input.zz }}x{{ else with .Input.s }}{{ . }}{{ end }}", "alpha-7"),
        ("a {{- /* c */ -}} b", "ab"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ('{{ index .Input "dash-key" }} {{ index .Input.items 0 "name" }}', "dk kettle"),
        ('{"a": {{ .Input.n }}, "b": {{ .Input.s | toJson }}}', '{"a": 42, "b": "alpha-7"}'),
        ("{{ .Input.html | toJson }}", '"\\u003cb\\u003e\\u0026\'\\"\\u003c/b\\u003e"'),
        ('{{ regexReplaceAll "[^a-z]+(.)" .Input.s "_${1}" }}', "alpha_7"),
        ('{{ toDate "2006-01-02" .Input.date | date "02.01.2006" }}', "14.03.2026"),
        ('{{ (toDate "2006-01-02" .Input.date).AddDate 0 1 0 }}', "2026-04-14 00:00:00 +0000 UTC"),
        ('{{ (toDate "2006-01-02" .Input.date).Month }}', "March"),
        ('{{ gt now.Year 2020 }} {{ "now.Year" }} now.Year', "true now.Year now.Year"),
        ('{{ (semver "1.2.3-rc.1").Prerelease }}', "rc.1"),
        ('{{ merge (dict "a" 1 "b" (dict "c" 1)) (dict "a" 2 "b" (dict "d" 2) "e" nil) }}', "map[a:1 b:map[c:1 d:2]]"),
        ("{{ round 1.555 2 }} {{ len .Input.txt }} {{ nospace .Input.txt }}", "1.56 14 Zażółć✓"),
    ],
)  # fmt: skip
def test_common_use(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ .Input.zz }} {{ .Input.zz.y.x }} {{ .Input.nul }}", "<no value> <no value> <no value>"),
        ('{{ .Input.zz | default "d" }} {{ .Input.zz.y | default "d" }}', "d d"),
        ("{{ .Input.zz | toJson }} {{ .Input.zz | quote }}{{ .Input.zz | toString }}", "null <nil>"),
        ('{{ .Input.zz | printf "%v" }} {{ printf "%s" .Input.zz }}', "<nil> %!s(<nil>)"),
        ("{{ .Input.zz | not }} {{ .Input.zz | empty }} {{ .Input.zz | kindOf }}", "true true invalid"),
        ("{{ print .Input.zz }} {{ html .Input.zz }} {{ .Input.zz | list }}", "<nil> &lt;no value&gt; [<nil>]"),
        ('{{ eq .Input.zz "x" }} {{ ne .Input.nul "x" }} {{ eq .Input.zz nil }}', "false true true"),
        ("{{ range .Input.zz }}x{{ else }}none{{ end }}", "none"),
        ("{{ range $k, $v := .Input.zz }}x{{ else }}none{{ end }}", "none"),
        ("{{ if .Input.zz }}a{{ else if .Input.t }}b{{ end }}", "b"),
        ('{{ has "x" .Input.zz }} {{ or .Input.zz "x" }}', "false x"),
    ],
)  # fmt: skip
def test_what_is_missing(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('printf "%s|%q" .Input.list .Input.list', '[red green blue]|["red" "green" "blue"]'),
        ('printf "%x" .Input.list', "[726564 677265656e 626c7565]"),
        ('printf "%6.2f" .Input.nums', "[  3.00   1.00   2.00]"),
        ('printf "%d" .Input.nums', "[%!d(float64=3) %!d(float64=1) %!d(float64=2)]"),
        ('printf "%s" .Input.obj', "map[x:%!s(float64=1) y:two z:[%!s(float64=1) %!s(float64=2)]]"),
        ('printf "%#v" (list "x" nil (dict))', '[]interface {}{"x", interface {}(nil), map[string]interface {}{}}'),
        ('printf "%T %T %T %T" .Input.nul .Input.n 1 (add 1 2)', "<nil> float64 int int64"),
        ('printf "%T %T %T" (splitList "," "a") (until 1) (split "," "a")', "[]string []int map[string]string"),
        ('printf "%5d|%-5s|%05d|%+d" 42 "a" 42 5', "   42|a    |00042|+5"),
        ('printf "%-6s|%5t" 2 true', "%!s(int=2     )| true"),
        ('printf "%8.3v" .Input.s', "     alp"),
        ('printf "%v" 1 "x"', "1%!(EXTRA string=x)"),
        ('printf "%[2]d %[1]d|%*d" 1 2 5 3', "2 1| 5"),
        ('print .Input.s 1 2 "x" .Input.nul', "alpha-71 2x<nil>"),
        ("print 1e6 100000.0 0.00001", "1e+06 100000 1e-05"),
        ("typeOf (list 1)", "[]interface {}"),
        ("typeOf now", "time.Time"),
        ("deepEqual (add 1 1) 2", "false"),
        ("eq (add 1 1) 2", "true"),
        ("uniq (list 1 1 1.0 `1` (list) (list))", "[1 1 1 []]"),
        ("durationRound `2h10m5s`", "2h"),
        ("duration (int64 95)", "1m35s"),
        ("toJson (toDate `2006-01-02` .Input.date)", '"2026-03-14T00:00:00Z"'),
        ("regexFindAll `a*` `baac` -1 | toJson", '["","aa",""]'),
        ("regexSplit `a+` `baac` -1 | toJson", '["b","c"]'),
        ("regexMatch `(` `x`", "false"),
    ],
)  # fmt: skip
def test_functions_are_go_s(text: str, expected: str) -> None:
    assert render(f"{{{{ {text} }}}}") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ fail `boom` }}", "boom"),
        ("{{ .Input.nul.x }}", ""),
        ("{{ .Input.s.x }}", ""),
        ("{{ .Input.list.x }}", ""),
        ("{{ index .Input.list 99 }}", "index out of range: 99"),
        ("{{ index .Input.list 1.0 }}", "float64"),
        ("{{ lt .Input.n 50 }}", "incompatible types for comparison: float64 and int"),
        ("{{ eq .Input.list .Input.list }}", "non-comparable"),
        ("{{ lt .Input.zz 1 }}", "invalid type"),
        ("{{ slice .Input.s 0 2 }}", "slice or array"),
        ("{{ .Input.zz | upper }}", "invalid value; expected string"),
        ("{{ upper 1 }}", "expected string; got int"),
        ("{{ repeat .Input.n `x` }}", "expected int; got float64"),
        ("{{ repeat (add 1 1) `x` }}", "expected int; got int64"),
        ("{{ upper `a` `b` }}", "want 1 got 2"),
        ("{{ mustFromJson `{` }}", ""),
        ("{{ div 1 0 }}", ""),
        ("{{ template `none` }}", ""),
    ],
)
def test_what_cannot_be_rendered_says_why(text: str, message: str) -> None:
    with pytest.raises(ParameterError) as failure:
        render(text)
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ .Input", "unclosed action (at 1:1)"),
        ("a\n{{ nosuch }}", "function 'nosuch' not defined (at 2:4)"),
        ("{{ uper .Input }}", "did you mean 'upper'?"),
        ("{{ env `HOME` }}", "a template sees the event only"),
        ("{{ expandenv `$HOME` }}", "a template sees the event only"),
        ("{{ getHostByName `localhost` }}", "a template sees the event only"),
        ("{{ genPrivateKey `rsa` }}", "are not made for events"),
        ("{{ if true }}x", "at 1:"),
        ("{{ end }}", "at 1:"),
        ("{{ $x }}", "at 1:"),
        ("{{ if }}x{{ end }}", "at 1:"),
        ("{{ .Input.s == 1 }}", "at 1:"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "nesting"),
        ("{{ if true }}" * 3000 + "{{ end }}" * 3000, "nesting"),
        ("{{ " + "9" * 5000 + " }}", ""),
        ("x" * 100_001, "more than 100000 characters"),
    ],
)
def test_what_is_no_template_says_where(text: str, message: str) -> None:
    with pytest.raises(UserError) as failure:
        templates.compile(text)
    assert message in str(failure.value)
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "{{ .Input.s.upper }}",
        "{{ .Input.s.__class__ }}",
        "{{ .Input.n.real }}",
        "{{ (.Input.list).append 1 }}",
        "{{ (now).time }}",
        "{{ (now).__class__ }}",
        "{{ (semver `1.2.3`).__init__ }}",
        "{{ (semver `1.2.3`)._prerelease }}",
        "{{ (duration `5`).upper }}",
        "{{ call .Input.s }}",
    ],
)
def test_nothing_of_python_is_seen(text: str) -> None:
    with pytest.raises(ParameterError):
        render(text)


def test_keys_are_keys_whatever_python_calls_so() -> None:
    assert render("{{ .Input.keys }} {{ .Input.pop }} {{ .Input.__class__ }}", pop=1) == "<no value> 1 <no value>"


def test_the_zone_of_the_process_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    text = '{{ toDate "2006-01-02 15:04" "2026-03-14 12:00" | date "15:04 MST" }} {{ date "15" 0 }}'
    assert render(text) == "12:00 UTC 00"


DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "text",
    [
        "{{ repeat 1000000000 `x` }}",
        "{{ until 1000000000 }}",
        "{{ untilStep 0 1000000000 1 }}",
        "{{ seq 1 1000000000 }}",
        "{{ randAlphaNum 100000000 }}",
        "{{ nindent 100000000 `x` }}",
        "{{ indent 90000 .Input.lines }}",
        "{{ printf `%1000000000d` 1 }}",
        "{{ printf `%.1000000000f` 1.5 }}",
        "{{ printf `%*d` 1000000000 1 }}",
        "{{ $s := `x` }}{{ range until 64 }}{{ $s = print $s $s }}{{ end }}{{ len $s }}",
        "{{ $l := list 1 }}{{ range until 64 }}{{ $l = list $l $l }}{{ end }}{{ $l }}",
        "{{ $l := list 1 }}{{ range until 64 }}{{ $l = concat $l $l }}{{ end }}{{ $l }}",
        "{{ $d := dict }}{{ range $i, $_ := until 64 }}{{ $_ := set $d (print $i) $d }}{{ end }}{{ $d }}",
        "{{ $l := list }}{{ range until 2000 }}{{ $l = append $l $.Input.lines }}{{ end }}{{ $l }}",
        "{{ define `a` }}{{ template `a` . }}{{ end }}{{ template `a` . }}",
        "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}",
        "{{ range until 20001 }}{{ $_ := upper `x` }}{{ end }}",
        "{{ range until 100000 }}{{ $.Input.lines }}{{ end }}",
        "{{ .Input.deep }}",
        "{{ toJson .Input.deep }}",
        "{{ uniq .Input.maps }}",
        "{{ regexMatch `((x{1000}){1000}){1000}` `x` | mustToJson | fail }}",
    ],
)
def test_what_takes_too_much_is_an_error(text: str) -> None:
    with pytest.raises(ParameterError):
        render(text, lines="line\n" * 2000, deep=DEEP, maps=[{"a": i} for i in range(1000)])


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.templates.limits.Allowance.check_time", _late)
    with pytest.raises(ParameterError, match="too long"):
        render("{{ upper .Input.s }}")


def _late(_allowance: Any) -> None:
    from events.templates.limits import TooMuch

    raise TooMuch("the template takes too long for this event")


def test_a_deep_document_is_no_obstacle() -> None:
    assert render("{{ .Input.s }}", deep=DEEP) == "alpha-7"


def test_a_template_changes_nothing_but_its_own_copy() -> None:
    text = '{{ $_ := set .Input "s" "changed" }}{{ $_ := set .Input "me" .Input }}{{ .Input.s }}{{ .Input.me.s }}'
    template = templates.compile(text)
    assert [template.render(INPUT), template.render(INPUT)] == ["changedchanged"] * 2
    assert INPUT["s"] == "alpha-7"


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("<no value>", None), ("x<no value>", "x<no value>"), (" ", " ")]
)
def test_no_value(text: str, value: str | None) -> None:
    assert templates.rendered_or_none(text) == value


def test_input_may_be_anything() -> None:
    assert templates.compile("[{{ .Input }}]").render("") == "[]"
    assert templates.compile("{{ .Input }}").render([1, 10**400, -(10**400)]) == "[1 +Inf -Inf]"
