"""Watches of the API server: a change that comes at any moment is sent at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import orjson
import pytest

from events.local.apiserver import kinds
from events.local.apiserver.entries import Change, Entry
from events.local.apiserver.objects import listing, watching
from events.local.apiserver.store import Store
from events.local.apiserver.validation import Kinds
from events.logs import Log

MAPS = next(one for one in kinds.builtin(Kinds()) if one.kind == "ConfigMap")


def change(version: int) -> Change:
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"at-{version}", "namespace": "ns"}}
    return Change(version, MAPS.storage, None, Entry.of(named, version))


@pytest.mark.parametrize("turns", range(8))
async def test_a_change_between_looking_and_waiting_is_not_missed(tmp_path: Path, turns: int) -> None:
    store = Store(tmp_path, Log("test"))
    store.open()
    history = store.history(MAPS.storage)
    first, second = change(store.version + 1), change(store.version + 2)
    watch = watching.parse(MAPS, listing.wanted(MAPS, "", "", {}), {"resourceVersion": [str(store.version)]}, "", 200)
    async with aclosing(watching.lines(store, watch, lambda entry: entry.body)) as pieces:
        assert await anext(pieces) == b""
        history.add([first])
        assert orjson.loads(await anext(pieces))["object"]["metadata"]["name"] == first.key[1]
        piece = asyncio.ensure_future(anext(pieces))
        for _ in range(turns):
            await asyncio.sleep(0)
        history.add([second])
        async with asyncio.timeout(10):
            assert orjson.loads(await piece)["object"]["metadata"]["name"] == second.key[1]
    await store.close()
