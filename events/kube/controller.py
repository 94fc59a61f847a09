"""What is the same for every controller: changes become keys, keys are reconciled, failures are tried again for ever.

A reconcile gets a key and nothing else, reads what is now, and makes the cluster so; it may be called at any time, and
again. It returns the seconds after which it wants to look again, or None; an error means again soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from events.errors import KeryxError
from events.kube.api import KubeError, Object
from events.kube.informer import Informer
from events.kube.queue import WorkQueue
from events.logs import Log
from events.metrics import ControllerMetrics

DEADLINE = 180.0
"""Seconds one reconcile may take: what hangs longer is tried again, and others get the worker."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """An object to look at. `namespace` is empty for a kind without."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


Keys = Callable[[Object], Iterable[Key]]
Reconcile = Callable[[Key], Awaitable[float | None]]


def own_key(obj: Object) -> Iterator[Key]:
    """The key of the object itself."""
    metadata = obj["metadata"]
    yield Key(metadata.get("namespace") or "", metadata["name"])


def owner_keys(kind: str) -> Keys:
    """The key of the object of this kind that controls an object."""

    def keys(obj: Object) -> Iterator[Key]:
        metadata = obj["metadata"]
        for owner in metadata.get("ownerReferences") or []:
            if owner.get("kind") == kind and owner.get("controller"):
                yield Key(metadata.get("namespace") or "", owner["name"])

    return keys


class Controller:
    """`reconcile` for every key that the informers give, by `workers` at once, never two on the same key."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 4,
        deadline: float = DEADLINE,
        metrics: ControllerMetrics,
        log: Log,
    ) -> None:
        self.name, self._reconcile, self._workers, self._deadline = name, reconcile, workers, deadline
        self._log = log.bind(controller=name)
        self._sources: list[tuple[Informer, Keys]] = []
        self._failing: dict[Key, str] = {}
        self.queue: WorkQueue[Key] = WorkQueue()
        self._counts = metrics.of(name, self.queue, workers)

    def on(self, informer: Informer, keys: Keys = own_key, pause: Callable[[Object], float] | None = None) -> None:
        """Look at the `keys` of every object that comes, changes or goes: of the old one and of the new.

        `pause`: seconds for which a change may wait for others, so that they are looked at together.
        """

        def note(old: Object | None, new: Object | None) -> None:
            seconds = pause(new) if pause is not None and new is not None else 0.0
            for obj in (old, new):
                self._add(keys, obj, seconds)

        self._sources.append((informer, keys))
        informer.subscribe(note)

    def _add(self, keys: Keys, obj: Object | None, seconds: float = 0.0) -> None:
        for key in keys(obj) if obj is not None else ():
            if seconds:
                self.queue.add_after(key, seconds)
            else:
                self.queue.add(key)

    async def run(self) -> None:
        """Reconcile until cancelled; begins when all informers have listed, or half the world would look deleted."""
        for informer, _ in self._sources:
            await informer.synced()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and wait so long for what is being reconciled."""
        await self.queue.drain(seconds)

    def again(self) -> None:
        """Look at everything once more: something changed that no informer tells."""
        for informer, keys in self._sources:
            for obj in informer.all():
                self._add(keys, obj)

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                with self._counts.working():
                    result = await self._one(key)
                self._counts.ended(result)
            except asyncio.CancelledError:
                self.queue.add(key)  # interrupted: whoever runs next begins with it again
                raise
            finally:
                self.queue.done(key)

    async def _one(self, key: Key) -> str:
        """Reconcile `key` and say when again; the result as it is counted."""
        try:
            async with asyncio.timeout(self._deadline):
                again = await self._reconcile(key)
        except KubeError as error:
            if error.status == 409:  # somebody wrote first: what we read was old, look again
                self._log.debug("Changed meanwhile; looking again", key=str(key), reason=str(error))
                self.queue.failed(key)
                return "requeue"
            return self._failed(key, error)
        except TimeoutError:
            return self._failed(key, KeryxError(f"took longer than {self._deadline:g} s"))
        except Exception as error:  # noqa: BLE001 - one object's misfortune is not the others'
            return self._failed(key, error)
        self.queue.succeeded(key)
        if self._failing.pop(key, None) is not None:
            self._log.info("Reconciled again", key=str(key))
        if again is None:
            return "success"
        self.queue.add_after(key, again)
        return "requeue_after"

    def _failed(self, key: Key, error: Exception) -> str:
        pause = round(self.queue.failed(key), 3)
        text = f"{type(error).__name__}: {error}"
        if self._failing.get(key) != text:
            self._failing[key] = text
            if isinstance(error, KeryxError):
                self._log.warning("Reconciling failed; trying again", key=str(key), reason=str(error), seconds=pause)
            else:
                self._log.exception("Reconciling met a defect; trying again", error, key=str(key), seconds=pause)
        return "error"
