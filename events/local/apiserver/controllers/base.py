"""What the server's controllers stand on, and how one works: keys in a queue, one at a time, again after a failure."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from events.local.apiserver.resources import Resource, Resources
from events.local.apiserver.status import StatusError
from events.logs import Log

Object = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 30.0
_DOUBLINGS = 10
"""Enough to come to the longest pause."""


class Objects(Protocol):
    """The stored objects, as the server itself reads and writes them: validated, admitted, watched as all others."""

    @property
    def resources(self) -> Resources: ...

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """None when it is not there."""

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All of them, or those of a namespace."""

    async def create(self, resource: Resource, it: Object, *, manager: str) -> Object:
        """Raises StatusError."""

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object | None],
        *,
        manager: str,
        subresource: str = "",
    ) -> Object | None:
        """Read, change, write; again after a conflict. None when there is nothing to write or the object is gone."""

    async def apply(self, resource: Resource, it: Object, *, manager: str, force: bool = True) -> Object:
        """Server-side apply. Raises StatusError."""

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", propagation: str = ""
    ) -> None:
        """Gone already, or another object by now, is fine. Raises StatusError."""

    def follow(self, changed: Callable[[Resource, Object | None, Object | None], None]) -> None:
        """Call `changed(resource, old, new)` after each kept write."""


class Controller(ABC, Generic[Key]):
    """Works on keys: `wake` puts one in, `work` brings its object where it should be.

    A key is worked on by nobody else meanwhile, and again when it was woken in between. A failure is logged once per
    key and text, and the key comes again after a pause that grows.
    """

    name = "controller"

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: dict[Key, None] = {}
        self._failures: dict[Key, tuple[int, str]] = {}
        self._is_needed = asyncio.Event()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, key: Key) -> None:
        """Work on a key, soon."""
        self._waiting[key] = None
        self._is_needed.set()

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def close(self) -> None:
        """Stop; what was not done is done at the next start."""
        for handle in self._later.values():
            handle.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def drain(self) -> None:
        """Work until there is nothing to do right now."""
        while self._waiting:
            await self._next()
            await asyncio.sleep(0)  # work that waits for nothing must not keep the server from its requests

    async def _run(self) -> None:
        while True:
            await self._is_needed.wait()
            self._is_needed.clear()
            await self.drain()

    async def _next(self) -> None:
        key = next(iter(self._waiting))
        del self._waiting[key]
        try:
            await self.work(key)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # one key must not stop the others
            self._again(key, error)
        else:
            if self._failures.pop(key, None):
                self._log.info(f"{self.name}: works again", key=str(key))

    def _again(self, key: Key, error: Exception) -> None:
        count, said = self._failures.get(key, (0, ""))
        text = f"{type(error).__name__}: {error}"
        if text != said:
            says = f"{self.name}: failed, and will try again"
            if isinstance(error, StatusError):
                self._log.warning(says, key=str(key), error=text)
            else:
                self._log.exception(says, error, key=str(key))
        self._failures[key] = (count + 1, text)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(count, _DOUBLINGS))
        self.wake_in(pause, key)

    def wake_in(self, seconds: float, key: Key) -> None:
        """Work on a key after a while, or sooner if that was wanted before: a key waits once."""
        loop = asyncio.get_running_loop()
        earlier = self._later.get(key)
        if earlier is not None:
            if earlier.when() <= loop.time() + seconds:
                return
            earlier.cancel()

        def wake() -> None:
            del self._later[key]
            self.wake(key)

        self._later[key] = loop.call_later(seconds, wake)

    @abstractmethod
    async def work(self, key: Key) -> None:
        """Bring what the key stands for where it should be; raise to come again."""


def needed(resources: Resources, group: str, plural: str) -> Resource:
    """A built-in resource."""
    found = resources.find(group, "v1", plural)
    assert found is not None, f"{plural}.{group} is a built-in kind"
    return found
