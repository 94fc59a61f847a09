"""The pubSub source against Google's emulator behind a front that knows credentials. Contract: eventsources 3.9."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.event_sources import Member, events, until
from support.pubsub import PROJECT, Emulator, emulator
from support.pubsub_front import ServiceAccount, front
from support.pubsub_world import World, end_of, said
from support.webhooks import Bus

from eventbus.memory import MemoryBroker
from events.errors import TooLarge, Unavailable
from eventsources.base import SourceContext
from eventsources.pubsub_client import DELETED_TOPIC, Refused
from eventsources.sources import pub_sub
from eventsources.sources.pub_sub import PubSubSource


@pytest.fixture(scope="module")
def google() -> Iterator[Emulator]:
    with emulator() as running:
        yield running


@pytest.fixture(scope="module")
def ada() -> ServiceAccount:
    return ServiceAccount("ada", PROJECT)


@pytest.fixture
async def world(google: Emulator, ada: ServiceAccount, tmp_path: Path) -> AsyncIterator[World]:
    async with front(google.address) as before:
        yield World(google, before, ada, tmp_path)


# ---- what becomes of a message


async def test_a_message_becomes_an_event_and_is_acknowledged(world: World) -> None:
    world.subscribed()
    [one] = world.publish(b'{ "n": 1.50 }', attributes={"zone": "pl <1>", "a": "b"})
    async with world.listening(jsonBody=True, metadata={"m": "d"}) as source:
        [found] = await source.received(1)
        when = found["publishTime"]
        assert when.endswith(" +0000 UTC")
        expected = (
            b'{"id":"%b","body":{"n":1.50},"attributes":{"a":"b","zone":"pl \\u003c1\\u003e"},"publishTime":"%b",'
            b'"metadata":{"m":"d"}}'
        )
        assert source.bus.stored[0] == expected % (one.encode(), when.encode())
        assert source.bus.ids == [one]
        assert source.started == ["ev"]
    assert await world.waiting() == 0


async def test_a_body_that_is_not_said_to_be_json_is_base64(world: World) -> None:
    world.subscribed()
    world.publish(b'{"n":"\xff"}')
    async with world.listening() as source:
        [found] = await source.received(1)
    assert base64.b64decode(found["body"]) == b'{"n":"\xff"}'
    assert found["attributes"] is None


async def test_many_messages(world: World) -> None:
    world.subscribed()
    ids = world.publish(*(b"%d" % number for number in range(2000)))
    async with world.listening() as source:
        await source.received(2000, 30)
    assert set(source.bus.ids) == set(ids)
    assert await world.waiting() == 0
    assert world.front.counts["Acknowledge"] < 400  # in batches


async def test_what_is_not_json_is_put_aside_and_not_seen_again_and_again(world: World) -> None:
    world.subscribed()
    [bad, _] = world.publish(b"not json", b'{"n":1}')
    async with world.listening(jsonBody=True) as source:
        assert [one["body"] for one in await source.received(1)] == [{"n": 1}]
        [line] = await said(source, "cannot become an event")
        assert bad in line
        assert "left on the subscription" in line
        await until(lambda: world.front.counts["ModifyAckDeadline"] >= 2)
        await asyncio.sleep(1)
        assert source.failed == ["ev"]
    assert await world.waiting() == 0  # nobody is given it for ten minutes


async def test_what_is_not_json_is_given_back_where_there_is_a_dead_letter_policy(world: World) -> None:
    dead = world.google.topic(f"{world.name}-dead")
    world.google.subscription(f"{world.name}-dead", dead)
    world.subscribed(dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 5})
    world.publish(b"not json", b'{"n":1}')
    async with world.listening(jsonBody=True) as source:
        assert [one["body"] for one in await source.received(1)] == [{"n": 1}]
        letters: list[Any] = []
        for _ in range(20):
            if letters := await asyncio.to_thread(world.google.waiting, f"{world.path}-dead"):
                break
        assert [one.message.data for one in letters] == [b"not json"]
        assert 1 <= len(source.failed) <= 6
        assert "dead-letter policy" in (await said(source, "cannot become an event"))[0]


async def test_what_the_bus_will_never_take_is_put_aside(world: World) -> None:
    world.subscribed()
    world.publish(b"large")
    bus = Bus()
    bus.error = TooLarge("too large")
    async with world.listening(bus) as source:
        await said(source, "cannot become an event")
        bus.error = None
        world.publish(b"small")
        assert [base64.b64decode(one["body"]) for one in await source.received(1)] == [b"small"]
    assert world.front.counts["Acknowledge"] == 1


async def test_messages_are_held_while_the_bus_is_away(world: World) -> None:
    world.subscribed()
    bus = Bus()
    bus.error = Unavailable("away")
    world.publish(*(b"%d" % number for number in range(100)))
    async with world.listening(bus) as source:
        await said(source, "The bus does not take messages")
        await asyncio.sleep(1)
        assert world.front.counts["Acknowledge"] == 0
        bus.error = None
        await source.received(100)
        assert len(source.bus.ids) == 100  # none came twice
        assert len(await said(source, "takes messages again")) == 1
    assert await world.waiting() == 0


async def test_what_is_received_is_bounded(world: World) -> None:
    world.subscribed()
    world.publish(*(b"%d" % number for number in range(100)))
    bus = Bus()
    bus.open.clear()
    async with world.listening(bus, maxOutstandingMessages=10) as source:
        await until(lambda: bus.waiting == 10)
        await asyncio.sleep(0.5)
        assert bus.waiting == 10
        bus.open.set()
        await source.received(100)


async def test_messages_of_a_key_keep_their_order_over_an_outage(world: World) -> None:
    world.subscribed(enable_message_ordering=True)
    bus = Bus()
    bus.error = Unavailable("away")
    world.publish(*(b"%d" % number for number in range(30)), ordering_key="a")
    async with world.listening(bus) as source:
        await said(source, "The bus does not take messages")
        bus.error = None
        found = [int(base64.b64decode(one["body"])) for one in await source.received(30, 20)]
    assert list(dict.fromkeys(found)) == list(range(30))


async def test_exactly_once_delivery_is_honoured(world: World) -> None:
    world.subscribed(enable_exactly_once_delivery=True)
    ids = world.publish(*(b"%d" % number for number in range(200)))
    async with world.listening() as source:
        await source.received(200)
    assert sorted(source.bus.ids) == sorted(ids)  # each once
    assert await world.waiting() == 0
    assert not [line for line in source.said if "refused" in line]


async def test_a_refused_acknowledgement_is_said_once(world: World) -> None:
    world.subscribed(enable_exactly_once_delivery=True)
    world.front.refuse("Acknowledge", grpc.StatusCode.PERMISSION_DENIED)
    world.publish(b"1", b"2")
    async with world.listening() as source:
        await source.received(2)
        await said(source, "An acknowledgement is refused")
        await asyncio.sleep(0.3)
        assert len([line for line in source.said if "is refused" in line]) == 1


# ---- the subscription


async def test_topic_and_subscription_are_made(world: World) -> None:
    async with world.listening(topic=f"{world.name}-new") as source:
        await until(lambda: source.started)
        found = world.google.subscriber.get_subscription(subscription=world.path)
    assert found.topic == f"projects/{PROJECT}/topics/{world.name}-new"
    assert world.path in world.google.subscriptions()  # kept at the end


async def test_a_topic_of_another_project(world: World) -> None:
    topic = world.google.topic(world.name, "keryx-other")
    async with world.listening(topicProjectID="keryx-other") as source:
        await until(lambda: source.started)
        world.google.publish(topic, b"x")
        await source.received(1)
    assert world.google.subscriber.get_subscription(subscription=world.path).topic == topic


async def test_a_subscription_is_used_without_naming_its_topic(world: World) -> None:
    world.subscribed()
    world.publish(b"x")
    async with world.listening(topic=None) as source:
        await source.received(1)
    assert world.front.counts["GetSubscription"] == 0  # the right to read its description is not needed


async def test_neither_subscription_nor_topic(world: World) -> None:
    async with world.listening(topic=None) as source:
        error = await end_of(source)
    assert isinstance(error, Refused)
    assert error.code == "NOT_FOUND"
    assert source.started == []


async def test_a_subscription_of_another_topic(world: World) -> None:
    world.google.subscription(world.name, world.google.topic(f"{world.name}-b"))
    async with world.listening() as source:
        error = await end_of(source)
    assert f"belongs to projects/{PROJECT}/topics/{world.name}-b" in str(error)


async def test_a_subscription_of_a_deleted_topic(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pub_sub, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(pub_sub, "_PROBE_SECONDS", 0.1)
    world.subscribed()
    async with world.listening() as source:
        await until(lambda: source.started)
        world.google.publisher.delete_topic(topic=world.topic)
        error = await end_of(source)
    assert "is deleted" in str(error)
    assert world.google.subscriber.get_subscription(subscription=world.path).topic == DELETED_TOPIC


@pytest.mark.parametrize("more", [{"deleteSubscriptionOnFinish": True}, {}])
async def test_the_subscription_is_deleted_at_the_end_if_that_is_wanted(world: World, more: dict[str, Any]) -> None:
    async with world.listening(**more) as source:
        await until(lambda: source.started)
    assert (world.path in world.google.subscriptions()) is not bool(more)


async def test_it_is_not_deleted_by_who_has_been_replaced(world: World) -> None:
    class Replaced(PubSubSource):
        async def listen(self, context: SourceContext) -> None:
            await super().listen(replace(context, owns=lambda: False))

    async with world.listening(kind=Replaced, deleteSubscriptionOnFinish=True) as source:
        await until(lambda: source.started)
    assert world.path in world.google.subscriptions()


async def test_a_deleted_subscription_ends_it(world: World) -> None:
    world.subscribed()
    async with world.listening() as source:
        await until(lambda: world.front.counts["StreamingPull"])
        world.google.subscriber.delete_subscription(subscription=world.path)
        error = await end_of(source)
    assert isinstance(error, Refused)
    assert error.code == "NOT_FOUND"


async def test_a_name_that_is_made_up_is_kept_when_the_object_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", world.google.address)
    broker, spec = MemoryBroker(), {"projectID": PROJECT, "topic": world.name}
    before = world.google.subscriptions()
    async with Member(broker).running(pubSub={"ev": spec}):
        await until(lambda: world.google.subscriptions() - before)
    [made] = world.google.subscriptions() - before
    assert (
        made
        == f"projects/{PROJECT}/subscriptions/{pub_sub.made_up('ev', PubSubSource.Spec.parse(spec), PROJECT, PROJECT)}"
    )
    member = Member(broker)
    async with member.running(pubSub={"ev": {**spec, "jsonBody": True, "metadata": {"a": "b"}}}):
        await until(lambda: member.number("event_service_running_total", None))
        assert world.google.subscriptions() - before == {made}


async def test_a_deleted_subscription_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", world.google.address)
    broker, spec = MemoryBroker(), {"projectID": PROJECT, "topic": world.name, "subscriptionID": world.name}
    async with Member(broker).running(pubSub={"ev": spec}):
        await until(lambda: world.path in world.google.subscriptions())
        world.google.subscriber.delete_subscription(subscription=world.path)
        await until(lambda: world.path in world.google.subscriptions())
        world.publish(b"x")
        await until(lambda: events(broker))


# ---- the end


async def test_a_stop_stores_what_is_on_its_way_and_gives_back_the_rest(world: World) -> None:
    world.subscribed()
    world.publish(*(b"%d" % number for number in range(100)))
    bus = Bus()
    bus.open.clear()
    async with world.listening(bus) as source:
        await until(lambda: bus.waiting == 64)
        source.task.cancel()
        await asyncio.sleep(0.3)
        bus.open.set()
        await asyncio.wait({source.task}, timeout=30)
    assert len(bus.stored) == 64
    assert await world.waiting() == 36


async def test_a_stop_does_not_wait_for_a_bus_that_is_away(world: World) -> None:
    world.subscribed()
    world.publish(*(b"%d" % number for number in range(50)))
    bus = Bus()
    bus.error = Unavailable("away")
    async with world.listening(bus) as source:
        await said(source, "The bus does not take messages")
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert await world.waiting() == 50


async def test_a_stop_ends_when_the_bus_never_answers(world: World) -> None:
    world.subscribed()
    world.publish(b"x")
    bus = Bus()
    bus.open.clear()
    async with world.listening(bus):
        await until(lambda: bus.waiting == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert await world.waiting() == 1


async def test_a_stop_while_pubsub_is_away(world: World) -> None:
    world.subscribed()
    async with world.listening() as source:
        await until(lambda: world.front.counts["StreamingPull"])
        world.front.refuse("Acknowledge", grpc.StatusCode.UNAVAILABLE)
        world.publish(b"x")
        await source.received(1)
        world.front.refuse("StreamingPull", grpc.StatusCode.UNAVAILABLE)
        world.front.cut()
        began = time.monotonic()
    assert time.monotonic() - began < 20  # a pod has 30


def _threads() -> Callable[[], set[str]]:
    import threading

    return lambda: {
        thread.name for thread in threading.enumerate() if "Thread-" in thread.name or "pubsub" in thread.name
    }


async def test_no_thread_is_left(world: World) -> None:
    names = _threads()
    world.subscribed()
    before = names()
    async with world.listening() as source:
        await until(lambda: world.front.counts["StreamingPull"])
        assert names() - before
    await until(lambda: not names() - before)
    assert source.task.cancelled()
