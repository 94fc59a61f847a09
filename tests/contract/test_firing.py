"""One firing: retries, parameters, policy, dead letter. The trigger is an in-process implementation of the contract."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest

from events.clients import Clients
from events.credentials import Credentials
from events.errors import ActionError, CredentialError, UserError
from events.event import Event
from events.logs import Log
from events.metrics import Metrics
from sensors import base, types
from sensors.base import Firing, Result, TriggerContext
from sensors.decision import Outcome
from sensors.firing import Action
from sensors.registry import TRIGGERS
from sensors.types import TriggerParameter


class RecordingSpec(base.Spec):
    text: str = ""
    parameters: list[TriggerParameter] | None = None


class RecordingTrigger(base.Trigger[RecordingSpec]):
    """Keeps what it was asked to do; `outcomes` are used up one by one, then it succeeds."""

    Spec = RecordingSpec
    executed: ClassVar[list[tuple[str, str, int]]] = []
    outcomes: ClassVar[list[Exception | Result]] = []
    made: ClassVar[list[str]] = []
    closed: ClassVar[list[str]] = []

    def __init__(self, spec: RecordingSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self.made.append(spec.text)

    async def fetch(self) -> str:
        return json.dumps({"text": self.spec.text})

    async def execute(self, resource: str, firing: Firing) -> Result:
        self.executed.append((self.context.trigger_name, json.loads(resource)["text"], firing.remakes))
        outcome = self.outcomes.pop(0) if self.outcomes else Result(status=200)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        self.closed.append(self.spec.text)


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRIGGERS.rows, "log", f"{__name__}:RecordingTrigger")
    monkeypatch.setattr(TRIGGERS, "load", lambda _key: RecordingTrigger)
    for kept in (
        RecordingTrigger.executed,
        RecordingTrigger.outcomes,
        RecordingTrigger.made,
        RecordingTrigger.closed,
    ):
        kept.clear()


def action(metrics: Metrics | None = None, text: str = "fixed", **fields: Any) -> Action:
    log: dict[str, Any] = {"text": text}
    if "resource_parameters" in fields:
        log["parameters"] = fields.pop("resource_parameters")
    raw = {"template": {"name": "act", "log": log}, **fields}
    clients = Clients(Credentials((Path("/nowhere"),)))
    context = TriggerContext("ns", "sensor", "act", Log("sensor"), clients.credentials, clients.kube, clients.http)
    return Action(types.Trigger.parse(raw), context, metrics or Metrics())


def firing(**data: Any) -> Firing:
    event = Event("1", "hooks", "webhook", "orders", data=json.dumps(data).encode(), time="2026-01-01T00:00:00Z")
    return Firing("f1", {"dep": event}, {"dep": 1}, 1)


def executed() -> list[str]:
    return [text for _, text, _ in RecordingTrigger.executed]


def value(metrics: Metrics, name: str, trigger: str = "act") -> float:
    labels = {"namespace": "ns", "sensor_name": "sensor", "trigger_name": trigger}
    return metrics.registry.get_sample_value(f"argo_events_{name}", labels) or 0.0


RETRY = {"steps": 3, "duration": "1ms", "jitter": 0}


async def test_an_action_that_succeeds_has_fired() -> None:
    metrics = Metrics()
    one = action(metrics)
    end = await one.carry_out(firing())
    assert end.outcome is Outcome.FIRED
    assert executed() == ["fixed"]
    assert value(metrics, "action_triggered_total") == 1
    assert value(metrics, "action_failed_total") == 0
    assert value(metrics, "action_duration_milliseconds_count") == 1


@pytest.mark.parametrize(
    ("at_least_once", "failures", "attempts", "outcome"),
    [
        (True, 2, 3, Outcome.FIRED),
        (True, 5, 3, Outcome.FAILED),
        (False, 1, 1, Outcome.FAILED),  # as upstream: retries are for at least once alone
        (False, 0, 1, Outcome.FIRED),
    ],
)
async def test_failed_attempts_are_repeated_with_at_least_once(
    at_least_once: bool, failures: int, attempts: int, outcome: Outcome
) -> None:
    metrics = Metrics()
    RecordingTrigger.outcomes.extend(ActionError("refused") for _ in range(failures))
    end = await action(metrics, atLeastOnce=at_least_once, retryStrategy=RETRY).carry_out(firing())
    assert end.outcome is outcome
    assert len(executed()) == attempts
    assert value(metrics, "action_retries_failed_total") == (1 if outcome is Outcome.FAILED else 0)


async def test_the_reason_of_a_failure_reaches_the_decision() -> None:
    RecordingTrigger.outcomes.append(ActionError("target says no"))
    end = await action().carry_out(firing())
    assert (end.outcome, end.reason, end.detail) == (Outcome.FAILED, "action", "target says no")


async def test_an_event_that_makes_a_parameter_impossible_fails_at_once() -> None:
    parameters = [{"src": {"dependencyName": "dep", "dataKey": "missing"}, "dest": "text"}]
    one = action(atLeastOnce=True, retryStrategy=RETRY, resource_parameters=parameters)
    end = await one.carry_out(firing(present=1))
    assert (end.outcome, end.reason) == (Outcome.FAILED, "event")
    assert executed() == []


async def test_an_unreadable_secret_is_a_failed_attempt_and_tried_again() -> None:
    RecordingTrigger.outcomes.append(CredentialError("not mounted yet"))
    end = await action(atLeastOnce=True, retryStrategy=RETRY).carry_out(firing())
    assert end.outcome is Outcome.FIRED
    assert len(executed()) == 2


async def test_a_defect_of_a_trigger_is_a_failed_attempt_not_the_end_of_the_sensor() -> None:
    RecordingTrigger.outcomes.append(ZeroDivisionError("ours"))
    end = await action().carry_out(firing())
    assert end.outcome is Outcome.FAILED
    assert "defect" in end.detail


async def test_resource_parameters_change_what_is_executed() -> None:
    parameters = [{"src": {"dependencyName": "dep", "dataKey": "say"}, "dest": "text"}]
    one = action(resource_parameters=parameters)
    await one.carry_out(firing(say="hello"))
    assert executed() == ["hello"]
    assert RecordingTrigger.made == ["fixed"]


async def test_template_parameters_make_variants_by_content_that_are_bounded_and_closed() -> None:
    parameters = [{"src": {"dependencyName": "dep", "dataKey": "n"}, "dest": "log.text"}]
    one = action(parameters=parameters)
    for number in (1, 2, 1, *range(3, 40)):
        end = await one.carry_out(firing(n=str(number)))
        assert end.outcome is Outcome.FIRED
    assert executed()[:4] == ["1", "2", "1", "3"]
    assert RecordingTrigger.made[:3] == ["1", "2", "3"]
    assert len(RecordingTrigger.closed) == 39 - 32
    await one.aclose()
    assert len(RecordingTrigger.closed) == 39


async def test_the_dead_letter_trigger_gets_the_events_of_what_failed_for_good() -> None:
    metrics = Metrics()
    RecordingTrigger.outcomes.extend([ActionError("no"), ActionError("no"), ActionError("no")])
    dead_letter = {"template": {"name": "bury", "log": {"text": "grave"}}, "atLeastOnce": True}
    one = action(metrics, atLeastOnce=True, retryStrategy=RETRY, dlqTrigger=dead_letter)
    end = await one.carry_out(firing())
    assert end.outcome is Outcome.FAILED
    assert "dead-letter trigger bury fired" in end.detail
    assert RecordingTrigger.executed[-1] == ("bury", "grave", 0)
    assert value(metrics, "action_triggered_total", "bury") == 1


async def test_what_a_policy_refuses_is_a_failed_attempt_and_the_next_one_makes_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [True, True, False]

    async def check(_result: Result, _context: Any) -> None:
        if refusals.pop(0):
            raise ActionError("not allowed")

    one = action(atLeastOnce=True, retryStrategy=RETRY)
    monkeypatch.setattr(one, "_policy", check)
    end = await one.carry_out(firing())
    assert end.outcome is Outcome.FIRED
    assert [remakes for _, _, remakes in RecordingTrigger.executed] == [0, 1, 2]


async def test_a_target_that_stays_away_is_said_once_and_its_return_too(caplog: pytest.LogCaptureFixture) -> None:
    one = action()
    RecordingTrigger.outcomes.extend(ActionError("away") for _ in range(50))
    with caplog.at_level(logging.INFO, "argo-events"):
        for _ in range(52):
            await one.carry_out(firing())
    said = [record.getMessage() for record in caplog.records]
    assert said == ["Failed to execute a trigger", "The trigger succeeds again"]


@pytest.mark.parametrize("raw", [{}, {"template": {"name": "x"}}])
def test_a_trigger_without_a_kind_that_can_run_is_refused(raw: dict[str, Any]) -> None:
    clients = Clients(Credentials(()))
    context = TriggerContext("ns", "sensor", "x", Log("sensor"), clients.credentials, clients.kube, clients.http)
    parsed = types.Trigger.parse(raw)
    with pytest.raises(UserError):
        Action(parsed, context, Metrics())
