"""A server before moto's: it records the calls, and answers some of them as AWS does on a bad day."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

Answer = Callable[["Call"], Awaitable[web.Response | None]]


@dataclass(frozen=True)
class Call:
    """One call of an AWS API."""

    action: str
    """Such as ReceiveMessage."""
    key: str
    """Access key id that signed it."""
    token: str
    """Session token."""
    body: str


async def _moto(_call: Call) -> web.Response | None:
    return None


def refusal(code: str, status: int = 400, message: str = "no") -> web.Response:
    """What SQS says in its JSON protocol; the code as old clients know it."""
    headers = {"x-amzn-query-error": f"{code};Sender"}
    body = {"__type": f"com.amazonaws.sqs#{code}", "message": message}
    return web.json_response(body, status=status, headers=headers, content_type="application/x-amz-json-1.0")


@dataclass
class Front:
    """Forwards what `answer` leaves alone."""

    behind: str
    url: str = ""
    answer: Answer = _moto
    calls: list[Call] = field(default_factory=list)
    files: dict[str, web.Response | bytes] = field(default_factory=dict)
    """What a GET of a path gets."""
    fetched: list[str] = field(default_factory=list)
    polls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(100))
    """How many ReceiveMessage at once: moto hands messages of one group to two that come together."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def counts(self) -> Counter[str]:
        """Calls by action."""
        return Counter(call.action for call in self.calls)

    def asked(self, action: str) -> list[Call]:
        return [call for call in self.calls if call.action == action]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if request.method == "GET":
            self.fetched.append(request.path)
            found = self.files.get(request.path, web.Response(status=404))
            return web.Response(body=found) if isinstance(found, bytes) else found
        signed = request.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        action = request.headers.get("X-Amz-Target", "").rpartition(".")[2] or parse_qs(raw.decode())["Action"][0]
        call = Call(action, signed, request.headers.get("X-Amz-Security-Token", ""), raw.decode())
        self.calls.append(call)
        if (answer := await self.answer(call)) is not None:
            return answer
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            self.polls if action == "ReceiveMessage" else contextlib.nullcontext(),
            aiohttp.ClientSession() as session,
            session.post(f"{self.behind}{request.path_qs}", data=raw, headers=headers) as answered,
        ):
            content_type = {"Content-Type": answered.headers["Content-Type"]}
            return web.Response(body=await answered.read(), status=answered.status, headers=content_type)


@asynccontextmanager
async def front(behind: str) -> AsyncIterator[Front]:
    found = Front(behind)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def answering(action: str, *answers: Any) -> Answer:
    """These answers to the first calls of `action`, then moto's."""
    left = list(answers)

    async def answer(call: Call) -> web.Response | None:
        if call.action == action and left:
            found = left.pop(0)
            return found() if callable(found) else found
        return None

    return answer
