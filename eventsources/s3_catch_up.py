"""What was stored while nobody listened to a stream of notifications: found by a list, by the time of storing.

How far the stream was heard is kept in the bus's state. Whenever it is there again, the bucket is listed for what was
stored since, but for what the stream told. Objects that came and went meanwhile, and deletions, no list can show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import orjson

from eventbus.base import State
from events.errors import Unavailable
from events.logs import Log
from eventsources import s3_records
from eventsources.s3_list import Lister
from eventsources.s3_poll import there
from eventsources.s3_records import Record

_KEY = "listen"
_MARGIN_SECONDS = 60
"""A notification may come that much later than its object was stored."""
_SAVE_SECONDS = 5.0
_MOST_SEEN = 5000
"""Objects that are remembered as told; of more than that within the margin, some are published again."""


class Heard:
    """How far one bucket's stream was heard."""

    def __init__(self, state: State, bucket: str) -> None:
        self._state, self._bucket = state, bucket
        self.until = 0
        """Unix seconds, by the server's clock: what was stored before was told. 0: nothing is known."""
        self._seen: dict[str, tuple[float, bool]] = {}
        """What the stream told of late: when, and whether the bus has it."""
        self._offset = 0.0
        """Server's clock minus our monotonic one."""
        self._saved = float("-inf")
        self.is_gap = True
        """Whether something may be missing, so that `until` must stay."""

    async def read(self) -> None:
        """What the last process kept."""
        entry = await self._state.get(_KEY)
        try:
            found: Any = orjson.loads(entry.value) if entry else {}
        except orjson.JSONDecodeError:
            found = {}
        if found.get("bucket") == self._bucket:
            self.until = found["until"]
            self._seen = dict.fromkeys(found["seen"], (time.monotonic(), True))

    def told(self, record: Record) -> str:
        """The stream tells of an object; returns its mark."""
        mark = _mark(record.key, record.etag)
        self._seen.pop(mark, None)
        self._seen[mark] = time.monotonic(), False
        return mark

    def has(self, mark: str) -> None:
        """The bus has it."""
        if mark in self._seen:
            self._seen[mark] = self._seen[mark][0], True

    def knows(self, key: str, etag: str) -> bool:
        """Whether the stream told of it of late."""
        return _mark(key, etag) in self._seen

    def set_clock(self, at: int) -> None:
        """The server's clock says this."""
        self._offset = at - time.monotonic()

    async def alive(self) -> None:
        """The stream is there: all that was stored until a while ago was told."""
        now = time.monotonic()
        if self.is_gap or now - self._saved < _SAVE_SECONDS:
            return
        waiting = [when for when, is_stored in self._seen.values() if not is_stored]
        await self._save(int(min([now, *waiting]) + self._offset) - _MARGIN_SECONDS)

    async def begin(self, at: int) -> None:
        """Nobody listened before: what was stored until then is no news."""
        await self._save(at)

    async def caught_up(self, at: int) -> None:
        """All that was stored before then was published."""
        self.is_gap = False
        await self._save(at)

    async def _save(self, until: int) -> None:
        now = time.monotonic()
        recent = {mark: row for mark, row in self._seen.items() if now - row[0] < 2 * _MARGIN_SECONDS or not row[1]}
        self._seen = dict(list(recent.items())[-_MOST_SEEN:])
        self.until = max(self.until, until)
        seen = [mark for mark, (_, is_stored) in self._seen.items() if is_stored]
        document = {"bucket": self._bucket, "until": self.until, "seen": seen}
        self._saved = now
        with suppress(Unavailable):  # later: what is kept is never ahead of what the bus has
            await self._state.put(_KEY, orjson.dumps(document))


class CatchUp:
    """Lists a bucket whenever its stream is there again."""

    def __init__(
        self, heard: Heard, lister: Lister, publish: Callable[[Record, str], Awaitable[None]], region: str, log: Log
    ) -> None:
        self._heard, self._lister, self._publish = heard, lister, publish
        self._region, self._log = region, log
        self._due = asyncio.Event()

    def connected(self) -> None:
        """The stream is there again."""
        self._heard.is_gap = True
        self._due.set()

    async def begin(self, bucket: str, prefix: str) -> None:
        """Before the stream: what the last process kept, else that all is told from now on, by the server's clock."""
        await self._heard.read()
        if self._heard.until:
            return
        async with aclosing(self._lister.pages(bucket, prefix)) as pages:
            async for page in pages:
                self._heard.set_clock(page.at)
                await self._heard.begin(page.at)
                break

    async def run(self, bucket: str, prefix: str) -> None:
        """For ever. ActionError when the bucket cannot be listed."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self._look(bucket, prefix)

    async def _look(self, bucket: str, prefix: str) -> None:
        heard, began, count = self._heard, 0, 0
        async with aclosing(self._lister.pages(bucket, prefix)) as pages:
            async for page in pages:
                if not began:
                    began = page.at
                    heard.set_clock(began)
                for one in page.objects:
                    if one.modified >= heard.until and not heard.knows(one.key, one.etag):
                        await self._publish(*there(bucket, one, self._region))
                        count += 1
        if count:
            self._log.info("What was stored while the stream was away is published", bucket=bucket, objects=count)
        if not self._due.is_set():
            await heard.caught_up(began)


def _mark(key: str, etag: str) -> str:
    return s3_records.digest(key, etag)[:16]
