"""`keryx dlq` as a user runs it, beside a `keryx run` whose target refuses, and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.keryx import (
    Sink,
    exotic,
    http_sink,
    keryx,
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

from eventbus.dead_letters import DeadLetter
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from events.event import Event
from events.logs import Log


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with http_sink() as sink:
        yield sink


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


def refusable(url: str) -> dict[str, Any]:
    """A sensor that gives up after two attempts unless it is told 200."""
    sensor: dict[str, Any] = relay(url, at_least_once=True)
    sensor["spec"]["triggers"][0] |= {
        "retryStrategy": {"steps": 2, "duration": "10ms"},
        "policy": {"status": {"allow": [200]}},
    }
    return sensor


def letter(identity: str, **changes: Any) -> DeadLetter:
    event = Event(id=f"e{identity}", source="hooks", type="webhook", subject="posted", data=b'{"body":{"number":7}}')
    one = DeadLetter(
        id=identity,
        namespace="default",
        sensor="relay",
        trigger="tell",
        reason="action",
        detail="refused",
        failed_at=datetime.now(UTC),
        firing_id=f"f{identity}",
        events={"posted": event},
        sequences={"posted": 1},
    )
    return replace(one, **changes)


async def add(url: str, *letters: DeadLetter) -> None:
    bus = JetStreamBus(lambda: Access(url), "default", name="test", log=Log("test"))
    await bus.start()
    store = await bus.dead_letters()
    for one in letters:
        await store.add(one)
    await bus.aclose()


class Dlq:
    """The command, always on one bus."""

    def __init__(self, *options: str | Path, **environ: str) -> None:
        self._options, self._environ = options, environ

    def __call__(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """stdout and stderr."""
        ended = run_to_end("dlq", *arguments, *self._options, **self._environ)
        assert ended.returncode == code, ended
        assert "Traceback" not in ended.stderr
        return ended.stdout, ended.stderr

    def letters(self, *arguments: str) -> list[Any]:
        return list(json.loads(self("list", "-o", "json", *arguments)[0]))


async def test_a_refused_firing_is_listed_shown_redriven_and_gone_once_it_succeeds(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    sink.status = 500
    files = write(tmp_path / "in" / "all.yaml", webhook(port), refusable(sink.url))
    dlq = Dlq("--data", tmp_path / "data")
    async with keryx(tmp_path, "run", files, "--data", tmp_path / "data", "--metrics-port", "0") as run:
        await run.ready()
        async with poster(port) as post:
            await post.post_until_accepted(1)
            await post.post_until_accepted(2)
        await until(lambda: len(sink.bodies) == 4)
        await until(lambda: len(dlq.letters()) == 2)
        out, _ = dlq("list", "--sensor", "relay", "--since", "10m")
        heading, first, second = out.splitlines()
        assert heading.split()[:2] == ["ID", "SENSOR"]
        identity = first.split()[0]
        assert "status 500 is not allowed" in first
        assert dlq.letters("--trigger", "other") == []
        out, _ = dlq("show", identity)
        assert "Attempts: 2" in out
        assert '"number": 1' in out

        # The target still refuses: it comes back, counted.
        assert dlq("redrive", identity)[0] == "redriven: 1\n"
        await until(lambda: len(sink.bodies) == 6)
        await until(lambda: [one["redrives"] for one in dlq.letters()] == [0, 1])
        assert sink.numbers[-2:] == [1, 1]

        sink.status = 200
        assert dlq("redrive", "--all")[0] == "redriven: 2\n"
        await until(lambda: dlq.letters() == [])
        assert sink.numbers[6:] == [2, 1]
        assert await run.stop() == 0
    assert second.split()[0] != identity


async def test_without_a_running_keryx_its_data_is_opened_for_the_moment(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    sink.status = 500
    files = write(tmp_path / "in" / "all.yaml", webhook(port), refusable(sink.url))
    dlq = Dlq("--data", tmp_path / "data")
    arguments = ("run", files, "--data", tmp_path / "data", "--metrics-port", "0")
    async with keryx(tmp_path, *arguments) as run:
        await run.ready()
        async with poster(port) as post:
            for number in range(3):
                await post.post_until_accepted(number)
        await until(lambda: len(sink.bodies) == 6)
        await run.stop()
    first, second, third = (one["id"] for one in dlq.letters())
    several = await asyncio.gather(*(asyncio.to_thread(dlq.letters) for _ in range(3)))
    assert [len(letters) for letters in several] == [3, 3, 3]
    assert dlq("discard", first)[0] == "discarded: 1\n"
    assert dlq("redrive", second)[0] == "redriven: 1\n"
    assert [one["id"] for one in dlq.letters()] == [second, third]

    sink.status = 200
    async with keryx(tmp_path, *arguments) as run:
        await run.ready()
        await until(lambda: sink.numbers[6:] == [1])
        await until(lambda: [one["id"] for one in dlq.letters()] == [third])


async def test_a_server_by_its_address_and_as_a_pod_knows_it(server: NatsServer) -> None:
    by_url, by_pod = Dlq("--bus", server.url), Dlq(**pod_environment(server.url))
    assert by_url("list") == ("", "keryx: no dead letters\n")
    await add(server.url, letter("1"), letter("2", reason="poisoned", events={}, kind="event", raw=b"\x00 no event"))
    assert [one["id"] for one in by_url.letters()] == [one["id"] for one in by_pod.letters()] == ["1", "2"]
    assert [one["id"] for one in by_pod.letters("--reason", "poisoned")] == ["2"]
    assert by_url("list", "--namespace", "other") == ("", "keryx: no dead letters\n")
    shown = [json.loads(line) for line in by_pod("show", "1", "2", "-o", "json")[0].splitlines()]
    assert shown[0]["events"]["posted"]["data"] == {"body": {"number": 7}}
    assert shown[1]["canRedrive"] is False
    out, err = by_pod("redrive", "--sensor", "relay", "-o", "json", code=1)
    assert (json.loads(out)["redriven"], list(json.loads(out)["failed"])) == (["1"], ["2"])
    out, err = by_pod("redrive", "2", code=1)
    assert (out, "could not be read" in err) == ("redriven: 0\n", True)
    assert by_url("discard", "--since", "1h")[0] == "discarded: 2\n"
    assert by_url.letters() == []


async def test_a_letter_that_was_put_there_is_redriven_by_the_sensor_of_a_run(
    tmp_path: Path, sink: Sink, server: NatsServer
) -> None:
    sensor = refusable(sink.url)
    files = write(tmp_path / "in" / "all.yaml", exotic(server.url), webhook(free_port()), sensor)
    async with keryx(tmp_path, "run", files, "--data", tmp_path / "data", "--metrics-port", "0") as run:
        await run.ready()
        await add(server.url, letter("1"))
        dlq = Dlq("--bus", server.url)
        assert dlq("redrive", "--sensor", "relay")[0] == "redriven: 1\n"
        await until(lambda: sink.numbers == [7])
        await until(lambda: dlq.letters() == [])


def test_what_a_user_can_cure(tmp_path: Path) -> None:
    dlq = Dlq("--data", tmp_path)
    assert "has no bus" in dlq("list", code=2)[1]
    (tmp_path / "bus" / "blue" / "default" / "store").mkdir(parents=True)
    assert "one of blue" in dlq("list", code=2)[1]
    (tmp_path / "bus" / "blue" / "second" / "store").mkdir(parents=True)
    assert "one of default, second" in dlq("list", "--namespace", "blue", code=2)[1]
    assert "give ids, a filter or --all" in dlq("discard", code=2)[1]
    assert "exclude each other" in dlq("discard", "1", "--all", code=2)[1]
    assert "is no time" in dlq("list", "--since", "yesterday", code=2)[1]
    assert "neither text nor json" in dlq("list", "-o", "yaml", code=2)[1]


async def test_an_id_that_is_not_there_is_exit_code_1(server: NatsServer) -> None:
    await add(server.url, letter("1"))
    dlq = Dlq("--bus", server.url)
    out, err = dlq("discard", "1", "2", code=1)
    assert (out, err) == ("discarded: 1\n", "keryx: 2: no such dead letter\n")
    assert dlq("show", "1", code=1) == ("", "keryx: 1: no such dead letter\n")
