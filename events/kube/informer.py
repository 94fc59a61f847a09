"""What the controllers know of the cluster: one kind, listed once and then watched for ever.

A list is compared with what was known, so that what went away while nobody watched is told as a deletion. Objects are
kept as JSON: as dicts they take five times the memory (a Sensor of 1.4 kB: 7.5 kB), and whoever asks gets a copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import orjson

from events.backoff import Endless
from events.errors import ActionError
from events.kube.api import KubeApi, KubeError, Object, Resource, WatchEvent
from events.logs import Log

WATCH_SECONDS = 300
SILENCE = 90.0
"""Seconds without an event or a bookmark, which servers send each minute: the connection may be dead, watch again."""
_LASTED = 10.0
"""Seconds after which a watch counts as one that worked, also when nothing happened."""
_AT_ONCE = 100
"""Changes told in one go; then others get their turn."""
_SOON = (408, 429, 500, 502, 503)
"""Refusals that say nothing about our position: watch again from there. After all others: list."""
_LARGE_NOTES = "kubectl.kubernetes.io/last-applied-configuration"

Index = Callable[[Object], Iterable[str]]
Trim = Callable[[Object], Object]
Listener = Callable[[Object | None, Object | None], None]
_Name = tuple[str, str]
_NOTHING: frozenset[str] = frozenset()


def without_notes(obj: Object) -> Object:
    """`obj` without what other clients keep in it about their own writes: often half of it, and never looked at."""
    metadata = dict(obj["metadata"])
    metadata.pop("managedFields", None)
    if _LARGE_NOTES in (metadata.get("annotations") or {}):
        metadata["annotations"] = {key: text for key, text in metadata["annotations"].items() if key != _LARGE_NOTES}
    return obj | {"metadata": metadata}


class Informer:
    """All objects of a kind, or of a namespace or selection, as of a moment ago; `trim` says what is kept of each.

    What it hands out was trimmed: it is for reading and comparing, and never written back whole.
    """

    def __init__(
        self,
        api: KubeApi,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        indexes: Mapping[str, Index] | None = None,
        trim: Trim = without_notes,
        resync: float = 600.0,
        silence: float = SILENCE,
        log: Log | None = None,
    ) -> None:
        self._api, self.api_version, self.kind, self._silence = api, api_version, kind, silence
        self._namespace, self._selector, self._trim, self._resync = namespace, label_selector, trim, resync
        self._log = (log or Log("informer")).bind(kind=kind)
        self._objects: dict[_Name, bytes] = {}
        self._versions: dict[_Name, str] = {}
        self._indexes: dict[str, Index] = {}
        self._indexed: dict[str, dict[str, set[_Name]]] = {}
        self._terms: dict[_Name, dict[str, frozenset[str]]] = {}
        self._listeners: list[Listener] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._pauses = Endless(0.1, 30)
        self._failure = ""
        self._told = 0
        self.lists = 0
        """Times that everything was listed."""
        for name, index in (indexes or {}).items():
            self.add_index(name, index)

    def add_index(self, name: str, index: Index) -> None:
        """Have `by(name, …)` find the objects for which `index` gives a value."""
        if self._indexes.get(name) is index:
            return
        if name in self._indexes:
            raise ValueError(f"{self.kind} has another index {name!r} already")
        self._indexes[name], self._indexed[name] = index, {}
        for key, text in self._objects.items():
            self._index(key, orjson.loads(text))

    def __len__(self) -> int:
        """Objects that are known."""
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        text = self._objects.get((namespace, name))
        return None if text is None else orjson.loads(text)

    def all(self, namespace: str | None = None) -> list[Object]:
        """All objects, or those of a namespace, sorted by name. Prefer an index where it is asked for each object."""
        return [orjson.loads(self._objects[key]) for key in sorted(self._objects) if namespace in (None, key[0])]

    def by(self, index: str, value: str) -> list[Object]:
        """The objects that an index finds, sorted by name."""
        return [orjson.loads(self._objects[key]) for key in sorted(self._indexed[index].get(value, ()))]

    def subscribe(self, listener: Listener) -> None:
        """Tell every change as (old, new), and what is there already as (None, new); both the same at a resync.

        A listener only takes note: it is called on the loop and must neither wait nor raise.
        """
        self._listeners.append(listener)
        for text in list(self._objects.values()):
            listener(None, orjson.loads(text))

    @property
    def is_synced(self) -> bool:
        """Whether everything was listed once."""
        return self._synced.is_set()

    @property
    def failure(self) -> str:
        """Why nothing is learnt at the moment; empty when all is well."""
        return self._failure

    async def synced(self) -> None:
        """Returns once everything was listed."""
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch until cancelled; every failure is waited out, with a longer pause each time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_again())
            while True:
                try:
                    await self._follow()
                except ActionError as error:
                    await self._recover(error)
                except Exception as error:  # noqa: BLE001 - an answer that is none of Kubernetes: not for ever
                    self._log.exception("An answer cannot be understood", error)
                    self._version = ""
                    await self._recover(ActionError(f"{type(error).__name__}: {error}"))

    async def _recover(self, error: ActionError) -> None:
        """Wait, and forget the position if the error may be about it."""
        if isinstance(error, KubeError) and error.status not in _SOON:
            self._version = ""
            if error.status == 410 and self._pauses.count == 0:
                self._pauses.next()
                return
        pause = self._pauses.next()
        if not self._failure:
            self._log.warning("The cluster cannot be watched; trying again", reason=str(error), seconds=round(pause, 1))
        self._failure = str(error)
        await asyncio.sleep(pause)

    def _is_well(self) -> None:
        if self._failure:
            self._log.info("The cluster is watched again", objects=len(self._objects))
            self._failure = ""

    async def _follow(self) -> None:
        """List if the position is not known, then watch until the server ends it."""
        resource = await self._api.resource(self.api_version, self.kind)
        if not self._version:
            await self._list(resource)
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            await self._watch(resource)
        finally:
            if (lasted := clock() - begun) > _LASTED:
                self._pauses.reset()
        if lasted < 1:
            # A server, or a proxy before it, that ends watches at once is not asked again at once.
            await asyncio.sleep(self._pauses.next())

    async def _watch(self, resource: Resource) -> None:
        events = self._api.watch(
            resource,
            namespace=self._namespace,
            resource_version=self._version,
            label_selector=self._selector,
            timeout_seconds=random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS),
        )
        async with contextlib.aclosing(events):  # type: ignore[type-var]  # every watch is a generator
            with contextlib.suppress(TimeoutError):
                while event := await _within(self._silence, anext(events, None)):
                    self._is_well()
                    await self._take(event)

    async def _list(self, resource: Resource) -> None:
        found = await self._api.list(resource, namespace=self._namespace, label_selector=self._selector)
        self.lists += 1
        gone = set(self._objects)
        items = found.get("items") or []
        for obj in items:
            # Items of a list do not repeat what the list says.
            obj.setdefault("apiVersion", self.api_version)
            obj.setdefault("kind", self.kind)
            gone.discard(_name(obj))
            await self._keep(obj)
        for key in sorted(gone):
            await self._drop(key)
        self._version = found["metadata"].get("resourceVersion") or ""
        self._synced.set()
        self._is_well()

    async def _take(self, event: WatchEvent) -> None:
        obj = event["object"]
        if event["type"] != "BOOKMARK":
            self._pauses.reset()
            await (self._drop(_name(obj)) if event["type"] == "DELETED" else self._keep(obj))
        self._version = obj["metadata"].get("resourceVersion") or self._version

    async def _keep(self, obj: Object) -> None:
        key, version = _name(obj), obj["metadata"].get("resourceVersion", "")
        if version and self._versions.get(key) == version:
            return
        new, before = self._trim(obj), self._objects.get(key)
        self._objects[key], self._versions[key] = orjson.dumps(new), version
        self._index(key, new)
        await self._tell(None if before is None else orjson.loads(before), new)

    async def _drop(self, key: _Name) -> None:
        before = self._objects.pop(key, None)
        if before is None:
            return
        self._versions.pop(key, None)
        self._index(key, None)
        await self._tell(orjson.loads(before), None)

    def _index(self, key: _Name, obj: Object | None) -> None:
        before = self._terms.pop(key, {})
        now = {} if obj is None else {name: self._values(name, obj) for name in self._indexes}
        for name, values in self._indexed.items():
            was, is_now = before.get(name, _NOTHING), now.get(name, _NOTHING)
            for value in was - is_now:
                values[value].discard(key)
                if not values[value]:
                    del values[value]
            for value in is_now - was:
                values.setdefault(value, set()).add(key)
        if any(now.values()):
            self._terms[key] = now

    def _values(self, index: str, obj: Object) -> frozenset[str]:
        try:
            return frozenset(self._indexes[index](obj))
        except Exception as error:  # noqa: BLE001 - a malformed object is its own problem
            self._log.exception("An object cannot be indexed", error, index=index, object="/".join(_name(obj)))
            return _NOTHING

    async def _tell(self, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception as error:  # noqa: BLE001 - a malformed object is its own problem
                name = "/".join(_name(new or old or {}))
                self._log.exception("A change could not be taken note of", error, object=name)
        self._told += 1
        if self._told % _AT_ONCE == 0:
            await asyncio.sleep(0)

    async def _tell_again(self) -> None:
        """Now and then everything is looked at again: what nobody told us (a disk, a clock) is found then."""
        while True:
            await asyncio.sleep(self._resync * random.uniform(0.9, 1.1))
            for text in list(self._objects.values()):
                obj = orjson.loads(text)
                await self._tell(obj, obj)


class Informers:
    """The informers of a process: one for each kind and selection, shared by all controllers."""

    def __init__(self, api: KubeApi, *, namespace: str | None = None, resync: float = 600.0, log: Log) -> None:
        self._api, self._namespace, self._resync, self._log = api, namespace, resync, log
        self._informers: dict[tuple[str, str, str], Informer] = {}

    def of(
        self,
        api_version: str,
        kind: str,
        *,
        label_selector: str = "",
        indexes: Mapping[str, Index] | None = None,
        trim: Trim = without_notes,
    ) -> Informer:
        """The informer of a kind; who asks first says how objects are trimmed, everybody may add indexes."""
        found = self._informers.get((api_version, kind, label_selector))
        if found is None:
            found = self._informers[api_version, kind, label_selector] = Informer(
                self._api,
                api_version,
                kind,
                namespace=self._namespace,
                label_selector=label_selector,
                trim=trim,
                resync=self._resync,
                log=self._log,
            )
        for name, index in (indexes or {}).items():
            found.add_index(name, index)
        return found

    def __iter__(self) -> Iterator[Informer]:
        return iter(self._informers.values())

    async def synced(self) -> None:
        """Returns once every kind was listed."""
        for informer in list(self._informers.values()):
            await informer.synced()

    async def run(self) -> None:
        """Run all of them until cancelled. Those asked for later are not run."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers.values():
                tasks.create_task(informer.run())


async def _within(seconds: float, event: Awaitable[WatchEvent | None]) -> WatchEvent | None:
    async with asyncio.timeout(seconds):
        return await event


def _name(obj: Object) -> _Name:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
