"""`keryx run --watch`: changed, added, removed and broken files while events come in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.keryx import Keryx, Poster, Sink, exotic, http_sink, keryx, poster, relay, until, webhook, write
from support.nats_server import NatsServer
from support.ports import free_port


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with http_sink() as sink:
        yield sink


@asynccontextmanager
async def watched(tmp_path: Path, port: int) -> AsyncIterator[tuple[Keryx, Poster]]:
    arguments = ("run", tmp_path / "in", "--watch", "--data", tmp_path / "data", "--grace", "5")
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.says("Listening")
        yield run, posts


async def reloads(run: Keryx, count: int, seconds: float = 60) -> None:
    await until(lambda: len(run.said("Reloaded")) >= count, seconds, lambda: run.err)


async def test_files_are_changed_added_and_removed_without_a_restart(tmp_path: Path, sink: Sink) -> None:
    port, second = free_port(), free_port()
    write(tmp_path / "in/source.yaml", webhook(port))
    write(tmp_path / "in/sensor.yaml", relay(sink.url, at_least_once=True))
    async with http_sink() as other, watched(tmp_path, port) as (run, posts):
        assert await posts.post(1) == 200
        await until(lambda: sink.numbers == [1], what=lambda: run.err)
        write(tmp_path / "in/sensor.yaml", relay(other.url, at_least_once=True))
        await reloads(run, 1)
        assert await posts.post(2) == 200
        await until(lambda: other.numbers == [2], what=lambda: run.err)
        write(tmp_path / "in/more.yaml", webhook(second, "hooks2"))
        await reloads(run, 2)
        async with poster(second) as more:
            await more.post_until_accepted(3)
        (tmp_path / "in/source.yaml").unlink()
        await reloads(run, 3)
        assert await posts.post(4) == 0
        assert sink.numbers == [1]
        assert await run.stop() == 0


async def test_a_broken_file_is_reported_and_what_runs_goes_on(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    write(tmp_path / "in/source.yaml", webhook(port))
    file = write(tmp_path / "in/sensor.yaml", relay(sink.url, at_least_once=True))
    good = file.read_text()
    async with watched(tmp_path, port) as (run, posts):
        file.write_text(good.replace("dependencies:", "dependencise:"))
        await run.says("unknown field (did you mean 'dependencies'?)")
        await run.says("what runs goes on")
        assert await posts.post(1) == 200
        await until(lambda: sink.numbers == [1], what=lambda: run.err)
        file.write_text("{")
        await until(lambda: len(run.said("what runs goes on")) == 2, what=lambda: run.err)
        (tmp_path / "in").rename(tmp_path / "away")
        await until(lambda: len(run.said("what runs goes on")) == 3, what=lambda: run.err)
        assert await posts.post(2) == 200
        (tmp_path / "away").rename(tmp_path / "in")
        file.write_text(good)
        await reloads(run, 1)
        assert await posts.post(3) == 200
        await until(lambda: sink.numbers == [1, 2, 3], what=lambda: run.err)
        assert len(run.said("what runs goes on")) == 3
        assert await run.stop() == 0


async def test_a_reload_waits_neither_for_a_bus_that_is_away_nor_for_a_slow_action(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    server = NatsServer(tmp_path / "nats")
    await server.start()
    write(tmp_path / "in/all.yaml", webhook(port), exotic(server.url))
    write(tmp_path / "in/sensor.yaml", relay(sink.url, at_least_once=True))
    try:
        async with watched(tmp_path, port) as (run, posts):
            sink.hold = True
            await posts.post_until_accepted(1)
            await until(lambda: sink.bodies)
            server.kill()
            await run.says("Lost the bus")
            write(tmp_path / "in/sensor.yaml", relay(sink.url, at_least_once=True, policy={"status": {"allow": [200]}}))
            await reloads(run, 1, 25)
            sink.release()
            await server.start()
            await posts.post_until_accepted(2)
            await until(lambda: 2 in sink.numbers, what=lambda: run.err)
            assert await run.stop() == 0
    finally:
        server.kill()


async def test_the_bus_itself_can_be_changed(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    server = NatsServer(tmp_path / "nats")
    await server.start()
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True))
    try:
        async with watched(tmp_path, port) as (run, posts):
            await posts.post_until_accepted(1)
            await until(lambda: sink.numbers == [1], what=lambda: run.err)
            write(tmp_path / "in/bus.yaml", exotic(server.url))
            await reloads(run, 1)
            await posts.post_until_accepted(2)
            await until(lambda: sink.numbers == [1, 2], what=lambda: run.err)
            (tmp_path / "in/bus.yaml").unlink()
            await reloads(run, 2)
            await posts.post_until_accepted(3)
            await until(lambda: sink.numbers == [1, 2, 3], what=lambda: run.err)
            assert await run.stop() == 0
    finally:
        server.kill()
