"""Messages of Slack. Contract: sensors D.8. The Web API's one method that is needed, without an SDK."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, ClassVar

import orjson
from pydantic import Field

from events.credentials import SecretRef
from events.errors import ActionError, ParameterError
from events.model import Model
from events.problems import Problems
from sensors import base, decoding, payloads
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

SECONDS = 30.0
"""Until there must be an answer to one request."""
_PAUSES = 3
"""How often an attempt waits because there were too many messages."""
_LONGEST_PAUSE = 60
_LIMIT = 256 * 1024
_THREADS = 10_000
_OK, _TOO_MANY = 200, 429
_LIMITED = "ratelimited"


class SlackThread(Model):
    """Messages that belong together."""

    message_aggregation_key: str | None = Field(
        None, description="Messages with the same key are replies to the first of them."
    )
    broadcast_message_to_channel: bool | None = Field(None, description="Show replies in the channel, too.")


class SlackSender(Model):
    """Who a message appears to come from."""

    username: str | None = Field(None, description="Name.")
    icon: str | None = Field(None, description="Emoji such as :rocket:, or URL of a picture.")


class SlackSpec(base.Spec):
    """Posts a message in Slack. Contract: sensors D.8."""

    slack_token: SecretRef | None = Field(None, description="Secret with the token.")
    channel: str | None = Field(None, description="Name or id of the channel.")
    message: str | None = Field(None, description="Text.")
    attachments: str | None = Field(None, description="Attachments, as the text of a JSON list.")
    blocks: str | None = Field(None, description="Blocks, as the text of a JSON list.")
    thread: SlackThread | None = Field(None, description="Messages that belong together.")
    sender: SlackSender | None = Field(None, description="Who the message appears to come from.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class Threads:
    """(channel, key) -> what Slack calls the first message of a thread; the longest unused is forgotten."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._found: OrderedDict[tuple[str, str], str] = OrderedDict()

    def first(self, channel: str, key: str) -> str:
        """The thread to reply to; empty when there is none yet."""
        if (channel, key) in self._found:
            self._found.move_to_end((channel, key))
        return self._found.get((channel, key), "")

    def began(self, channel: str, key: str, message: str) -> None:
        """The first message of a thread has been posted."""
        self._found[channel, key] = message
        while len(self._found) > _THREADS:
            self._found.popitem(last=False)


class SlackTrigger(base.Trigger[SlackSpec]):
    """One message per firing."""

    Spec = SlackSpec
    api: ClassVar[str] = "https://slack.com/api"

    def __init__(self, spec: SlackSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._threads: Threads = context.memory.setdefault(f"threads {context.trigger_name}", Threads())

    @classmethod
    def validate(cls, spec: SlackSpec, problems: Problems) -> None:
        if spec.slack_token is None:
            problems.error("slackToken", "required", "name the secret with the token")
        payloads.expected(spec, problems, "channel")
        if not (spec.message or spec.attachments or spec.blocks):
            nothing = "neither message nor attachments nor blocks"
            problems.warn("message", f"{nothing}: every attempt fails, unless parameters write one")
        for field, text in (("attachments", spec.attachments), ("blocks", spec.blocks)):
            try:
                _listed(field, text)
            except ParameterError as error:
                problems.warn(field, f"{error}: every attempt fails", "a JSON list, as text")
        icon = (spec.sender.icon if spec.sender else "") or ""
        if icon and not _icon(icon):
            problems.warn("sender.icon", f"{icon!r} has no effect", "write :name: or the URL of a picture")

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:  # noqa: ARG002  # parameters have used it
        spec = self.spec if resource == self._text else decoding.read(SlackSpec, resource)
        message = _message(spec)
        key = (spec.thread.message_aggregation_key if spec.thread else "") or ""
        if not key:
            return Result(value=await self._post(spec, message))
        # One after another: of two first messages one would be left out of the thread.
        async with self._threads.lock:
            return Result(value=await self._post_in_thread(spec, message, key))

    async def _post_in_thread(self, spec: SlackSpec, message: dict[str, Any], key: str) -> dict[str, Any]:
        channel, first = message["channel"], self._threads.first(message["channel"], key)
        if first:
            message["thread_ts"] = first
            if spec.thread and spec.thread.broadcast_message_to_channel:
                message["reply_broadcast"] = True
        answer = await self._post(spec, message)
        if not first and isinstance(answer.get("ts"), str):
            self._threads.began(channel, key, answer["ts"])
        return answer

    async def _post(self, spec: SlackSpec, message: dict[str, Any]) -> dict[str, Any]:
        """What Slack answers; ActionError when it refuses. Too many messages are waited for, within bounds."""
        from sensors import http_client as client

        if spec.slack_token is None:
            raise ParameterError("slackToken is absent")
        headers, (url, _) = client.no_headers(), client.parse_url(f"{self.api}/chat.postMessage")
        client.set_header(headers, "Authorization", f"Bearer {self.context.secrets.value(spec.slack_token).strip()}")
        client.set_header(headers, "Content-Type", "application/json; charset=utf-8")
        request = client.Request("POST", url, client.complete(headers), orjson.dumps(message))
        for pauses_left in range(_PAUSES, -1, -1):
            answer = await client.fetch(self.context.http(), request, tls=None, seconds=SECONDS, limit=_LIMIT)
            found = _answer(answer.status, answer.body)
            if found.get("ok") is True:
                return found
            reason = str(found.get("error") or f"status {answer.status}")
            if not pauses_left or (answer.status != _TOO_MANY and reason != _LIMITED):
                break
            pause = _seconds(answer.retry_after)
            if pause > _LONGEST_PAUSE:
                reason = f"{reason}: to be tried again in {pause} s"
                break
            await asyncio.sleep(pause)
        raise ActionError(f"Slack refuses the message: {reason}")


def _message(spec: SlackSpec) -> dict[str, Any]:
    """The message as the API takes it; ParameterError when there is none."""
    channel = (spec.channel or "").removeprefix("#")
    if not channel:
        raise ParameterError("channel is empty")
    message: dict[str, Any] = {"channel": channel}
    if spec.message:
        message["text"] = spec.message
    for field, text in (("attachments", spec.attachments), ("blocks", spec.blocks)):
        if text:
            message[field] = _listed(field, text)
    if len(message) == 1:
        raise ParameterError("there is neither message nor attachments nor blocks")
    if spec.sender is not None:
        if spec.sender.username:
            message["username"] = spec.sender.username
        message |= _icon(spec.sender.icon or "")
    return message


def _listed(field: str, text: str | None) -> list[Any]:
    """The list in `text`, empty when there is none; ParameterError when it is something else."""
    if not text:
        return []
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ParameterError(f"{field} is not JSON: {error}") from error
    if not isinstance(found, list):
        raise ParameterError(f"{field} is not a list")
    return found


def _icon(text: str) -> dict[str, str]:
    """The fields of a message for an icon; none when it is neither an emoji nor a URL."""
    if len(text) > 2 and text.startswith(":") and text.endswith(":"):
        return {"icon_emoji": text}
    return {"icon_url": text} if text.startswith(("http://", "https://")) else {}


def _answer(status: int, body: bytes) -> dict[str, Any]:
    """What an answer says; nothing when it is not one of Slack's."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) and status in (_OK, _TOO_MANY) else {}


def _seconds(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1
