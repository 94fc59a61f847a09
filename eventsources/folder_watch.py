"""Changes of a folder as they happen: told by the kernel (Linux), or seen by looking again and again.

Both know what was there, and compare it with what is there now whenever something may have been missed: after an
interruption, when the kernel had more to tell than it keeps, when the folder is another one under the same path.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from events.errors import UserError
from events.extras import extra
from eventsources.folder import Change, Entries, Folder, differences

POLL_SECONDS = 0.1
_SHARE = 10
"""Looking takes at most this part of the time, however large the folder is."""
_CHECK_SECONDS = 1.0
"""Between two looks whether the path still leads to the folder that is watched."""
_AT_ONCE = 4096
"""Changes that are taken together."""
_BUFFER = 256
"""Changes with the longest names that fit into what is read from the kernel."""


class Known:
    """The entries whose changes were handed on; what is not yet in it will be seen again."""

    def __init__(self) -> None:
        self.entries: Entries | None = None
        """None before the first look: what is there then is no event."""
        self.waiting: Entries = {}
        """Newer ones that were seen, and whose changes are not handed on yet."""

    def begin(self, entries: Entries) -> list[Change]:
        """What happened meanwhile, none at the first look."""
        if self.entries is None:
            self.entries = dict(entries)
        return differences(self.entries | self.waiting if self.waiting else self.entries, entries)

    def fresh(self, found: Sequence[tuple[str, str]], there: Entries) -> list[Change]:
        """What was told, without creations that a look has seen faster than the kernel told them."""
        changes, gone, before = list[Change](), set[str](), self.entries or {}
        for name, operation in found:
            entry, former = there.get(name), before.get(name)
            if operation in ("REMOVE", "RENAME"):
                gone.add(name)
            elif operation == "CREATE" and name not in gone and entry and former and entry.inode == former.inode:
                continue
            changes.append(Change(name, operation, entry))
        return changes

    def note(self, change: Change) -> None:
        """It was handed on, or is nobody's concern."""
        if self.entries is None:
            self.entries = {}
        if change.operation in ("REMOVE", "RENAME"):
            self.entries.pop(change.name, None)
        elif change.entry is not None:
            self.entries[change.name] = change.entry


async def polled(folder: Folder, known: Known) -> AsyncGenerator[list[Change]]:
    """For ever: what changed since the last look, perhaps nothing; UserError when the folder is not there."""
    while True:
        try:
            entries, seconds = await folder.entries()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _absent(folder) from error
        yield known.begin(entries)
        await asyncio.sleep(max(POLL_SECONDS, seconds * (_SHARE - 1)))


async def notified(folder: Folder, known: Known) -> AsyncGenerator[list[Change]]:
    """As `polled`, by inotify. A change of the folder itself is none of an entry."""
    while True:
        async with aclosing(_until_another(folder, known)) as watch:
            async for changes in watch:
                yield changes


async def _until_another(folder: Folder, known: Known) -> AsyncGenerator[list[Change]]:
    """Ends when the path leads to another folder than the one that is watched."""
    with _Notices(folder) as notices:
        try:
            # Watched first, looked at next: nothing falls in between.
            identity = await folder.identity()
            entries, _ = await folder.entries()
            yield known.begin(entries)
            check = time.monotonic() + _CHECK_SECONDS
            while not notices.is_over:
                found = await notices.next(check - time.monotonic())
                if found:
                    yield known.fresh(found, await folder.entries_of({name for name, _ in found}))
                if notices.take_overflow():
                    entries, _ = await folder.entries()
                    yield known.begin(entries)
                if time.monotonic() >= check:
                    if await folder.identity() != identity:
                        return
                    check = time.monotonic() + _CHECK_SECONDS
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _absent(folder) from error


class _Notices:
    """What the kernel tells of one folder. Importing and opening it may fail: MissingExtra, UserError."""

    def __init__(self, folder: Folder) -> None:
        with extra("file"):
            from asyncinotify import Inotify, Mask
        self._folder, self._mask = folder, Mask
        self._operations = (
            (Mask.CREATE | Mask.MOVED_TO, "CREATE"),
            (Mask.MODIFY, "WRITE"),
            (Mask.DELETE, "REMOVE"),
            (Mask.MOVED_FROM, "RENAME"),
            (Mask.ATTRIB, "CHMOD"),
        )
        self._ended = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED | Mask.UNMOUNT
        self._ready = asyncio.Event()
        self._has_overflowed = False
        self.is_over = False
        """The folder was removed, moved or unmounted."""
        try:
            self._inotify = Inotify(cache_size=_BUFFER)
            os.set_blocking(self._inotify.fd, False)  # it is read until it is empty
        except OSError as error:
            cure = "raise fs.inotify.max_user_instances, or set polling: true"
            raise UserError(f"the kernel watches no more folders: {error}", cure=cure) from error

    def __enter__(self) -> _Notices:
        mask = self._mask.ONLYDIR | self._mask.DELETE_SELF | self._mask.MOVE_SELF
        for bits, _ in self._operations:
            mask |= bits
        try:
            self._inotify.add_watch(self._folder.path, mask)
        except OSError as error:
            self._inotify.close()
            raise self._refused(error) from error
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._ready.set)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._inotify.fd)
        self._inotify.close()

    def _refused(self, error: OSError) -> Exception:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return _absent(self._folder)
        cure = "make it readable; raise fs.inotify.max_user_watches; or set polling: true"
        return UserError(f"{self._folder.path} cannot be watched: {error.strerror or error}", cure=cure)

    async def next(self, seconds: float) -> Sequence[tuple[str, str]]:
        """Names and operations; none when nothing happened for so long."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ready.wait()
        except TimeoutError:
            return ()
        found: list[tuple[str, str]] = []
        while len(found) < _AT_ONCE and not self.is_over:
            try:
                notice: Any = self._inotify.sync_get()
            except BlockingIOError:
                self._ready.clear()
                break
            if notice.mask & self._mask.Q_OVERFLOW:
                self._has_overflowed = True
            elif notice.mask & self._ended:
                self.is_over = True
            elif notice.name is not None:
                name = str(notice.name)
                found += [(name, operation) for bits, operation in self._operations if notice.mask & bits]
        return found

    def take_overflow(self) -> bool:
        """Whether some were lost since this was asked last: a look has to find what."""
        overflowed, self._has_overflowed = self._has_overflowed, False
        return overflowed


def _absent(folder: Folder) -> UserError:
    return UserError(
        f"there is no folder {folder.path}",
        path="watchPathConfig.directory",
        cure="make it; it is watched as soon as it is there",
    )
