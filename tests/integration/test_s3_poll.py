"""The s3 source with mode poll against moto's S3 on loopback, with a bad day between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.aws import REGION, Aws, aws
from support.event_sources import Member, events, until
from support.s3_front import S3Front, refused, s3_front
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from eventbus.memory import MemoryBroker, MemoryBus
from eventbus.scoped import ScopedState
from events.credentials import Credentials
from events.errors import ActionError, Unavailable, UserError
from eventsources.sources.s3 import S3Source

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}
BOTH = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        yield running


class World:
    """A bucket, what stands before it, and a source that looks at it every second."""

    def __init__(self, moto: Aws, before: S3Front, root: Path) -> None:
        self.front, self.root, self.broker = before, root, MemoryBroker()
        self.s3 = moto.client("s3")
        self.make("input")
        write_secret(root, "id", "ada")
        write_secret(root, "secret", "pass")

    def make(self, name: str) -> None:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def put(self, *keys: str, body: bytes = b"x", bucket: str = "input") -> None:
        for key in keys:
            self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    @property
    def looks(self) -> int:
        return sum("list-type=2" in one for one in self.front.asked)

    async def looked(self, times: int = 2) -> None:
        """Returns once so many lists were asked for."""
        wanted = self.looks + times
        await until(lambda: self.looks >= wanted, 30)

    def spec(self, **more: Any) -> dict[str, Any]:
        given = {"mode": "poll", "region": REGION, "endpoint": self.front.url, "buckets": ["input"], **KEYS}
        return given | {"poll": {"interval": "1s"} | more.pop("poll", {})} | more

    def listening(self, bus: Bus | None = None, **more: Any) -> AbstractAsyncContextManager[Listening]:
        state = ScopedState(MemoryBus(self.broker), "source", "src", "ev")
        return listening(S3Source, self.spec(**more), self.root, bus=bus, state=state)


@pytest.fixture
async def world(moto: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    moto.reset()
    async with s3_front(moto.url) as before:
        yield World(moto, before, tmp_path)


def keys(found: list[Any]) -> list[str]:
    return sorted(one["object"]["key"] for one in found)


ODD = ["a b+c", "ü/é.csv", "%2F", "a&b=<c>", "tab\there", "日本", "🎈", "..", "q?x#y", "quote'\"", "per%cent"]


async def test_new_and_changed_objects_are_published_once(world: World) -> None:
    world.put(*ODD)
    async with world.listening(poll={"existing": True}, metadata={"a": "b"}) as source:
        assert keys(await source.received(len(ODD))) == sorted(ODD)
        await world.looked()
        world.put("a b+c", body=b"changed")
        found = (await source.received(len(ODD) + 1))[-1]
        await world.looked()
        assert len(source.data) == len(ODD) + 1
    about = found["object"]
    assert (about["event"], about["key"], about["size"]) == ("s3:ObjectCreated:Put", "a b+c", 7)
    assert found["notification"][0]["s3"]["object"]["key"] == "a+b%2Bc"
    assert found["notification"][0]["s3"]["bucket"]["name"] == "input"
    assert found["metadata"] == {"a": "b"}
    assert len(set(source.bus.ids)) == len(source.bus.ids)


async def test_what_is_there_already_is_no_news(world: World) -> None:
    world.put("old")
    await asyncio.sleep(1.1)  # lists show whole seconds
    async with world.listening() as source:
        await until(lambda: source.started)
        world.put("new")
        assert keys(await source.received(1)) == ["new"]


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    await asyncio.to_thread(world.put, *(str(number) for number in range(50)))
    async with world.listening(poll={"existing": True}) as source:
        await source.received(50)
        await world.looked()
    world.put("meanwhile")
    world.s3.delete_object(Bucket="input", Key="7")
    async with world.listening(events=BOTH) as source:
        found = await source.received(2)
        await world.looked()
    assert {one["object"]["key"]: one["object"]["event"] for one in found} == {
        "meanwhile": "s3:ObjectCreated:Put",
        "7": "s3:ObjectRemoved:Delete",
    }
    assert len(source.bus.ids) == 2


async def test_only_what_is_wanted_is_published_and_a_new_filter_repeats_nothing(world: World) -> None:
    world.put("in/a.csv", "in/b.txt", "out/c.csv")
    more = {"poll": {"existing": True}}
    async with world.listening(**more, filter={"prefix": "in/", "suffix": ".csv"}) as source:
        assert keys(await source.received(1)) == ["in/a.csv"]
        await world.looked()
    assert any("prefix=in" in one for one in world.front.asked)
    world.put("in/d.txt")
    async with world.listening(**more, filter={"prefix": "in/", "regex": "[.]txt$"}) as source:
        assert keys(await source.received(1)) == ["in/d.txt"]
        await world.looked()
        assert len(source.data) == 1


async def test_several_replicas_publish_once(world: World) -> None:
    """The second goes on where the first was, when that one ends."""
    world.put("a", "b")
    members = [Member(world.broker), Member(world.broker)]
    for member in members:
        member.shared.clients.credentials = Credentials((world.root,))
    spec = {"ev": world.spec(poll={"existing": True})}
    async with members[1].running(s3=spec):
        async with members[0].running(s3=spec):
            await until(lambda: len(events(world.broker)) == 2, 60)
        world.put("c")
        await until(lambda: len(events(world.broker)) == 3, 60)
        await world.looked()
    found = [json.loads(event.data or b"")["object"]["key"] for event in events(world.broker)]
    assert sorted(found) == ["a", "b", "c"]


async def test_changes_are_held_while_the_bus_is_away(world: World) -> None:
    bus = Bus()
    bus.error = Unavailable("away")
    world.put("a")
    async with world.listening(bus, poll={"existing": True}) as source:
        await until(lambda: any("does not take" in line for line in source.said))
        bus.error = None
        await source.received(1)


async def test_what_is_asked_of_objects_is_in_their_events(world: World) -> None:
    world.put("a", body=b"text")
    async with world.listening(poll={"existing": True}, object={"content": {}}) as source:
        [found] = await source.received(1)
    assert found["object"]["content"] == {"text": "text"}


# ---- a bad day


async def test_throttling_is_waited_out(world: World) -> None:
    left = [refused("SlowDown", 503), web.Response(status=500)]

    async def answer(request: web.Request) -> web.Response | None:
        return left.pop() if left else None

    world.front.answer = answer
    world.put("a")
    async with world.listening(poll={"existing": True}) as source:
        await source.received(1)
        assert source.said == []


async def test_a_bucket_that_is_gone_does_not_keep_the_others_away(world: World) -> None:
    world.make("other")
    member = Member(world.broker)
    member.shared.clients.credentials = Credentials((world.root,))
    spec = world.spec(buckets=["gone", "input", "other"], poll={"existing": True})
    async with member.running(s3={"ev": spec}):
        world.put("a")
        world.put("b", bucket="other")
        await until(lambda: len(events(world.broker)) == 2, 60)
        await until(lambda: any("NoSuchBucket" in one for one in member.readiness.reasons.values()), 60)
        world.make("gone")
        world.put("c", bucket="gone")
        await until(lambda: len(events(world.broker)) == 3, 60)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "RequestTimeTooSkewed", "ExpiredToken"])
async def test_what_s3_refuses_is_said(world: World, code: str) -> None:
    async def answer(_request: web.Request) -> web.Response | None:
        return refused(code)

    world.front.answer = answer
    async with world.listening() as source:
        with pytest.raises(ActionError, match=code):
            await asyncio.wait_for(source.task, 30)
        assert source.started == []
    assert world.looks == 1


async def test_a_server_with_another_clock_is_believed(world: World) -> None:
    """What is new is told by its own clock, whatever ours says."""

    def page(*keys: str) -> web.Response:
        rows = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2031-01-01T00:00:0{second}.000Z</LastModified>"
            f"<ETag>&quot;{key}&quot;</ETag><Size>1</Size></Contents>"
            for second, key in enumerate(keys)
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        headers = {"Date": "Wed, 01 Jan 2031 00:00:01 GMT"}
        return web.Response(text=text, content_type="application/xml", headers=headers)

    async def answer(_request: web.Request) -> web.Response | None:
        return page("before", "now")

    world.front.answer = answer
    async with world.listening() as source:
        assert keys(await source.received(1)) == ["now"]


async def test_a_list_out_of_order_is_refused(world: World) -> None:
    async def answer(_request: web.Request) -> web.Response | None:
        rows = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in ("b", "a")
        )
        return web.Response(text=f"<ListBucketResult>{rows}</ListBucketResult>", content_type="application/xml")

    world.front.answer = answer
    async with world.listening() as source:
        with pytest.raises(UserError, match="out of order"):
            await asyncio.wait_for(source.task, 30)
