"""The store of the API server: what is kept, what is refused, what watchers and lists of earlier versions see."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from events.errors import UserError
from events.local.apiserver import history
from events.local.apiserver.entries import Change, Entry
from events.local.apiserver.history import Expired, History
from events.local.apiserver.status import StatusError
from events.local.apiserver.store import FILE, FIRST_VERSION, Store
from events.logs import Log

MAPS = "configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data}


def opened(path: Path) -> Store:
    store = Store(path, Log("test"))
    store.open()
    return store


async def test_what_was_settled_is_there_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    first = store.put(MAPS, config_map("a", k="1"), None)
    second = store.put(MAPS, config_map("a", k="2"), first)
    store.put(MAPS, config_map("b"), None)
    gone = store.get(MAPS, "ns", "b")
    assert gone is not None
    removed = store.remove(MAPS, gone)
    await store.settled()
    await store.close()
    again = opened(tmp_path)
    found = again.get(MAPS, "ns", "a")
    assert found is not None
    assert found.parsed()["data"] == {"k": "2"}
    assert (found.version, again.version) == (second.version, removed)
    assert again.get(MAPS, "ns", "b") is None
    changes = again.history(MAPS).since(FIRST_VERSION)
    assert [one.version for one in changes] == list(range(FIRST_VERSION + 1, removed + 1))
    assert changes[1].old is not None
    assert changes[1].old.parsed()["data"] == {"k": "1"}
    assert again.put(MAPS, config_map("c"), None).version == removed + 1, "versions only grow"
    await again.settled()
    await again.close()


async def test_one_server_for_one_directory(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(UserError, match="in use"):
        opened(tmp_path)
    await store.close()


async def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, by no means" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        opened(tmp_path)


async def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="format 99"):
        opened(tmp_path)


async def test_what_the_disk_refuses_is_refused_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    kept = store.put(MAPS, config_map("a", k="1"), None)
    await store.settled()
    seen: list[Change] = []
    store.follow(seen.append)
    watched = store.history(MAPS)
    watching = watched.more()

    def refuse(_batch: list[Change]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_commit", refuse)
        store.put(MAPS, config_map("a", k="2"), kept)
        store.put(MAPS, config_map("b"), None)
        with pytest.raises(StatusError, match="disk is full") as refused:
            await store.settled()
    assert refused.value.code == 503
    found = store.get(MAPS, "ns", "a")
    assert found is not None
    assert found.parsed()["data"] == {"k": "1"}
    assert store.get(MAPS, "ns", "b") is None
    assert not seen
    store.put(MAPS, config_map("c"), None)
    await store.settled()
    assert [one.key for one in seen] == [("ns", "c")]
    async with asyncio.timeout(30):
        await watching
    assert [one.key for one in watched.since(kept.version)] == [("ns", "c")], (
        "who watched before is told of what follows"
    )
    gone = store.get(MAPS, "ns", "a")
    assert gone is not None
    with monkeypatch.context() as patched:
        patched.setattr(store, "_commit", refuse)
        store.remove(MAPS, gone)
        store.put(MAPS, config_map("a", k="3"), None)
        with pytest.raises(StatusError, match="disk is full"):
            await store.settled()
    assert store.get(MAPS, "ns", "a") is gone
    await store.close()


async def test_readers_wait_for_what_they_see(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(MAPS, config_map("a"), None)
    assert store.kept < store.version
    await asyncio.gather(*(store.settled() for _ in range(20)))
    assert store.kept == store.version
    await store.close()


async def test_a_follower_that_fails_disturbs_nobody(tmp_path: Path) -> None:
    store = opened(tmp_path)
    seen: list[int] = []

    def fail(_change: Change) -> None:
        raise ValueError("mine")

    store.follow(fail)
    store.follow(lambda change: seen.append(change.version))
    store.put(MAPS, config_map("a"), None)
    await store.settled()
    assert seen == [store.version]
    await store.close()


def entry(version: int, text: str = "x") -> Entry:
    return Entry.of(config_map("a", k=text), version)


def test_an_earlier_version_of_a_list() -> None:
    kept, first, second = History(10), entry(11), entry(12, "y")
    kept.add([Change(11, MAPS, None, first), Change(12, MAPS, first, second), Change(13, MAPS, second, None)])
    now: dict[tuple[str, str], Entry] = {}
    assert kept.as_of(13, now) == {}
    assert kept.as_of(12, now) == {("ns", "a"): second}
    assert kept.as_of(11, now) == {("ns", "a"): first}
    assert kept.as_of(10, now) == {}
    with pytest.raises(Expired):
        kept.as_of(9, now)


def test_old_changes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST", 10)
    monkeypatch.setattr(history, "_SLACK", 5)
    kept = History(0)
    for version in range(1, 40):
        kept.add([Change(version, MAPS, None, entry(version))])
    assert 0 < kept.floor < 39
    assert len(kept.since(kept.floor)) <= 15
    with pytest.raises(Expired):
        kept.since(kept.floor - 1)


def test_large_changes_are_forgotten_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LARGEST", 100_000)
    kept = History(0)
    for version in range(1, 40):
        kept.add([Change(version, MAPS, None, entry(version, "x" * 10_000))])
    assert len(kept.since(kept.floor)) <= 12
