"""The entries of one folder, and how they differ from what they were. Names are as the operating system has them."""

from __future__ import annotations

import asyncio
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from events.errors import ActionError
from events.threads import in_thread

T = TypeVar("T")

OPERATIONS = {"CREATE": 1, "WRITE": 2, "REMOVE": 4, "RENAME": 8, "CHMOD": 16}
"""Name -> number. Contract: eventsources 3.3."""
SCAN_SECONDS = 60.0


class Entry(NamedTuple):
    """What tells one state of a file, link or folder from another."""

    inode: int
    changed: int
    """Of the inode, in nanoseconds."""
    written: int
    """Nanoseconds; 0 for a folder, whose own entries change it."""
    size: int
    access: tuple[int, int, int]
    """Mode, owner, group."""

    def is_another_than(self, former: Entry) -> bool:
        """Whether it has taken the other's place. Some file systems give a file a new inode number now and then."""
        return self.inode != former.inode and self.changed != former.changed


Entries = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a name, and its entry after that, if it has one."""

    name: str
    operation: str
    entry: Entry | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    """Of the event that is made of it, however often it is tried."""


def entry_of(status: os.stat_result) -> Entry:
    """The entry that a status describes."""
    access, is_folder = (status.st_mode, status.st_uid, status.st_gid), stat.S_ISDIR(status.st_mode)
    written, size = (0, 0) if is_folder else (status.st_mtime_ns, status.st_size)
    return Entry(status.st_ino, status.st_ctime_ns, written, size, access)


def differences(before: Entries, after: Entries) -> list[Change]:
    """What made `after` of `before`, as far as it can be seen: what went first, then the rest.

    A name whose file has another name now was renamed, and the other name was created, as inotify reports it.
    """
    fresh = {_content(entry) for name, entry in after.items() if name not in before}
    found = [
        Change(name, "RENAME" if _content(entry) in fresh else "REMOVE")
        for name, entry in before.items()
        if name not in after
    ]
    for name, entry in after.items():
        former = before.get(name)
        if former is None or entry.is_another_than(former):
            found.append(Change(name, "CREATE", entry))
        elif (entry.written, entry.size) != (former.written, former.size):
            found.append(Change(name, "WRITE", entry))
        elif entry.access != former.access:
            found.append(Change(name, "CHMOD", entry))
    return found


def _content(entry: Entry) -> tuple[int, int, int]:
    """What a rename leaves as it is: the number of a removed file's inode is soon given to another file."""
    return entry.inode, entry.written, entry.size


class Folder:
    """A folder that may hang, as network file systems do: one call at a time, off the loop, with a deadline."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._last: asyncio.Task[object] | None = None

    async def entries(self) -> tuple[Entries, float]:
        """All of it, and the seconds that took. OSError, ActionError when there is no answer."""
        began = time.monotonic()
        return await self._ask(self._scan), time.monotonic() - began

    async def entries_of(self, names: Iterable[str]) -> Entries:
        """Those of `names` that are there."""
        wanted = list(names)
        return await self._ask(lambda: self._look(wanted))

    async def identity(self) -> tuple[int, int]:
        """Which folder the path leads to; OSError when to none."""
        status = await self._ask(lambda: os.stat(self.path))
        return status.st_dev, status.st_ino

    async def _ask(self, call: Callable[[], T]) -> T:
        if self._last is not None and not self._last.done():
            await self._within(self._last)  # it hangs: another thread would hang beside it
        task = asyncio.ensure_future(in_thread(call, "folder"))
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # perhaps nobody waits for it
        self._last = task
        return await self._within(task)

    async def _within(self, task: asyncio.Task[T]) -> T:
        done, _ = await asyncio.wait({task}, timeout=SCAN_SECONDS)
        if not done:
            raise ActionError(f"{self.path}: no answer of the file system within {SCAN_SECONDS:g} s")
        return task.result()

    def _scan(self) -> Entries:
        found: Entries = {}
        with os.scandir(self.path) as rows:
            for row in rows:
                try:
                    found[row.name] = entry_of(row.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # gone since it was listed
        return found

    def _look(self, names: Iterable[str]) -> Entries:
        found: Entries = {}
        for name in names:
            try:
                found[name] = entry_of(os.lstat(os.path.join(self.path, name)))
            except FileNotFoundError:
                continue
        return found
