"""Where objects lie: SQLite (write-ahead log) on disk, all of them in memory, one process per data directory.

A write is seen by later requests at once, and kept by the next transaction: those that wait share it. Nobody is
answered before what he wrote, or read, is on disk. Watchers learn of it afterwards, in the order of versions. When a
transaction fails, everything not kept is forgotten, and whoever waited for it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from events.errors import UserError
from events.local.apiserver.entries import Change, Entry, Key
from events.local.apiserver.history import History
from events.local.apiserver.status import StatusError
from events.logs import Log

FILE, LOCK = "state.db", "lock"
FORMAT = 1
FIRST_VERSION = 100
"""Versions begin above those that people make up."""
KEPT_CHANGES = 20_000
"""Changes on disk, for watchers that come back after a restart."""
_PRUNE_EVERY = 2_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    storage TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (storage, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    version INTEGER PRIMARY KEY, storage TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    old_version INTEGER, old BLOB, new BLOB);
"""

Followed = Callable[[Change], None]


class Store:
    """Objects by storage key, namespace and name. `open` it, `close` it."""

    def __init__(self, directory: Path, log: Log) -> None:
        self._directory, self._log = directory, log
        self._objects: dict[str, dict[Key, Entry]] = {}
        self._histories: dict[str, History] = {}
        self._followers: list[Followed] = []
        self._writer = ThreadPoolExecutor(1, "store")
        self._pending: list[Change] = []
        self._waiting: asyncio.Future[None] | None = None
        self._flush: asyncio.Task[None] | None = None
        self._since_prune = 0
        self._is_failing = False
        self.version = 0
        """The newest version given out."""
        self.kept = 0
        """The newest version on disk."""
        self._started = 0

    # -- opening and closing

    def open(self) -> None:
        """Lock the directory and read everything. Raises UserError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise UserError(
                f"{self._directory} is in use by another API server; stop it, or give --data another directory"
            ) from error
        try:
            self._connection = self._connect()
            self._load()
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            raise UserError(f"{self._directory / FILE} cannot be read: {error}; restore it or remove it") from error

    def _connect(self) -> sqlite3.Connection:
        path = self._directory / FILE
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        found = connection.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if found is None:
            first = "INSERT INTO meta VALUES ('format', ?), ('version', ?), ('floor', ?)"
            connection.execute(first, (FORMAT, FIRST_VERSION, FIRST_VERSION))
        elif found[0] != FORMAT:
            connection.close()
            raise UserError(
                f"{path} was written by another version (format {found[0]}, this one reads {FORMAT}); "
                "use the version that wrote it, or another --data directory"
            )
        return connection

    def _load(self) -> None:
        meta = dict(self._connection.execute("SELECT key, value FROM meta").fetchall())
        self.version = self.kept = self._started = meta["version"]
        self._objects.clear()
        for storage, *row in self._connection.execute("SELECT * FROM objects"):
            entry = Entry(*row)
            self._objects.setdefault(storage, {})[entry.key] = entry
        self._histories.clear()
        self._floor = meta["floor"]
        rows = self._connection.execute("SELECT * FROM changes ORDER BY version").fetchall()
        loaded: dict[str, list[Change]] = {}
        for version, storage, namespace, name, old_version, old, new in rows:
            before = Entry(namespace, name, old_version, old) if old is not None else None
            after = Entry(namespace, name, version, new) if new is not None else None
            loaded.setdefault(storage, []).append(Change(version, storage, before, after))
        for storage, changes in loaded.items():
            self.history(storage).add(changes)

    async def close(self) -> None:
        """Keep what waits, then let go of the directory."""
        if self._flush is not None:
            await asyncio.wait({self._flush})
        self._writer.shutdown(wait=True)
        self._connection.close()
        os.close(self._lock)

    # -- reading

    def get(self, storage: str, namespace: str, name: str) -> Entry | None:
        """An object, or None."""
        return self._objects.get(storage, {}).get((namespace, name))

    def all(self, storage: str) -> Mapping[Key, Entry]:
        """All objects of a kind; not to be changed, and not to be kept."""
        return self._objects.get(storage, {})

    def history(self, storage: str) -> History:
        """The changes of a kind."""
        found = self._histories.get(storage)
        if found is None:
            found = self._histories[storage] = History(self._floor)
        return found

    async def settled(self) -> None:
        """Wait until everything that can be read now is on disk. Raises StatusError 503."""
        target = self.version
        while self.kept < target:
            await asyncio.shield(self._next_kept())

    def _next_kept(self) -> asyncio.Future[None]:
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            # nobody may be left who asks for it
            self._waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._waiting

    def follow(self, changed: Followed) -> None:
        """Call `changed` after each kept write, in order. It must not fail, and not take long."""
        self._followers.append(changed)

    # -- writing

    def put(self, storage: str, it: dict[str, object], old: Entry | None) -> Entry:
        """A new object, or a new version of `old`; it gets its version in place. Wait with `settled`."""
        self.version += 1
        entry = Entry.of(it, self.version)
        self._objects.setdefault(storage, {})[entry.key] = entry
        self._write(Change(self.version, storage, old, entry))
        return entry

    def remove(self, storage: str, old: Entry) -> int:
        """Take an object away; the version of its removal. Wait with `settled`."""
        self.version += 1
        del self._objects[storage][old.key]
        self._write(Change(self.version, storage, old, None))
        return self.version

    def _write(self, change: Change) -> None:
        self._pending.append(change)
        if self._flush is None or self._flush.done():
            self._flush = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # whoever is ready now joins this transaction
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                await loop.run_in_executor(self._writer, self._commit, batch)
            except sqlite3.Error as error:
                self._fail(error, batch)
                return
            if self._is_failing:
                self._is_failing = False
                self._log.info("the store can write again")
            self.kept = batch[-1].version
            self._publish(batch)
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting.set_result(None)  # whoever waits for a later write waits again

    def _publish(self, batch: Iterable[Change]) -> None:
        by_storage: dict[str, list[Change]] = {}
        for change in batch:
            by_storage.setdefault(change.storage, []).append(change)
        for storage, changes in by_storage.items():
            self.history(storage).add(changes)
        for change in batch:
            for follower in self._followers:
                try:
                    follower(change)
                except Exception as error:  # noqa: BLE001  # a write that is kept is kept
                    self._log.exception("a follower of the store failed", error, storage=change.storage)

    def _fail(self, error: sqlite3.Error, batch: list[Change]) -> None:
        """Back to what is on disk: nobody was told of the rest. Histories, which watchers read, hold nothing else."""
        if not self._is_failing:
            self._is_failing = True
            self._log.error("the store cannot write; what is not kept is refused until it can", error=str(error))
        waiting, self._waiting = self._waiting, None
        for change in reversed([*batch, *self._pending]):
            objects = self._objects[change.storage]
            if change.old is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.old
        self._pending.clear()
        self.version = self.kept
        if waiting is not None:
            says = f"the store cannot write: {error}; try again later"
            waiting.set_exception(StatusError(503, "ServiceUnavailable", says, {"retryAfterSeconds": 1}))

    def _commit(self, batch: list[Change]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._write_objects(batch)
            self._connection.executemany(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)", [_row(change) for change in batch]
            )
            last = batch[-1].version
            execute("UPDATE meta SET value = ? WHERE key = 'version'", (last,))
            self._since_prune += len(batch)
            if self._since_prune >= _PRUNE_EVERY:
                floor = execute(
                    "SELECT version FROM changes ORDER BY version DESC LIMIT 1 OFFSET ?", (KEPT_CHANGES,)
                ).fetchone()
                if floor is not None:
                    execute("DELETE FROM changes WHERE version <= ?", floor)
                    execute("UPDATE meta SET value = ? WHERE key = 'floor'", floor)
                self._since_prune = 0
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise

    def _write_objects(self, batch: list[Change]) -> None:
        """Only the last change of each object matters here."""
        last = {(change.storage, change.key): change for change in batch}
        kept = [
            (change.storage, *change.key, change.version, change.new.body) for change in last.values() if change.new
        ]
        gone = [(change.storage, *change.key) for change in last.values() if change.new is None]
        self._connection.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", kept)
        self._connection.executemany("DELETE FROM objects WHERE storage = ? AND namespace = ? AND name = ?", gone)


def _row(change: Change) -> tuple[object, ...]:
    old, new = change.old, change.new
    return (
        change.version,
        change.storage,
        *change.key,
        old.version if old else None,
        old.body if old else None,
        new.body if new else None,
    )
