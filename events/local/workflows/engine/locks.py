"""Mutexes and semaphores. Contract: workflows G.5.

One `Locks` is shared by all Workflows of a controller. Nothing in it is stored: who holds a lock is written in
`status.synchronization`, and `restore` reads it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.local.workflows.errors import WorkflowError

Limit = Callable[[Mapping[str, Any]], int]
"""The limit of a semaphore reference; WorkflowError when it cannot be read."""


@dataclass(order=True)
class _Waiter:
    priority: int
    created: str
    holder: str = field(compare=False)
    workflow: str = field(compare=False)


@dataclass
class _Lock:
    limit: int
    holders: list[str] = field(default_factory=list)
    waiting: list[_Waiter] = field(default_factory=list)

    @property
    def free(self) -> int:
        return max(0, self.limit - len(self.holders))


@dataclass(frozen=True)
class Refused:
    """The lock that could not be taken."""

    lock: str
    free: int
    limit: int

    @property
    def message(self) -> str:
        return f"Waiting for {self.lock} lock. Lock status: {self.free}/{self.limit}"


@dataclass(frozen=True)
class Asking:
    """Who asks: `holder` is `<ns>/<wf>` or `<ns>/<wf>/<node id>`."""

    holder: str
    workflow: str
    priority: int = 0
    created: str = ""


class Locks:
    """All locks, by name."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}
        self.releases = 0
        """Times that anything was given up: whoever waits may look again."""

    def take(self, asking: Asking, wanted: Mapping[str, Any], namespace: str, limit: Limit) -> Refused | None:
        """Take all the locks of a `synchronization`, or none; None when they are held now."""
        found = self._named(wanted, namespace, limit)
        for lock in found.values():
            self._queue(lock, asking)
        refused = next(
            (self._refusal(name, lock, asking) for name, lock in found.items() if not self._can_take(lock, asking)),
            None,
        )
        if refused:
            return refused
        for lock in found.values():
            if asking.holder not in lock.holders:
                lock.holders.append(asking.holder)
            lock.waiting = [one for one in lock.waiting if one.holder != asking.holder]
        return None

    def _named(self, wanted: Mapping[str, Any], namespace: str, limit: Limit) -> dict[str, _Lock]:
        found: dict[str, _Lock] = {}
        for name, reference in references(wanted, namespace):
            if name in found:
                raise WorkflowError("requested configuration is invalid: duplicate synchronization item found")
            try:
                size = 1 if reference is None else limit(reference)
            except WorkflowError:
                size = -1
            lock = self._locks.get(name)
            if lock is None:
                if size < 0:
                    raise WorkflowError(f"failed to initialize semaphore {name} with limit")
                lock = self._locks[name] = _Lock(size)
            elif size >= 0:
                lock.limit = size
            found[name] = lock
        return found

    @staticmethod
    def _queue(lock: _Lock, asking: Asking) -> None:
        if asking.holder in lock.holders or any(one.holder == asking.holder for one in lock.waiting):
            return
        lock.waiting.append(_Waiter(-asking.priority, asking.created, asking.holder, asking.workflow))
        lock.waiting.sort()

    @staticmethod
    def _can_take(lock: _Lock, asking: Asking) -> bool:
        if asking.holder in lock.holders:
            return True
        if not lock.free:
            return False
        return not lock.waiting or lock.waiting[0].workflow == asking.workflow

    @staticmethod
    def _refusal(name: str, lock: _Lock, _asking: Asking) -> Refused:
        return Refused(name, lock.free, lock.limit)

    def release(self, holder: str) -> list[str]:
        """Give up everything that one holds or waits for; the names of locks that became free."""
        freed = []
        for name, lock in self._locks.items():
            if holder in lock.holders:
                lock.holders.remove(holder)
                self.releases += 1
                freed.append(name)
            lock.waiting = [one for one in lock.waiting if one.holder != holder]
        return freed

    def release_workflow(self, workflow: str) -> list[str]:
        """Give up everything of a Workflow (`<ns>/<name>`) and of its nodes."""
        everybody = {one for lock in self._locks.values() for one in lock.holders}
        everybody |= {one.holder for lock in self._locks.values() for one in lock.waiting}
        return [
            name
            for holder in sorted(everybody)
            if holder == workflow or holder.startswith(f"{workflow}/")
            for name in self.release(holder)
        ]

    def is_held(self, holder: str) -> bool:
        """Whether somebody holds anything."""
        return any(holder in lock.holders for lock in self._locks.values())

    def waiting_workflows(self) -> set[str]:
        """`<ns>/<name>` of Workflows that wait for a lock."""
        return {one.workflow for lock in self._locks.values() for one in lock.waiting}

    def restore(self, synchronization: Mapping[str, Any]) -> None:
        """Hold again what a status says is held."""
        for one in (synchronization.get("mutex") or {}).get("holding") or ():
            self._restored(one.get("mutex", ""), [one.get("holder", "")], 1)
        for one in (synchronization.get("semaphore") or {}).get("holding") or ():
            self._restored(one.get("semaphore", ""), one.get("holders") or [], 1)

    def _restored(self, name: str, holders: Sequence[str], limit: int) -> None:
        lock = self._locks.setdefault(name, _Lock(limit))
        lock.holders += [holder for holder in holders if holder not in lock.holders]
        lock.limit = max(lock.limit, len(lock.holders))

    def status(self, workflow: str) -> dict[str, Any]:
        """`status.synchronization` of a Workflow (`<ns>/<name>`); empty when it neither holds nor waits."""
        found: dict[str, Any] = {}
        for name, lock in sorted(self._locks.items()):
            mine = [one for one in lock.holders if one == workflow or one.startswith(f"{workflow}/")]
            others = [one.holder for one in lock.waiting if one.workflow == workflow]
            kind = "mutex" if "/Mutex/" in name else "semaphore"
            for holders, place in ((mine, "holding"), (others, "waiting")):
                if not holders:
                    continue
                rows = found.setdefault(kind, {}).setdefault(place, [])
                if kind == "mutex":
                    rows += [{"mutex": name, "holder": holder} for holder in holders]
                else:
                    rows.append({"semaphore": name, "holders": holders})
        return found


def references(wanted: Mapping[str, Any], namespace: str) -> list[tuple[str, Mapping[str, Any] | None]]:
    """(name, semaphore reference or None) of each lock of a `synchronization`."""
    found: list[tuple[str, Mapping[str, Any] | None]] = []
    for one in wanted.get("semaphores") or ():
        where = one.get("namespace") or namespace
        if one.get("configMapKeyRef"):
            key = one["configMapKeyRef"]
            found.append((f"{where}/ConfigMap/{key.get('name', '')}/{key.get('key', '')}", one))
        else:
            found.append((f"{where}/Database/{(one.get('database') or {}).get('key', '')}", one))
    for one in wanted.get("mutexes") or ():
        where = one.get("namespace") or namespace
        kind = "Database" if one.get("database") else "Mutex"
        found.append((f"{where}/{kind}/{one.get('name', '')}", None))
    return found
