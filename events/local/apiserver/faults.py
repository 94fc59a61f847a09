"""Manners for clients: a server that closes watches, refuses and delays at random, from a seed that is printed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from aiohttp import web

from events.local.apiserver.http import responses
from events.local.apiserver.status import StatusError
from events.logs import Log

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_REFUSED, _DELAYED, _AFTER = 0.06, 0.05, 0.03
"""Parts of the requests that are refused, that wait, and whose answer is lost after they were done."""
_LONGEST_DELAY, _LONGEST_WATCH = 0.3, 3.0


def _refusals() -> list[StatusError]:
    wait = {"retryAfterSeconds": 1}
    modified = "the object has been modified; please apply your changes to the latest version and try again"
    return [
        StatusError(409, "Conflict", f"Operation cannot be fulfilled: {modified}"),
        StatusError(429, "TooManyRequests", "too many requests, please try again later", wait),
        StatusError(500, "InternalError", "Internal error occurred: a fault that was asked for", wait),
    ]


class Faults:
    """Stands between clients and a handler."""

    def __init__(self, seed: int, log: Log) -> None:
        self._random = random.Random(seed)  # repeatable on purpose
        log.warning("requests will fail at random, as asked for", seed=seed)

    def around(self, handler: Handler) -> Handler:
        """The handler with faults. What tells whether the server lives is left alone."""

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            if not request.path.startswith(("/api/", "/apis/")):
                return await handler(request)
            if "watch" in request.query and request.query["watch"].lower() not in ("0", "false"):
                return await self._watched(handler, request)
            fate = self._random.random()
            if fate < _REFUSED:
                return responses.of_error(self._random.choice(_refusals_for(request)))
            if fate < _REFUSED + _DELAYED:
                await asyncio.sleep(self._random.uniform(0, _LONGEST_DELAY))
            response = await handler(request)
            if fate > 1 - _AFTER:
                _cut(request)  # done, but the client will not know
            return response

        return serve

    async def _watched(self, handler: Handler, request: web.BaseRequest) -> web.StreamResponse:
        if "resourceVersion" in request.query and self._random.random() < _REFUSED:
            return responses.of_error(StatusError(410, "Expired", "too old resource version: a fault, asked for"))
        closing = asyncio.get_running_loop().call_later(
            self._random.uniform(0.05, _LONGEST_WATCH), lambda: _cut(request)
        )
        try:
            return await handler(request)
        finally:
            closing.cancel()


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()


def _refusals_for(request: web.BaseRequest) -> list[StatusError]:
    refusals = _refusals()
    return refusals if request.method in ("PUT", "PATCH") else refusals[1:]
