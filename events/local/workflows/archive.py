"""Finished Workflows, kept when they are deleted. Contract: workflows K 5.

One SQLite file; every call blocks, and raises ActionError when the file cannot be read or written.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from events.errors import ActionError
from events.local.workflows import variables

Object = dict[str, Any]
_SCHEMA = """
create table if not exists workflows (
    uid text primary key, namespace text not null, name text not null, phase text not null,
    started text not null, finished text not null, object text not null
);
create index if not exists by_name on workflows (namespace, name);
create index if not exists by_time on workflows (finished);
"""
_WAIT = 10.0
MOST = 1024**3
"""Bytes of Workflows that are kept."""


class Archive:
    """The archive of one data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

        self._lock = threading.Lock()
        self._held: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The one connection, which stays open: the last one that is closed moves the whole journal."""
        with self._lock, self._told():
            if self._held is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self._path, timeout=_WAIT, check_same_thread=False)
                try:
                    connection.execute("pragma journal_mode=wal")
                    connection.executescript(_SCHEMA)
                except BaseException:
                    connection.close()
                    raise
                self._held = connection
            with self._held as connection:
                yield connection

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ActionError(f"the archive of workflows {self._path}: {error}") from error

    def close(self) -> None:
        """Let go of the file; whatever comes next opens it again."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def put(self, workflow: Object) -> None:
        """Keep a Workflow as it is now; again is harmless."""
        meta, status = workflow["metadata"], workflow.get("status") or {}
        row = (
            meta["uid"],
            meta.get("namespace", ""),
            meta["name"],
            status.get("phase", ""),
            status.get("startedAt") or "",
            status.get("finishedAt") or "",
            json.dumps(workflow, ensure_ascii=False),
        )
        with self._open() as connection:
            connection.execute("insert or replace into workflows values (?, ?, ?, ?, ?, ?, ?)", row)

    def list(self, namespace: str = "", limit: int = 500) -> list[Object]:
        """Those of a namespace or all, the last that finished first."""
        query = "select object from workflows where ? in ('', namespace) order by finished desc, name limit ?"
        with self._open() as connection:
            return [json.loads(row[0]) for row in connection.execute(query, (namespace, limit))]

    def get(self, uid: str) -> Object | None:
        """One by its uid."""
        with self._open() as connection:
            row = connection.execute("select object from workflows where uid = ?", (uid,)).fetchone()
        return None if row is None else json.loads(row[0])

    def find(self, namespace: str, name: str) -> Object | None:
        """The last one with this name."""
        query = "select object from workflows where namespace = ? and name = ? order by finished desc limit 1"
        with self._open() as connection:
            row = connection.execute(query, (namespace, name)).fetchone()
        return None if row is None else json.loads(row[0])

    def delete(self, uid: str) -> bool:
        """Whether it was there."""
        with self._open() as connection:
            return connection.execute("delete from workflows where uid = ?", (uid,)).rowcount > 0

    def sweep(self, before: datetime | None, most: int = MOST) -> int:
        """Forget those that ended before a time, and the oldest beyond `most` bytes; how many."""
        size = "sum(length(cast(object as blob))) over (order by finished desc, uid)"
        grown = f"select uid from (select uid, {size} as total from workflows) where total > ?"  # noqa: S608 - no values
        with self._open() as connection:
            count = 0
            if before is not None:
                limit = variables.instant(before)
                count += connection.execute("delete from workflows where finished < ?", (limit,)).rowcount
            count += connection.execute(f"delete from workflows where uid in ({grown})", (most,)).rowcount  # noqa: S608
        if count:
            with self._told(), contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT)) as connection:
                connection.execute("vacuum")
        return count
