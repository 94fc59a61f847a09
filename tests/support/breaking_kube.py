"""A Kubernetes API that fails when it is told to, before another one; it counts what is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from events.errors import ActionError
from events.kube.api import KubeApi, Object, Resource, WatchEvent


class BreakingKube(KubeApi):
    """`failing["list"].append(error)`: the next list fails so. `cut()` breaks all watches off."""

    def __init__(self, kube: KubeApi) -> None:
        self.kube = kube
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, deque[Exception]] = {
            verb: deque() for verb in ("resource", "create", "get", "list", "replace", "patch", "delete", "watch")
        }
        self.away: Exception | None = None
        """While set, everything fails so."""
        self.events: list[str] = []
        self._cuts: set[asyncio.Future[None]] = set()

    @property
    def writes(self) -> int:
        return sum(self.calls[verb] for verb in ("create", "replace", "patch", "delete"))

    def cut(self, error: Exception | None = None) -> None:
        for future in list(self._cuts):
            if not future.done():
                future.set_exception(error or ActionError("the connection broke"))

    def _enter(self, verb: str) -> None:
        self.calls[verb] += 1
        if self.away is not None:
            raise self.away
        if self.failing[verb]:
            raise self.failing[verb].popleft()

    async def resource(self, api_version: str, kind: str) -> Resource:
        self._enter("resource")
        return await self.kube.resource(api_version, kind)

    async def resource_named(self, api_version: str, plural: str) -> Resource:
        return await self.kube.resource_named(api_version, plural)

    async def create(self, obj: Object, **options: Any) -> Object:
        self._enter("create")
        return await self.kube.create(obj, **options)

    async def get(self, resource: Resource, name: str, **options: Any) -> Object:
        self._enter("get")
        return await self.kube.get(resource, name, **options)

    async def list(self, resource: Resource, **options: Any) -> Object:
        self._enter("list")
        return await self.kube.list(resource, **options)

    async def replace(self, obj: Object, **options: Any) -> Object:
        self._enter("replace")
        return await self.kube.replace(obj, **options)

    async def patch(self, resource: Resource, name: str, body: Any, **options: Any) -> Object:
        self._enter("patch")
        return await self.kube.patch(resource, name, body, **options)

    async def delete(self, resource: Resource, name: str, **options: Any) -> Object:
        self._enter("delete")
        return await self.kube.delete(resource, name, **options)

    async def watch(self, resource: Resource, **options: Any) -> AsyncIterator[WatchEvent]:
        self._enter("watch")
        events = self.kube.watch(resource, **options)
        cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._cuts.add(cut)
        following: asyncio.Future[WatchEvent | None] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(events, None))  # type: ignore[arg-type]
                await asyncio.wait({following, cut}, return_when=asyncio.FIRST_COMPLETED)
                if cut.done():
                    cut.result()
                event = await following
                if event is None:
                    return
                self.events.append(event["type"])
                yield event
        finally:
            self._cuts.discard(cut)
            cut.cancel()
            if following is not None and not following.done():
                following.cancel()
                await asyncio.wait({following})
            await events.aclose()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        await self.kube.aclose()


@asynccontextmanager
async def beside(*runs: Awaitable[None]) -> AsyncIterator[None]:
    """Have things run for a while; what they raise is raised."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
