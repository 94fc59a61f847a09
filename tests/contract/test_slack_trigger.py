"""The slack trigger against a stand-in for Slack's Web API of our own. Contract: sensors D.8; X7."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from support.triggers import context, fire, secret

from events.errors import ActionError, CredentialError, ParameterError
from events.event import Event
from sensors import parameters
from sensors.base import Firing, TriggerContext
from sensors.triggers.slack import SlackSpec, SlackTrigger


class Slack:
    """Answers as the API does; `answers` are used up one by one: (status, headers, body)."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        message = await request.json()
        if self.answers:
            status, headers, body = self.answers.pop(0)
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, headers=headers, text=text)
        self.posted.append(message)
        return web.json_response({"ok": True, "ts": f"1.{len(self.posted)}", "channel": "C1"})


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    slack = Slack()
    application = web.Application()
    application.router.add_post("/api/chat.postMessage", slack.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    slack.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    yield slack
    await runner.cleanup()


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[TriggerContext]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield context(tmp_path, lambda: session)


def trigger(slack: Slack, around: TriggerContext, **spec: Any) -> SlackTrigger:
    given = {"slackToken": secret("token"), "channel": "#general", "message": "hello"} | spec
    made = SlackTrigger(SlackSpec.parse({name: one for name, one in given.items() if one is not None}), around)
    made.api = slack.url  # type: ignore[misc]  # where the stand-in is
    return made


async def test_a_message_is_posted_with_the_token(slack: Slack, around: TriggerContext) -> None:
    result = await fire(trigger(slack, around))
    assert slack.posted == [{"channel": "general", "text": "hello"}]
    [request] = slack.requests
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert result.value["ts"] == "1.1"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"channel": "C024"}, {"channel": "C024", "text": "hello"}),
        ({"channel": "##x"}, {"channel": "#x", "text": "hello"}),
        ({"message": None, "blocks": '[{"type":"divider"}]'}, {"channel": "general", "blocks": [{"type": "divider"}]}),
        ({"attachments": '[{"title":"é"}]'}, {"channel": "general", "text": "hello", "attachments": [{"title": "é"}]}),
        (
            {"sender": {"username": "bot", "icon": ":rocket:"}},
            {"channel": "general", "text": "hello", "username": "bot", "icon_emoji": ":rocket:"},
        ),
        (
            {"sender": {"icon": "https://h/i.png"}},
            {"channel": "general", "text": "hello", "icon_url": "https://h/i.png"},
        ),
        ({"sender": {"icon": "rocket"}}, {"channel": "general", "text": "hello"}),
    ],
)
async def test_what_is_posted(
    slack: Slack, around: TriggerContext, spec: dict[str, Any], expected: dict[str, Any]
) -> None:
    await fire(trigger(slack, around, **spec))
    assert slack.posted == [expected]


async def test_parameters_have_an_effect(slack: Slack, around: TriggerContext) -> None:  # X7
    await fire(trigger(slack, around), message="from the event", channel="other")
    assert slack.posted == [{"channel": "other", "text": "from the event"}]


async def test_messages_with_one_key_are_one_thread_whoever_posts_them(slack: Slack, around: TriggerContext) -> None:
    thread = {"messageAggregationKey": "build-1", "broadcastMessageToChannel": True}
    # Template parameters make an instance of each spec.
    await asyncio.gather(*(fire(trigger(slack, around, message=text, thread=thread)) for text in "ab"))
    await fire(trigger(slack, around, message="c", thread={"messageAggregationKey": "build-1"}))
    await fire(trigger(slack, around, message="d", channel="other", thread=thread))
    await fire(trigger(slack, around, message="e", thread={"messageAggregationKey": "build-2"}))
    assert [{name: one for name, one in each.items() if name != "channel"} for each in slack.posted] == [
        {"text": "a"},
        {"text": "b", "thread_ts": "1.1", "reply_broadcast": True},
        {"text": "c", "thread_ts": "1.1"},
        {"text": "d"},
        {"text": "e"},
    ]


async def test_a_first_message_that_failed_began_no_thread(slack: Slack, around: TriggerContext) -> None:
    one = trigger(slack, around, thread={"messageAggregationKey": "k"})
    slack.answers = [(200, {}, {"ok": False, "error": "channel_not_found"})]
    with pytest.raises(ActionError, match="Slack refuses the message: channel_not_found"):
        await fire(one)
    await fire(one)
    await fire(one)
    assert [post.get("thread_ts") for post in slack.posted] == [None, "1.1"]


async def test_too_many_messages_are_waited_for(slack: Slack, around: TriggerContext) -> None:
    slack.answers = [(429, {"Retry-After": "1"}, {"ok": False, "error": "ratelimited"})]
    started = asyncio.get_running_loop().time()
    await fire(trigger(slack, around))
    assert asyncio.get_running_loop().time() - started >= 1
    assert len(slack.posted) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((429, {"Retry-After": "3600"}, ""), "status 429: to be tried again in 3600 s"),
        ((500, {}, "<html>"), "status 500"),
        ((200, {}, "not JSON"), "status 200"),
        ((200, {}, [1]), "status 200"),
        ((200, {}, {"ok": "true"}), "status 200"),
        ((404, {}, {"ok": True}), "status 404"),
        ((200, {}, {"ok": False, "error": "invalid_auth"}), "invalid_auth"),
    ],
)
async def test_everything_but_ok_is_a_failed_attempt(
    slack: Slack, around: TriggerContext, answer: Any, message: str
) -> None:
    slack.answers = [answer]
    with pytest.raises(ActionError, match=message):
        await fire(trigger(slack, around))


@pytest.mark.parametrize(
    "spec",
    [
        {"channel": ""},
        {"channel": "#"},
        {"message": ""},
        {"attachments": "{}"},
        {"blocks": "["},
    ],
)
async def test_what_cannot_be_posted_is_not_tried_again(
    slack: Slack, around: TriggerContext, spec: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError):
        await fire(trigger(slack, around, **spec))
    assert not slack.requests


async def test_a_token_is_read_anew_and_must_be_there(slack: Slack, around: TriggerContext, tmp_path: Path) -> None:
    one = trigger(slack, around)
    await fire(one)
    (tmp_path / "secrets/creds/token").write_text("rotated")
    await fire(one)
    assert slack.requests[1].headers["Authorization"] == "Bearer rotated"
    (tmp_path / "secrets/creds/token").unlink()
    with pytest.raises(CredentialError):
        await fire(one)


async def test_slack_that_is_away_is_a_failed_attempt(
    slack: Slack, around: TriggerContext, unused_tcp_port: int
) -> None:
    one = trigger(slack, around)
    one.api = f"http://127.0.0.1:{unused_tcp_port}/api"  # type: ignore[misc]
    with pytest.raises(ActionError, match="POST"):
        await fire(one)


async def test_the_example(slack: Slack, around: TriggerContext) -> None:
    text = (Path(__file__).parents[2] / "examples/sensors/slack.yaml").read_text()
    sensor = next(one for one in yaml.safe_load_all(text) if one["kind"] == "Sensor")
    raw = sensor["spec"]["triggers"][0]["template"]["slack"] | {"slackToken": secret("token")}
    one = SlackTrigger(SlackSpec.parse(raw), around)
    one.api = slack.url  # type: ignore[misc]
    values = parameters.compile(one.spec.parameters)
    for state in ("started", "failed"):
        event = Event(id="1", source="hooks", type="webhook", subject="build", time="2026-01-01T00:00:00Z")
        event = dataclasses.replace(event, data=json.dumps({"body": {"number": 7, "state": state}}).encode())
        resource = values.apply(await one.fetch(), {"build": event})
        await one.execute(resource, Firing(state, {"build": event}))
    sender = {"channel": "builds", "username": "Keryx", "icon_emoji": ":trumpet:"}
    assert slack.posted == [
        sender | {"text": "build 7 started"},
        sender | {"text": "build 7 failed", "thread_ts": "1.1"},
    ]
