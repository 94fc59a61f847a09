"""The minio source against a stand-in of MinIO's stream of notifications. Contract: eventsources 3.6."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.certificates import make_certificate
from support.event_sources import Member, until
from support.minio import KEYS, Minio, minio, told
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from eventbus.memory import MemoryBroker
from events.credentials import Credentials
from events.errors import ActionError, TooLarge, Unavailable, UserError
from eventsources.s3_listen import _FLUSH_SECONDS
from eventsources.sources.minio import MinioSource


class World:
    """A stand-in, and a source that listens to it."""

    def __init__(self, server: Minio, root: Path) -> None:
        self.server, self.root = server, root
        write_secret(root, "id", "ada")
        write_secret(root, "secret", KEYS["ada"])

    def spec(self, **more: Any) -> dict[str, Any]:
        keys = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}
        given = {"endpoint": self.server.host, "bucket": {"name": "input"}, "insecure": True, **keys}
        return given | {"events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"]} | more

    def listening(self, bus: Bus | None = None, **more: Any) -> AbstractAsyncContextManager[Listening]:
        return listening(MinioSource, self.spec(**more), self.root, bus=bus)

    async def connected(self) -> None:
        await until(lambda: self.server.listeners)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with minio() as server:
        yield World(server, tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsources.s3_listen.Endless.next", _short)


def _short(self: Any) -> float:
    self.count += 1
    return 0.01


# ---- what is told


async def test_what_the_server_tells_becomes_an_event(world: World) -> None:
    async with world.listening(metadata={"a": "<b>"}) as source:
        await world.connected()
        record = told("in/a b+ü.csv", size=3, versionId="v1")
        world.server.tell(record)
        assert await source.received(1) == [{"notification": [record], "metadata": {"a": "<b>"}}]
        assert source.data[0]["notification"][0]["s3"]["object"]["key"] == "in%2Fa+b%2B%C3%BC.csv", "as it was sent"
        assert source.started == ["ev"]
        assert source.said == []


async def test_the_server_is_asked_for_what_the_object_says(world: World) -> None:
    async with world.listening(filter={"prefix": "in/ä &=+", "suffix": ".csv"}):
        await world.connected()
        query = world.server.listeners[0].query
    assert [value for name, value in query if name == "events"] == ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"]
    assert (dict(query)["prefix"], dict(query)["suffix"]) == ("in/ä &=+", ".csv")


async def test_a_repeat_has_the_same_id_and_another_event_has_another(world: World) -> None:
    once, later = told("a"), told("a", sequencer="17A2")
    async with world.listening() as source:
        await world.connected()
        world.server.tell(once, once, later, told("a", event="s3:ObjectRemoved:Delete"), told("b"))
        await source.received(5)
    assert len(set(source.bus.ids)) == 4
    assert all(len(id) == 32 for id in source.bus.ids)


async def test_the_order_of_an_object_is_kept(world: World) -> None:
    class Shaky(Bus):
        tries = 0

        async def emit(self, data: bytes, *, id: str = "") -> None:
            self.tries += 1
            await asyncio.sleep(0.001 * (self.tries % 4))
            if self.tries % 5 == 0:
                raise Unavailable("away")
            await super().emit(data, id=id)

    async with world.listening(Shaky()) as source:
        await world.connected()
        for number in range(40):
            world.server.tell(*(told(key, sequencer=f"{number:04}") for key in "abc"))
        found = await source.received(120, 60)
    for key in "abc":
        objects = [one["notification"][0]["s3"]["object"] for one in found]
        of_key = [one["sequencer"] for one in objects if one["key"] == key]
        assert of_key == sorted(of_key)


async def test_blanks_pings_and_broken_lines_are_no_events(world: World) -> None:
    async with world.listening() as source:
        await world.connected()
        world.server.say(b"  \n\n{}\nnot json\n")
        world.server.say(b'{"Records":5}\n{"Records":[]}\n{"Reco')
        world.server.say(b'rds":[{"odd":1}]}\n')
        world.server.tell(told("good"))
        found = await source.received(2)
        assert [one["notification"][0].get("odd") for one in found] == [1, None], "passed on as it is"
        assert len(source.failed) == 3
        assert len(source.said) == 1, "once a minute"


# ---- the bus is away, a stop


async def test_events_are_held_while_the_bus_is_away(world: World) -> None:
    bus = Bus()
    bus.error = Unavailable("away")
    async with world.listening(bus) as source:
        await world.connected()
        world.server.tell(*(told(str(number)) for number in range(50)))
        await until(lambda: any("does not take" in line for line in source.said))
        bus.error = None
        await source.received(50, 30)
        assert len(source.said) == 2


@pytest.mark.usefixtures("quick")
async def test_what_was_read_is_stored_also_when_the_server_goes_away_with_the_bus(tmp_path: Path) -> None:
    bus = Bus()
    bus.error = Unavailable("away")
    async with minio() as server:
        world = World(server, tmp_path)
        source = await (listens := world.listening(bus)).__aenter__()
        await world.connected()
        server.tell(*(told(str(number)) for number in range(30)))
        await until(lambda: any("does not take" in line for line in source.said))
    await asyncio.sleep(_FLUSH_SECONDS + 0.5)
    assert not source.task.done()
    bus.error = None
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(source.task, 30)
    assert caught.group_contains(ActionError, match="cannot listen")
    assert len(bus.stored) == 30
    await listens.__aexit__(None, None, None)


async def test_what_is_too_large_is_dropped_and_said(world: World) -> None:
    bus = Bus()
    bus.error = TooLarge("more than 1 MiB")
    async with world.listening(bus) as source:
        await world.connected()
        world.server.tell(told("large"))
        await until(lambda: any("dropped" in line for line in source.said))


async def test_a_stop_stores_what_was_read(world: World) -> None:
    bus = Bus()
    bus.open.clear()
    async with world.listening(bus) as source:
        await world.connected()
        world.server.tell(*(told(str(number)) for number in range(30)))
        await until(lambda: bus.waiting >= 8)
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0.05)
        bus.open.set()
        await stopping
        assert len(bus.stored) == 30


# ---- a bad day


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_ends_is_made_again_and_the_gap_is_said(world: World) -> None:
    async with world.listening() as source:
        for number in range(8):
            await world.connected()
            world.server.tell(told(str(number)))
            await source.received(number + 1)
            world.server.cut()
            await until(lambda: not world.server.listeners)
        assert not source.task.done()
        assert sum("broke off" in line for line in source.said) == 1, "once a minute"


@pytest.mark.usefixtures("quick")
async def test_a_server_that_falls_silent_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsources.s3_listen._SILENT_SECONDS", 0.3)
    async with world.listening() as source:
        await world.connected()
        world.server.pings = False
        await until(lambda: world.server.asked >= 2)
        world.server.pings = True
        world.server.tell(told("back"))
        await until(lambda: any("broke off" in line for line in source.said))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket": {"name": "nope"}}, "NoSuchBucket"),
        ({"accessKey": {"name": "aws", "key": "other"}}, "InvalidAccessKeyId"),
        ({"secretKey": {"name": "aws", "key": "other"}}, "SignatureDoesNotMatch"),
        ({"events": ["s3:Nope"]}, "not supported"),
    ],
)
async def test_what_keeps_it_from_listening_is_said(world: World, change: dict[str, Any], message: str) -> None:
    write_secret(world.root, "other", "wrong")
    async with world.listening(**change) as source:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 30)
    assert caught.group_contains(ActionError, match=message)
    assert world.server.asked == 1
    assert source.started == []


async def test_clocks_that_differ_are_said(world: World) -> None:
    world.server.clock = timedelta(hours=1)
    async with world.listening() as source:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 30)
    assert caught.group_contains(ActionError, match="RequestTimeTooSkewed")


async def test_the_region_of_the_server_is_found_out(world: World) -> None:
    world.server.region = "eu-west-9"
    async with world.listening() as source:
        await world.connected()
        world.server.tell(told("a"))
        await source.received(1)
    assert world.server.asked == 2


@pytest.mark.usefixtures("quick")
async def test_a_server_that_is_away_is_tried_a_few_times_then_it_is_the_sources_failure(tmp_path: Path) -> None:
    async with minio() as server:
        gone = World(server, tmp_path)
    async with gone.listening() as source:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 20)
    assert caught.group_contains(ActionError, match="cannot listen")


async def test_a_bucket_that_is_deleted_and_made_again_is_listened_to(world: World) -> None:
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(minio={"ev": world.spec()}):
        await world.connected()
        world.server.buckets.clear()
        world.server.cut()
        await until(lambda: any("NoSuchBucket" in one for one in member.readiness.reasons.values()), 60)
        asked = world.server.asked
        await asyncio.sleep(0.5)
        assert world.server.asked - asked < 6, "a hot loop"
        world.server.buckets.add("input")
        await until(lambda: world.server.listeners, 60)
        world.server.tell(told("a"))
        await until(lambda: member.number("events_sent_total") == 1)


async def test_revoked_keys_are_read_anew(world: World) -> None:
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    write_secret(world.root, "id", "gone")
    async with member.running(minio={"ev": world.spec()}):
        await until(lambda: any("InvalidAccessKeyId" in one for one in member.readiness.reasons.values()), 60)
        write_secret(world.root, "id", "ada")
        await until(lambda: world.server.listeners, 60)


async def test_what_is_no_minio_server_is_said(world: World) -> None:
    """S3 itself takes the request for a list."""
    async with world.listening() as source:
        await world.connected()
        world.server.say(b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult/>\n')
        world.server.pings = False
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 30)
    assert caught.group_contains(UserError, match="mode: sqs")


# ---- TLS


async def test_a_server_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    key, certificate = make_certificate("127.0.0.1")
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with minio(context) as server:
        world = World(server, tmp_path)
        write_secret(tmp_path, "ca", certificate.decode())
        write_secret(tmp_path, "none", "no certificate")
        async with world.listening(insecure=False, caCertificate={"name": "aws", "key": "ca"}) as source:
            await world.connected()
            server.tell(told("a"))
            await source.received(1)
        async with world.listening(insecure=False, caCertificate={"name": "aws", "key": "none"}) as source:
            with pytest.raises(ExceptionGroup) as caught:
                await asyncio.wait_for(source.task, 30)
        assert caught.group_contains(UserError, match="no certificates")
