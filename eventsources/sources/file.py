"""Files of a folder that come, change and go. Contract: eventsources 3.3.

Ours: both ways of watching name the same operations and see the same names; changes are held while the bus is away;
what the kernel or an interruption swallowed is made up by comparing the folder with what was known of it. A restart of
the process begins anew: what happened before it listens is no event. With `debounce` one event stands for many.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress

from pydantic import Field

from events import durations, mounted, rawjson, regexes
from events.errors import UserError
from events.problems import Problems, did_you_mean
from eventsources.base import Source, SourceContext
from eventsources.fields import Described, WatchPath, require
from eventsources.folder import OPERATIONS, Change, Folder
from eventsources.folder_watch import Known, notified, polled
from eventsources.holding import Holding

KEY = "listener"
_AT_ONCE = 32
"""Events that are handed to the bus at the same time: all of one kind of operation, so order says nothing."""
_FLUSH_SECONDS = 3.0


Publish = Callable[[Sequence[Change], Callable[[Change], None]], Awaitable[None]]


class FileSpec(Described):
    """Changes of files in a folder. Contract: eventsources 3.3."""

    event_type: str = Field("", description="CREATE, WRITE, REMOVE, RENAME or CHMOD.")
    watch_path_config: WatchPath = Field(default_factory=WatchPath, description="What to watch.")
    polling: bool | None = Field(None, description="Look at the folder again and again instead of being told.")
    debounce: str = Field(
        "", description="Ours. Publish once a file has been quiet for so long, such as 500ms; gone by then: nothing."
    )

    def check(self, problems: Problems) -> None:
        """Contract 3.3."""
        require(problems, eventType=self.event_type)
        if self.event_type and self.event_type not in OPERATIONS:
            cure = did_you_mean(self.event_type, OPERATIONS) or f"one of {', '.join(OPERATIONS)}"
            problems.warn("eventType", f"{self.event_type!r} never happens", cure)
        self.watch_path_config.check(problems.at("watchPathConfig"))
        try:
            if self.quiet and self.event_type not in ("CREATE", "WRITE"):
                problems.warn("debounce", f"is not used with {self.event_type}", "only with CREATE and WRITE")
        except UserError as error:
            problems.error("debounce", error.message, error.cure)

    @property
    def quiet(self) -> float:
        """Seconds of `debounce`, 0 for none; UserError."""
        if not self.debounce:
            return 0.0
        seconds = durations.delta(self.debounce).total_seconds()
        if seconds < 0:
            raise UserError(f"{self.debounce!r} is negative", cure="write a duration such as 500ms")
        return seconds


class FileSource(Source[FileSpec]):
    """One event: what happens in one folder."""

    Spec, event_type, active_passive = FileSpec, "file", True

    def __init__(self, spec: FileSpec) -> None:
        super().__init__(spec)
        where = spec.watch_path_config
        self._directory = _clean(where.directory)
        self._folder = Folder(mounted.where(self._directory))
        self._chosen = Chosen(where)
        self._quiet = spec.quiet if spec.event_type in ("CREATE", "WRITE") else 0.0
        self._known = Known()
        self._token = uuid.uuid4().hex

    @classmethod
    def validate(cls, spec: FileSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        await self._begin(context)
        is_polling = bool(self.spec.polling)
        if not is_polling and sys.platform != "linux":
            context.log.info("This system tells nothing of folders; the folder is looked at again and again")
            is_polling = True
        watch = (polled if is_polling else notified)(self._folder, self._known)
        holding = Holding(context)
        pending = Pending(self._quiet, lambda changes, done: self._publish(changes, holding, done), self._known)
        is_started = False
        try:
            async with aclosing(watch), asyncio.TaskGroup() as tasks:
                if self._quiet:
                    tasks.create_task(pending.run())
                async for changes in watch:
                    if not is_started:
                        is_started = True
                        context.started()
                    await self._take(changes, holding, pending)
        except asyncio.CancelledError:
            await pending.flush()
            raise

    async def _begin(self, context: SourceContext) -> None:
        """Go on with what was known, unless another process has listened since: it has published what happened."""
        self._known.waiting.clear()
        entry = await context.state.get(KEY)
        if entry is None or entry.value.decode("ascii", "replace") != self._token:
            self._known.entries = None
            await context.state.put(KEY, self._token.encode())

    async def _take(self, changes: list[Change], holding: Holding, pending: Pending) -> None:
        """Publish what is wanted of them; several of one kind in a row, of one file, are one."""
        last: dict[str, str] = {}
        wanted: list[Change] = []
        for change in changes:
            repeats = last.get(change.name) == change.operation
            last[change.name] = change.operation
            is_wanted = change.operation == self.spec.event_type and self._chosen.has(change.name)
            if self._quiet and (is_wanted or pending.has(change.name)):
                pending.take(change, self.spec.event_type)
            elif is_wanted and not repeats:
                wanted.append(change)
        await self._publish(wanted, holding, self._known.note)
        for change in changes:
            if not pending.has(change.name):
                self._known.note(change)

    async def _publish(self, changes: Sequence[Change], holding: Holding, done: Callable[[Change], None]) -> None:
        """Returns once the bus has them all; `done` is called for each as soon as it has."""
        rows = iter(changes)

        async def work() -> None:
            for change in rows:
                await holding.emit(self._data(change), change.id)
                done(change)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(_AT_ONCE, len(changes))):
                tasks.create_task(work())

    def _data(self, change: Change) -> bytes:
        """Contract 3.3: the whole path, when polling the name alone."""
        name = change.name if self.spec.polling else posixpath.join(self._directory, change.name)
        op = OPERATIONS[change.operation]
        return rawjson.dumps({"name": _text(name), "op": op, "metadata": self.spec.metadata})


class Chosen:
    """Which names are wanted."""

    def __init__(self, where: WatchPath) -> None:
        self._path = where.path
        self._search = regexes.compile(where.path_regexp).search if where.path_regexp else None
        # Argo Events matches `/name` where the directory has no slash at its end: expressions that begin with one are
        # meant for that, and could not match a name.
        self._slash = "/" if where.path_regexp.lstrip("^(").startswith("/") else ""

    def has(self, name: str) -> bool:
        """Whether events of this name are published."""
        if self._search is None:
            return name == self._path
        return self._search((self._slash + _text(name)).encode()) is not None


class Pending:
    """Files that change, until each has been quiet for a while."""

    def __init__(self, seconds: float, publish: Publish, known: Known) -> None:
        self._seconds, self._publish, self._known = seconds, publish, known
        self._changes: dict[str, tuple[float, Change]] = {}
        """By name: when it is due, and what will be published. What is due first comes first."""
        self._filled = asyncio.Event()

    def has(self, name: str) -> bool:
        """Whether this file changes."""
        return name in self._changes

    def take(self, change: Change, operation: str) -> None:
        """Another change of a file, to be published as `operation`: quiet is waited for anew.

        What is gone is not published.
        """
        self._changes.pop(change.name, None)
        self._known.waiting.pop(change.name, None)
        if change.operation in ("REMOVE", "RENAME"):
            return
        if change.entry is not None:
            self._known.waiting[change.name] = change.entry
        due = asyncio.get_running_loop().time() + self._seconds
        self._changes[change.name] = (due, Change(change.name, operation, change.entry))
        self._filled.set()

    async def run(self) -> None:
        """Publish what is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            while self._changes:
                first = next(iter(self._changes.values()))[0]
                await asyncio.sleep(first - loop.time())
                now = loop.time()
                due = [change for when, change in self._changes.values() if when <= now]
                await self._publish(due, self._done)
            self._filled.clear()

    async def flush(self) -> None:
        """At the end: what would be published later, as nobody would see it change again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._publish([change for _, change in self._changes.values()], self._done)

    def _done(self, change: Change) -> None:
        """It was published; a file that has changed since is published again."""
        if (now := self._changes.get(change.name)) is not None and now[1] is change:
            del self._changes[change.name]
            self._known.waiting.pop(change.name, None)
            self._known.note(change)


def _clean(directory: str) -> str:
    """Without `.`, `..` and doubled slashes, as Go cleans a path."""
    return posixpath.normpath(directory).replace("//", "/", 1) if directory else directory


def _text(name: str) -> str:
    """A name as text, whatever its bytes."""
    return os.fsencode(name).decode("utf-8", "replace")
