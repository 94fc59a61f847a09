"""The pubSub source without rights, with revoked keys, throttled, cut off, alone. Contract: eventsources 3.9."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from support.event_sources import until
from support.pubsub import PROJECT, Emulator, emulator
from support.pubsub_front import ServiceAccount, front
from support.pubsub_world import World, end_of, said
from support.sources import write_secret

from events.errors import CredentialError
from eventsources.pubsub_client import Refused
from eventsources.sources import pub_sub


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


# ---- credentials, rights, bad days


@pytest.mark.parametrize(
    ("text", "what"), [("{", "is not JSON"), ('{"type":"authorized_user"}', "'authorized_user'"), ("[]", "'list'")]
)
async def test_a_secret_that_is_no_key_of_a_service_account(world: World, text: str, what: str) -> None:
    write_secret(world.root, "key", text, "gcp")
    async with world.listening() as source:
        error = await end_of(source)
    assert isinstance(error, CredentialError)
    assert what in str(error)


async def test_a_right_that_is_missing(world: World) -> None:
    world.subscribed()
    world.front.may_consume = False
    async with world.listening() as source:
        error = await end_of(source)
    assert "pubsub.subscriptions.consume is not permitted" in str(error)


async def test_a_revoked_key_ends_it_and_another_one_is_used(world: World) -> None:
    world.subscribed()
    bob = ServiceAccount("bob", PROJECT)
    world.front.accept(bob)
    async with world.listening() as source:
        error = await end_of(source)
        assert isinstance(error, Refused)
        assert error.code == "UNAUTHENTICATED"
    write_secret(world.root, "key", bob.json, "gcp")
    world.publish(b"x")
    async with world.listening() as source:
        await source.received(1)


async def test_a_key_revoked_while_it_listens(world: World) -> None:
    world.subscribed()
    async with world.listening() as source:
        await until(lambda: world.front.counts["StreamingPull"])
        world.front.accept()
        world.front.cut()
        error = await end_of(source)
    assert isinstance(error, Refused)
    assert error.code == "UNAUTHENTICATED"


async def test_a_rotated_key_is_used_without_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pub_sub, "_LOOK_SECONDS", 0.05)
    world.subscribed()
    bob = ServiceAccount("bob", PROJECT)
    async with world.listening() as source:
        world.publish(b"1")
        await source.received(1)
        world.front.keys[bob.id] = bob.public
        write_secret(world.root, "key", bob.json, "gcp")
        await until(lambda: "bob" in str(world.front.users))
        world.front.accept(bob)
        world.publish(b"2")
        await source.received(2)
        assert len(await said(source, "The key is another one")) == 1


async def test_throttling_is_waited_for(world: World) -> None:
    world.subscribed()
    world.publish(b"x")
    world.front.refuse("StreamingPull", grpc.StatusCode.RESOURCE_EXHAUSTED)
    async with world.listening() as source:
        await until(lambda: world.front.counts["StreamingPull"] >= 2)
        await asyncio.sleep(0.5)
        assert world.front.counts["StreamingPull"] < 20  # no hot loop
        del world.front.refusals["StreamingPull"]
        await source.received(1, 90)  # the SDK waits up to a minute before it tries again
    assert source.started == ["ev"]


async def test_a_stream_that_is_cut_is_opened_again(world: World) -> None:
    # Not whether messages arrive then: the emulator goes on to hand them to the stream that is gone.
    world.subscribed()
    async with world.listening() as source:
        for number in range(1, 4):
            await until(lambda number=number: world.front.counts["StreamingPull"] == number)
            world.front.cut()
        await until(lambda: world.front.counts["StreamingPull"] == 4)
        assert not source.task.done()
    assert source.started == ["ev"]


async def test_that_pubsub_is_away_is_said_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pub_sub, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(pub_sub, "_PROBE_SECONDS", 0.1)
    world.subscribed()
    async with world.listening() as source:
        await until(lambda: source.started)
        world.front.refuse("TestIamPermissions", grpc.StatusCode.UNAVAILABLE)
        before = world.front.counts["TestIamPermissions"]
        await until(lambda: world.front.counts["TestIamPermissions"] > before + 4)
        world.front.refusals.clear()
        assert len(await said(source, "Pub/Sub answers again")) == 1
        assert len([line for line in source.said if "does not answer" in line]) == 1
