"""The supervisor of workers against workers that do what they should not: hang, babble, refuse, die."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.keryx import until

from events.errors import UserError
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from eventsources import types
from eventsources.workers import life, supervisor
from eventsources.workers.plan import BusPlan, Plan, Surroundings, wire_of
from eventsources.workers.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")

WORKER = """
import json, os, socket, struct, sys, time
parent, number = sys.argv[1:]
lives = len([one for one in os.listdir(FOLDER) if one.startswith(number + ".")])
open(f"{FOLDER}/{number}.{lives}", "w").close()
connection = socket.socket(fileno=0)
incoming = connection.makefile("rb")

def hear():
    head = incoming.read(4)
    return json.loads(incoming.read(*struct.unpack("<I", head))) if head else sys.exit()

def say(message):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    connection.sendall(struct.pack("<I", len(text)) + text)

READY = {"waiting": {}, "ports": {}}
plan = hear()["plan"]
"""
SERVE = """
say(READY)
while True:
    heard = hear()
    if "stop" in heard:
        sys.exit()
    if "ask" in heard:
        say(READY | {"answers": heard["ask"]})
"""


def event_source(**spec: Any) -> types.EventSource:
    raw = {"apiVersion": "v", "kind": "EventSource", "metadata": {"name": "src"}}
    return types.EventSource.parse(raw | {"spec": {"webhook": {"ev": {}}, **spec}})


class Crew:
    """A supervisor in this process, its workers as Python texts."""

    def __init__(self, folder: Path, text: str, number: int) -> None:
        self._folder = folder
        script = folder / "worker.py"
        script.write_text(WORKER.replace("FOLDER", repr(str(folder))) + textwrap.dedent(text))
        source = event_source()
        plan = Plan("name", "ns", wire_of(source), BusPlan(), Surroundings([], 0.5, "info", "127.0.0.1"))
        self.metrics, self.readiness, self.stopping = Metrics("1"), Readiness(), asyncio.Event()
        self.supervisor = Supervisor(
            source,
            number,
            (sys.executable, "-I", "-S", str(script)),
            plan,
            metrics=self.metrics,
            readiness=self.readiness,
            log=Log("test"),
        )
        self.task = asyncio.create_task(self.supervisor.run(self.stopping))

    @property
    def reason(self) -> str:
        return self.readiness.reasons.get("event source ns/src ev", "")

    @property
    def lives(self) -> dict[str, int]:
        """Number of the worker -> how often it was started."""
        numbers = [file.name.partition(".")[0] for file in self._folder.iterdir() if file.suffix != ".py"]
        return {number: numbers.count(number) for number in sorted(set(numbers))}

    async def stop(self) -> None:
        self.stopping.set()
        await self.task


@asynccontextmanager
async def crew(folder: Path, text: str, number: int = 2) -> AsyncIterator[Crew]:
    made = Crew(folder, text, number)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)
        await until(lambda: not made.supervisor.pids)


async def test_it_is_ready_when_all_are(tmp_path: Path) -> None:
    slow = f"while number == '2' and not os.path.exists('{tmp_path}/2.go'): time.sleep(0.01)\n"
    async with crew(tmp_path, slow + SERVE, 3) as here:
        await until(lambda: here.reason == "worker 2: it is starting", what=lambda: here.reason)
        (tmp_path / "2.go").touch()
        await until(lambda: here.readiness.reasons == {})
        await here.stop()
        assert here.readiness.reasons == {}


async def test_what_workers_wait_for_is_said_once(tmp_path: Path) -> None:
    waiting = 'say(READY | {"waiting": {"event source ns/src ev": "no certificate"}})\n'
    async with crew(tmp_path, waiting + "hear(); hear()", 3) as here:
        await until(lambda: here.reason == "workers 1, 2, 3: no certificate", what=lambda: here.reason)


async def test_one_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "_LOOK_SECONDS", 0.02)
    hang = "say(READY)\nif number == '1': time.sleep(60)\nwhile True:\n    say(READY)\n    time.sleep(0.01)"
    async with crew(tmp_path, hang) as here:
        await until(lambda: here.lives.get("1", 0) >= 3)
        await until(lambda: "it said nothing for" in here.reason, what=lambda: here.reason)
        assert here.lives["2"] == 1


@pytest.mark.parametrize(
    "babble",
    [
        "say(b'no json')",
        "say([])",
        "say({})",
        "say({'waiting': 7, 'ports': {}})",
        "say(READY | {'numbers': 7})",
        "connection.sendall(struct.pack('<I', 0xffffffff))",
        "say(b'\\xff' * 100000)",
    ],
)
async def test_one_that_babbles_is_killed(tmp_path: Path, babble: str) -> None:
    async with crew(tmp_path, f"{babble}\ntime.sleep(60)", 1) as here:
        await until(lambda: "cannot be read" in here.reason, what=lambda: here.reason)
        await until(lambda: here.lives["1"] >= 2)


async def test_deaths_are_counted_and_pauses_grow(tmp_path: Path) -> None:
    async with crew(tmp_path, "sys.exit(3)", 1) as here:
        await until(lambda: "it ended with status 3, 3 times in a row" in here.reason, what=lambda: here.reason)
        deaths = here.metrics.registry.get_sample_value(
            "argo_events_source_worker_deaths_total", {"namespace": "ns", "eventsource_name": "src"}
        )
        assert deaths == 3
        await asyncio.sleep(0.5)
        assert here.lives["1"] <= 6


async def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "WIND_UP_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "_KILL_SECONDS", 0.1)
    async with crew(tmp_path, "say(READY)\nwhile True: hear()") as here:
        await until(lambda: here.readiness.reasons == {})
        await asyncio.wait_for(here.stop(), 30)
        assert here.supervisor.pids == []


async def test_a_stop_while_one_waits_to_be_started_again_is_at_once(tmp_path: Path) -> None:
    async with crew(tmp_path, "sys.exit(3)", 1) as here:
        await until(lambda: "5 times in a row" in here.reason)
        await asyncio.wait_for(here.stop(), 5)


async def test_a_stop_while_they_start_is_kept(tmp_path: Path) -> None:
    async with crew(tmp_path, SERVE) as here:
        await asyncio.sleep(0)
        await asyncio.wait_for(here.stop(), 30)


async def test_a_plan_that_cannot_be_used_is_the_users_error(tmp_path: Path) -> None:
    refuse = 'say({"refused": "is no number", "path": "replicas", "cure": "a number"})\nsys.exit(2)'
    async with crew(tmp_path, refuse) as here:
        with pytest.raises(UserError, match=r"replicas: is no number \(a number\)"):
            await asyncio.wait_for(here.task, 30)


async def test_numbers_of_all_are_asked_for_and_nobody_is_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "_ASK_SECONDS", 0.3)
    answer = """
    say(READY)
    while number == "1":
        heard = hear()
        if "ask" in heard:
            sent = ["argo_events_events_sent", [["argo_events_events_sent_total", {"event_name": "e"}, heard["ask"]]]]
            say(READY | {"numbers": [sent], "answers": heard["ask"]})
    time.sleep(60)
    """
    async with crew(tmp_path, answer) as here:
        await until(lambda: here.readiness.reasons == {})
        for number in (1, 2):
            await asyncio.wait_for(here.metrics.others.refresh(), 20)
            assert f'argo_events_events_sent_total{{event_name="e"}} {number}.0' in here.metrics.text().decode()


async def test_a_command_that_is_not_there_is_a_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with crew(tmp_path, "", 1) as here:
        await until(lambda: "cannot run /nowhere/python" in here.reason, what=lambda: here.reason)


# ---- how many


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 1),
        ({"workers": 1}, 1),
        ({"workers": 4}, 4),
        ({"workers": 0}, 1),
        ({"workers": -2}, 1),
        ({"workers": 1000}, 64),
        ({"workers": 4, "calendar": {"tick": {"interval": "1s"}}}, 1),
    ],
)
def test_a_stored_object_never_stops_the_service(spec: dict[str, Any], expected: int) -> None:
    assert supervisor.count(event_source(**spec), Log("test")) == expected


def test_elsewhere_one_process_serves_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert supervisor.count(event_source(workers=4), Log("test")) == 1
    assert [record.message for record in caplog.records] == ["Several workers need Linux; one process serves"]


def test_the_plan_survives_the_channel_and_hides_its_secrets() -> None:
    bus = BusPlan({"jetstream": {"url": "nats://user:secret@host"}}, password="secret")
    plan = Plan("name", "ns", wire_of(event_source(webhook={"a": {"n": 1 << 70, "s": "\ud800"}})), bus, Surroundings([], 1, "info"))  # fmt: skip  # noqa: E501
    assert Plan.of_wire(json.loads(json.dumps(plan.wire()))) == plan
    assert "secret" not in repr(plan)
