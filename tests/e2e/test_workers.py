"""`workers: N` with real processes: one port, one place for metrics and health, and deaths of all kinds."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import nats as nats_py
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy
from support.keryx import (
    Keryx,
    Poster,
    http_sink,
    keryx,
    load,
    pod_environment,
    poster,
    relay,
    run_to_end,
    until,
    webhook,
    write,
)
from support.nats_server import NatsServer
from support.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")
SENT = 'argo_events_events_sent_total{event_name="posted",eventsource_name="hooks",namespace="default"}'
LISTENING = 'argo_events_source_workers{eventsource_name="hooks",namespace="default"}'
DEATHS = 'argo_events_source_worker_deaths_total{eventsource_name="hooks",namespace="default"}'


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


def source(port: int, workers: int, **more: Any) -> dict[str, Any]:
    described = webhook(port, **more)
    described["spec"]["workers"] = workers
    return described


@asynccontextmanager
async def service(
    tmp_path: Path, nats: NatsServer, port: int, workers: int = 2, *, log_level: str = "info", **more: Any
) -> AsyncIterator[Keryx]:
    """`keryx eventsource-service` with workers."""
    described = base64.b64encode(json.dumps(source(port, workers, **more)).encode()).decode()
    environ = pod_environment(nats.url) | {"EVENTSOURCE_OBJECT": described, "LOG_LEVEL": log_level}
    async with keryx(tmp_path, "eventsource-service", environ=environ) as run:
        yield run


def children(run: Keryx) -> list[int]:
    """Processes of which it is the parent, or was."""
    assert run.process is not None
    return [int(pid) for pid in Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def stored(nats: NatsServer) -> list[int]:
    """The numbers of all events on the bus."""
    connection = await nats_py.connect(nats.url)
    try:
        stream = connection.jetstream()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, max_ack_pending=1_000_000)
        reader = await stream.pull_subscribe("default.hooks.posted", stream="default", config=config)
        left, found = (await stream.stream_info("default")).state.messages, []
        while len(found) < left:
            for message in await reader.fetch(min(500, left - len(found)), timeout=5):
                data = json.loads(base64.b64decode(json.loads(message.data)["data_base64"]))
                found.append(data["body"]["number"])
        return found
    finally:
        await connection.close()


async def assert_stored(posts: Poster, nats: NatsServer) -> None:
    lost = set(posts.accepted) - set(await stored(nats))
    assert not lost, f"{len(lost)} of {len(posts.accepted)}: {sorted(lost)[:10]}"


@asynccontextmanager
async def fresh_connections(port: int) -> AsyncIterator[Poster]:
    """A new connection for each post, so that the kernel chooses a worker each time."""
    connector = aiohttp.TCPConnector(limit=32, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Poster(session, port)


# ---- together


async def test_all_workers_answer_on_one_port_and_are_counted_together(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port, 3, log_level="debug") as run, fresh_connections(port) as posts:
        await run.ready()
        assert len(children(run)) == 3
        for number in range(120):
            assert await posts.post(number) == 200
        metrics = await run.metrics()
        assert (metrics[SENT], metrics[LISTENING], metrics[DEATHS]) == (120, 3, 0)
        assert metrics['argo_events_publish_seconds_count{event_name="posted",eventsource_name="hooks",namespace="default"}'] == 120  # fmt: skip  # noqa: E501
        assert metrics['argo_events_event_service_running_total{eventsource_name="hooks",namespace="default"}'] == 1
        shares = [line["worker"] for line in run.said("Succeeded to publish an event")]
        assert sorted(set(shares)) == [1, 2, 3]
        assert min(map(shares.count, (1, 2, 3))) >= 10, "the kernel spreads connections evenly"
        assert sorted(await stored(nats)) == list(range(120))
        assert await run.stop() == 0


async def test_nothing_of_the_plan_is_on_a_command_line_or_in_the_environment_of_workers(
    tmp_path: Path, nats: NatsServer
) -> None:
    port = free_port()
    write(tmp_path / "in/all.yaml", source(port, 2))
    arguments = ("run", tmp_path / "in", "--data", tmp_path / "data", "--metrics-port", "0")
    async with keryx(tmp_path, *arguments) as run:
        await run.ready()
        password = json.loads(next((tmp_path / "data/bus").rglob("server.json")).read_text())["password"]
        for pid in children(run):
            for file in ("cmdline", "environ"):
                assert password.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
        assert password not in run.err
        assert await run.stop() == 0


# ---- deaths


async def test_a_worker_that_is_killed_under_load_comes_back_and_nothing_accepted_is_lost(
    tmp_path: Path, nats: NatsServer, rounds: int
) -> None:
    port = free_port()
    async with service(tmp_path, nats, port) as run, poster(port) as posts, fresh_connections(port) as other:
        await run.ready()
        counted, refused_since, longest = 0.0, None, 0.0
        async with load(posts):
            for _ in range(3 * rounds):
                killed = children(run)[0]
                await until(lambda: len(posts.accepted) > 100)
                os.kill(killed, signal.SIGKILL)
                end = time.monotonic() + 1.5
                while time.monotonic() < end:
                    if await other.post(-1) == 200:
                        refused_since = None
                    else:
                        refused_since = refused_since or time.monotonic()
                        longest = max(longest, time.monotonic() - refused_since)
                    await asyncio.sleep(0.005)
                await until(lambda: len(children(run)) == 2 and killed not in children(run))  # noqa: B023
                metrics = await run.metrics()
                assert metrics[SENT] >= counted, "a counter went down"
                counted = metrics[SENT]
        assert longest < 1, f"refused for {longest:.2f} s"  # another one takes longer to start
        await until_listening(run, 2)
        assert (await run.metrics())[DEATHS] == 3 * rounds
        assert run.said("A worker ended; it is started again")[0]["reason"] == "it was killed by signal 9 (Killed)"
        await assert_stored(posts, nats)
        assert await run.stop() == 0


async def until_listening(run: Keryx, number: int) -> None:
    deadline = time.monotonic() + 60
    while (await run.metrics())[LISTENING] != number:
        assert time.monotonic() < deadline, run.err
        await asyncio.sleep(0.05)


async def readiness(run: Keryx) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{await run.health_port()}/readyz") as answer,
    ):
        return answer.status, await answer.text()


async def test_one_death_is_made_up_for_and_several_in_a_row_show(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port) as run, poster(port) as posts:
        await run.ready()
        worker = children(run)[0]
        for deaths in range(1, 5):
            os.kill(worker, signal.SIGKILL)
            other = next(pid for pid in children(run) if pid != worker)
            await until(lambda: len(children(run)) == 2 and worker not in children(run))  # noqa: B023
            status, text = await readiness(run)
            if deaths < 3:
                assert (status, text) == (200, "ok\n"), deaths
            else:
                assert status == 503
                assert f"it was killed by signal 9 (Killed), {deaths} times in a row" in text or "starting" in text
            assert await posts.post(deaths) in (0, 200)  # 0: a connection of the one that was killed
            worker = next(pid for pid in children(run) if pid != other)
        await run.ready()
        assert await posts.post(9) == 200
        assert await run.stop() == 0


async def test_sigterm_under_load_drains_all_workers(tmp_path: Path, nats: NatsServer, rounds: int) -> None:
    for number in range(2 * rounds):
        port, directory = free_port(), tmp_path / str(number)
        async with service(directory, nats, port) as run, poster(port) as posts:
            await run.ready()
            workers = children(run)
            async with load(posts, again=False):
                await until(lambda: len(posts.accepted) > 150)
                assert await run.stop(8) == 0
            assert not any(map(is_alive, workers))
            await assert_stored(posts, nats)
            assert not run.said("did not end well")


async def test_a_request_that_waits_for_the_bus_is_answered_before_the_end(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port) as run, poster(port) as posts:
        await run.ready()
        assert nats.process is not None
        nats.process.send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(posts.post(number)) for number in range(8)]
        await asyncio.sleep(0.3)
        run.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        nats.process.send_signal(signal.SIGCONT)
        assert [await one for one in waiting] == [200] * 8
        assert await run.ended() == 0
        await assert_stored(posts, nats)


async def test_no_worker_survives_its_supervisor(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port, 3) as run, poster(port) as posts:
        await run.ready()
        workers = children(run)
        async with load(posts, again=False):
            await until(lambda: len(posts.accepted) > 50)
            run.kill()
            await until(lambda: not any(map(is_alive, workers)), 30)
        await assert_stored(posts, nats)
        await (run.start()).ready()  # its ports are free at once
        assert await posts.post(1000000) == 200
        # While they start, too: killed before a worker has listened.
        run.kill()
        run.start()
        await until(lambda: len(children(run)) == 3)
        workers = children(run)
        run.kill()
        await until(lambda: not any(map(is_alive, workers)), 30)


async def test_the_second_signal_ends_all_at_once(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port) as run, poster(port) as posts:
        await run.ready()
        workers = children(run)
        nats.kill()
        waiting = asyncio.create_task(posts.post(1))
        await asyncio.sleep(0.2)
        run.signal(signal.SIGTERM)
        await run.says("Stopping")
        run.signal(signal.SIGINT)
        assert await run.ended(2) == 1
        await until(lambda: not any(map(is_alive, workers)), 3)
        assert await waiting == 0


async def test_a_signal_to_a_worker_drains_it_and_another_takes_its_place(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path, nats, port) as run, poster(port) as posts:
        await run.ready()
        async with load(posts):
            await until(lambda: len(posts.accepted) > 50)
            os.kill(children(run)[0], signal.SIGTERM)
            line = await run.says("A worker ended; it is started again")
            assert line["reason"] == "it ended with status 0"
            await until_listening(run, 2)
        await assert_stored(posts, nats)
        assert await run.stop() == 0


# ---- ports


async def test_a_taken_port_is_one_clear_error_and_served_when_it_is_free(tmp_path: Path, nats: NatsServer) -> None:
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        async with service(tmp_path, nats, port) as run, poster(port) as posts:
            line = await run.says("The workers cannot listen")
            assert f"port {port}, for event hooks/posted, is in use by another process" in line["reason"]
            assert "choose another port" in line["reason"]
            await asyncio.sleep(0.5)
            status, text = await readiness(run)
            assert status == 503
            assert "is in use by another process" in text
            assert len(run.said("in use")) + len(run.said("cannot listen")) == 1
            other.close()
            await run.ready()
            assert await posts.post(1) == 200
            assert await run.stop() == 0


async def test_two_programs_never_share_a_port_unawares(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with service(tmp_path / "one", nats, port) as one, service(tmp_path / "two", nats, port) as two:
        await until(lambda: one.said("cannot listen") or two.said("cannot listen"))
        loser, winner = (one, two) if one.said("cannot listen") else (two, one)
        await winner.ready()
        assert not winner.said("cannot listen")
        assert (await readiness(loser))[0] == 503


# ---- without a cluster


async def test_run_serves_with_workers_and_hands_over_when_their_number_changes(tmp_path: Path) -> None:
    port = free_port()
    async with http_sink() as sink, poster(port) as posts:
        sensor = relay(sink.url, at_least_once=True)
        write(tmp_path / "in/all.yaml", source(port, 2), sensor)
        arguments = ("run", tmp_path / "in", "--data", tmp_path / "data", "--metrics-port", "0", "--watch")
        async with keryx(tmp_path, *arguments) as run:
            await run.ready()
            assert (await run.says("Listening"))["url"] == f"http://localhost:{port}/posted"
            for number in range(20):
                assert await posts.post(number) == 200
            assert (await run.metrics())[SENT] == 20
            for workers in (1, 3):
                write(tmp_path / "in/all.yaml", source(port, workers), sensor)
                await until(lambda: len(run.said("Reloaded")) == (1 if workers == 1 else 2))  # noqa: B023
                await run.ready()
                await posts.post_until_accepted(100 + workers)
            assert (await run.metrics())[SENT] == 22, "what workers counted stays"
            await until(lambda: set(posts.accepted) <= set(sink.numbers), what=lambda: run.err)
            assert await run.stop() == 0


async def test_run_refuses_a_taken_port_and_numbers_that_are_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write(tmp_path / "in/all.yaml", source(port, 2))
        ended = run_to_end("run", tmp_path / "in", "--data", tmp_path / "data")
    assert ended.returncode == 2
    assert ended.stderr.count("cannot listen on") == 1
    write(tmp_path / "in/all.yaml", source(port, 65))
    ended = run_to_end("run", tmp_path / "in", "--check")
    assert ended.returncode == 2
    assert "spec.workers: 65 is not a number of processes (write 1 to 64" in ended.stderr


async def test_a_bus_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    described = base64.b64encode(json.dumps(source(free_port(), 2)).encode()).decode()
    ended = run_to_end("eventsource-service", EVENTSOURCE_OBJECT=described, KERYX_METRICS_PORT="0")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("keryx: invalid event bus: none is configured")
