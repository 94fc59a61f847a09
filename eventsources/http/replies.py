"""Answers as bytes, and aiohttp's low-level server made to send them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod

from eventsources.http.routes import BAD_REQUEST, DEFECT, HttpSettings
from eventsources.webhooks import SUCCESS, Answer

BAD_METHOD = Answer(400, "http method does not match", close=True)


class Replies:
    """Answers as bytes. The one that matters is made once a second, because of its Date."""

    def __init__(self) -> None:
        self._second, self._date, self._success = 0, "", b""

    def render(self, answer: Answer, *, close: bool, bodiless: bool) -> bytes:
        """Head and body."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True)
            self._success = self._render(SUCCESS, close=False)
        if answer is SUCCESS and not close and not bodiless:
            return self._success
        rendered = self._render(answer, close=close)
        return rendered[: rendered.index(b"\r\n\r\n") + 4] if bodiless else rendered

    def _render(self, answer: Answer, *, close: bool) -> bytes:
        body = answer.text.encode("utf-8", "replace")
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", f"Date: {self._date}"]
        if answer.content_type:
            lines.append(f"Content-Type: {answer.content_type}")
        lines.append(f"Content-Length: {len(body)}")
        lines.extend(f"{name}: {value}" for name, value in answer.headers)
        if close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode() + body


class Reply(web.StreamResponse):
    """Bytes as aiohttp's response: it is asked to prepare itself, to write its end, and whether to go on after it.

    Nothing of the base class is used, not even its constructor: that would be a fifth of a request's time.
    """

    def __init__(self, data: bytes, *, keep_alive: bool) -> None:
        self._data, self._keep_alive = data, keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it all."""
        if request.transport is None:
            raise ConnectionResetError("the sender is gone")
        request.transport.write(self._data)
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class _Connection(web.RequestHandler):
    """aiohttp's connection, with our words for what is not HTTP."""

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """What the parser refused. Verbs that it does not know never reach a route: they match no method."""
        answer = BAD_METHOD if isinstance(exc, BadHttpMethod) else DEFECT if status >= 500 else BAD_REQUEST
        return Reply(Replies().render(answer, close=True, bodiless=False), keep_alive=False)


class Connections(web.Server):
    """The open connections of one port."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], settings: HttpSettings
    ) -> None:
        super().__init__(handler)
        self._running_loop = asyncio.get_running_loop()
        self._settings = settings
        # Garbage from the internet is answered, not logged.
        self._silent = logging.Logger("keryx.http")
        self._silent.disabled = True

    def __call__(self) -> web.RequestHandler:
        """A connection; bodies stay as they were sent, so that none grows past its limit by being inflated."""
        return _Connection(
            self,
            loop=self._running_loop,
            keepalive_timeout=self._settings.idle_timeout,
            access_log=None,  # type: ignore[arg-type]  # aiohttp tests it for truth
            logger=self._silent,
            lingering_time=5.0,
            auto_decompress=False,
        )
