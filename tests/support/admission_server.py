"""A webhook of the API for tests: HTTPS on a free port of the loopback, with answers that the test sets."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from events.local.apiserver.access import certificates

Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse | dict[str, Any]]


class AdmissionServer:
    """What it was asked (`calls`), and what it answers by path (`answers`); a dict is the `response` of a review."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = certificates.Authority(directory, now)
        self._serving = certificates.Serving(authority, ["hook.test.svc"], now)
        self.bundle = base64.b64encode(authority.pem).decode()
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.queries: list[dict[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AdmissionServer]:
        application = web.Application()
        application.router.add_post("/{name}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._serving.context)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        review = json.loads(await request.text())
        name = request.match_info["name"]
        self.calls.append((name, review))
        self.queries.append(dict(request.query))
        answer = self.answers[name](review)
        if isinstance(answer, dict):
            whole = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"]}
            return web.json_response(whole | {"response": {"uid": review["request"]["uid"], **answer}})
        return answer if isinstance(answer, web.StreamResponse) else await answer


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A response that changes the object."""
    coded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": coded}
