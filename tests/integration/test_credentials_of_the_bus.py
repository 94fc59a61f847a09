"""Bus credentials that are rotated while everything runs: a real nats-server with two users."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.nats_server import NatsServer

from eventbus.base import Start, Subscription
from eventbus.jetstream import connection
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from events.errors import CredentialError
from events.event import Event
from events.logs import Log

USERS = 'authorization { users: [ {user: "old", password: "one"}, {user: "new", password: "two"} ] }\n'


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NatsServer]:
    monkeypatch.setattr(connection, "_LOOK_SECONDS", 0.05)
    made = NatsServer(tmp_path, USERS)
    await made.start()
    yield made
    made.kill()


def event(number: int) -> Event:
    return Event(id=str(number), source="hooks", type="webhook", subject="orders", data=b"{}")


async def test_rotated_credentials_are_used_without_a_gap(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    user = ("old", "one")
    bus = JetStreamBus(lambda: Access(server.url, *user), "test", name="test", log=Log("test"))
    await bus.start()
    taken: list[str] = []
    async with bus.subscribe(Subscription("r", [("hooks", "orders")], Start.NEW)) as deliveries:
        first = await bus._connection.link()
        user = ("new", "two")
        for number in range(400):
            await bus.publish(event(number))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            while len(taken) < 400:
                taken += [one.event.id for one in await deliveries.next_batch() if one.event is not None]
    assert taken == [str(number) for number in range(400)]
    second = await bus._connection.link()
    assert (first.access.user, second.access.user) == ("old", "new")
    assert first.closed.done()
    assert [one.message for one in caplog.records if "new credentials" in one.message] == [
        "Connected to the bus with new credentials"
    ]
    await bus.aclose()


async def test_credentials_that_do_not_work_yet_are_said_once_and_the_old_ones_serve_on(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    user, is_missing = ("old", "one"), False

    def access() -> Access:
        if is_missing:
            raise CredentialError("no such file")
        return Access(server.url, *user)

    bus = JetStreamBus(access, "test", name="test", log=Log("test"))
    await bus.start()
    await bus.publish(event(0))
    user = ("new", "wrong")
    await asyncio.sleep(1)
    await bus.publish(event(1))
    is_missing = True
    await asyncio.sleep(0.3)
    await bus.publish(event(2))
    said = [one for one in caplog.records if "do not work yet" in one.message]
    assert len(said) == 2
    is_missing, user = False, ("new", "two")
    async with asyncio.timeout(30):
        while (await bus._connection.link()).access.user != "new":
            await asyncio.sleep(0.02)
    await bus.publish(event(3))
    await bus.aclose()
