"""A server before moto's S3: it counts the calls, and answers some of them as S3 does on a bad day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
_KEPT = ("content-type", "etag", "last-modified", "content-range", "content-encoding", "date")


async def _moto(_request: web.Request) -> web.Response | None:
    return None


def refused(code: str, status: int = 403) -> web.Response:
    """What S3 says."""
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    return web.Response(text=text, status=status, content_type="application/xml")


@dataclass
class S3Front:
    """Forwards what `answer` leaves alone."""

    behind: str
    url: str = ""
    answer: Answer = _moto
    asked: list[str] = field(default_factory=list)
    """Method and path with query of each call."""
    keys: list[str] = field(default_factory=list)
    """Access key id that signed it."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        self.keys.append(request.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0])
        if (answer := await self.answer(request)) is not None:
            return answer
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = URL(f"{self.behind}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, data=await request.read(), headers=headers) as found,
        ):
            kept = {
                name: value
                for name, value in found.headers.items()
                if name.lower().startswith("x-amz-") or name.lower() in _KEPT
            }
            body = await found.read()
            if request.method == "HEAD":
                kept["Content-Length"] = found.headers["Content-Length"]
                return web.Response(status=found.status, headers=kept)
            return web.Response(body=body, status=found.status, headers=kept)


@asynccontextmanager
async def s3_front(behind: str) -> AsyncIterator[S3Front]:
    found = S3Front(behind)
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()
