"""What the users of a bus that the controller makes cannot do, on a real nats-server with the generated files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from support.role_buses import NAMESPACE, RoleWorld, access

from eventbus import roles, subjects
from eventbus.base import Start, Subscription
from eventbus.dead_letters import REDRIVE_SOURCE
from eventbus.jetstream import api
from eventbus.jetstream.link import Link
from eventbus.roles import Role
from events.errors import Unavailable
from events.event import Event

TOPIC = ("hooks", "orders")
EVENT = Event(id="1", source="hooks", type="webhook", subject="orders", data=b"{}", time="2026-01-01T00:00:00Z")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RoleWorld]:
    """A bus with one event, state of both roles, a dead-letter stream and a consumer."""
    made = RoleWorld(tmp_path, "sensor")
    source, sensor = await made.part("source"), await made.part("sensor")
    await source.publish(EVENT)
    for part in (source, sensor):
        await (await part.state("state")).put("key", b"secret")
        await part.state("leases")
    await sensor.dead_letters()
    yield made
    await made.close()


class Client:
    """A bare connection of a user, that hears what the server refuses."""

    def __init__(self, world: RoleWorld, role: Role | None) -> None:
        self.world, self.role, self.refused = world, role, asyncio.Queue[str]()
        self.count = 0

    async def __aenter__(self) -> Client:
        found = access(self.role, self.world.server.url, self.world.server.directory / "mounted")

        async def note(error: Exception) -> None:
            self.refused.put_nowait(str(error))

        inbox = roles.inbox(found.user)
        self.nats = await nats.connect(
            found.url, user=found.user, password=found.password, tls=found.tls, error_cb=note, inbox_prefix=inbox
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.nats.close()

    async def is_refused(self, subject: str, payload: bytes = b"{}") -> bool:
        """Whether the server says no to a message."""
        await self.nats.publish(subject, payload)
        return await self._heard(subject)

    async def is_deaf(self, subject: str) -> bool:
        """Whether the server says no to a subscription."""
        await self.nats.subscribe(subject)
        return await self._heard(subject)

    async def _heard(self, subject: str) -> bool:
        """Whether this was refused before something that certainly is."""
        self.count += 1
        last, found = f"never.{self.count}", False
        await self.nats.publish(last, b"")
        async with asyncio.timeout(60):
            while last not in (said := (await self.refused.get()).lower()):
                found = found or ("permissions violation" in said and f'"{subject.lower()}"' in said)
        return found


STATE, LEASES = (subjects.bucket(NAMESPACE, name) for name in ("state", "leases"))
LETTERS = subjects.bucket(NAMESPACE, "dead-letters")


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.MSG.GET.default",
        "$JS.API.DIRECT.GET.default.default.hooks.orders",
        "$JS.API.CONSUMER.CREATE.default.mine",
        "$JS.API.CONSUMER.DURABLE.CREATE.default.mine",
        "$JS.API.CONSUMER.MSG.NEXT.default.mine",
        "$JS.API.CONSUMER.DELETE.default.mine",
        "$JS.API.STREAM.DELETE.default",
        "$JS.API.STREAM.PURGE.default",
        "$JS.API.STREAM.UPDATE.default",
        "$JS.API.STREAM.MSG.DELETE.default",
        "$JS.API.STREAM.SNAPSHOT.default",
        "$JS.ACK.default.mine.1.1.1.0.0",
        f"$JS.API.STREAM.MSG.GET.KV_{STATE}",
        f"$JS.API.STREAM.PURGE.KV_{STATE}",
        f"$JS.API.STREAM.PURGE.KV_{LEASES}",
        f"$KV.{STATE}.key",
        f"$KV.{LEASES}.key",
        f"{LETTERS}.head.a.b.c",
        f"$JS.API.STREAM.MSG.GET.{LETTERS}",
        f"default.{REDRIVE_SOURCE}.a=-b",
        "anything.else",
    ],
)
async def test_a_source_cannot(world: RoleWorld, subject: str) -> None:
    async with Client(world, "source") as client:
        assert await client.is_refused(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "default.hooks.orders",
        "default.other.thing",
        "$JS.API.STREAM.DELETE.default",
        "$JS.API.STREAM.PURGE.default",
        "$JS.API.STREAM.UPDATE.default",
        "$JS.API.STREAM.MSG.DELETE.default",
        f"$JS.API.STREAM.DELETE.KV_{STATE}",
        f"$JS.API.STREAM.MSG.GET.KV_{subjects.bucket(NAMESPACE, 'source-state')}",
        f"$JS.API.STREAM.PURGE.KV_{subjects.bucket(NAMESPACE, 'source-state')}",
        f"$KV.{subjects.bucket(NAMESPACE, 'source-state')}.key",
        f"$KV.{subjects.bucket(NAMESPACE, 'source-leases')}.key",
        "anything.else",
    ],
)
async def test_a_sensor_cannot(world: RoleWorld, subject: str) -> None:
    async with Client(world, "sensor") as client:
        assert await client.is_refused(subject)


@pytest.mark.parametrize(("role", "other"), [("source", "sensor"), ("sensor", "source")])
async def test_nobody_listens_to_events_or_to_the_answers_of_others(world: RoleWorld, role: Role, other: str) -> None:
    async with Client(world, role) as client:
        for subject in (">", "default.>", "_INBOX.>", f"_INBOX.{other}.>", "$JS.>", "$KV.>", "$SYS.>"):
            assert await client.is_deaf(subject), subject
        assert not await client.is_deaf(f"_INBOX.{role}.mine.*")


async def test_nothing_of_what_was_refused_happened(world: RoleWorld) -> None:
    sensor = await world.part("sensor")
    async with Client(world, "source") as client:
        for subject in ("$JS.API.STREAM.DELETE.default", "$JS.API.STREAM.PURGE.default", f"$KV.{STATE}.key"):
            await client.is_refused(subject)
    entry = await (await sensor.state("state")).get("key")
    assert entry is not None
    assert entry.value == b"secret"
    async with sensor.subscribe(Subscription("line", [TOPIC], Start.FIRST)) as deliveries, asyncio.timeout(60):
        (delivery,) = await deliveries.next_batch(1)
    assert delivery.event == EVENT


async def test_a_sensor_sends_a_dead_letter_again(world: RoleWorld) -> None:
    sensor = await world.part("sensor")
    stored = await sensor.publish(Event(id="r", source=REDRIVE_SOURCE, type="redrive", subject="s=-t", data=b"{}"))
    assert stored.sequence == 2


async def test_the_full_user_is_as_free_as_before(world: RoleWorld) -> None:
    async with Client(world, None) as client:
        heard = await client.nats.subscribe("default.>")
        assert (await client.nats.request("default.hooks.orders", b"{}", timeout=10)).data
        assert (await heard.next_msg(timeout=10)).subject == "default.hooks.orders"
        for verb in ("CONSUMER.LIST", "STREAM.PURGE", "STREAM.DELETE"):
            assert b"error" not in (await client.nats.request(f"$JS.API.{verb}.default", b"", timeout=10)).data
        assert client.refused.empty()


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_nobody_gets_in_without_a_password(world: RoleWorld, password: str) -> None:
    found = access("sensor", world.server.url, world.server.directory / "mounted")
    with pytest.raises(Unavailable):
        await Link.open(type(found)(found.url, found.user, password, "", found.tls), "test")


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(world: RoleWorld, tmp_path: Path) -> None:
    from support.certificates import make_certificate

    found = access("sensor", world.server.url, world.server.directory / "mounted")
    key, cert = make_certificate("localhost")
    world.server.stop()
    world.server.write()
    start: Any = world.server.write
    world.server.write = lambda: _with(start(), key, cert)  # type: ignore[method-assign]
    await world.server.start()
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        await Link.open(found, "test")


def _with(config: Path, key: bytes, cert: bytes) -> Path:
    (config.parent / "server-key.pem").write_bytes(key)
    (config.parent / "server-cert.pem").write_bytes(cert)
    return config


async def test_a_bucket_that_is_missing_is_made_by_who_needs_it(tmp_path: Path) -> None:
    world = RoleWorld(tmp_path, "source")
    try:
        source = await world.part("source")
        link = await source._connection.link()
        for name in ("state", "leases"):
            await source.state(name)
            info = await api.call(link, f"STREAM.INFO.KV_{subjects.bucket(NAMESPACE, f'source-{name}')}")
            assert info["config"]["max_msgs_per_subject"] == 1
    finally:
        await world.close()
