"""The s3 source with mode listen: a stand-in of MinIO's stream of notifications, before moto's S3 for the lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.aws import REGION, Aws, aws
from support.event_sources import until
from support.minio import Minio, told
from support.s3_front import S3Front, s3_front
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from eventbus.memory import MemoryBroker, MemoryBus
from eventbus.scoped import ScopedState
from events.errors import ActionError, Unavailable
from eventsources.sources.s3 import S3Source

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        yield running


class World:
    """A bucket of one server that lists as S3 and tells as MinIO."""

    def __init__(self, moto: Aws, before: S3Front, root: Path) -> None:
        self.root, self.broker, self.front = root, MemoryBroker(), before
        self.server = Minio(region=REGION)
        self.s3 = moto.client("s3")
        self.s3.create_bucket(Bucket="input", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.etags: dict[str, str] = {}
        write_secret(root, "id", "ada")
        write_secret(root, "secret", "pass")
        self.bus = Bus()

    async def put(self, *keys: str, tell: bool = True) -> None:
        for key in keys:
            made = await asyncio.to_thread(self.s3.put_object, Bucket="input", Key=key, Body=key.encode())
            etag = made["ETag"].strip('"')
            if tell:
                self.server.tell(told(key, eTag=etag))

    def listening(self, **more: Any) -> AbstractAsyncContextManager[Listening]:
        state = ScopedState(MemoryBus(self.broker), "source", "src", "ev")
        spec = {"mode": "listen", "region": REGION, "endpoint": self.front.url, "buckets": ["input"], **KEYS} | more
        return listening(S3Source, spec, self.root, bus=self.bus, state=state)

    async def connected(self) -> None:
        await until(lambda: self.server.listeners)


@pytest.fixture
async def world(moto: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("eventsources.s3_catch_up._SAVE_SECONDS", 0.05)
    moto.reset()
    async with s3_front(moto.url) as before:
        world = World(moto, before, tmp_path)

        async def answer(request: web.Request) -> web.StreamResponse | None:
            return await world.server.handle(request) if "ping=" in request.query_string else None

        before.answer = answer
        yield world
        world.server.cut()


def keys(source: Listening) -> list[str]:
    return sorted(one["object"]["key"] for one in source.data)


async def test_what_the_stream_tells_becomes_events(world: World) -> None:
    async with world.listening(filter={"prefix": "in/", "regex": "[.]csv$"}, object={"content": {}}) as source:
        await world.connected()
        await world.put("in/a b.csv", "in/b.txt", "in/c.csv")
        found = await source.received(2)
    assert keys(source) == ["in/a b.csv", "in/c.csv"]
    assert found[0]["object"]["content"] == {"text": found[0]["object"]["key"]}
    assert found[0]["notification"][0]["eventSource"] == "minio:s3"
    assert not any("list-type" in one for one in world.front.asked), "nothing is listed unless it is asked for"


async def test_an_event_waits_for_what_s3_is_to_say(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gave up would lose it: the stream tells it once."""
    monkeypatch.setattr("eventsources.s3_details._TRIES", 1)
    listen, refusals = world.front.answer, [503] * 5

    async def answer(request: web.Request) -> Any:
        if request.method == "HEAD" and refusals:
            return web.Response(status=refusals.pop())
        return await listen(request)

    world.front.answer = answer
    async with world.listening(object={"content": {}}) as source:
        await world.connected()
        await world.put("a")
        [found] = await source.received(1, 40)
        assert not source.task.done()
    assert found["object"]["content"] == {"text": "a"}
    assert sum("waits for what S3" in line for line in source.said) == 1


async def test_a_record_that_is_none_is_counted(world: World) -> None:
    async with world.listening() as source:
        await world.connected()
        world.server.say(b'{"Records":[{"odd":1}]}\n')
        await world.put("a")
        await source.received(1)
        assert len(source.failed) == 1


async def test_what_was_stored_during_a_cut_is_found(world: World) -> None:
    await world.put("before", tell=False)
    await asyncio.sleep(1.1)  # lists show whole seconds
    async with world.listening(listen={"catchUp": True}) as source:
        await world.connected()
        await world.put("told")
        await source.received(1)
        world.server.refusal = web.Response(text="<Code>SlowDown</Code>", status=503)
        world.server.cut()
        await until(lambda: not world.server.listeners)
        await world.put("missed 1", "missed 2", tell=False)
        world.server.refusal = None
        await source.received(3, 30)
        await world.put("later")
        await source.received(4)
        assert len(set(source.bus.ids)) == 4
        assert any("is published" in line for line in source.said)
    assert keys(source) == sorted(["told", "missed 1", "missed 2", "later"])


async def test_what_was_stored_while_nothing_ran_is_found(world: World) -> None:
    more = {"listen": {"catchUp": True}}
    async with world.listening(**more) as source:
        await world.connected()
        await world.put("told")
        await source.received(1)
        await until(lambda: b'"seen":["' in _kept(world))
    await world.put("missed", tell=False)
    async with world.listening(**more) as source:
        await source.received(2)
        await asyncio.sleep(0.3)
    assert keys(source) == ["missed", "told"]


def _kept(world: World) -> bytes:
    entry = world.broker.values.get("state", {}).get("source.src.ev.listen")
    return entry.value if entry else b""


async def test_what_the_bus_does_not_have_is_not_taken_for_told(world: World) -> None:
    """The process dies while the bus is away."""
    more = {"listen": {"catchUp": True}}
    async with world.listening(**more) as source:
        await world.connected()
        await until(lambda: _kept(world))
        world.bus.error = Unavailable("away")
        await world.put("held")
        await until(lambda: any("does not take" in line for line in source.said))
        await asyncio.sleep(0.2)
        source.task.cancel()
    world.bus.error = None
    async with world.listening(**more) as source:
        await source.received(1)
    assert keys(source) == ["held"]


async def test_a_bucket_that_cannot_be_listed_is_said(world: World) -> None:
    listen = world.front.answer

    async def answer(request: web.Request) -> Any:
        if "list-type" in request.query_string:
            return web.Response(text="<Error><Code>AccessDenied</Code></Error>", status=403)
        return await listen(request)

    world.front.answer = answer
    async with world.listening(listen={"catchUp": True}) as source:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 20)
    assert caught.group_contains(ActionError, match="AccessDenied")
