"""What is under way between stores and the folders of pods, side by side with everything else. Contract: workflows I.6.

A transfer has a key; its outcome is remembered until its Workflow is forgotten. A process that dies does them again:
fetching and storing twice changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from events.errors import KeryxError
from events.local.workflows.artifacts import archives
from events.local.workflows.artifacts.scripts import Fetch, Save
from events.local.workflows.artifacts.stores import Stores
from events.local.workflows.errors import WorkflowError
from events.logs import Log
from events.threads import in_thread

_AT_ONCE = 8


class Transfers:
    """`start` owns the tasks."""

    def __init__(self, stores: Stores, log: Log) -> None:
        self._stores, self._log = stores, log
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._outcomes: dict[str, str | None] = {}
        self.start: Callable[[Coroutine[Any, Any, None]], object] | None = None

    def outcome(self, key: str, work: Callable[[], Awaitable[None]], done: Callable[[], object]) -> str | None:
        """None while it is under way, which begins here; then what went wrong, or empty. `done` is called then."""
        if key not in self._outcomes and self.start is not None:
            self._outcomes[key] = None
            self.start(self._run(key, work, done))
        return self._outcomes.get(key)

    def forget(self, prefix: str) -> None:
        """Of a Workflow that is gone or has ended."""
        for key in [one for one in self._outcomes if one.startswith(prefix)]:
            del self._outcomes[key]

    async def _run(self, key: str, work: Callable[[], Awaitable[None]], done: Callable[[], object]) -> None:
        problem = ""
        try:
            async with self._slots:
                await work()
        except (KeryxError, OSError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a defect here is this node's, not that of all Workflows
            self._log.exception("A transfer met a defect", error, transfer=key)
            problem = f"{type(error).__name__}: {error}"
        if key in self._outcomes:
            self._outcomes[key] = problem
        done()

    # --- what transfers do

    async def fetch(self, namespace: str, several: Sequence[Fetch]) -> None:
        """Bring inputs to where their pod looks for them."""
        for one in several:
            try:
                await self._fetch(namespace, one)
            except WorkflowError as error:
                raise WorkflowError(f"input artifact {one.name}: {error.message}", cure=error.cure) from error

    async def _fetch(self, namespace: str, one: Fetch) -> None:
        store = await self._stores.of(namespace, one.location)
        if one.lists:
            keys = await store.keys(one.location.key)
            await in_thread(lambda: _written(one.target, json.dumps(keys)), "artifacts")
            return
        new = one.target.with_name(f"{one.target.name}.fetched")
        await in_thread(lambda: _emptied(new, one.target), "artifacts")
        inner = one.inner
        is_found = bool(inner) and await store.fetch(f"{one.location.key.rstrip('/')}/{inner}", new)
        if is_found:
            inner = ""
        elif not await store.fetch(one.location.key, new):
            if one.is_optional:
                return
            cure = "see that the key is right, or make the artifact optional: true"
            raise WorkflowError(f"{one.location} does not exist", cure=cure)
        await in_thread(lambda: _settled(new, one, inner), "artifacts")

    async def save(self, namespace: str, several: Sequence[Save]) -> None:
        """Store outputs that are there."""
        for one in several:
            try:
                await self._save(namespace, one)
            except WorkflowError as error:
                raise WorkflowError(f"output artifact {one.name}: {error.message}", cure=error.cure) from error

    async def _save(self, namespace: str, one: Save) -> None:
        source = one.source
        if not await in_thread(source.exists, "artifacts"):
            return
        if one.zips:
            file = source.parent / f"{one.name}.zip.new"
            await in_thread(lambda: archives.zipped(source, file), "artifacts")
            source = file
        store = await self._stores.of(namespace, one.location)
        await store.save(source, one.location.key)


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _emptied(*several: Path) -> None:
    for path in several:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _settled(new: Path, one: Fetch, inner: str) -> None:
    """Unpack what was fetched, and put the part that is wanted in its place."""
    if not inner:
        archives.unpacked(new, one.target, one.archive)
        return
    whole = one.target.with_name(f"{one.target.name}.whole")
    archives.unpacked(new, whole, one.archive)
    part = whole / inner
    if not part.exists():
        raise WorkflowError(f"{one.location} has no subPath '{inner}'")
    part.rename(one.target)
