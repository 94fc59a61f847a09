"""What is wrong with a Sensor at work, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.dead_letters import Figures
from events import findings
from events.errors import ActionError, CredentialError, KeryxError, ParameterError
from events.findings import Findings
from events.kube.memory import MemoryKube
from events.kube.permissions import Forbidden, Missing
from events.logs import Log
from sensors.health import SensorHealth, TriggerHealth

ACCOUNT = "system:serviceaccount:ns:{}"
START = 1_000_000.0


def reasons(found: Findings) -> list[str]:
    return [one.reason for one in found]


def forbidden(account: str = "default") -> Forbidden:
    return Forbidden("no", Missing(ACCOUNT.format(account), "create", "workflows", "argoproj.io", "ns"))


def test_a_missing_permission_is_told_at_once() -> None:
    found = Findings()
    TriggerHealth(found, "t").failed(forbidden("its-own"))
    (one,) = found
    assert (one.type, one.name, one.reason) == ("TriggersWorking", "t", "Forbidden")
    assert "kubectl create rolebinding" in one.message
    assert "serviceAccountName" not in one.message


def test_without_an_account_of_its_own_a_sensor_is_told_that_it_may_name_one() -> None:
    found = Findings()
    TriggerHealth(found, "t").failed(forbidden())
    (one,) = found
    assert "or name an account that has it in the Sensor's spec.template.serviceAccountName" in one.message


def test_a_trigger_fails_when_it_does_so_again_and_again_or_for_good() -> None:
    found = Findings()
    health = TriggerHealth(found, "t")
    for _ in range(2):
        health.failed(ActionError("refused"))
    assert reasons(found) == []
    health.failed(ActionError("refused"))
    assert reasons(found) == ["TriggerFailing"]
    health.succeeded()
    assert reasons(found) == []
    health.failed(ActionError("refused"), is_final=True)
    assert reasons(found) == ["TriggerFailing"]


def test_a_secret_that_cannot_be_read_is_told_as_such() -> None:
    found = Findings()
    TriggerHealth(found, "t").failed(CredentialError("Secret 's' has no key 'k'"))
    assert reasons(found) == ["CredentialsMissing"]


def test_what_is_wrong_with_an_event_is_not_wrong_with_its_trigger() -> None:
    found = Findings()
    error: KeryxError = ParameterError("no such key")
    TriggerHealth(found, "t").failed(error, is_final=True)
    assert reasons(found) == []


class Reviewing(MemoryKube):
    """Answers reviews, or does not."""

    allowed = False
    is_away = False

    async def create(self, obj: dict[str, object], *, namespace: str | None = None) -> dict[str, object]:
        del namespace
        if self.is_away:
            raise ActionError("no answer")
        return obj | {"status": {"allowed": self.allowed}}


async def test_a_permission_that_has_come_is_found_without_an_event() -> None:
    found, kube = Findings(), Reviewing()
    health = SensorHealth(found, lambda: kube, Log("test"))
    health.trigger("fine")
    health.trigger("t").failed(forbidden())
    await health.look_at_permissions()
    assert reasons(found) == ["Forbidden"]
    kube.is_away, kube.allowed = True, True
    await health.look_at_permissions()
    assert reasons(found) == ["Forbidden"]
    kube.is_away = False
    await health.look_at_permissions()
    assert reasons(found) == []


@dataclass
class At:
    lag: int
    applied_ns: int = 0


def at(lag: int, handled: float = 0.0) -> list[tuple[str, At]]:
    return [("t", At(lag, int(handled * 1e9)))]


def test_events_that_wait_for_long_are_told_until_they_are_handled() -> None:
    now = START
    found = Findings(lambda: now)
    health = SensorHealth(found, MemoryKube, Log("test"), lambda: now)
    health.look_at_lag(at(1, handled=START - 9000))
    assert reasons(found) == [], "the last event was long ago, this one has just come"
    now = START + 299
    health.look_at_lag(at(2, handled=START - 9000))
    assert reasons(found) == []
    now = START + 300
    health.look_at_lag(at(3, handled=START - 9000))
    (one,) = found
    assert (one.type, one.name, one.reason) == (findings.KEEPING_UP, "t", "EventsWaiting")
    assert one.message == "3 events wait; the last that it is done with was stored at 1970-01-12T11:16:40Z"
    health.look_at_lag(at(0, handled=now))
    assert reasons(found) == []


def test_a_trigger_that_keeps_up_with_a_busy_stream_is_not_behind() -> None:
    now = START
    found = Findings(lambda: now)
    health = SensorHealth(found, MemoryKube, Log("test"), lambda: now)
    for _ in range(20):
        now += 60
        health.look_at_lag(at(5, handled=now - 2))
    assert reasons(found) == []


def test_a_full_store_of_dead_letters_is_told_until_there_is_room() -> None:
    found = Findings()
    health = SensorHealth(found, MemoryKube, Log("test"))
    health.look_at_letters(Figures(bytes=89, max_bytes=100))
    assert reasons(found) == []
    health.look_at_letters(Figures(bytes=90, max_bytes=100))
    assert reasons(found) == ["DeadLettersFull"]
    health.look_at_letters(Figures(bytes=10, max_bytes=100))
    assert reasons(found) == []
