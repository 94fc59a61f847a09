"""A link to a nats-server that dies, or was never there; a connection that is closed while it is made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.nats_server import NatsServer
from support.ports import free_port

from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access, Link
from events.errors import Unavailable
from events.logs import Log


async def test_a_link_is_over_also_when_its_client_fails_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = NatsServer(tmp_path)
    await server.start()
    link = await Link.open(Access(server.url), "test")

    async def broken(*_: Any) -> NoReturn:
        raise RuntimeError("the handler is closed")  # what uvloop says of a dead transport

    monkeypatch.setattr(link._client, "_close", broken)
    waiting = asyncio.create_task(link.request("nobody", b"", 20))
    await asyncio.sleep(0)
    server.kill()
    async with asyncio.timeout(30):
        assert "connection lost" in await link.closed
        with pytest.raises(Unavailable):
            await waiting
    monkeypatch.undo()
    await link.aclose()


async def test_a_server_that_is_not_there_is_said_at_once_and_why() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="Connect call failed"):
            await Link.open(Access(f"nats://127.0.0.1:{free_port()}"), "test")


async def test_a_stop_at_any_moment_of_connecting_ends_at_once(tmp_path: Path) -> None:
    """Python 3.11's `wait_for`, which nats-py connects with, loses a cancellation in some of them."""
    server = NatsServer(tmp_path)
    await server.start()
    for moment in range(40):
        bus = JetStreamBus(lambda: Access(server.url), "test", name="test", log=Log("test"))
        await bus.start()
        for _ in range(moment):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await bus.aclose()
        assert not bus.health.connected
    server.kill()
