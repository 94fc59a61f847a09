"""Looking at buckets again and again: what is there that was not, or is another one, is published, once for each state.

Between two looks the last state of an object counts. A change is published before it is kept, so that a crash repeats
it, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from events.errors import KeryxError
from eventsources import s3_records
from eventsources.base import SourceContext
from eventsources.s3_list import Listed, Lister
from eventsources.s3_records import Record
from eventsources.s3_table import Part, Table, is_full, is_small, rows_after

Publish = Callable[[Record, str], Awaitable[None]]
"""Publishes a record under an id, if it is wanted; returns once the bus has it."""

_AT_ONCE = 32


class Look:
    """One walk through a bucket, beside its table."""

    def __init__(self, table: Table, bucket: str, region: str, publish: Publish, *, existing: bool) -> None:
        """`existing`: what was there before the first look is published, too."""
        self._table, self._bucket, self._region, self._publish = table, bucket, region, publish
        self._existing = existing
        self._part = Part("")
        self._here: list[Listed] = []
        self._small: Part | None = None
        """The part before this one, if it has few rows."""
        self._bytes = 0
        self._at = 0
        self.changes = 0

    async def take(self, objects: Sequence[Listed], at: int) -> None:
        """The next objects of the list."""
        self._at = at
        if not self._part.name:
            self._part = await self._table.part()
        for one in objects:
            while True:
                if self._part.ends_before(one.key):
                    await self._next_part()
                elif is_full(self._here, self._bytes):
                    await self._cut()
                else:
                    break
            self._here.append(one)
            self._bytes += len(one.key.encode())

    async def end(self) -> None:
        """There are no more."""
        while self._part.after:
            await self._next_part()
        await self._settle()
        await self._table.complete()

    async def _next_part(self) -> None:
        after = self._part.after
        await self._settle()
        self._part = await self._table.part(after)

    async def _cut(self) -> None:
        """The part is full: what comes after it is another one's."""
        part, last = self._part, self._here[-1].key
        rest = rows_after(part.rows, last)
        if rest or not part.after:
            behind = self._table.new(rest, part)
            await self._table.write(behind)
            part.rows = part.rows[: len(part.rows) - len(rest)]
        else:  # what is between here and the part that follows will be that one's
            behind = await self._table.part(part.after)
        part.after, part.until = behind.name, f"{last}\0"
        await self._settle(is_cut=True)
        self._part = behind

    async def _settle(self, *, is_cut: bool = False) -> None:
        """Publish how the list differs from the part, then keep it. Small parts that are neighbours become one."""
        part, here = self._part, self._here
        self._here, self._bytes = [], 0
        is_same = here == part.rows
        if not is_same:
            await self._publish_all(self._differences(part.rows, here))
        before = self._small
        if before is not None and not is_cut and is_small(before.rows, here):
            before.rows += here
            before.after, before.until = part.after, part.until
            await self._table.write(before, absorbed=part.name)
            return
        part.rows = here
        if is_cut or not is_same:
            await self._table.write(part)
        self._small = part if is_small(here) and not is_cut else None

    def _differences(self, before: Sequence[Listed], after: Sequence[Listed]) -> list[tuple[Record, str]]:
        known, keys = {row.key: row for row in before}, {row.key for row in after}
        found = [self._gone(row) for row in before if row.key not in keys]
        head = self._table.head
        assert head is not None
        is_first = not (head.is_complete or self._existing)
        for row in after:
            former = known.get(row.key)
            if former != row and not (is_first and former is None and row.modified < head.started):
                found.append(there(self._bucket, row, self._region))
        return found

    def _gone(self, row: Listed) -> tuple[Record, str]:
        more: dict[str, Any] = {"time": _time(self._at), "configuration": "poll"}
        record = s3_records.made(s3_records.REMOVED, self._bucket, row.key, region=self._region, etag=row.etag, **more)
        return record, s3_records.digest(self._bucket, row.key, row.etag, str(row.modified), "gone")

    async def _publish_all(self, changes: list[tuple[Record, str]]) -> None:
        self.changes += len(changes)
        rows = iter(changes)

        async def work() -> None:
            for record, id in rows:
                await self._publish(record, id)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(_AT_ONCE, len(changes))):
                tasks.create_task(work())


class Poller:
    """Buckets that are looked at in turns; one that cannot be does not keep the others away."""

    def __init__(self, buckets: Sequence[str], prefix: str, seconds: float, *, existing: bool) -> None:
        self._prefix, self._seconds, self._existing = prefix, seconds, existing
        self._due = dict.fromkeys(buckets, 0.0)
        """Monotonic time of the next look: also over a restart."""

    async def run(self, lister: Lister, context: SourceContext, publish: Publish, region: str) -> None:
        """For ever; what kept buckets from being looked at is raised once the others have had their turn."""
        tables: dict[str, Table] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, min(self._due.values()) - loop.time()))
            failures: list[KeryxError] = []
            for bucket in [bucket for bucket, due in self._due.items() if due <= loop.time()]:
                began = loop.time()
                try:
                    await self._look(bucket, tables, lister, context, publish, region)
                    self._due[bucket] = max(began + self._seconds, loop.time() + min(1.0, self._seconds))
                except KeryxError as error:
                    failures.append(error)
            if len(failures) == 1:
                raise failures[0]
            if failures:
                raise ExceptionGroup("buckets", failures)

    async def _look(
        self,
        bucket: str,
        tables: dict[str, Table],
        lister: Lister,
        context: SourceContext,
        publish: Publish,
        region: str,
    ) -> None:
        table, look = tables.get(bucket), None
        is_first = table is None
        async with aclosing(lister.pages(bucket, self._prefix)) as pages:
            async for page in pages:
                if look is None:
                    if table is None:
                        table = tables[bucket] = Table(context.state, bucket)
                        await table.open(self._prefix, page.at)
                    table.live.clear()
                    look = Look(table, bucket, region, publish, existing=self._existing)
                    context.started()
                await look.take(page.objects, page.at)
        assert look is not None
        assert table is not None
        await look.end()
        if is_first and (count := await table.sweep()):
            context.log.debug("Parts of the table of a bucket were left over", bucket=bucket, parts=count)


def there(bucket: str, row: Listed, region: str) -> tuple[Record, str]:
    """What a list says of an object as a record, and the id of its event: the same whenever it is listed."""
    more: dict[str, Any] = {"size": row.size, "time": _time(row.modified), "configuration": "poll"}
    record = s3_records.made(s3_records.CREATED, bucket, row.key, region=region, etag=row.etag, **more)
    return record, s3_records.digest(bucket, row.key, row.etag, str(row.modified), str(row.size))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
