"""How many Workflows run at once, in all and in a namespace. Contract: workflows G.4.

Whoever is admitted stays so until it has ended. Those that wait are admitted by priority, then by age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

POSTPONED = "Workflow processing has been postponed because too many workflows are already running"
LIMIT_LABEL = "workflows.argoproj.io/parallelism-limit"


class Throttle:
    """`limit` tells the limit of a namespace, or, for an empty name, of all; 0 is none. Keys are `namespace/name`."""

    def __init__(self, limit: Callable[[str], int]) -> None:
        self._limit = limit
        self._running: dict[str, set[str]] = {}
        self._waiting: dict[str, tuple[int, str]] = {}

    def restore(self, keys: Iterable[str]) -> None:
        """After a start: those that run."""
        for key in keys:
            self._begin(key)

    def admits(self, key: str, priority: int, created: str) -> bool:
        """Whether a Workflow may run; if not, it waits for its turn."""
        if self._runs(key):
            return True
        self._waiting[key] = (-priority, created)
        self.admitted()
        return self._runs(key)

    def released(self, key: str) -> list[str]:
        """A Workflow has ended or is gone; those that may run instead."""
        self._waiting.pop(key, None)
        namespace = _namespace(key)
        several = self._running.get(namespace, set())
        if key not in several:
            return []
        several.discard(key)
        if not several:
            del self._running[namespace]
        return self.admitted()

    def admitted(self) -> list[str]:
        """Those that may run from now on, as the limits are."""
        found = []
        for key in sorted(self._waiting, key=lambda one: (*self._waiting[one], one)):
            if not self._fits("", sum(map(len, self._running.values()))):
                break
            namespace = _namespace(key)
            if self._fits(namespace, len(self._running.get(namespace, ()))):
                self._begin(key)
                found.append(key)
        for key in found:
            del self._waiting[key]
        return found

    def _fits(self, namespace: str, count: int) -> bool:
        most = self._limit(namespace)
        return not most or count < most

    def _runs(self, key: str) -> bool:
        return key in self._running.get(_namespace(key), ())

    def _begin(self, key: str) -> None:
        self._running.setdefault(_namespace(key), set()).add(key)


def _namespace(key: str) -> str:
    return key.partition("/")[0]
