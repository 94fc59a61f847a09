"""The changes of one kind of objects, newest last: what watchers read, and lists of an earlier version are made of.

Bounded: the oldest changes are forgotten, and whoever asks for what came before `floor` is told that it has expired.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Iterable, Mapping

from events.local.apiserver.entries import Change, Entry, Key

MOST = 20_000
LARGEST = 32 << 20
"""Bytes of texts kept for one kind."""
_SLACK = 1_000


class Expired(Exception):
    """The version is older than what is kept."""


class History:
    """Changes after `floor`, in order."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._changes: list[Change] = []
        self._bytes = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def add(self, changes: Iterable[Change]) -> None:
        """Kept writes, in order; watchers wake up."""
        for change in changes:
            self._changes.append(change)
            self._bytes += _size(change)
        if len(self._changes) > MOST + _SLACK or self._bytes > LARGEST:
            self._trim()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _trim(self) -> None:
        drop = max(0, len(self._changes) - MOST)
        left = self._bytes - sum(_size(change) for change in self._changes[:drop])
        while left > LARGEST * 3 // 4 and drop < len(self._changes) - 1:
            left -= _size(self._changes[drop])
            drop += 1
        if drop:
            self.floor = self._changes[drop - 1].version
            del self._changes[:drop]
            self._bytes = left

    def since(self, version: int) -> list[Change]:
        """The changes after a version. Raises Expired."""
        if version < self.floor:
            raise Expired
        return self._changes[bisect.bisect_right(self._changes, version, key=lambda one: one.version) :]

    def more(self) -> asyncio.Future[None]:
        """Done with the next change after this call: a change before anybody awaits it is not missed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return waiter

    def as_of(self, version: int, now: Mapping[Key, Entry]) -> Mapping[Key, Entry]:
        """The objects at a version, from those of today. Raises Expired."""
        later = self.since(version)
        if not later:
            return now
        found = dict(now)
        for change in reversed(later):
            if change.old is None:
                found.pop(change.key, None)
            else:
                found[change.key] = change.old
        return found


def _size(change: Change) -> int:
    # the old text is the new one of an earlier change, mostly
    return 300 + len((change.new or change.old).body)  # type: ignore[union-attr]
