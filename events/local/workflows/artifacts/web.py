"""Artifacts behind a URL: got, and put. Contract: workflows I.6.

Credentials are basic ones. What may pass is tried a few times; what then still fails says URL and answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp

from events.local.workflows.artifacts.locations import Web
from events.local.workflows.errors import WorkflowError
from events.threads import in_thread

T = TypeVar("T")
SILENCE, DEADLINE = 60.0, 3600.0
"""Seconds without a byte, and for a whole artifact."""
_CHUNK = 1 << 20
_PAUSES = (1.0, 1.6, 2.5, 4.0)
_MISSING = (404, 410)
_PASSING = (408, 429)


class _Passing(Exception):
    """May go better a moment later."""


class WebStore:
    """One URL; keys mean nothing."""

    def __init__(self, web: Web, user: str, password: str, pauses: tuple[float, ...] = _PAUSES) -> None:
        self._web, self._pauses = web, pauses
        self._auth = aiohttp.BasicAuth(user, password, "utf-8") if user or password else None

    async def fetch(self, _key: str, target: Path) -> bool:
        """Put what is there at `target`; False when the server knows nothing there."""

        async def get(session: aiohttp.ClientSession) -> bool:
            async with session.get(self._web.url) as response:
                if response.status in _MISSING:
                    return False
                self._check(response)
                with await in_thread(lambda: target.open("wb"), "artifacts") as file:
                    async for chunk in response.content.iter_chunked(_CHUNK):
                        await in_thread(lambda chunk=chunk: file.write(chunk), "artifacts")  # type: ignore[misc]  # bound at once
            return True

        return await self._again(get)

    async def save(self, path: Path, _key: str) -> None:
        """Put a file."""
        if await in_thread(path.is_dir, "artifacts"):
            raise WorkflowError(f"{self._web.url} takes a file: leave out archive: none")
        size = (await in_thread(path.stat, "artifacts")).st_size

        async def put(session: aiohttp.ClientSession) -> None:
            headers = {"Content-Length": str(size)}
            async with session.put(self._web.url, data=_read(path), headers=headers) as response:
                self._check(response)

        await self._again(put)

    async def keys(self, _prefix: str) -> list[str]:
        raise WorkflowError(f"{self._web.url} cannot be listed")

    async def delete(self, _key: str) -> None:
        """What is behind a URL is not ours to delete."""

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status >= 500 or response.status in _PASSING:
            raise _Passing(f"{response.status} {response.reason}")
        if response.status >= 300:
            cure = " (see usernameSecret and passwordSecret)" if response.status in (401, 403) else ""
            raise WorkflowError(f"{self._web.url}: {response.status} {response.reason}{cure}")

    async def _again(self, call: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
        pauses = list(self._pauses)
        timeout = aiohttp.ClientTimeout(total=DEADLINE, sock_read=SILENCE, sock_connect=SILENCE)
        while True:
            try:
                async with aiohttp.ClientSession(
                    auth=self._auth, headers=self._web.headers, timeout=timeout, trust_env=True
                ) as session:
                    return await call(session)
            except (aiohttp.ClientError, TimeoutError, _Passing, ValueError) as error:
                if not pauses or isinstance(error, ValueError):  # aiohttp's InvalidURL is one
                    raise WorkflowError(f"{self._web.url}: {error or 'no answer'}") from error
            await asyncio.sleep(pauses.pop(0) * random.uniform(1, 1.5))


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await in_thread(lambda: path.open("rb"), "artifacts") as file:
        while chunk := await in_thread(lambda: file.read(_CHUNK), "artifacts"):
            yield chunk
