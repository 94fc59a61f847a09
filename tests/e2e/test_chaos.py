"""Promises under kill -9, signals, dead brokers and poison: what was accepted is acted on, and nobody has to help.

`--soak` multiplies the rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.keryx import (
    Keryx,
    Poster,
    Sink,
    exotic,
    http_sink,
    keryx,
    load,
    pod_environment,
    poster,
    relay,
    until,
    webhook,
    write,
)
from support.nats_server import NatsServer
from support.ports import free_port

REPEATS = 100
"""Two windows of 32 firings that a crash may repeat, and what its senders tried again."""
RESUME_SECONDS = 10.0
"""P3: within this long after the bus is back, events are accepted and acted on again."""


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with http_sink() as sink:
        yield sink


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


def command(tmp_path: Path, *documents: dict[str, Any], grace: float = 5) -> tuple[Path | str, ...]:
    """The arguments of a `keryx run` on these objects."""
    write(tmp_path / "in/all.yaml", *documents)
    return ("run", tmp_path / "in", "--data", tmp_path / "data", "--metrics-port", "0", "--grace", str(grace))


async def all_acted_on(accepted: list[int], sink: Sink, run: Keryx, seconds: float = 60) -> None:
    await until(
        lambda: set(accepted) <= set(sink.numbers),
        seconds,
        lambda: f"lost: {sorted(set(accepted) - set(sink.numbers))[:20]} of {len(accepted)}\n{run.err[-3000:]}",
    )


# ---- the process dies


async def test_an_action_without_an_answer_happens_again_after_a_kill_in_order(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=True))
    sink.hold = True
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        for number in range(20):
            assert await posts.post(number) == 200
        await until(lambda: sink.numbers == [0])
        run.kill()
        sink.closes = True
        sink.release()
        sink.closes = False
        await (run.start()).ready()
        await all_acted_on(posts.accepted, sink, run)
        assert sink.numbers == [0, *range(20)]
        assert await run.stop() == 0


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_moment(
    tmp_path: Path, sink: Sink, rounds: int
) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=True))
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        async with load(posts):
            for _ in range(3 * rounds):
                reached = len(posts.accepted) + 250
                await until(lambda count=reached: len(posts.accepted) >= count, what=lambda: run.err)
                await asyncio.sleep(random.random() * 0.3)
                run.kill()
                run.start()
            reached = max(1000, len(posts.accepted) + 250)
            await until(lambda: len(posts.accepted) >= reached, what=lambda: run.err)
        assert len(posts.accepted) >= 1000
        await all_acted_on(posts.accepted, sink, run)
        repeats = len(sink.numbers) - len(set(sink.numbers))
        assert repeats <= 3 * rounds * REPEATS, "a crash repeats what was not remembered yet, and no more"
        assert await run.stop() == 0


async def test_at_most_once_acts_on_nothing_twice_and_reports_what_was_interrupted(
    tmp_path: Path, sink: Sink, rounds: int
) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=False))
    sink.seconds = 0.02
    interrupted = 0
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        async with load(posts, again=False):
            for _ in range(3 * rounds):
                reached = len(posts.accepted) + 150
                await until(lambda count=reached: len(posts.accepted) >= count, what=lambda: run.err)
                interrupted += sum(line["count"] for line in run.said("Firings were interrupted"))
                run.kill()
                await (run.start()).ready()
        await posts.post_until_accepted(1_000_000)
        await until(lambda: 1_000_000 in sink.numbers, what=lambda: run.err)
        interrupted += sum(line["count"] for line in run.said("Firings were interrupted"))
        twice = [number for number, count in Counter(sink.numbers).items() if count > 1]
        assert not twice
        await until(
            lambda: len(set(posts.accepted) - set(sink.numbers)) <= interrupted,
            what=lambda: f"not acted on: {set(posts.accepted) - set(sink.numbers)}, reported: {interrupted}",
        )
        assert await run.stop() == 0


# ---- the broker dies


async def test_it_outlives_its_broker_without_help_noise_or_loss(
    tmp_path: Path, sink: Sink, nats: NatsServer, rounds: int
) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=True), exotic(nats.url))
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        assert run.process is not None
        first = run.process.pid
        async with load(posts):
            for away in [0.3, 2.0, 4.5] * rounds:
                await asyncio.sleep(0.3)
                nats.kill()
                await asyncio.sleep(away)
                await nats.start()
                await _resumes(posts, sink, run, f"{away} s away")
        await all_acted_on(posts.accepted, sink, run)
        assert (run.is_running, run.process.pid) == (True, first)
        assert run.count < 100 * rounds, run.err
        assert await run.stop() == 0


def interrupted(run: Keryx) -> int:
    """Firings that were reported, and not repeated, so far."""
    return sum(line["count"] for line in run.said("Firings were interrupted"))


@pytest.mark.parametrize("at_least_once", [True, False])
async def test_it_outlives_the_loss_of_all_data(
    tmp_path: Path, sink: Sink, nats: NatsServer, at_least_once: bool
) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=at_least_once), exotic(nats.url))
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        async with load(posts, again=at_least_once):
            await until(lambda: len(sink.bodies) > 50)
            nats.kill()
            nats.wipe()
            # What is in flight now can still be answered with what was stored before.
            await asyncio.sleep(0.2)
            lost = set(posts.accepted)
            await nats.start()
            await _resumes(posts, sink, run, "wiped")
            await asyncio.sleep(0.5)
        after = {one for one in posts.accepted if one not in lost}
        if at_least_once:
            await all_acted_on(sorted(after), sink, run)
        else:
            # What was claimed when the session went with the data is reported, not repeated.
            await until(lambda: len(after - set(sink.numbers)) <= interrupted(run), what=lambda: run.err)
            assert max(Counter(sink.numbers).values()) == 1
        assert run.count < 50, run.err
        assert await run.stop() == 0


async def test_the_embedded_server_comes_back_by_itself(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=True))
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        async with load(posts):
            for _ in range(2):
                await asyncio.sleep(0.3)
                pid = int((tmp_path / "data/bus/default/default/nats-server.pid").read_text())
                os.kill(pid, signal.SIGKILL)
                await run.says("Lost the bus")
                await _resumes(posts, sink, run, "embedded")
        await all_acted_on(posts.accepted, sink, run)
        assert run.count < 40, run.err
        assert await run.stop() == 0


async def _resumes(posts: Poster, sink: Sink, run: Keryx, what: str) -> None:
    """Events that are posted from now on are accepted and acted on, soon."""
    began = time.monotonic()
    await until(lambda: posts.times and posts.times[-1] > began, RESUME_SECONDS, lambda: run.err)
    accepted, number = time.monotonic() - began, posts.accepted[-1]
    await until(lambda: number in sink.numbers, RESUME_SECONDS, lambda: run.err)
    acted = time.monotonic() - began
    print(f"{what}: accepts after {accepted:.2f} s, acts after {acted:.2f} s")
    assert acted < RESUME_SECONDS


# ---- signals


async def test_a_running_action_ends_before_the_process_does(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=True), grace=10)
    sink.seconds = 1.0
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        await posts.post(1)
        await until(lambda: sink.bodies)
        assert await run.stop(8) == 0
        assert [body["number"] for body in sink.answered] == [1]
        sink.seconds = 0
        await (run.start()).ready()
        await posts.post(2)
        await until(lambda: 2 in sink.numbers)
        assert sink.numbers == [1, 2]


@pytest.mark.parametrize("at_least_once", [True, False])
async def test_an_action_that_outlives_the_grace_is_repeated_or_reported(
    tmp_path: Path, sink: Sink, at_least_once: bool
) -> None:
    port = free_port()
    arguments = command(tmp_path, webhook(port), relay(sink.url, at_least_once=at_least_once), grace=1)
    sink.hold = True
    async with keryx(tmp_path, *arguments) as run, poster(port) as posts:
        await run.ready()
        await posts.post(1)
        await until(lambda: sink.bodies)
        assert await run.stop(6) == 0
        said = run.said("interrupted")
        sink.release()
        await (run.start()).ready()
        await posts.post(2)
        await until(lambda: 2 in sink.numbers)
        assert sink.numbers == ([1, 1, 2] if at_least_once else [1, 2])
        assert bool(said or run.said("interrupted")) is not at_least_once


# ---- two replicas


async def test_the_second_replica_takes_over(tmp_path: Path, sink: Sink, nats: NatsServer) -> None:
    sensor = relay(sink.url, at_least_once=True)
    write(tmp_path / "sensor.yaml", sensor)
    port = free_port()
    environ = pod_environment(nats.url)
    services = [
        Keryx(tmp_path / f"replica{number}", "sensor-service", "--object", tmp_path / "sensor.yaml", environ=environ)
        for number in range(2)
    ]
    write(tmp_path / "source.yaml", webhook(port))
    async with (
        keryx(tmp_path, "eventsource-service", "--object", tmp_path / "source.yaml", environ=environ) as source,
        poster(port) as posts,
    ):
        try:
            await source.ready()
            first, second = services
            await (first.start()).ready()
            await (second.start()).ready()
            assert second.said("Not the LEADER")
            async with load(posts, workers=1):
                await until(lambda: len(sink.numbers) > 20)
                first.kill()
                await _takes_over(sink, "killed", 5.5)
                await (first.start()).ready()
                await until(lambda: first.said("Not the LEADER"))
                second.signal(signal.SIGTERM)
                await _takes_over(sink, "terminated", 1.5)
                assert await second.ended() == 0
            await all_acted_on(posts.accepted, sink, first)
            assert sink.numbers == sorted(sink.numbers)
        finally:
            for service in services:
                service.close()


async def _takes_over(sink: Sink, what: str, seconds: float) -> None:
    """The pause between two hits, in which the owner changed."""
    began, count = time.monotonic(), len(sink.times)
    await until(lambda: len(sink.times) > count + 50, seconds + 5)
    pause = max(later - earlier for earlier, later in itertools.pairwise([began, *sink.times[count:]]))
    print(f"{what}: the other acts after {pause:.2f} s")
    assert pause < seconds
