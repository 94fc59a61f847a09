"""Connection: keeps a link to the bus alive, for as long as the process lives.

Endless jittered back-off, one log line per change of state, stream and buckets ensured after every connect. Those who
need the bus ask for `link()`: it returns at once while connected and waits, up to a deadline, while not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from eventbus.base import Health
from eventbus.jetstream.link import Access, Link
from events.backoff import Endless
from events.errors import KeryxError, Unavailable
from events.logs import Log

Prepare = Callable[[Link], Awaitable[None]]
_STEADY_SECONDS = 5.0
_LOOK_SECONDS = 10.0


class Connection:
    """One link after another; `generation` counts them."""

    def __init__(self, access: Callable[[], Access], name: str, log: Log, prepare: Prepare) -> None:
        self._access, self._name, self._log, self._prepare = access, name, log, prepare
        self._link: Link | None = None
        self._changed = asyncio.Condition()
        self._callbacks: list[Callable[[Health], None]] = []
        self._task: asyncio.Task[NoReturn] | None = None
        self._closed = False
        self._why = "not connected yet"
        self.generation = 0

    async def start(self) -> None:
        """Begin to connect; does not wait for the connection."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="bus connection")

    @property
    def health(self) -> Health:
        """Whether there is a link now, and if not, why."""
        return Health(connected=self._link is not None, detail="" if self._link else self._why)

    def on_change(self, callback: Callable[[Health], None]) -> None:
        """Have `callback` called when the link is lost or there again."""
        self._callbacks.append(callback)

    async def link(self, seconds: float = 10) -> Link:
        """The live link; Unavailable when there is none within `seconds`."""
        if (link := self._link) is not None:
            return link
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(self._is_settled)
        except TimeoutError as error:
            raise Unavailable(f"the bus is away: {self._why}") from error
        if (link := self._link) is None:
            raise Unavailable("the connection to the bus is closed")
        return link

    def _is_settled(self) -> bool:
        return self._link is not None or self._closed

    async def another(self, generation: int) -> int:
        """Wait for a link newer than `generation`; its generation."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: (self._link is not None and self.generation > generation) or self._closed
            )
        if self._closed:
            raise Unavailable("the connection to the bus is closed")
        return self.generation

    async def drop(self, reason: str) -> None:
        """Give up the link there is, because it does not answer; another is opened."""
        if self._link is not None:
            self._log.debug("Dropping the connection to the bus", reason=reason)
            await self._link.aclose()

    async def _keep(self) -> NoReturn:
        pauses, failures = Endless(0.05, 5), 0
        while True:
            try:
                link = await self._open()
            except KeryxError as error:
                failures += 1
                self._why = str(error)
                if failures in (1, 10) or failures % 100 == 0:
                    self._log.warning("Waiting for the bus", reason=self._why, tries=failures)
                await asyncio.sleep(pauses.next())
                continue
            if failures or self.generation:
                self._log.info("Connected to the bus", url=link.url, tries=failures + 1)
            failures = 0
            opened = asyncio.get_running_loop().time()
            await self._set(link)
            link = await self._served(link)
            self._why = link.closed.result()
            self._log.warning("Lost the bus", reason=self._why)
            await self._set(None)
            await link.aclose()
            if asyncio.get_running_loop().time() - opened > _STEADY_SECONDS:
                pauses.reset()
            await asyncio.sleep(pauses.next())

    async def _served(self, link: Link) -> Link:
        """Serve until the link is closed; the last one, for rotated credentials bring another without a gap."""
        said = ""
        while True:
            await asyncio.wait({link.closed}, timeout=_LOOK_SECONDS)
            if link.closed.done():
                return link
            try:
                if self._access() == link.access:
                    continue
                newer = await self._open()
            except KeryxError as error:
                # The server may learn of them later than we do; what is open goes on as long as it lets us.
                if said != str(error):
                    said = str(error)
                    self._log.warning("The new credentials of the bus do not work yet", reason=said)
                continue
            said = ""
            self._log.info("Connected to the bus with new credentials", url=newer.url)
            former, link = link, newer
            await self._set(link)
            await former.aclose()

    async def _open(self) -> Link:
        link = await Link.open(self._access(), self._name)
        try:
            await self._prepare(link)
        except BaseException:
            await link.aclose()
            raise
        return link

    async def _set(self, link: Link | None) -> None:
        async with self._changed:
            self._link = link
            self.generation += link is not None
            self._changed.notify_all()
        for callback in self._callbacks:
            callback(self.health)

    async def aclose(self) -> None:
        """Close the link and open no other."""
        self._closed = True
        if self._task is not None:
            await _ended(self._task)
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()
        async with self._changed:
            self._changed.notify_all()


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended: `asyncio.wait_for` of Python 3.11, which nats-py calls, loses a cancellation
    that comes in the moment of a result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
