"""The s3 source with mode sqs against moto's S3 and SQS on loopback."""

from __future__ import annotations

import asyncio
import base64
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

from eventbus.memory import MemoryBroker
from events.credentials import Credentials
from events.errors import ActionError, Unavailable
from eventsources.sources.s3 import S3Source

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        yield running


class World:
    """A bucket, its queue, what stands before them, and a source."""

    def __init__(self, moto: Aws, before: S3Front, root: Path) -> None:
        self.moto, self.front, self.root = moto, before, root
        self.s3, self.sqs = moto.client("s3"), moto.client("sqs")
        self.make("input")
        self.url = str(self.sqs.create_queue(QueueName="uploads")["QueueUrl"])
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]
        self.arn = attributes["QueueArn"]
        write_secret(root, "id", "ada")
        write_secret(root, "secret", "pass")

    def make(self, name: str) -> None:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def put(self, key: str, body: bytes = b"x", **more: Any) -> dict[str, Any]:
        return dict(self.s3.put_object(Bucket="input", Key=key, Body=body, **more))

    def notify(self, *entries: dict[str, Any]) -> None:
        self.s3.put_bucket_notification_configuration(
            Bucket="input", NotificationConfiguration={"QueueConfigurations": list(entries)}
        )

    def notified(self) -> list[dict[str, Any]]:
        found = self.s3.get_bucket_notification_configuration(Bucket="input")
        return list(found.get("QueueConfigurations", []))

    def send(self, body: Any) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    async def becomes(self, visible: int, hidden: int) -> None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        async with asyncio.timeout(60):
            while True:
                found = await asyncio.to_thread(self.sqs.get_queue_attributes, QueueUrl=self.url, AttributeNames=names)
                if [int(found["Attributes"][name]) for name in names] == [visible, hidden]:
                    return
                await asyncio.sleep(0.02)

    def spec(self, **more: Any) -> dict[str, Any]:
        queue = {"name": "uploads", "waitTimeSeconds": 1, "endpoint": self.moto.url} | more.pop("queue", {})
        return {"mode": "sqs", "region": REGION, "endpoint": self.front.url, "queue": queue, **KEYS} | more

    def listening(self, bus: Bus | None = None, **more: Any) -> AbstractAsyncContextManager[Listening]:
        return listening(S3Source, self.spec(**more), self.root, bus=bus)


@pytest.fixture
async def world(moto: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    moto.reset()
    async with s3_front(moto.url) as before:
        yield World(moto, before, tmp_path)


def s3_record(key: str, event: str = "ObjectCreated:Put", bucket: str = "input", **about: Any) -> dict[str, Any]:
    """As S3 writes it; the key is encoded already."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-11-21T10:00:00.000Z",
        "eventName": event,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "e", "sequencer": "1"} | about},
    }


CREATE = {"buckets": ["input"], "notification": {"create": True}}


# ---- notifications


async def test_an_upload_becomes_an_event(world: World) -> None:
    async with world.listening(**CREATE, metadata={"a": "b"}) as source:
        await until(lambda: source.started)
        put = await asyncio.to_thread(world.put, "in/a b+ü.csv", b"1,2\n")
        [found] = await source.received(1)
        await world.becomes(0, 0)  # the test event of the configuration, too
    about = found["object"]
    assert (about["bucket"], about["key"], about["size"]) == ("input", "in/a b+ü.csv", 4)
    assert about["eTag"] == put["ETag"].strip('"')
    assert about["event"] == "s3:ObjectCreated:Put"
    record = found["notification"][0]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["object"]["key"] != about["key"], "as S3 sent it"
    assert found["metadata"] == {"a": "b"}
    assert source.failed == []


async def test_every_envelope_is_opened(world: World) -> None:
    direct = {"Records": [s3_record("a"), s3_record("b")]}
    bridged = {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-21T10:00:00Z",
        "region": REGION,
        "detail": {
            "bucket": {"name": "input"},
            "object": {"key": "e f+ü", "size": 5, "etag": "e5", "version-id": "v5", "sequencer": "5"},
            "reason": "CopyObject",
        },
    }
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "input"}
    for body in (direct, {"Records": [s3_record("c+%C3%BC")]}, bridged, test):
        world.send(body)
        world.send({"Type": "Notification", "Message": json.dumps(body)})
    async with world.listening() as source:
        found = await source.received(8)
        await world.becomes(0, 0)
    assert sorted(one["object"]["key"] for one in found) == sorted(["a", "b", "c ü", "e f+ü"] * 2)
    assert len(set(source.bus.ids)) == 4, "a repeat in another envelope is a repeat"
    [one, _] = [one for one in found if one["object"]["key"] == "e f+ü"]
    assert one["object"]["event"] == "s3:ObjectCreated:Copy"
    assert one["notification"][0]["s3"]["object"]["key"] == "e+f%2B%C3%BC"
    assert source.failed == []


async def test_a_message_is_deleted_only_after_all_its_records_are_stored(world: World) -> None:
    class Halfway(Bus):
        async def emit(self, data: bytes, *, id: str = "") -> None:
            if len(self.stored) == 1:
                raise Unavailable("away")
            await super().emit(data, id=id)

    world.send({"Records": [s3_record("a"), s3_record("b")]})
    bus = Halfway()
    async with world.listening(bus) as source:
        await source.received(1)
        await until(lambda: any("does not take" in line for line in source.said))
        await world.becomes(0, 1)
        await source.stop()
    await world.becomes(1, 0)
    async with world.listening() as source:
        assert len(await source.received(2)) == 2
        assert source.bus.ids[0] == bus.ids[0]


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ({}, ["in/a.csv", "in/b.txt", "other"]),
        ({"filter": {"prefix": "in/", "suffix": ".csv"}}, ["in/a.csv"]),
        ({"filter": {"regex": r"\.(csv|txt)$"}}, ["in/a.csv", "in/b.txt"]),
        ({"filter": {"expression": 'object.key startsWith "o"'}}, ["other"]),
        ({"buckets": ["elsewhere"]}, ["away"]),
        ({"events": ["s3:ObjectRemoved:*"]}, ["gone"]),
        ({"events": ["ObjectRemoved:Delete", "s3:ObjectCreated:Put"]}, ["gone", "in/a.csv", "in/b.txt", "other"]),
    ],
)
async def test_only_what_is_wanted_is_published(world: World, more: dict[str, Any], keys: list[str]) -> None:
    records = [s3_record(key) for key in ("in%2Fa.csv", "in%2Fb.txt", "other")]
    records += [s3_record("gone", event="ObjectRemoved:Delete"), s3_record("away", bucket="elsewhere")]
    world.send({"Records": records})
    if "buckets" not in more:
        more = {"buckets": ["input"], **more}
    broker = MemoryBroker()
    member = Member(broker)
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(s3={"ev": world.spec(**more)}):
        await until(lambda: member.number("events_sent_total") == len(keys))
        await world.becomes(0, 0)
    found = [json.loads(event.data or b"")["object"]["key"] for event in events(broker)]
    assert sorted(found) == keys


@pytest.mark.parametrize(
    "body", ["no json", "[]", '{"Records":5}', '{"hello":1}', '{"detail-type":"Some Other","detail":{}}']
)
async def test_what_is_no_notification_is_left_to_the_dead_letter_policy(world: World, body: str) -> None:
    world.send(body)
    async with world.listening() as source:
        await until(lambda: source.failed)
        assert any("dead-letter" in line for line in source.said)
        await asyncio.sleep(0.2)
        await world.becomes(0, 1)
    assert source.bus.stored == []


async def test_a_record_that_is_none_does_not_keep_the_others_away(world: World) -> None:
    world.send({"Records": [s3_record("a"), {"odd": 1}, s3_record("b"), s3_record("c", size="x"), s3_record("")]})
    async with world.listening(queue={"dlq": False}) as source:
        assert [one["object"]["key"] for one in await source.received(2)] == ["a", "b"]
        await until(lambda: source.failed)
        await world.becomes(0, 0)


# ---- the buckets' configuration


async def test_the_entry_is_made_beside_those_of_others(world: World) -> None:
    theirs = {"Id": "theirs", "QueueArn": world.arn, "Events": ["s3:ObjectRemoved:*"]}
    world.notify(theirs)
    more = {"filter": {"prefix": "in/", "suffix": ".csv"}, "events": ["s3:ObjectCreated:Put"]}
    async with world.listening(**CREATE, **more) as source:
        await until(lambda: source.started)
        [first, ours] = sorted(world.notified(), key=lambda one: one["Id"], reverse=True)
    assert first["Id"] == "theirs"
    assert (ours["Id"], ours["Events"]) == ("keryx-src-ev", ["s3:ObjectCreated:Put"])
    rules = {rule["Name"].lower(): rule["Value"] for rule in ours["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "in/", "suffix": ".csv"}
    assert len(world.notified()) == 2, "it stays when the source ends"
    writes = [one for one in world.front.asked if one.startswith("PUT")]
    async with world.listening(**CREATE, **more) as source:
        await until(lambda: source.started)
    assert [one for one in world.front.asked if one.startswith("PUT")] == writes, "nothing to mend"
    both = {"buckets": ["input"], "notification": {"create": True, "deleteOnFinish": True}}
    async with world.listening(**both, **more) as source:
        await until(lambda: source.started)
    assert [one["Id"] for one in world.notified()] == ["theirs"]


async def test_an_entry_that_somebody_undoes_is_written_again(world: World) -> None:
    undone = 0

    async def answer(request: web.Request) -> web.Response | None:
        nonlocal undone
        if request.method == "PUT" and undone < 2:
            undone += 1
            return web.Response()
        return None

    world.front.answer = answer
    async with world.listening(**CREATE) as source:
        await until(lambda: source.started)
        assert [one["Id"] for one in world.notified()] == ["keryx-src-ev"]


async def test_an_entry_that_is_removed_later_is_mended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsources.sources.s3._CHECK_SECONDS", 0.2)
    async with world.listening(**CREATE) as source:
        await until(lambda: source.started)
        world.notify()
        await until(lambda: any("is mended" in line for line in source.said))
        assert [one["Id"] for one in world.notified()] == ["keryx-src-ev"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"buckets": ["nope"], "notification": {"create": True}}, "NoSuchBucket"),
        ({**CREATE, "queue": {"name": "nope"}}, "QueueDoesNotExist|NonExistentQueue"),
        ({"queue": {"name": "nope"}}, "QueueDoesNotExist|NonExistentQueue"),
    ],
)
async def test_what_keeps_it_from_starting_is_said(world: World, more: dict[str, Any], message: str) -> None:
    async with world.listening(**more) as source:
        with pytest.raises(ActionError, match=message):
            await asyncio.wait_for(source.task, 20)
        assert source.started == []


# ---- what is asked of an object


ALL = {"metadata": True, "tags": True, "content": {"maxBytes": 16}}


@pytest.mark.parametrize(
    ("body", "more", "content"),
    [
        (b'{"n": 1}', {"ContentType": "application/json"}, {"json": {"n": 1}}),
        (b"{broken", {"ContentType": "application/json"}, {"text": "{broken"}),
        ("grüße".encode(), {"ContentType": "text/plain"}, {"text": "grüße"}),
        ("grüße".encode("latin-1"), {"ContentType": "text/plain; charset=ISO-8859-1"}, {"text": "grüße"}),
        (b"\xff\x00\x01", {}, {"base64": base64.b64encode(b"\xff\x00\x01").decode()}),
        ("0123456789abcdeü and more".encode(), {}, {"text": "0123456789abcde", "truncated": True}),
        (b"", {}, {"text": ""}),
        (b"plain", {"ContentEncoding": "gzip"}, {"base64": "cGxhaW4="}),
    ],
)
async def test_the_event_has_what_is_asked_of_the_object(
    world: World, body: bytes, more: dict[str, Any], content: dict[str, Any]
) -> None:
    async with world.listening(**CREATE, object=ALL) as source:
        await until(lambda: source.started)
        given = {"Metadata": {"who": "ada"}, "Tagging": "zone=north&n=1", **more}
        await asyncio.to_thread(world.put, "ä b", body, **given)
        [found] = await source.received(1)
    about = found["object"]
    assert about["userMetadata"] == {"who": "ada"}
    assert about["tags"] == {"zone": "north", "n": "1"}
    assert about["contentType"].startswith(more.get("ContentType", "binary/octet-stream"))
    assert about["lastModified"].endswith("Z")
    assert about["content"] == content


async def test_content_of_other_types_is_not_read(world: World) -> None:
    async with world.listening(**CREATE, object={"content": {"types": ["text/*"]}}) as source:
        await until(lambda: source.started)
        await asyncio.to_thread(world.put, "image", b"xyz", ContentType="image/png")
        await asyncio.to_thread(world.put, "text", b"xyz", ContentType="text/csv; header=present")
        found = {one["object"]["key"]: one["object"].get("content") for one in await source.received(2)}
    assert found == {"image": None, "text": {"text": "xyz"}}
    assert not any(one.startswith("GET /input/image") for one in world.front.asked)


async def test_an_object_that_is_gone_or_replaced_goes_without(world: World) -> None:
    world.put("there", b"new")
    world.send({"Records": [s3_record("gone"), s3_record("there", eTag="old")]})
    async with world.listening(object=ALL) as source:
        found = await source.received(2)
    assert [one["object"].get("gone") for one in found] == [True, True]
    assert source.said == []


async def test_what_s3_refuses_to_say_is_left_out_and_said(world: World) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        return refused("AccessDenied") if "tagging" in request.query_string else None

    world.front.answer = answer
    put = world.put("a")
    world.send({"Records": [s3_record("a", eTag=put["ETag"].strip('"'))] * 3})
    async with world.listening(object=ALL) as source:
        found = await source.received(3)
        await world.becomes(0, 0)
    assert {one["object"]["unavailable"] for one in found} == {"AccessDenied"}
    assert sum("does not say" in line for line in source.said) == 1


async def test_what_s3_is_too_busy_to_say_is_waited_for(world: World) -> None:
    left = [503, 500, 503]

    async def answer(request: web.Request) -> web.Response | None:
        return web.Response(status=left.pop()) if left and request.method == "HEAD" else None

    world.front.answer = answer
    put = world.put("a")
    world.send({"Records": [s3_record("a", eTag=put["ETag"].strip('"'))]})
    async with world.listening(object=ALL) as source:
        [found] = await source.received(1, 60)
    assert found["object"]["content"] == {"text": "x"}


# ---- a bad day


async def test_revoked_keys_are_read_anew_without_a_restart_of_the_process(world: World) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        is_ada = "Credential=ada/" in request.headers.get("Authorization", "")
        return refused("InvalidAccessKeyId") if is_ada else None

    world.front.answer = answer
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(s3={"ev": world.spec(**CREATE)}):
        await until(lambda: any("InvalidAccessKeyId" in one for one in member.readiness.reasons.values()), 60)
        write_secret(world.root, "id", "grace")
        await until(lambda: world.notified(), 30)
        await asyncio.to_thread(world.put, "a")
        await until(lambda: member.number("events_sent_total") == 1, 60)


async def test_a_deleted_queue_is_read_again_once_it_is_there(world: World) -> None:
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(s3={"ev": world.spec()}):
        await until(lambda: not member.readiness.reasons.get("event source ns/src ev"))
        world.sqs.delete_queue(QueueUrl=world.url)
        await until(lambda: any("Queue" in one for one in member.readiness.reasons.values()), 60)
        world.url = str(world.sqs.create_queue(QueueName="uploads")["QueueUrl"])
        world.send({"Records": [s3_record("a")]})
        await until(lambda: member.number("events_sent_total") == 1, 30)
