"""What a sensor says of its own work while it runs: triggers that fail or stay behind, letters that nobody looks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.spine import LOG, FakeAction, dependency, event, until

from eventbus.base import Start
from eventbus.memory import MemoryBroker, MemoryBus
from events import findings
from events.clients import Clients
from events.credentials import Credentials
from events.findings import Findings
from events.metrics import Metrics
from events.process import Readiness
from sensors import health, types
from sensors.service import SensorService

LEAST, MOST = "least", "most"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(health, "LETTERS_SECONDS", 0.02)
    monkeypatch.setattr(health, "LAG_SECONDS", 0.2)


def sensor(*triggers: dict[str, Any]) -> types.Sensor:
    spec = {"dependencies": [dependency("orders").wire()], "triggers": list(triggers)}
    raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "s", "uid": "u"}, "spec": spec}
    return types.Sensor.parse(raw, lenient=True)


def logs(name: str) -> dict[str, Any]:
    return {"template": {"name": name, "log": {}}, "atLeastOnce": name == LEAST}


def refused(name: str = "refused") -> dict[str, Any]:
    """Nobody listens on port 1."""
    http = {"url": "http://127.0.0.1:1/", "method": "POST", "timeout": 5}
    return {"template": {"name": name, "http": http}, "atLeastOnce": True}


class Pod:
    """One process with a sensor."""

    def __init__(self, broker: MemoryBroker, model: types.Sensor) -> None:
        self.bus, self.findings, self.stopping = MemoryBus(broker), Findings(), asyncio.Event()
        self.metrics, self.clients = Metrics(), Clients(Credentials((Path("/nowhere"),)))
        self.service = SensorService(
            model,
            self.bus,
            self.clients,
            self.metrics,
            Readiness(),
            LOG,
            namespace="ns",
            grace=10,
            since=Start.FIRST,
            findings=self.findings,
        )
        self.action: FakeAction | None = None

    def hold(self) -> FakeAction:
        """Its actions end when they are told."""
        self.action = FakeAction(holding=True)
        for one in self.service._runners:
            one.plan = replace(one.plan, action=self.action)  # type: ignore[arg-type]
        return self.action

    def run(self) -> None:
        self.task = asyncio.create_task(self.service.run(self.stopping))

    async def stop(self) -> None:
        self.stopping.set()
        if self.action is not None:
            self.action.holding = False
            self.action.finish_all()
        await asyncio.wait_for(self.task, 30)
        await self.bus.aclose()
        await self.clients.aclose()

    @property
    def told(self) -> dict[tuple[str, str], str]:
        return {(one.type, one.name): one.reason for one in self.findings}

    def lag(self, trigger: str) -> float | None:
        labels = {"namespace": "ns", "sensor_name": "s", "trigger_name": trigger}
        return self.metrics.registry.get_sample_value("argo_events_trigger_lag", labels)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def writer(broker: MemoryBroker) -> AsyncIterator[MemoryBus]:
    made = MemoryBus(broker)
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", [LEAST, MOST])
async def test_events_that_wait_behind_a_long_action_are_counted_and_told(
    broker: MemoryBroker, writer: MemoryBus, name: str
) -> None:
    pod = Pod(broker, sensor(logs(name) | {"rateLimit": {"requestsPerUnit": 1, "unit": "Hour"}}))
    action = pod.hold()
    if name == MOST:
        action._permits = 1
    pod.run()
    for number in range(5):
        await writer.publish(event(number))
    await until(lambda: action.started == ["0"])
    await until(lambda: pod.told == {(findings.KEEPING_UP, name): "EventsWaiting"})
    assert pod.lag(name) == (5 if name == LEAST else 4)
    action.permit(1 << 20)
    action.holding = False
    action.finish_all()
    await until(lambda: pod.told == {})
    await until(lambda: pod.lag(name) == 0)
    await pod.stop()


async def test_a_target_that_refuses_is_told_and_so_is_a_full_store_of_letters(
    broker: MemoryBroker, writer: MemoryBus
) -> None:
    broker.dead_letter_bytes = 9000
    pod = Pod(broker, sensor(refused()))
    pod.run()
    for number in range(40):
        await writer.publish(event(number))
    failing = {(findings.TRIGGERS_WORKING, "refused"): "TriggerFailing"}
    wanted = failing | {(findings.DEAD_LETTERS_KEPT, ""): "DeadLettersFull"}
    await until(lambda: pod.told == wanted)
    letters = await writer.dead_letters()
    async with asyncio.timeout(60):
        while pod.told != failing:  # letters of the last events may still come
            for letter in await letters.page():
                await letters.remove(letter.id)
            await asyncio.sleep(0.01)
    await pod.stop()
    assert pod.told == {}, "who runs it next knows better"


async def test_a_trigger_that_is_not_run_is_told_as_long_as_the_process_lives(broker: MemoryBroker) -> None:
    pod = Pod(broker, sensor(logs(LEAST), {"template": {"name": "unknown"}}, logs(LEAST)))
    pod.run()
    await until(lambda: (findings.TRIGGERS_WORKING, "unknown") in pod.told)
    await pod.stop()
    assert pod.told == {
        (findings.TRIGGERS_WORKING, "unknown"): "NotStarted",
        (findings.TRIGGERS_WORKING, "least (a second one)"): "NotStarted",
    }
    assert pod.findings.wire({})["object"] == {"kind": "Sensor", "namespace": "ns", "name": "s", "uid": "u"}
