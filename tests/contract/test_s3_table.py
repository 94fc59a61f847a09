"""What was published of a bucket, kept in parts: every state of an object once, whatever dies when. In memory."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from eventbus.memory import MemoryBroker, MemoryBus
from eventbus.scoped import ScopedState
from events.errors import Conflict, Unavailable
from eventsources import s3_table
from eventsources.s3_list import Listed
from eventsources.s3_poll import Look
from eventsources.s3_records import Record
from eventsources.s3_table import Table

NOW = 1_000_000


class Dying:
    """A state that dies at one of its calls."""

    def __init__(self, state: Any, calls: int) -> None:
        self._state, self.left = state, calls

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._state, name)

        async def once(*given: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Unavailable("died before")
            result = await call(*given)
            if self.left == -1:
                raise Unavailable("died after")
            return result

        return once


class Bucket:
    """Objects, and what was published of them."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.objects: dict[str, Listed] = {}
        self.published: list[tuple[str, str, str]] = []
        self.ids: Counter[str] = Counter()
        self.clock = NOW

    @property
    def state(self) -> ScopedState:
        return ScopedState(MemoryBus(self.broker), "source", "src", "ev")

    def put(self, key: str, etag: str) -> None:
        self.clock += 1
        self.objects[key] = Listed(key, etag, self.clock, 1)

    async def look(self, state: Any = None, *, page: int = 7, selection: str = "", existing: bool = False) -> Look:
        async def publish(record: Record, id: str) -> None:
            self.ids[id] += 1
            self.published.append((record.event.partition(":")[2].partition(":")[0], record.key, record.etag))

        table = Table(state or self.state, "input")
        await table.open(selection, self.clock)
        look = Look(table, "input", "eu", publish, existing=existing)
        listed = [self.objects[key] for key in sorted(self.objects)]
        for begin in range(0, len(listed) or 1, page):
            await look.take(listed[begin : begin + page], self.clock)
        await look.end()
        await table.sweep()
        return look

    @property
    def parts(self) -> list[str]:
        return [key for key in self.broker.values.get("state", {}) if "part" in key]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Parts of eight rows at most."""
    monkeypatch.setattr(s3_table, "_MOST_ROWS", 8)
    return Bucket()


async def test_what_is_there_at_the_first_look_is_not_published_what_comes_is(bucket: Bucket) -> None:
    for number in range(30):
        bucket.put(f"{number:03}", "old")
    bucket.clock += 1
    await bucket.look()
    assert bucket.published == []
    bucket.put("0105", "new")
    bucket.put("020", "changed")
    del bucket.objects["007"]
    await bucket.look()
    assert sorted(bucket.published) == [
        ("ObjectCreated", "0105", "new"),
        ("ObjectCreated", "020", "changed"),
        ("ObjectRemoved", "007", "old"),
    ]
    await bucket.look()
    assert len(bucket.published) == 3


async def test_what_is_there_may_be_published_too(bucket: Bucket) -> None:
    for number in range(30):
        bucket.put(f"{number:03}", "old")
    bucket.clock += 1
    await bucket.look(existing=True)
    assert len(bucket.published) == 30


async def test_what_comes_while_the_first_look_is_interrupted_is_published(bucket: Bucket) -> None:
    for number in range(30):
        bucket.put(f"{number:03}", "old")
    bucket.clock += 1
    with pytest.raises(Unavailable):
        await bucket.look(Dying(bucket.state, 8))
    bucket.put("029a", "meanwhile")
    await bucket.look()
    assert bucket.published == [("ObjectCreated", "029a", "meanwhile")]


async def test_another_selection_begins_anew(bucket: Bucket) -> None:
    for number in range(30):
        bucket.put(f"{number:03}", "old")
    await bucket.look(selection="")
    parts = set(bucket.parts)
    bucket.clock += 1
    await bucket.look(selection="0")
    assert [one for one in bucket.published if one[0] == "ObjectRemoved"] == []
    assert parts.isdisjoint(bucket.parts), "what was kept of the other one is removed"


async def test_a_bucket_that_is_emptied_leaves_one_part(bucket: Bucket) -> None:
    for number in range(100):
        bucket.put(f"{number:03}", "old")
    await bucket.look()
    assert len(bucket.parts) >= 100 / 8
    bucket.objects.clear()
    await bucket.look()
    assert len([one for one in bucket.published if one[0] == "ObjectRemoved"]) == 100
    assert len(bucket.parts) == 1


async def test_nothing_is_written_when_nothing_has_changed(bucket: Bucket) -> None:
    for number in range(100):
        bucket.put(f"{number:03}", "old")
    await bucket.look()
    revisions = {key: entry.revision for key, entry in bucket.broker.values["state"].items()}
    await bucket.look()
    assert {key: entry.revision for key, entry in bucket.broker.values["state"].items()} == revisions


async def test_a_process_that_was_replaced_is_told(bucket: Bucket) -> None:
    for number in range(20):
        bucket.put(f"{number:03}", "old")
    await bucket.look()
    table = Table(bucket.state, "input")
    await table.open("", bucket.clock)
    former = await table.part()
    bucket.put("000", "new")
    await bucket.look()
    former.rows = []
    with pytest.raises(Conflict):
        await table.write(former)


async def test_long_keys_make_short_parts(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_table, "_MOST_ROWS", 2000)
    for number in range(600):
        bucket.put(f"{number:03}" + random.Random(number).randbytes(500).hex(), "old")
    bucket.clock += 1
    await bucket.look(page=100)
    sizes = [len(entry.value) for key, entry in bucket.broker.values["state"].items() if "part" in key]
    assert max(sizes) < 1 << 18
    bucket.clock += 1
    await bucket.look()
    assert bucket.published == []


@pytest.mark.parametrize("life", range(12))
async def test_every_state_is_published_once_whatever_dies_when(bucket: Bucket, life: int) -> None:
    """After each look, also one that died, more happens; in the end nothing was left out, nothing was made up."""
    chance = random.Random(life)
    keys = ["", *(f"{number:02}{tail}" for number in range(60) for tail in ("", "/x", "é"))][1:]
    for key in chance.sample(keys, 40):
        bucket.put(key, "first")
    bucket.clock += 1
    await bucket.look()
    last: dict[str, str] = {key: row.etag for key, row in bucket.objects.items()}
    wanted = Counter[tuple[str, str, str]]()
    for turn in range(25):
        for key in chance.sample(keys, chance.choice([0, 1, 3, 40])):
            if key in bucket.objects and chance.random() < 0.4:
                del bucket.objects[key]
            else:
                bucket.put(key, f"{turn}")
        for _ in range(chance.randint(0, 4)):
            try:
                await bucket.look(Dying(bucket.state, chance.randint(1, 40)), page=chance.choice([1, 5, 100]))
            except Unavailable:
                continue
        await bucket.look(page=chance.choice([1, 5, 100]))
        now = {key: row.etag for key, row in bucket.objects.items()}
        wanted.update(("ObjectCreated", key, etag) for key, etag in now.items() if last.get(key) != etag)
        wanted.update(("ObjectRemoved", key, etag) for key, etag in last.items() if key not in now)
        last = now
    assert set(bucket.published) == set(wanted)
    assert len(bucket.ids) == sum(wanted.values()), "a repeat has the same id"
