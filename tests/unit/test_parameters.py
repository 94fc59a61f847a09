"""Parameters: what a value resolves to, how it is written, and how payloads come together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.errors import ParameterError, UserError
from events.event import Event
from events.problems import Problems
from sensors import parameters, types

DATA = (
    b'{"s":"text","n":42,"f":1.50,"big":12345678901234567890123,"t":true,"z":null,'
    b'"o":{ "k" : [1] },"l":["a"],"h":"<&>"}'
)


def event(data: bytes | None = DATA, media_type: str = "application/json", **more: str) -> Event:
    given = {"id": "7", "source": "hooks", "type": "webhook", "subject": "orders", "time": "2026-01-01T00:00:00.5Z"}
    return Event(**(given | more), data=data, datacontenttype=media_type)


EVENTS = {"dep": event()}


def resolve(events: dict[str, Event] = EVENTS, **src: Any) -> tuple[str, str] | None:
    """(text, kind), None when absent."""
    value = parameters.resolve(types.TriggerParameterSource.parse({"dependencyName": "dep", **src}), events)
    return None if isinstance(value, parameters.Absent) else (value.text, value.kind.value)


def compiled(*params: tuple[dict[str, Any], str] | tuple[dict[str, Any], str, str], where: str = "parameters") -> Any:
    raw = [
        {"src": {"dependencyName": "dep"} | src, "dest": dest, "operation": operation[0] if operation else None}
        for src, dest, *operation in params
    ]
    return parameters.compile([types.TriggerParameter.parse(one) for one in raw], where)


@pytest.mark.parametrize(
    ("src", "value"),
    [
        ({"dataKey": "s"}, ("text", "String")),
        ({"dataKey": "n"}, ("42", "Number")),
        ({"dataKey": "f"}, ("1.5", "Number")),
        ({"dataKey": "big"}, ("12345678901234567890123", "Number")),
        ({"dataKey": "t"}, ("true", "True")),
        ({"dataKey": "z"}, ("null", "Null")),
        ({"dataKey": "o"}, ('{ "k" : [1] }', "JSON")),
        ({"dataKey": "l.#"}, ("1", "Number")),
        ({"dataKey": "nope", "value": "d"}, ("d", "String")),
        ({"dataKey": "nope", "value": ""}, ("", "String")),
        ({"contextKey": "subject"}, ("orders", "String")),
        ({"contextKey": "time"}, ("2026-01-01T00:00:00Z", "String")),
        ({"contextKey": "id", "dataKey": "s"}, ("text", "String")),
        ({"value": "const"}, ("const", "String")),
        ({"dependencyName": "other", "dataKey": "s"}, None),
        ({"dependencyName": "other", "dataKey": "s", "value": "d"}, ("d", "String")),
        (
            {"dataTemplate": "{{ .Input.s }}", "dataKey": "s"},
            ("text", "String"),
        ),  # falls through, as a failing one does
        ({"dataTemplate": "{{ .Input.s }}", "value": "d"}, ("text", "String")),
        ({"dataTemplate": "{{ .Input.nope }}", "value": "d"}, ("d", "String")),
        ({"dataTemplate": "{{ .Input", "value": "d"}, ("d", "String")),
        ({"dataTemplate": "{{ fail `no` }}", "dataKey": "s"}, ("text", "String")),
        ({"contextTemplate": "{{ .Input.subject }}/{{ .Input.type }}"}, ("orders/webhook", "String")),
    ],
)
def test_a_source_resolves(src: dict[str, Any], value: tuple[str, str] | None) -> None:
    assert resolve(**src) == value


def test_without_a_key_it_is_the_whole_event() -> None:
    text, kind = resolve() or ("", "")
    assert kind == "String"
    assert json.loads(text)["context"]["subject"] == "orders"
    assert r'"subject":"\u003ca\u003e"' in (resolve({"dep": event(subject="<a>")}) or ("",))[0]  # as Go's encoder


@pytest.mark.parametrize(
    ("one", "src", "message"),
    [
        (event(), {"dataKey": "nope"}, "there is no data.nope"),
        (event(), {"contextKey": "nope"}, "there is no context.nope"),
        (event(), {"dataTemplate": "{{ .Input.nope }}"}, "the template {{ .Input.nope }} gives nothing"),
        (event(), {"dataTemplate": "{{ .Input"}, "unclosed action"),
        (event(), {"dataTemplate": "{{ fail `no` }}"}, "no"),
        (event(), {"dataTemplate": "{{ fail `no` }}", "dataKey": "nope"}, "there is no data.nope"),
        (event(b"{"), {"dataKey": "s"}, "not JSON"),
        (event(None), {"dataKey": "s"}, "not JSON"),
        (event(b""), {"dataKey": "s"}, "not JSON"),
        (event(media_type="application/json; charset=utf-8"), {"dataKey": "s"}, "neither application/json nor"),
        (event(b"a: b: c", "application/yaml"), {"dataKey": "s"}, "not YAML"),
    ],
)
def test_what_cannot_be_resolved_says_so_unless_there_is_a_default(
    one: Event, src: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match="dep") as failure:
        resolve({"dep": one}, **src)
    assert message in str(failure.value)
    assert resolve({"dep": one}, **src, value="d") == ("d", "String")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a: {b: [1, 2.50]}", "a.b", ("[1,2.5]", "JSON")),
        ("d: 2026-03-14", "d", ("2026-03-14", "String")),
        ("a: 1\n---\na: 2", "a", ("1", "Number")),
        ("t: yes", "t", ("true", "True")),
    ],
)
def test_yaml_is_read_as_json(text: str, key: str, value: tuple[str, str]) -> None:
    assert resolve({"dep": event(text.encode(), "application/yaml")}, dataKey=key) == value


@pytest.mark.parametrize(
    ("params", "document"),
    [
        ([({"dataKey": "n"}, "a")], '{"a":"42","b":[1]}'),
        ([({"dataKey": "n", "useRawData": True}, "a")], '{"a":42,"b":[1]}'),
        ([({"dataKey": "s", "useRawData": True}, "a")], '{"a":"text","b":[1]}'),
        ([({"dataKey": "o", "useRawData": True}, "a")], '{"a":{ "k" : [1] },"b":[1]}'),
        ([({"dataKey": "big", "useRawData": True}, "a")], '{"a":12345678901234567890123,"b":[1]}'),
        ([({"dataKey": "s"}, "a", "append")], '{"a":"1.0text","b":[1]}'.replace("1.0", "1")),
        ([({"dataKey": "n", "useRawData": True}, "a", "prepend")], '{"a":"421","b":[1]}'),
        ([({"dataKey": "n", "useRawData": True}, "c", "append")], '{"a":1.0,"b":[1],"c":42}'),
        ([({"dataKey": "s"}, "b.-1"), ({"value": "!"}, "b.1", "append")], '{"a":1.0,"b":[1,"text!"]}'),
        ([({"dependencyName": "zz", "dataKey": "s"}, "a")], '{"a":1.0,"b":[1]}'),
        ([({"value": "<&>"}, "a")], '{"a":"<&>","b":[1]}'),
        ([], '{"a":1.0,"b":[1]}'),
    ],
)
def test_values_are_written_into_a_document(params: list[Any], document: str) -> None:
    assert compiled(*params).apply('{"a":1.0,"b":[1]}', EVENTS) == document


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([({"dataKey": "nope"}, "a")], r"here\[0\] \(dep\): there is no data.nope"),
        ([({"value": "x"}, "a"), ({"value": "x"}, "a", "replace")], r"here\[1\] \(dep\): unknown operation 'replace'"),
        ([({"value": "x"}, "b.key")], r"here\[0\] \(dep\): cannot set 'key' in an array"),
        ([({"value": "x"}, "")], r"here\[0\] \(dep\): path is empty"),
    ],
)
def test_an_error_names_the_parameter_and_the_dependency(params: list[Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        compiled(*params, where="here").apply('{"b":[1]}', EVENTS)


def test_a_number_that_json_cannot_hold_is_not_written() -> None:
    number = compiled(({"dataKey": "n", "useRawData": True}, "a"))
    with pytest.raises(ParameterError, match="cannot be written as JSON"):
        number.payload({"dep": event(b'{"n":1e999}')})


@pytest.mark.parametrize(
    ("params", "payload"),
    [
        ([], b""),
        ([({"dataKey": "s"}, "a"), ({"dataKey": "n", "useRawData": True}, "b")], b'{"a":"text","b":42}'),
        ([({"value": "1"}, "a.x"), ({"value": "2"}, "b"), ({"value": "3"}, "a.y")], b'{"a":{"x":"1","y":"3"},"b":"2"}'),
        ([({"value": "1"}, "a"), ({"value": "2"}, "b"), ({"value": "3"}, "a")], b'{"a":"3","b":"2"}'),
        ([({"value": "1"}, "a"), ({"value": "2"}, "a.b")], b'{"a":{"b":"2"}}'),
        ([({"value": "1"}, "0.a"), ({"value": "2"}, "0.b")], b'[{"a":"1","b":"2"}]'),
        ([({"value": "1"}, "l.-1"), ({"value": "2"}, "l.-1")], b'{"l":["1","2"]}'),
        ([({"value": "1"}, r"a\.b")], b'{"a.b":"1"}'),
        ([({"value": "1"}, "a"), ({"dataKey": "o"}, ""), ({"value": "2"}, "b")], b'{ "k" : [1] }'),
        ([({"dependencyName": "zz"}, ""), ({"value": "1"}, "a")], b'{"a":"1"}'),
        (
            [({"dependencyName": "zz"}, "a.x"), ({"value": "1"}, "b"), ({"value": "2"}, "a.y")],
            b'{"b":"1","a":{"y":"2"}}',
        ),
        ([({"dependencyName": "zz"}, "a")], b""),
        ([({"dataKey": "h"}, "a")], b'{"a":"<&>"}'),
        ([({"value": 'say "<ł>"'}, "a")], '{"a":"say \\"\\u003cł\\u003e\\""}'.encode()),
        ([({"value": "x"}, "a", "replace")], b'{"a":"x"}'),
    ],
)
def test_a_payload_is_built(params: list[Any], payload: bytes) -> None:
    assert compiled(*params).payload(EVENTS) == payload


@pytest.mark.parametrize("dests", [["a", "b.c", "b.d"], ["a.b.c", "a.d", "e"], ["x y", "p/q", "$r"], ["a", "a"]])
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_the_quick_way_to_build_a_payload_gives_the_same(dests: list[str], absent: int) -> None:
    params = [
        (
            {"dependencyName": "zz"} if index == absent else {"dataKey": "sonthl"[index], "useRawData": index % 2 == 0},
            dest,
        )
        for index, dest in enumerate(dests)
    ]
    assert compiled(*params).payload(EVENTS) == compiled(*params, ({"dependencyName": "zz"}, "0")).payload(EVENTS)


def test_bytes_that_are_not_utf8_stay_what_they_are_in_raw_values() -> None:
    events = {"dep": event(b'{"o":{"k":"a\xffb"},"s":"a\xffb"}')}
    raw = compiled(({"dataKey": "o", "useRawData": True}, "o"), ({"dataKey": "s"}, "s"))
    assert raw.payload(events) == b'{"o":{"k":"a\xffb"},"s":"a\\ufffdb"}'
    assert json.loads(raw.apply("{}", events)) == {"o": {"k": "a�b"}, "s": "a�b"}


def test_values_for_headers_leave_out_what_is_absent() -> None:
    headers = compiled(({"dataKey": "n"}, "X-N"), ({"dependencyName": "zz"}, "X-Z"), ({"dataKey": "o"}, "X-O"))
    assert list(headers.values(EVENTS)) == [("X-N", "42"), ("X-O", '{ "k" : [1] }')]


def test_a_parameter_without_source_cannot_be_compiled() -> None:
    with pytest.raises(UserError, match=r"payload\[0\].src: required"):
        parameters.compile([types.TriggerParameter.parse({"dest": "a"})], "payload")


TEMPLATE = types.TriggerTemplate.parse(
    {"name": "post", "conditions": "dep", "http": {"url": "http://a", "timeout": 10, "headers": {"A": "1"}}}
)


@pytest.mark.parametrize(
    ("param", "name", "http"),
    [
        (({"dataKey": "s"}, "name", "append"), "posttext", {}),
        (({"dataKey": "s"}, "http.url"), "post", {"url": "text"}),
        (({"dataKey": "s"}, "http.URL"), "post", {"url": "text"}),
        (({"dataKey": "s"}, "HTTP.Headers"), "post", None),
        (({"dataKey": "s"}, "http.headers.x-new"), "post", {"headers": {"A": "1", "x-new": "text"}}),
        (({"dataKey": "s"}, "http.nosuch"), "post", {}),
        (({"dataKey": "s"}, "nosuch"), "post", {}),
        (({"dataKey": "z", "useRawData": True}, "http.timeout"), "post", {"timeout": ...}),
        (({"dataKey": "n", "useRawData": True}, "http.timeout"), "post", {"timeout": 42}),
        (({"dataKey": "n"}, "http.timeout"), "post", None),
        (
            ({"value": "h"}, "http.payload.0.src.DependencyName"),
            "post",
            {"payload": [{"src": {"dependencyName": "h"}}]},
        ),
    ],
)
def test_a_changed_template_is_read_as_go_reads_it(param: Any, name: str, http: dict[str, Any] | None) -> None:
    change = compiled(param)
    if http is None:
        with pytest.raises(ParameterError, match=r"http\."):
            change.apply_to_template(TEMPLATE, EVENTS)
        return
    changed = change.apply_to_template(TEMPLATE, EVENTS)
    wanted = {key: value for key, value in (TEMPLATE.kinds["http"] | http).items() if value is not ...}
    assert (changed.name, changed.conditions, changed.kinds) == (name, "dep", {"http": wanted})


def problems(raw: list[dict[str, Any]], *, is_payload: bool = False) -> list[str]:
    found = Problems()
    listed = [types.TriggerParameter.parse(one) for one in raw]
    parameters.validate(listed, found, is_payload=is_payload)
    parameters.validate_names(listed, ["dep", "other"], found)
    return [f"{problem.severity.value} {problem.path}" for problem in found]


GOOD = {"src": {"dependencyName": "dep", "dataKey": "a"}, "dest": "b"}


@pytest.mark.parametrize(
    ("raw", "is_payload", "found"),
    [
        ([GOOD], False, []),
        ([{**GOOD, "operation": "append"}], False, []),
        ([{"dest": "b"}], False, ["error [0].src"]),
        ([{**GOOD, "src": {}}], False, ["error [0].src.dependencyName"]),
        ([GOOD, {**GOOD, "dest": ""}], False, ["error [1].dest"]),
        ([{**GOOD, "dest": ""}], True, []),
        ([{**GOOD, "dest": "a.*"}], True, ["warning [0].dest"]),
        ([{**GOOD, "dest": r"a\*"}], True, []),
        ([{**GOOD, "operation": "merge"}], True, ["error [0].operation"]),
        ([{**GOOD, "src": {"dependencyName": "dpe", "dataKey": "a"}}], False, ["warning [0].src.dependencyName"]),
        ([{**GOOD, "src": {"dependencyName": "dep", "dataTemplate": "{{"}}], False, ["error [0].src.dataTemplate"]),
        ([{**GOOD, "src": {"dependencyName": "dep", "dataTemplate": "{{ .Input }}"}}], False, []),
        (
            [{**GOOD, "src": {"dependencyName": "dep", "dataTemplate": "{{", "value": "d"}}],
            False,
            ["warning [0].src.dataTemplate"],
        ),
        (
            [{**GOOD, "src": {"dependencyName": "dep", "contextTemplate": "{{ end }}"}}],
            False,
            ["error [0].src.contextTemplate"],
        ),
    ],
)
def test_validation_names_the_field(raw: list[dict[str, Any]], is_payload: bool, found: list[str]) -> None:
    assert problems(raw, is_payload=is_payload) == found
