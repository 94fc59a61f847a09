"""The pure parts of HTTP sources: specs, endpoints, headers, forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import InvalidObject, UserError
from events.problems import Problems, Severity
from eventsources.sources.webhook import WebhookSource
from eventsources.webhooks import (
    WebhookSpec,
    canonical,
    compile_endpoint,
    decode,
    document,
    endpoint_pattern,
    header_json,
    is_form,
    parse_form,
)

SPEC = {"endpoint": "/hook", "port": "12000", "method": "POST"}


def problems_of(**changes: Any) -> Problems:
    problems = Problems()
    WebhookSource.validate(WebhookSource.Spec.parse(SPEC | changes), problems)
    return problems


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, []),
        ({"endpoint": "/h/{id:[0-9]{2}}/{x}", "port": "65535", "maxPayloadSize": 1, "idHeader": "X-Id"}, []),
        ({"endpoint": ""}, ["endpoint"]),
        ({"endpoint": "hook"}, ["endpoint"]),
        ({"endpoint": "/h/{id"}, ["endpoint"]),
        ({"endpoint": "/h/{id:(}"}, ["endpoint"]),
        ({"port": "http"}, ["port"]),
        ({"port": ""}, ["port"]),
        ({"port": "١٢"}, ["port"]),
        ({"idHeader": "X Id"}, ["idHeader"]),
        ({"serverCertSecret": {"name": "tls", "key": "crt"}}, ["serverKeySecret"]),
        ({"serverKeySecret": {"name": "tls", "key": "key"}}, ["serverCertSecret"]),
        ({"endpoint": "x", "port": "y"}, ["endpoint", "port"]),
    ],
)
def test_what_listens_nowhere_is_refused(changes: dict[str, Any], paths: list[str]) -> None:
    found = problems_of(**changes)
    assert [problem.path for problem in found] == paths
    assert found.errors == list(found)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"port": "0"}, "port"),
        ({"port": "65536"}, "port"),
        ({"port": "-1"}, "port"),
        ({"method": ""}, "method"),
        ({"method": "post"}, "method"),
        ({"method": "HEAD"}, "method"),
        ({"maxPayloadSize": 0}, "maxPayloadSize"),
        ({"authSecret": {"name": "hook"}}, "authSecret"),
    ],
)
def test_what_upstream_takes_and_no_request_gets_through_is_warned_of(changes: dict[str, Any], path: str) -> None:
    found = problems_of(**changes)
    assert [(problem.path, problem.severity) for problem in found] == [(path, Severity.WARNING)]


def test_cures() -> None:
    assert [problem.cure for problem in problems_of(endpoint="hook")] == ["write /hook"]
    assert [problem.cure for problem in problems_of(method="post")] == ["did you mean 'POST'?"]


@pytest.mark.parametrize("wrong", [{"port": 12000}, {"endpiont": "/x"}, {"maxPayloadSize": "5"}])
def test_types_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject):
        WebhookSpec.parse(SPEC | wrong)


def test_the_default_limit_is_a_mebibyte() -> None:
    assert WebhookSpec.parse(SPEC).limit == 1048576
    assert WebhookSpec.parse(SPEC | {"maxPayloadSize": 5}).limit == 5


@pytest.mark.parametrize(
    ("endpoint", "path", "matches"),
    [
        ("/h/{id}", "/h/42", True),
        ("/h/{id}", "/h/żółw", True),
        ("/h/{id}", "/h/", False),
        ("/h/{id}", "/h/4/2", False),
        ("/h/{id}", "/h/42/", False),
        ("/{a}/{b}.json", "/x/y.json", True),
        ("/{a}/{b}.json", "/x/yxjson", False),
        ("/h/{id:[0-9]{2}}", "/h/42", True),
        ("/h/{id:[0-9]{2}}", "/h/4", False),
        ("/h/{id:a|b}", "/h/a", True),
        ("/h/{rest:.*}", "/h/a/b/c", True),
    ],
)
def test_variables_are_wildcards(endpoint: str, path: str, matches: bool) -> None:
    accepts = compile_endpoint(endpoint)
    assert accepts is not None
    assert bool(accepts(path)) == matches


def test_literal_endpoints_have_no_pattern() -> None:
    assert compile_endpoint("/a.b*") is None


@pytest.mark.parametrize("endpoint", ["/{", "/}", "/{a}}", "/{{a}", "/{}", "/{a:}", "/{:x}", "/{a:(}", "/}{"])
def test_wrong_braces_are_errors(endpoint: str) -> None:
    with pytest.raises(UserError):
        compile_endpoint(endpoint)


def test_endpoints_that_match_the_same_have_one_pattern() -> None:
    assert endpoint_pattern("/h/{a}") == endpoint_pattern("/h/{b}") != endpoint_pattern("/h/{b:x}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("content-type", "Content-Type"),
        ("x-github-EVENT", "X-Github-Event"),
        ("SOAPAction", "Soapaction"),
        ("x_under", "X_under"),
        ("ETAG", "Etag"),
        ("-a--b-", "-A--B-"),
        ("not a token", "not a token"),
        ("", ""),
    ],
)
def test_header_names_are_gos(name: str, expected: str) -> None:
    assert canonical(name) == expected


@pytest.mark.parametrize(
    ("text", "fields", "problem"),
    [
        ("", {}, ""),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}, ""),
        ("a&b=&=c&&", {"a": [""], "b": [""], "": ["c"]}, ""),
        ("q=%C5%BC%20x+y&%61=%2B", {"q": ["ż x y"], "a": ["+"]}, ""),
        ("a=b=c", {"a": ["b=c"]}, ""),
        ("a=1;b=2&c=3", {"c": ["3"]}, "invalid semicolon separator in query"),
        ("a=%zz&b=1", {"b": ["1"]}, 'invalid URL escape "%zz"'),
        ("a=1&b=%4", {"a": ["1"]}, 'invalid URL escape "%4"'),
        ("a=%&b=;", {}, 'invalid URL escape "%"'),
        ("a=%ff%C5x", {"a": ["\ufffd\ufffdx"]}, ""),
        ("ż=ó", {"ż": ["ó"]}, ""),
    ],
)
def test_forms_are_read_as_go_reads_them(text: str, fields: dict[str, list[str]], problem: str) -> None:
    assert parse_form(text) == (fields, problem)


@given(st.text())
def test_no_form_is_a_defect(text: str) -> None:
    header_json(parse_form(text)[0])


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/x-www-form-urlencoded", True),
        ("application/x-www-form-urlencoded; charset=utf-8", True),
        ("Application/X-WWW-Form-URLencoded ;charset=utf-8", True),
        ("application/json", False),
        ("multipart/form-data; boundary=x", False),
        ("", False),
    ],
)
def test_forms_may_have_parameters(content_type: str, expected: bool) -> None:
    assert is_form(content_type) == expected


def test_bytes_that_are_not_utf8_are_replaced_one_by_one() -> None:
    assert decode(b"a\xff\xe2\x82z") == "a\ufffd\ufffd\ufffdz"
    assert header_json({"X": ["a\udcff"]}) == '{"X":["a\ufffd"]}'.encode()


def test_the_document_has_metadata_only_if_there_is_some() -> None:
    assert document(b"{}", b"1", b"") == b'{"header":{},"body":1}'
    assert document(b"{}", b"1", b'{"a":"b"}', key=b"headers") == b'{"headers":{},"body":1,"metadata":{"a":"b"}}'
