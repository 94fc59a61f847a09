"""Which version of which object was published, in the bus's state: what a restart and a new list are compared with.

Objects lie in parts by their uid, so that a change writes one part only; the cursor is written after them. Written by
one process at a time: who finds that another has written gets Conflict, and reads again. A part must fit one value of
the state: with 1 MiB, some 400,000 objects in all.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from eventbus.base import State

_PARTS = 64
_CURSOR = "cursor"
_AT_ONCE = 16


class Published(NamedTuple):
    """An object as it was last seen."""

    version: str
    namespace: str
    name: str
    passed: bool
    """Whether its filters let it pass then."""


@dataclass(slots=True)
class Cursor:
    """How far the objects of a selection were followed."""

    selection: str
    """What was selected: objects of another selection say nothing of this one."""
    started: str
    """When it was followed first; RFC 3339."""
    version: str = ""
    """The resource version to go on from; empty until the first list is through."""


class ObjectTable:
    """The table of one event."""

    def __init__(self, state: State, selection: str) -> None:
        self._state = state
        self._revisions: dict[str, int] = {}
        self._parts: list[dict[str, Published]] = [{} for _ in range(_PARTS)]
        self._dirty: set[int] = set()
        self._kept = ""
        self.cursor = Cursor(selection, "")

    async def read(self, now: str) -> None:
        """What was kept; it begins anew, at `now`, when there is nothing or it was of another selection."""
        kept = await self._get(_CURSOR)
        is_ours = isinstance(kept, dict) and kept.get("selection") == self.cursor.selection
        limit = asyncio.Semaphore(_AT_ONCE)

        async def read(number: int) -> None:
            async with limit:
                rows = await self._get(f"part-{number}")
            if is_ours and isinstance(rows, dict):
                self._parts[number] = {uid: Published(*row) for uid, row in rows.items()}
            elif rows:
                self._dirty.add(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(_PARTS):
                tasks.create_task(read(number))
        self.cursor.started, self.cursor.version = (kept["started"], kept["version"]) if is_ours else (now, "")
        if not is_ours:
            await self.write()

    async def write(self) -> None:
        """Keep what has changed; Conflict when another process did so meanwhile."""
        for number in sorted(self._dirty):
            await self._put(f"part-{number}", self._parts[number])
        self._dirty.clear()
        cursor = self.cursor
        if cursor.version != self._kept or _CURSOR not in self._revisions:
            document = {"selection": cursor.selection, "started": cursor.started, "version": cursor.version}
            await self._put(_CURSOR, document)
            self._kept = cursor.version

    def get(self, uid: str) -> Published | None:
        """The object's row."""
        return self._part(uid).get(uid)

    def set(self, uid: str, row: Published | None) -> None:
        """Its new row; None: it is gone."""
        part = self._part(uid)
        if part.get(uid) == row:
            return
        self._dirty.add(self._number(uid))
        if row is None:
            del part[uid]
        else:
            part[uid] = row

    def rows(self) -> dict[str, Published]:
        """All of them, by uid."""
        return {uid: row for part in self._parts for uid, row in part.items()}

    @staticmethod
    def _number(uid: str) -> int:
        return zlib.crc32(uid.encode()) % _PARTS

    def _part(self, uid: str) -> dict[str, Published]:
        return self._parts[self._number(uid)]

    async def _get(self, key: str) -> Any:
        entry = await self._state.get(key)
        if entry is None:
            return None
        self._revisions[key] = entry.revision
        try:
            return orjson.loads(entry.value)
        except orjson.JSONDecodeError:
            return None

    async def _put(self, key: str, value: Any) -> None:
        text = orjson.dumps(value, default=list)  # it takes no named tuples by itself
        if key in self._revisions:
            self._revisions[key] = await self._state.update(key, text, self._revisions[key])
        else:
            self._revisions[key] = await self._state.create(key, text)
