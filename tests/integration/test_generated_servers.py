"""What the controller writes, read by real nats-servers: encrypted, reloaded, and three as a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.nats_server import free_port
from support.role_buses import NAMESPACE, GeneratedServer, access

from eventbus.jetstream import api
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Link
from eventbus.jetstream.streams import StreamConfig
from events.errors import Unavailable
from events.event import Event
from events.logs import Log

SECRET = b'{"card": "4111-1111-1111-1111"}'
EVENT = Event(id="1", source="hooks", type="webhook", subject="orders", data=SECRET, time="2026-01-01T00:00:00Z")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GeneratedServer]:
    made = GeneratedServer(tmp_path / "server")
    yield made
    made.kill()


def bus_of(server: GeneratedServer, role: Any = None, **options: Any) -> JetStreamBus:
    def reach() -> Any:
        return access(role, server.url, server.directory / "mounted", server.replicas)

    return JetStreamBus(reach, NAMESPACE, name="test", log=Log("test"), role=role, publish_seconds=20, **options)


async def stored(server: GeneratedServer) -> int | None:
    """How many events a server finds in its store; None: no stream."""
    await server.start()
    link = await Link.open(access(None, server.url, server.directory / "mounted"), "test")
    try:
        return int((await api.call(link, "STREAM.INFO.default"))["state"]["messages"])
    except api.ApiError as error:
        if error.code != api.STREAM_NOT_FOUND:
            raise
        return None
    finally:
        await link.aclose()
        server.stop()


async def published(server: GeneratedServer) -> None:
    await server.start()
    bus = bus_of(server)
    await bus.start()
    await bus.publish(EVENT)
    await bus.aclose()
    server.stop()


async def test_what_is_stored_is_encrypted_with_the_key_of_the_secret(server: GeneratedServer) -> None:
    await published(server)
    files = [path.read_bytes() for path in server.store.rglob("*") if path.is_file()]
    assert files
    assert not any(b"4111" in data or b"hooks" in data for data in files)
    assert await stored(server) == 1
    server.key = "k" + "x" * 31
    assert await stored(server) is None, "with another key there is nothing to be read"


async def test_what_argo_events_stored_is_read_with_the_text_that_it_took_for_the_key(server: GeneratedServer) -> None:
    write = server.write

    def as_upstream() -> Path:
        path = write()
        path.write_text(path.read_text().replace("key: $JS_KEY", 'key: "$JS_KEY"'))
        return path

    server.write = as_upstream  # type: ignore[method-assign]
    await published(server)
    server.key = "whatever"
    assert await stored(server) == 1


async def test_changed_users_hold_without_a_restart(server: GeneratedServer) -> None:
    await server.start()
    found = access("source", server.url, server.directory / "mounted")
    link = await Link.open(found, "test")
    auth = server.directory / "auth.conf"
    auth.write_text(auth.read_text().replace(found.password, "anotherPassword"))
    server.reload()
    async with asyncio.timeout(60):
        await link.closed
    with pytest.raises(Unavailable):
        await Link.open(found, "test")
    newer = await Link.open(type(found)(found.url, found.user, "anotherPassword", "", found.tls), "test")
    await newer.aclose()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[GeneratedServer]]:
    ports = tuple(free_port() for _ in range(3))
    servers = [GeneratedServer(tmp_path / f"server-{index}", index, 3, ports) for index in range(3)]
    await asyncio.gather(*(server.start() for server in servers))
    yield servers
    for server in servers:
        server.kill()


async def health(server: GeneratedServer) -> str:
    """What the readiness probe is told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return str(orjson.loads(answer.partition(b"\r\n\r\n")[2])["status"])


async def test_three_servers_are_a_cluster_that_survives_one(cluster: list[GeneratedServer]) -> None:
    async with asyncio.timeout(90):
        while [await health(server) for server in cluster] != ["ok"] * 3:
            await asyncio.sleep(0.1)
        stream = StreamConfig(replicas=3)
        bus = bus_of(cluster[0], "source", stream=stream)
        await bus.start()
        await patient(bus, EVENT)
        link = await Link.open(access(None, cluster[1].url, cluster[1].directory / "mounted", 3), "test")
        info = await api.call(link, "STREAM.INFO.default")
        assert info["config"]["num_replicas"] == 3
        assert len(info["cluster"]["replicas"]) == 2
        await bus.aclose()
        cluster[0].kill()
        survivor = bus_of(cluster[1], "source", stream=stream)
        await survivor.start()
        await patient(survivor, Event(id="2", source="hooks", type="webhook", subject="orders", data=b"{}"))
        assert int((await api.call(link, "STREAM.INFO.default"))["state"]["messages"]) == 2
        await survivor.aclose()
        await link.aclose()


async def patient(bus: JetStreamBus, event: Event) -> None:
    """Publish once the cluster has a leader for the stream."""
    while True:
        try:
            await bus.publish(event)
        except (Unavailable, api.ApiError):
            await asyncio.sleep(0.2)
        else:
            return
