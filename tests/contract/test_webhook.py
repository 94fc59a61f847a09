"""The webhook source through its real server on real sockets: what is answered, what is published, who may send."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.webhooks import QUICK, World, chunked, request, world

from events.errors import InvalidEvent, TooLarge, Unavailable, Unknown
from eventsources.http.routes import HttpSettings


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as running:
        yield running


def settings(**changes: Any) -> HttpSettings:
    return replace(QUICK, **changes)


# --- the answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "raw", "status", "text"),
    [
        ({}, request("POST", "/hook", b"{}"), 200, "success"),
        ({}, request("POST", "/hook?x=1", b"{}"), 200, "success"),
        ({}, request("GET", "/hook"), 400, "http method does not match"),
        ({}, request("BREW", "/hook"), 400, "http method does not match"),
        ({}, request("POST", "/other", b"{}"), 404, "404 page not found\n"),
        ({}, request("POST", "/hook/", b"{}"), 404, "404 page not found\n"),
        ({}, request("POST", "/%zz", b"{}"), 400, "400 Bad Request"),
        ({}, request("POST", "http://hooks.example.com/hook?x=1", b"{}"), 200, "success"),
        ({}, request("GET", "/health"), 200, "OK"),
        ({}, request("DELETE", "/health"), 200, "OK"),
        ({"auth_secret": True}, request("GET", "/health"), 200, "OK"),
        ({"endpoint": "/health"}, request("GET", "/health"), 400, "http method does not match"),
        ({"endpoint": "/{any}"}, request("GET", "/health"), 200, "OK"),
        ({"endpoint": "/h/{id}/x"}, request("POST", "/h/4%202/x", b"{}"), 200, "success"),
        ({"endpoint": "/h/{id}/x"}, request("POST", "/h//x", b"{}"), 301, ""),
        ({"endpoint": "/h/{id:[0-9]{2}}"}, request("POST", "/h/42", b"{}"), 200, "success"),
        ({"endpoint": "/h/{id:[0-9]{2}}"}, request("POST", "/h/421", b"{}"), 404, "404 page not found\n"),
        ({"method": "HEAD"}, request("HEAD", "/hook"), 400, ""),
        ({"method": "OPTIONS"}, request("OPTIONS", "/hook"), 400, "unsupoorted method: OPTIONS"),
        ({}, request("POST", "/hook", b"{}", x=8200 * "y"), 400, "400 Bad Request"),
        ({}, b"\x16\x03\x01 this is not HTTP\r\n\r\n", 400, "http method does not match"),
        ({}, b"POST /hook HTTP/1.1\r\nno header at all\r\n\r\n", 400, "400 Bad Request"),
    ],
)
async def test_answers(here: World, spec: dict[str, Any], raw: bytes, status: int, text: str) -> None:
    if spec.pop("auth_secret", False):
        spec["authSecret"] = {"name": "hook", "key": "token"}
    async with here.listening(**spec):
        reply = await here.send(raw)
    assert (reply.status, reply.text) == (status, text)
    assert len(here.bus.stored) == (text == "success")
    if text:
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Unavailable("away"), 503, "failed to record event"),
        (Unknown("unanswered"), 503, "failed to record event"),
        (TooLarge("2 MB"), 413, "event is larger than the bus accepts"),
        (InvalidEvent("not an event"), 400, "not an event"),
        (ZeroDivisionError("a defect"), 500, "Internal Server Error"),
        (ConnectionResetError("not the sender's"), 500, "Internal Server Error"),
    ],
)
async def test_no_200_without_the_bus(here: World, error: Exception, status: int, text: str) -> None:  # P2
    here.bus.error = error
    async with here.listening():
        reply = await here.post()
    assert (reply.status, reply.text) == (status, text)
    if status == 503:
        assert 1 <= int(reply.headers["retry-after"]) <= 5


async def test_200_follows_the_confirmation(here: World) -> None:  # P2
    here.bus.open.clear()
    async with here.listening(), await here.connect() as connection:
        connection.writer.write(request("POST", "/hook", b"{}"))
        await here.bus.until_waiting(1)
        assert not here.bus.stored
        answer = asyncio.create_task(connection.answer())
        assert not (await asyncio.wait({answer}, timeout=0))[0]
        here.bus.open.set()
        assert (await answer).status == 200
        assert here.bus.stored


async def test_a_bus_that_does_not_answer_gives_503_within_the_deadline(tmp_path: Path) -> None:
    async with world(tmp_path, settings(bus_deadline=0.1)) as here, here.listening():
        here.bus.open.clear()
        before = asyncio.get_running_loop().time()
        reply = await here.post()
        assert asyncio.get_running_loop().time() - before < 10
        assert (reply.status, reply.text) == (503, "failed to record event")
        assert reply.headers["retry-after"]
        assert here.bus.waiting == 0  # given up, not left behind
        here.bus.open.set()
        assert (await here.post()).status == 200


async def test_a_defect_is_logged_once_until_a_request_succeeds(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.bus.error = ZeroDivisionError("a defect")
    with caplog.at_level(logging.ERROR):
        async with here.listening():
            await here.post()
            await here.post()
            assert len(caplog.records) == 1
            here.bus.error = None
            await here.post()
            here.bus.error = ZeroDivisionError("again")
            await here.post()
    assert len(caplog.records) == 2


# --- bodies -----------------------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"
LARGE = b'{"a":"' + 40 * b"x" + b'"}'


@pytest.mark.parametrize(
    "raw",
    [
        request("POST", "/hook", LARGE),
        request("POST", "/hook", b"a=" + 40 * b"x", content_type=FORM),
        request("POST", "/hook", b"", transfer_encoding="chunked") + chunked(LARGE[:10], LARGE[10:]),
        request("POST", "/hook", b"", transfer_encoding="chunked", content_type=FORM) + chunked(40 * b"x"),
        # More than we say that we take: the answer comes before the body.
        b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 21\r\nExpect: 100-continue\r\n\r\n",
    ],
)
async def test_a_body_over_the_limit_is_413_once(here: World, raw: bytes) -> None:
    async with here.listening(maxPayloadSize=20), await here.connect() as connection:
        reply = await connection.ask(raw)
        assert (reply.status, reply.text) == (413, "http: request body too large")
        assert reply.headers["connection"] == "close"
        connection.writer.write_eof()
        assert await connection.closed()
    assert not here.bus.stored


async def test_a_body_of_exactly_the_limit_passes_also_in_chunks(here: World) -> None:
    body = b'{"a":"' + 12 * b"x" + b'"}'
    raw = request("POST", "/hook", b"", transfer_encoding="chunked") + chunked(body[:7], body[7:])
    async with here.listening(maxPayloadSize=20):
        assert (await here.send(raw)).status == 200
    assert here.bus.stored == [b'{"header":{},"body":%b}' % body]


async def test_a_large_body_arrives_whole(here: World) -> None:
    body = json.dumps("x" * 1_000_000).encode()
    async with here.listening():
        assert (await here.post(body)).status == 200
    assert json.loads(here.bus.stored[0])["body"] == json.loads(body)


async def test_a_compressed_body_is_not_inflated(here: World) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    async with here.listening():
        reply = await here.post(bomb, content_encoding="gzip", content_type="application/json")
    assert (reply.status, reply.text.rpartition(" character ")[2]) == (400, r"'\x1f' looking for beginning of value")
    assert not here.bus.stored


async def test_a_sender_that_waits_is_invited_after_the_checks(here: World) -> None:
    here.secret("hook", "token", "s3cret")
    async with here.listening(authSecret={"name": "hook", "key": "token"}):
        head = request("POST", "/hook", Expect="100-continue", Content_Length="2", Authorization="Bearer s3cret")
        async with await here.connect() as connection:
            assert (await connection.ask(head)).status == 100
            assert (await connection.ask(b"{}")).status == 200
        async with await here.connect() as connection:
            assert (await connection.ask(head.replace(b"s3cret", b"wrong!"))).status == 401


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"{} {}", "invalid character '{' after top-level value"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"plain text", "invalid character 'p' looking for beginning of value"),
        (b'"a\nb"', r"invalid character '\n' in string literal"),
        (b"[" * 100_000, "exceeded max depth"),
        (b"\x00", r"invalid character '\x00' looking for beginning of value"),
    ],
)
async def test_a_body_that_is_not_json_is_400_in_upstreams_words(here: World, body: bytes, words: str) -> None:
    async with here.listening():
        reply = await here.post(body)
    assert (reply.status, reply.text) == (400, f"json: error calling MarshalJSON for type *json.RawMessage: {words}")
    assert not here.bus.stored


@pytest.mark.parametrize(
    ("method", "target", "body", "content_type", "expected"),
    [
        ("POST", "/hook", b'{"b":1.50, "a":1e400,"b":"<"}', "", b'{"b":1.50,"a":1e400,"b":"\\u003c"}'),
        ("POST", "/hook", b'"\xff"', "", b'"\xff"'),
        ("PUT", "/hook", b"[ 1 ]", "", b"[1]"),
        ("PATCH", "/hook", b"b=2&a=1", FORM, b'{"a":["1"],"b":["2"]}'),
        ("DELETE", "/hook?id=7", b"", "", b'{"id":["7"]}'),
        ("DELETE", "/hook?id=7", b"[7]", "", b"[7]"),
        ("GET", "/hook?b=2&a=%C5%BC+1&b=", b"", "", '{"a":["ż 1"],"b":["2",""]}'.encode()),
        ("POST", "/hook", b"a=1&a=2&=x", FORM, b'{"":["x"],"a":["1","2"]}'),
        ("POST", "/hook", b"a=1", "Application/X-WWW-Form-Urlencoded ; Charset=UTF-8", b'{"a":["1"]}'),
    ],
)
async def test_bodies_by_method_and_type(
    here: World, method: str, target: str, body: bytes, content_type: str, expected: bytes
) -> None:
    async with here.listening(method=method):
        headers = {"content_type": content_type} if content_type else {}
        assert (await here.send(request(method, target, body, **headers))).status == 200
    assert here.bus.stored[0].endswith(b',"body":' + expected + b"}")


async def test_a_body_that_does_not_arrive_is_408(tmp_path: Path) -> None:
    async with (
        world(tmp_path, settings(read_timeout=0.1)) as here,
        here.listening(),
        await here.connect() as connection,
    ):
        reply = await connection.ask(b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
        assert (reply.status, reply.headers["connection"]) == (408, "close")


async def test_broken_chunks_are_400(here: World) -> None:
    head = request("POST", "/hook", b"", transfer_encoding="chunked")
    async with here.listening(), await here.connect() as connection:
        connection.writer.write(head + b"2\r\n{}\r\n")
        assert (await connection.ask(b"not a size\r\n")).status == 400
    assert not here.bus.stored


async def test_a_sender_that_leaves_half_way_leaves_nothing(here: World) -> None:
    async with here.listening():
        async with await here.connect() as connection:
            connection.writer.write(b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            await connection.writer.drain()
        assert (await here.post()).status == 200
    assert len(here.bus.stored) == 1


async def test_what_was_sent_is_stored_even_if_the_sender_does_not_wait(here: World) -> None:
    here.bus.open.clear()
    async with here.listening():
        async with await here.connect() as connection:
            connection.writer.write(request("POST", "/hook", b"{}"))
            await here.bus.until_waiting(1)
        here.bus.open.set()
        assert (await here.post()).status == 200
    assert len(here.bus.stored) == 2


# --- who may send -----------------------------------------------------------------------------------------------------

AUTH = {"authSecret": {"name": "hook", "key": "token"}}


@pytest.mark.parametrize(
    ("secret", "given", "status", "text"),
    [
        ("s3cret\n", "Bearer s3cret", 200, "success"),
        ("s3cret", "Bearer s3cre", 401, "Invalid Auth token"),
        ("s3cret", "Bearer s3cret2", 401, "Invalid Auth token"),
        ("s3cret", "Bearer  s3cret", 401, "Invalid Auth token"),
        ("s3cret", "Bearer żółw", 401, "Invalid Auth token"),
        ("s3cret", "bearer s3cret", 401, "Invalid Authorization Header"),
        ("s3cret", "Basic s3cret", 401, "Invalid Authorization Header"),
        ("s3cret", None, 401, "Invalid Authorization Header"),
        ("żółw", "Bearer żółw", 200, "success"),
        ("", "Bearer ", 401, "Invalid Authorization Header"),
        ("", "Bearer x", 401, "Invalid Auth token"),
        (None, "Bearer s3cret", 500, "Error loading auth token"),
    ],
)
async def test_tokens(here: World, secret: str | None, given: str | None, status: int, text: str) -> None:
    if secret is not None:
        here.secret("hook", "token", secret)
    async with here.listening(**AUTH):
        reply = await here.post(**({} if given is None else {"Authorization": given}))
    assert (reply.status, reply.text) == (status, text)
    assert len(here.bus.stored) == (status == 200)


async def test_a_token_can_be_rotated(here: World) -> None:
    here.secret("hook", "token", "old")
    async with here.listening(**AUTH):
        assert (await here.post(authorization="Bearer old")).status == 200
        here.secret("hook", "token", "newer")
        assert (await here.post(authorization="Bearer old")).status == 401
        assert (await here.post(authorization="Bearer newer")).status == 200


async def test_senders_without_the_token_cannot_fill_the_endpoint(tmp_path: Path) -> None:
    async with world(tmp_path, settings(max_in_flight=1)) as here:
        here.secret("hook", "token", "s3cret")
        async with here.listening(**AUTH), await here.connect() as stranger:
            stranger.writer.write(b"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            assert (await stranger.answer()).status == 401
            assert (await here.post(authorization="Bearer s3cret")).status == 200


async def test_the_event_shows_headers_as_upstream(here: World) -> None:
    async with here.listening(metadata={"team": "ops"}):
        await here.post(
            b"{}",
            **{"x-github-EVENT": "push", "Authorization": "Basic abc", "X-A": "1", "x-a": "  2 ", "x-bad": "\udcff"},
        )
    assert json.loads(here.bus.stored[0]) == {
        "header": {
            "Authorization": ["*** Masked Auth Secret ***"],
            "Content-Length": ["2"],
            "X-A": ["1", "2"],
            "X-Bad": ["\ufffd"],
            "X-Github-Event": ["push"],
        },
        "body": {},
        "metadata": {"team": "ops"},
    }


async def test_the_senders_id_becomes_the_events_id(here: World) -> None:
    async with here.listening(idHeader="X-GitHub-Delivery"):
        await here.post(x_github_delivery="72d3162e")
        await here.post()
        await here.post(x_github_delivery="\udcff")
        await here.post(x_github_delivery=300 * "x")
    assert here.bus.ids[:3] == ["72d3162e", "", "\ufffd"]
    assert len(here.bus.ids[3]) == 64


async def test_requests_that_cannot_become_events_are_counted(here: World) -> None:
    async with here.listening(maxPayloadSize=20):
        await here.post(b"{}")
        assert here.failed == []
        await here.post(b"{")
        await here.post(b'"too large for this endpoint"')
        await here.post(b"a=%zz", content_type=FORM)
        assert here.failed == ["ev", "ev", "ev"]
        here.bus.error = InvalidEvent("counted where it is published")
        await here.post(b"{}")
    assert here.failed == ["ev", "ev", "ev"]
