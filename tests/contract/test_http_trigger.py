"""The http and log triggers against a real server on a loopback port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.http_target import Target, http_target, redirect, status

from events.credentials import Credentials
from events.errors import ActionError, CredentialError, ParameterError, UserError
from events.event import Event
from events.logs import Log
from sensors import http_client
from sensors.base import Firing, Result, TriggerContext
from sensors.triggers.http import HttpSpec, HttpTrigger
from sensors.triggers.log import LogSpec, LogTrigger

EVENTS = {
    "dep": Event(
        id="1",
        source="hooks",
        type="webhook",
        subject="orders",
        data='{"v":"x","n":5,"lines":"a\\nb","name":"ż"}'.encode(),
        time="2026-01-01T00:00:00Z",
    )
}
FIRING = Firing("f", EVENTS)
VALUE = {"src": {"dependencyName": "dep", "dataKey": "v"}, "dest": "v"}


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with http_target() as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


@pytest.fixture
def context(session: aiohttp.ClientSession, tmp_path: Path) -> TriggerContext:
    for name, text in (("user", "me\n"), ("password", "pa:ss\n"), ("token", "Bearer zz\n")):
        path = tmp_path / "secrets" / "creds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return TriggerContext(
        namespace="ns",
        sensor_name="orders",
        trigger_name="post",
        log=Log("test"),
        secrets=Credentials([tmp_path]),
        kube=None,  # type: ignore[arg-type]
        http=lambda: session,
    )


async def fire(context: TriggerContext, resource: str | None = None, **spec: Any) -> Result:
    trigger = HttpTrigger(HttpSpec.parse(spec), context)
    return await trigger.execute(resource if resource is not None else await trigger.fetch(), FIRING)


async def test_nothing_is_sent_that_nobody_asked_for(target: Target, context: TriggerContext) -> None:
    result = await fire(context, url=f"{target.url}/hook?a=b%20c", payload=[VALUE])
    (request,) = target.received
    assert (request.method, request.target, request.body) == ("POST", "/hook?a=b%20c", b'{"v":"x"}')
    assert {name for name, _ in request.headers} == {"Host", "User-Agent", "Content-Length"}
    assert request.header(
        "User-Agent",
    ).startswith("keryx/")  # type: ignore[union-attr]
    assert (result.status, result.value) == (200, "ok")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "POST", "PUT"])
async def test_every_method_has_a_body(target: Target, context: TriggerContext, method: str) -> None:
    await fire(context, url=target.url, method=method, payload=[VALUE])
    assert (target.received[0].method, target.received[0].body) == (method, b'{"v":"x"}')


async def test_a_body_may_be_large(target: Target, context: TriggerContext) -> None:
    await fire(
        context, url=target.url, payload=[{"src": {"dependencyName": "dep", "value": "x" * 3_000_000}, "dest": ""}]
    )
    assert len(target.received[0].body) == 3_000_000
    assert target.received[0].header("Content-Length") == "3000000"


async def test_later_headers_take_the_place_of_earlier_ones_and_keep_their_spelling(
    target: Target, context: TriggerContext
) -> None:
    await fire(
        context,
        url=target.url,
        headers={"x-Kept": " padded ", "x-b": "static", "X-C": "static", "authorization": "static", "HOST": "no"},
        dynamicHeaders=[{**VALUE, "dest": "X-b"}, {**VALUE, "dest": "x-C"}],
        secureHeaders=[{"name": "X-c", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}}],
        basicAuth={"username": {"name": "creds", "key": "user"}, "password": {"name": "creds", "key": "password"}},
        host="other.example",
    )
    headers = target.received[0].headers
    sent = [one for one in headers if one[0] not in ("User-Agent", "Content-Length")]
    assert sorted(sent) == [
        ("Authorization", "Basic bWU6cGE6c3M="),
        ("Host", "other.example"),
        ("X-b", "x"),
        ("X-c", "Bearer zz"),
        ("x-Kept", "padded"),
    ]


async def test_a_user_in_the_url_is_an_authorization(target: Target, context: TriggerContext) -> None:
    await fire(context, url=f"http://me:p%40ss@{target.host}/")
    assert target.received[0].header("Authorization") == "Basic bWU6cEBzcw=="


async def test_text_beyond_ascii_is_sent_as_utf8(target: Target, context: TriggerContext) -> None:
    header = {"src": {"dependencyName": "dep", "dataKey": "name"}, "dest": "X-Name"}
    await fire(context, url=f"{target.url}/ż ł?q=ż", dynamicHeaders=[header])
    assert target.received[0].target == "/%C5%BC%20%C5%82?q=%C5%BC"
    assert (target.received[0].header("X-Name") or "").encode("latin-1").decode() == "ż"


async def test_a_changed_spec_is_read_again(target: Target, context: TriggerContext) -> None:
    resource = f'{{"URL":"{target.url}/changed","method":"PUT","nosuch":1,"timeout":null}}'
    await fire(context, resource, url="http://%zz")
    assert (target.received[0].method, target.received[0].target) == ("PUT", "/changed")


@pytest.mark.parametrize("resource", ['{"url":"http://a","timeout":"5"}', "[]", "nope"])
async def test_a_spec_that_parameters_have_broken_is_the_events_fault(context: TriggerContext, resource: str) -> None:
    with pytest.raises(ParameterError, match="the parameters"):
        await fire(context, resource, url="http://a")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"url": "http://127.0.0.1/%zz"}, "two hexadecimal digits"),
        ({"url": "ftp://127.0.0.1"}, "not an http or https URL"),
        ({"url": "http:///path"}, "not an http or https URL"),
        ({"url": "http://127.0.0.1:http/"}, "not a URL"),
        ({"url": "http://a/", "method": "B AD"}, "not an HTTP method"),
        ({"url": "http://a/", "headers": {"X A": "1"}}, "not the name of a header"),
        ({"url": "http://a/", "headers": {"X": "a\r\nY: b"}}, "line break"),
        ({"url": "http://127.0.0.1:1/?token=secret"}, "Cannot connect"),
    ],
)
async def test_what_cannot_be_sent_is_a_failed_attempt(context: TriggerContext, spec: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message) as failure:
        await fire(context, **spec)
    assert "secret" not in str(failure.value)


async def test_a_line_break_from_an_event_does_not_become_a_header(context: TriggerContext, target: Target) -> None:
    header = {"src": {"dependencyName": "dep", "dataKey": "lines"}, "dest": "X"}
    with pytest.raises(ParameterError, match="line break"):
        await fire(context, url=target.url, dynamicHeaders=[header])
    assert not target.received


async def test_a_missing_secret_can_come_later(context: TriggerContext, target: Target) -> None:
    ref = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "gone"}}}
    with pytest.raises(CredentialError):
        await fire(context, url=target.url, secureHeaders=[ref])


async def test_any_answer_is_a_success(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: status(503, "busy")
    assert await fire(context, url=target.url) == Result(value="busy", status=503)


async def test_no_answer_in_time_is_a_failed_attempt(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: None
    with pytest.raises(ActionError, match="no answer within 1 s"):
        await fire(context, url=target.url, timeout=1)


async def test_connections_are_used_again_also_after_longer_answers(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: status(200, "x" * 100_000)
    for _ in range(5):
        result = await fire(context, url=target.url)
        assert len(result.value) == http_client.KEPT
    assert target.connections == 1


@pytest.mark.parametrize("tail", ["x" * 2_000_000, ""])
async def test_endless_and_broken_bodies_change_nothing(
    context: TriggerContext, target: Target, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "_BODY_SECONDS", 0.1)
    target.answer = lambda _request: f"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nstart{tail}".encode()
    result = await fire(context, url=target.url)
    assert (result.status, result.value[:5]) == (200, "start")
    target.answer = lambda _request: status(200)
    await fire(context, url=target.url)
    assert target.connections == 2


@pytest.mark.parametrize(
    ("code", "method", "after", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "PUT", "GET", False),
        (303, "DELETE", "GET", False),
        (302, "GET", "GET", False),
        (307, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
async def test_redirects_follow_gos_rules(
    context: TriggerContext, target: Target, code: int, method: str, after: str, keeps_body: bool
) -> None:
    target.answer = lambda request: redirect(code, "next?q=1") if request.target == "/a/b" else status(200)
    headers = {"X-A": "1", "Authorization": "mine", "Content-Type": "application/json"}
    await fire(context, url=f"{target.url}/a/b", method=method, payload=[VALUE], headers=headers, host="h.example")
    _, second = target.received
    assert (second.method, second.target, second.body != b"") == (after, "/a/next?q=1", keeps_body)
    assert second.header("Content-Type") == ("application/json" if keeps_body else None)
    sent = [second.header(name) for name in ("X-A", "Authorization", "Referer", "Host")]
    assert sent == ["1", "mine", f"{target.url}/a/b", "h.example"]


async def test_another_host_does_not_get_the_authorization(context: TriggerContext, target: Target) -> None:
    async with http_target() as other:
        there = other.host.replace("127.0.0.1", "localhost")
        target.answer = lambda _request: redirect(307, f"http://{there}/there")
        headers = {"Authorization": "mine", "Cookie": "c", "X-A": "1"}
        await fire(context, url=target.url, payload=[VALUE], headers=headers, host="h.example")
        (request,) = other.received
    names = ("Authorization", "Cookie", "X-A", "Host")
    assert [request.header(name) for name in names] == [None, None, "1", there]
    assert request.body == b'{"v":"x"}'


async def test_redirects_end(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: redirect(302, "/again")
    with pytest.raises(ActionError, match="stopped after 10 redirects"):
        await fire(context, url=target.url)
    assert len(target.received) == 10


async def test_a_redirect_to_nowhere_is_the_answer(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: status(302)
    assert (await fire(context, url=target.url)).status == 302


async def test_tls_settings_that_say_nothing_are_refused(context: TriggerContext, target: Target) -> None:
    with pytest.raises(UserError, match="clientKeySecret"):
        await fire(context, url=target.url, tls={"clientCertSecret": {"name": "creds", "key": "user"}})
    assert not target.received


def test_the_same_settings_give_the_same_tls_context(context: TriggerContext) -> None:
    spec = HttpSpec.parse({"url": "https://a", "tls": {"enabled": True}})
    again = HttpSpec.parse({"url": "https://b", "tls": {"enabled": True}})
    assert spec.tls is not None
    assert again.tls is not None
    first = context.secrets.tls(spec.tls)
    assert isinstance(first, ssl.SSLContext)
    assert context.secrets.tls(again.tls) is first


async def test_cancelling_a_request_cancels_it(context: TriggerContext, target: Target) -> None:
    target.answer = lambda _request: None
    task = asyncio.create_task(fire(context, url=target.url))
    while not target.received:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, message: str, **fields: Any) -> None:
        self.lines.append((message, fields))


def logging(context: TriggerContext, **spec: Any) -> tuple[LogTrigger, list[tuple[str, dict[str, Any]]]]:
    log = Lines()
    changed = TriggerContext("ns", "orders", "say", log, context.secrets, context.kube, context.http)
    return LogTrigger(LogSpec.parse(spec), changed), log.lines


@pytest.mark.parametrize(
    ("media_type", "message"),
    [("application/json", "ab"), ("text/plain; charset=utf-8", "ab"), ("image/png", "YWI="), ("", "YWI=")],
)
async def test_the_log_trigger_writes_one_line_for_each_event(
    context: TriggerContext, media_type: str, message: str
) -> None:
    trigger, lines = logging(context)
    event = Event(id="1", source="hooks", type="t", subject="orders", data=b"ab", datacontenttype=media_type)
    await trigger.execute(await trigger.fetch(), Firing("f", {"a": event, "b": event}))
    assert [text for text, _ in lines] == [message, message]
    assert [fields["dependencyName"] for _, fields in lines] == ["a", "b"]
    fields = {name: value for name, value in lines[0][1].items() if name not in ("dependencyName", "eventContext")}
    assert fields == {"triggerName": "say", "triggerType": "Log", "sensorName": "orders"}


@pytest.mark.parametrize(("interval", "lines"), [(None, 3), (0, 3), (3600, 1)])
async def test_the_log_trigger_keeps_its_interval(context: TriggerContext, interval: int | None, lines: int) -> None:
    trigger, written = logging(context, intervalSeconds=interval)
    for _ in range(3):
        await trigger.execute(await trigger.fetch(), FIRING)
    assert len(written) == lines  # D4: upstream forgets the last time
