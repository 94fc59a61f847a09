"""Watches of the API server: a change that comes at any moment is sent at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import orjson
import pytest

from events.local.apiserver import kinds
from events.local.apiserver.entries import Change, Entry
from events.local.apiserver.history import History
from events.local.apiserver.objects import listing, watching
from events.local.apiserver.store import FIRST_VERSION, Store
from events.local.apiserver.validation import Kinds
from events.logs import Log

MAPS = next(one for one in kinds.builtin(Kinds()) if one.kind == "ConfigMap")


def change(version: int) -> Change:
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"at-{version}", "namespace": "ns"}}
    return Change(version, MAPS.storage, None, Entry.of(named, version))


@asynccontextmanager
async def watching_from(path: Path, **query: str) -> AsyncIterator[tuple[History, AsyncGenerator[bytes, None]]]:
    """A history, and the lines of a watch from its beginning on, which is open."""
    store = Store(path, Log("test"))
    store.open()
    asked = {name: [text] for name, text in query.items()} | {"resourceVersion": [str(store.version)]}
    watch = watching.parse(MAPS, listing.wanted(MAPS, "", "", {}), asked, "", store.version)
    async with aclosing(watching.lines(store, watch, lambda entry: entry.body)) as pieces:
        assert await anext(pieces) == b""
        yield store.history(MAPS.storage), pieces
    await store.close()


def name_in(line: bytes) -> str | None:
    """The name of the object of an event."""
    found: str | None = orjson.loads(line)["object"]["metadata"].get("name")
    return found


@pytest.mark.parametrize("turns", range(8))
async def test_a_change_between_looking_and_waiting_is_not_missed(tmp_path: Path, turns: int) -> None:
    async with watching_from(tmp_path) as (history, pieces):
        history.add([change(FIRST_VERSION + 1)])
        assert name_in(await anext(pieces)) == f"at-{FIRST_VERSION + 1}"
        piece = asyncio.ensure_future(anext(pieces))
        for _ in range(turns):
            await asyncio.sleep(0)
        history.add([change(FIRST_VERSION + 2)])
        async with asyncio.timeout(30):
            assert name_in(await piece) == f"at-{FIRST_VERSION + 2}"


async def test_a_change_while_a_bookmark_is_sent_is_not_missed(tmp_path: Path) -> None:
    async with watching_from(tmp_path, allowWatchBookmarks="true") as (history, pieces):
        assert name_in(await anext(pieces)) is None
        history.add([change(FIRST_VERSION + 1)])
        async with asyncio.timeout(30):
            assert name_in(await anext(pieces)) == f"at-{FIRST_VERSION + 1}"
