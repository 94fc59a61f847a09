"""The sqs source against moto's SQS on loopback, with a bad day between them. Contract: eventsources 3.8."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.aws import REGION, Aws, aws
from support.aws_front import Call, Front, answering, front, refusal
from support.event_sources import Member, until
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from eventbus.memory import MemoryBroker
from events.credentials import Credentials
from events.errors import ActionError, CredentialError, TooLarge, Unavailable
from eventsources.sources.sqs import SqsSource

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those of the test."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


class World:
    """A queue, what stands before it, and a source that reads it."""

    def __init__(self, moto: Aws, before: Front, root: Path) -> None:
        self.front, self.root = before, root
        self.sqs = moto.client("sqs")
        self.url = self.make("orders")
        write_secret(root, "id", "ada")
        write_secret(root, "secret", "pass")

    def make(self, name: str, **attributes: str) -> str:
        return str(self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def send(self, *bodies: str, url: str = "", **more: Any) -> list[str]:
        """The ids."""
        return [
            self.sqs.send_message(QueueUrl=url or self.url, MessageBody=body, **more)["MessageId"] for body in bodies
        ]

    def counts(self, url: str = "") -> tuple[int, int]:
        """Messages that may be received, and that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    async def becomes(self, visible: int, hidden: int, url: str = "", seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while (found := await asyncio.to_thread(self.counts, url)) != (visible, hidden):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.02)

    def spec(self, **more: Any) -> dict[str, Any]:
        given = {"region": REGION, "queue": "orders", "endpoint": self.front.url, "waitTimeSeconds": 1, **KEYS} | more
        return {name: value for name, value in given.items() if value is not None}

    def listening(self, bus: Bus | None = None, **more: Any) -> AbstractAsyncContextManager[Listening]:
        return listening(SqsSource, self.spec(**more), self.root, bus=bus)


@pytest.fixture
async def world(moto: Aws, tmp_path: Path) -> AsyncIterator[World]:
    moto.reset()
    async with front(moto.url) as before:
        yield World(moto, before, tmp_path)


# ---- what becomes of a message


async def test_a_message_becomes_an_event_and_is_deleted(world: World) -> None:
    attributes = {
        "zone": {"DataType": "String", "StringValue": "pl <1>"},
        "bits": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    [one] = world.send('{ "n": 1.50 }', MessageAttributes=attributes)
    [two] = world.send("plain")
    async with world.listening(jsonBody=True, metadata={"a": "b"}) as source:
        await until(lambda: source.bus.stored and source.failed)
        assert (
            source.bus.stored[0]
            == (
                b'{"messageId":"%b","messageAttributes":{'
                b'"bits":{"BinaryListValues":null,"BinaryValue":"AP8=","DataType":"Binary","StringListValues":null,'
                b'"StringValue":null},"zone":{"BinaryListValues":null,"BinaryValue":null,"DataType":"String",'
                b'"StringListValues":null,"StringValue":"pl \\u003c1\\u003e"}},"body":{"n":1.50},"metadata":{"a":"b"}}'
            )
            % one.encode()
        )
        assert source.bus.ids == [one]
        await world.becomes(0, 0)
        assert source.started == ["ev"]
        assert [line for line in source.said if two in line and "deleted" in line]  # not JSON: contract 3.8


async def test_a_body_that_is_not_said_to_be_json_is_base64(world: World) -> None:
    [one] = world.send('{"n":"ö"}')
    async with world.listening() as source:
        [found] = await source.received(1)
    assert found == {
        "messageId": one,
        "messageAttributes": None,
        "body": base64.b64encode('{"n":"ö"}'.encode()).decode(),
    }


async def test_many_messages_by_several_receivers_are_deleted_in_batches(world: World) -> None:
    ids = await asyncio.to_thread(world.send, *map(str, range(95)))
    async with world.listening(receivers=4) as source:
        await source.received(95)
        await world.becomes(0, 0)
        assert set(source.bus.ids) == set(ids)  # moto hands out a message twice to two polls at once
        assert world.front.counts["DeleteMessageBatch"] < 40
        assert world.front.counts["ChangeMessageVisibilityBatch"] == 0


async def test_what_is_not_json_is_left_to_the_dead_letter_policy(world: World) -> None:
    dead = world.make("dead")
    arn = world.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    world.url = world.make("redriven", RedrivePolicy=policy)
    world.send("not json", '{"n":1}')
    async with world.listening(queue="redriven", jsonBody=True, dlq=True, visibilityTimeoutSeconds=1) as source:
        assert [one["body"] for one in await source.received(1)] == [{"n": 1}]
        await world.becomes(1, 0, dead)
        await world.becomes(0, 0)
        assert len(source.failed) == 2
        assert len([line for line in source.said if "cannot become an event" in line]) == 1, "once a minute"


async def test_what_is_too_large_for_the_bus_stays_on_the_queue(world: World) -> None:
    world.send("large")
    bus = Bus()
    bus.error = TooLarge("more than 1 MiB")
    async with world.listening(bus) as source:
        await until(lambda: any("left on the queue" in line for line in source.said))
        await asyncio.sleep(0.3)
        assert world.front.counts["DeleteMessageBatch"] == 0
        assert await asyncio.to_thread(world.counts) == (0, 1)


async def test_a_message_without_an_id_or_receipt_is_counted(world: World) -> None:
    bad = web.json_response({"Messages": [{"Body": "x"}, {"MessageId": "1", "Body": "y"}]})
    world.front.answer = answering("ReceiveMessage", bad)
    world.send("good")
    async with world.listening() as source:
        assert len(await source.received(1)) == 1
        assert len(source.failed) == 2


# ---- the bus is away


async def test_messages_are_held_and_kept_from_others_while_the_bus_is_away(world: World) -> None:
    world.send("1", "2")
    bus = Bus()
    bus.error = Unavailable("away")
    async with world.listening(bus, visibilityTimeoutSeconds=2) as source:
        await asyncio.sleep(5)  # more than two of their time-outs
        assert await asyncio.to_thread(world.counts) == (0, 2)
        bus.error = None
        await source.received(2, 60)
        await world.becomes(0, 0)
        assert world.front.counts["ChangeMessageVisibilityBatch"] >= 4
        assert len(bus.ids) == 2
        assert sum("does not take" in line for line in source.said) == 1
        assert sum("takes messages again" in line for line in source.said) == 1


async def test_a_message_that_could_not_be_kept_is_not_handled_any_more(world: World) -> None:
    """Somebody else may have it by now, and what is behind it in its group."""
    world.send("1")
    bus = Bus()
    bus.error = Unavailable("away")

    async def answer(call: Call) -> web.Response | None:
        return refusal("AccessDenied") if call.action == "ChangeMessageVisibilityBatch" else None

    world.front.answer = answer
    async with world.listening(bus, visibilityTimeoutSeconds=1) as source:
        await until(lambda: world.front.counts["ReceiveMessage"] >= 3)
        assert not source.task.done()


async def test_a_stop_deletes_what_is_stored_and_gives_back_the_rest(world: World) -> None:
    world.send("1", "2", "3")

    class Halfway(Bus):
        async def emit(self, data: bytes, *, id: str = "") -> None:
            if len(self.stored) == 1:
                raise Unavailable("away")
            await super().emit(data, id=id)

    bus = Halfway()
    async with world.listening(bus) as source:
        await source.received(1)
        await until(lambda: any("does not take" in line for line in source.said))
        await source.stop()
    await world.becomes(2, 0)


async def test_what_a_poll_still_brings_at_a_stop_is_given_back(world: World) -> None:
    async with world.listening(waitTimeSeconds=3) as source:
        await until(lambda: world.front.counts["ReceiveMessage"] == 1)
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0.1)
        world.send("late")
        await stopping
        assert source.bus.stored == []
    assert await asyncio.to_thread(world.counts) == (1, 0)


async def test_a_poll_that_outlives_its_stop_gives_back_what_it_brings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventsources.aws_queue._DRAIN_SECONDS", 0.2)
    async with world.listening(waitTimeSeconds=3) as source:
        await until(lambda: world.front.counts["ReceiveMessage"] == 1)
        began = time.monotonic()
        await source.stop()
        assert time.monotonic() - began < 2.5
        world.send("late")
        await until(lambda: world.front.counts["ChangeMessageVisibilityBatch"] == 1)
    await world.becomes(1, 0)


# ---- order


async def test_order_is_kept_in_each_group_of_a_fifo_queue(world: World) -> None:
    url = world.make("orders.fifo", FifoQueue="true")

    def fill() -> None:
        for number in range(12):
            for group in "ab":
                world.send(f"{number}", url=url, MessageGroupId=group, MessageDeduplicationId=f"{group}{number}")

    await asyncio.to_thread(fill)

    class Shaky(Bus):
        tries = 0

        async def emit(self, data: bytes, *, id: str = "") -> None:
            self.tries += 1
            await asyncio.sleep(0.001 * (self.tries % 5))
            if self.tries % 3 == 0:
                raise Unavailable("away")
            await super().emit(data, id=id)

    world.front.polls = asyncio.Semaphore(1)
    more = {"queue": "orders.fifo", "jsonBody": True, "receivers": 3, "waitTimeSeconds": 1}
    async with world.listening(Shaky(), **more) as source:
        found = await source.received(24, 90)
        numbers = [one["body"] for one in found]
        assert len(numbers) == 24
        assert [number for number in numbers if numbers.count(number) != 2] == []
        await world.becomes(0, 0, url)
    firsts = [numbers.index(number) for number in range(12)]
    lasts = [len(numbers) - 1 - numbers[::-1].index(number) for number in range(12)]
    assert firsts == sorted(firsts)
    assert lasts == sorted(lasts)


async def test_what_stays_on_a_fifo_queue_holds_up_its_group_only(world: World) -> None:
    url = world.make("held.fifo", FifoQueue="true")
    for number, (group, body) in enumerate([("a", "1"), ("a", "no"), ("a", "2"), ("b", "3")]):
        world.send(body, url=url, MessageGroupId=group, MessageDeduplicationId=str(number))
    async with world.listening(queue="held.fifo", jsonBody=True, dlq=True) as source:
        assert sorted(one["body"] for one in await source.received(2)) == [1, 3]
        await asyncio.sleep(1.5)
        assert len(source.bus.stored) == 2
        assert sum(await asyncio.to_thread(world.counts, url)) == 2


# ---- who asks


async def test_keys_and_token_are_read_anew(world: World) -> None:
    write_secret(world.root, "token", "one")
    async with world.listening(sessionToken={"name": "aws", "key": "token"}) as source:
        await until(lambda: world.front.counts["ReceiveMessage"])
        write_secret(world.root, "id", "grace")
        write_secret(world.root, "token", "two")
        world.send("1")
        await source.received(1)
        await world.becomes(0, 0)
        assert (world.front.calls[0].key, world.front.calls[0].token) == ("ada", "one")
        last = world.front.asked("DeleteMessageBatch")[-1]
        assert (last.key, last.token) == ("grace", "two")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
async def test_what_expired_is_renewed_without_a_restart_of_the_process(world: World, code: str) -> None:
    async def answer(call: Call) -> web.Response | None:
        return refusal(code, 403) if call.key == "ada" and world.front.counts["ReceiveMessage"] > 1 else None

    world.front.answer = answer
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(sqs={"ev": world.spec()}):
        await until(lambda: any(code in reason for reason in member.readiness.reasons.values()), 60)
        write_secret(world.root, "id", "grace")
        ids = world.send("1")
        await until(lambda: member.number("events_sent_total") == 1, 60)
        assert member.bus.health is not None
    await world.becomes(0, 0)
    assert len(ids) == 1


async def test_a_role_is_assumed_with_the_credentials_of_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "own",
        "SECRET_ACCESS_KEY": "own",
        "ENDPOINT_URL_STS": world.front.url,
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    world.send("1")
    async with world.listening(roleARN="arn:aws:iam::123456789012:role/reader") as source:
        await source.received(1)
        await world.becomes(0, 0)
    [assumed] = world.front.asked("AssumeRole")
    assert assumed.key == "own"
    assert {call.key.startswith("ASIA") and bool(call.token) for call in world.front.asked("ReceiveMessage")} == {True}


async def test_the_owner_of_the_queue_may_be_named(world: World) -> None:
    world.send("1")
    async with world.listening(queueAccountId="123456789012") as source:
        await source.received(1)
    assert '"QueueOwnerAWSAccountId": "123456789012"' in world.front.asked("GetQueueUrl")[0].body


# ---- a bad day


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"queue": "nope"}, ActionError, "QueueDoesNotExist"),
        ({"secretKey": None}, ActionError, "(?i)partial"),
        ({"accessKey": {"name": "aws", "key": "nope"}}, CredentialError, "no key 'nope'"),
        ({"accessKey": None, "secretKey": None}, ActionError, "Unable to locate credentials"),
    ],
)
async def test_what_keeps_it_from_starting_is_said(
    world: World, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    async with world.listening(**change) as source:
        with pytest.raises(error, match=message):
            await asyncio.wait_for(source.task, 30)
        assert source.started == []


async def test_throttling_is_waited_out_without_a_hot_loop(world: World) -> None:
    world.send("1")
    world.front.answer = answering(
        "ReceiveMessage", *[lambda: refusal("RequestThrottled")] * 2, web.Response(status=503)
    )
    async with world.listening() as source:
        began = time.monotonic()
        await source.received(1)
        assert time.monotonic() - began > 0.5
        assert source.said == []
        assert world.front.counts["GetQueueUrl"] == 1


async def test_a_service_that_stays_away_ends_the_source(world: World) -> None:
    async def answer(call: Call) -> web.Response | None:
        return web.Response(status=503) if call.action == "ReceiveMessage" else None

    world.front.answer = answer
    async with world.listening() as source:
        with pytest.raises(ExceptionGroup, match="unhandled") as caught:
            await asyncio.wait_for(source.task, 30)
    assert caught.group_contains(ActionError, match="503")
    assert world.front.counts["ReceiveMessage"] == 6


async def test_a_deleted_queue_is_read_again_once_it_is_there(world: World) -> None:
    member = Member(MemoryBroker())
    member.shared.clients.credentials = Credentials((world.root,))
    async with member.running(sqs={"ev": world.spec()}):
        await until(lambda: not member.readiness.reasons.get("event source ns/src ev"))
        await asyncio.to_thread(world.sqs.delete_queue, QueueUrl=world.url)
        await until(lambda: any("QueueDoesNotExist" in one for one in member.readiness.reasons.values()), 60)
        calls = len(world.front.calls)
        await asyncio.sleep(1)
        assert len(world.front.calls) - calls < 6, "a hot loop"
        world.make("orders")
        world.send("1")
        await until(lambda: member.number("events_sent_total") == 1, 60)


async def test_a_delete_that_fails_is_repeated_and_one_that_is_refused_is_said(world: World) -> None:
    half = web.json_response(
        {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError", "Message": "x"}]}
    )
    world.front.answer = answering("DeleteMessageBatch", refusal("RequestThrottled"), half)
    world.send("1")
    async with world.listening() as source:
        await source.received(1)
        await world.becomes(0, 0)
        assert world.front.counts["DeleteMessageBatch"] == 3

        async def answer(call: Call) -> web.Response | None:
            return refusal("AccessDenied", 403) if call.action == "DeleteMessageBatch" else None

        world.front.answer = answer
        world.send("2")
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(source.task, 30)
        assert caught.group_contains(ActionError, match="AccessDenied")


async def test_a_server_that_hangs_holds_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsources.aws_queue._CALL_SECONDS", 0.3)
    monkeypatch.setattr("eventsources.aws_queue._DRAIN_SECONDS", 0.5)

    over = asyncio.Event()

    async def answer(_call: Call) -> web.Response | None:
        await over.wait()
        return None

    world.front.answer = answer
    async with world.listening() as source:
        with pytest.raises(ActionError, match=r"no answer within 0\.3 s"):
            await asyncio.wait_for(source.task, 30)
    over.set()
