"""What was published of a bucket, in the bus's state: rows in the order of their keys, in parts that follow each other.

A list comes in the same order, so that both are read side by side, and neither is ever in memory as a whole. Each part
names the one after it; a part that grows too large is cut, the new one written before the old one names it. Written by
one process at a time: who finds that another has written gets Conflict, and begins again.
"""

from __future__ import annotations

import uuid
import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventbus.base import State
from eventsources.s3_list import Listed

_FIRST = "first"
_MOST_ROWS = 2000
_MOST_BYTES = 192 << 10
"""Of keys and what goes with them: a part must fit into one value of the state however little it can be compressed."""
_ROW_BYTES = 64


@dataclass(slots=True)
class Head:
    """How far a bucket was followed."""

    selection: str
    """What was selected: rows of another selection say nothing of this one."""
    generation: str
    """Rows of another one are left over."""
    started: int
    """Unix seconds of the first look, by the server's clock."""
    is_complete: bool = False
    """Whether all that was there at the first look is in the table."""


@dataclass(slots=True)
class Part:
    """Some rows: those from where the part before it ends, up to `until`."""

    name: str
    rows: list[Listed] = field(default_factory=list)
    after: str = ""
    """The part that follows; empty: none."""
    until: str = ""
    """The keys from here on are the next part's."""
    revision: int = 0

    def ends_before(self, key: str) -> bool:
        """Whether `key` belongs to a part that follows."""
        return bool(self.after) and key >= self.until


class Table:
    """The table of one bucket."""

    def __init__(self, state: State, bucket: str) -> None:
        self._state, self._bucket = state, bucket
        self._revision = 0
        self.head: Head | None = None
        self.live: set[str] = set()
        """The parts that were come by."""

    async def open(self, selection: str, now: int) -> Head:
        """What was kept; it begins anew, at `now`, when there is nothing or it was of another selection."""
        entry = await self._state.get(self._key("head"))
        self._revision = entry.revision if entry else 0
        found = _loads(entry.value) if entry else None
        if isinstance(found, dict) and found.get("selection") == selection:
            self.head = Head(selection, found["generation"], found["started"], found["isComplete"])
        else:
            self.head = Head(selection, uuid.uuid4().hex[:8], now)
            await self._write_head()
        return self.head

    async def complete(self) -> None:
        """All that was there at the first look is in the table."""
        assert self.head is not None
        if not self.head.is_complete:
            self.head.is_complete = True
            await self._write_head()

    async def _write_head(self) -> None:
        assert self.head is not None
        head = self.head
        document = {"selection": head.selection, "generation": head.generation, "started": head.started}
        text = orjson.dumps(document | {"isComplete": head.is_complete})
        self._revision = await self._state.update(self._key("head"), text, self._revision)

    async def part(self, name: str = _FIRST) -> Part:
        """One part; an empty one when there is none."""
        self.live.add(name)
        entry = await self._state.get(self._part_key(name))
        if entry is None:
            return Part(name)
        found = _loads(zlib.decompress(entry.value))
        rows = [Listed(*row) for row in found["rows"]]
        return Part(name, rows, found["after"], found["until"], entry.revision)

    async def write(self, part: Part, absorbed: str = "") -> None:
        """Keep a part, and remove the one whose rows it has taken over. Conflict when another process has written."""
        document = {"after": part.after, "until": part.until, "rows": part.rows}
        value = zlib.compress(orjson.dumps(document, default=list), 1)
        part.revision = await self._state.update(self._part_key(part.name), value, part.revision)
        if absorbed:
            await self._state.purge(self._part_key(absorbed))
            self.live.discard(absorbed)

    def new(self, rows: list[Listed], before: Part) -> Part:
        """A part that is to follow `before`, up to where that one ended."""
        name = uuid.uuid4().hex[:12]
        self.live.add(name)
        return Part(name, rows, before.after, before.until)

    async def sweep(self) -> int:
        """Remove parts that no other one names, left over by a crash or of another selection; how many."""
        keys = await self._state.keys(self._key("part/"))
        live = {self._part_key(name) for name in self.live}
        over = [key for key in keys if key not in live]
        for key in over:
            await self._state.purge(key)
        return len(over)

    def _key(self, what: str) -> str:
        return f"{self._bucket}/{what}"

    def _part_key(self, name: str) -> str:
        assert self.head is not None
        return self._key(f"part/{self.head.generation}/{name}")


def rows_after(rows: list[Listed], key: str) -> list[Listed]:
    """Those whose keys come after `key`."""
    return rows[bisect_right(rows, key, key=lambda row: row.key) :]


def is_full(rows: list[Listed], bytes_of_keys: int) -> bool:
    """Whether a part has as many rows as it may."""
    return len(rows) >= _MOST_ROWS or bytes_of_keys + _ROW_BYTES * len(rows) >= _MOST_BYTES


def is_small(*parts: list[Listed]) -> bool:
    """Whether the rows of several parts are few enough for one, with room to grow."""
    count = sum(len(rows) for rows in parts)
    return count <= _MOST_ROWS // 4 and _ROW_BYTES * count + sum(len(row.key) for rows in parts for row in rows) <= (
        _MOST_BYTES // 4
    )


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
