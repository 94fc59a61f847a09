"""What a pod says of its own work."""

from __future__ import annotations

from events import findings
from events.findings import Findings, Whose


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def told(found: Findings) -> list[tuple[str, str, str]]:
    return [(one.name, one.reason, one.message) for one in found]


def test_a_finding_stays_until_it_is_cleared() -> None:
    found = Findings()
    found.tell(findings.TRIGGERS_WORKING, "a", "TriggerFailing", "no")
    found.tell(findings.TRIGGERS_WORKING, "b", "TriggerFailing", "neither")
    found.clear(findings.TRIGGERS_WORKING, "a")
    found.clear(findings.TRIGGERS_WORKING, "unknown")
    assert told(found) == [("b", "TriggerFailing", "neither")]
    found.clear(findings.KEEPING_UP, "b")
    assert len(told(found)) == 1
    found.clear(findings.TRIGGERS_WORKING, "b")
    assert told(found) == []


def test_a_message_holds_while_its_reason_does_and_is_renewed_now_and_then() -> None:
    clock, changes = Clock(), list[int]()
    found = Findings(clock)
    found.on_change = lambda: changes.append(1)
    for number in range(5):
        found.tell(findings.TRIGGERS_WORKING, "a", "TriggerFailing", f"failure {number}")
    assert told(found) == [("a", "TriggerFailing", "failure 0")]
    assert len(changes) == 1
    found.tell(findings.TRIGGERS_WORKING, "a", "Forbidden", "not allowed")
    assert told(found) == [("a", "Forbidden", "not allowed")]
    clock.at = 300.0
    found.tell(findings.TRIGGERS_WORKING, "a", "Forbidden", "still not allowed")
    assert told(found) == [("a", "Forbidden", "still not allowed")]
    assert len(changes) == 3


def test_a_message_is_cut() -> None:
    found = Findings()
    found.tell(findings.SOURCES_WORKING, "a", "SourceFailing", "x" * 9000)
    assert [len(one.message) for one in found] == [1500]


def test_what_is_answered_says_whose_it_is() -> None:
    found = Findings()
    assert found.wire({}) == {"waiting": {}, "object": None, "types": [], "findings": []}
    found.speak_for(Whose("Sensor", "ns", "one", "uid"), findings.OF_SENSORS)
    found.tell(findings.KEEPING_UP, "t", "EventsWaiting", "3")
    assert found.wire({"part": "why"}) == {
        "waiting": {"part": "why"},
        "object": {"kind": "Sensor", "namespace": "ns", "name": "one", "uid": "uid"},
        "types": ["TriggersWorking", "KeepingUp", "DeadLettersKept"],
        "findings": [{"type": "KeepingUp", "name": "t", "reason": "EventsWaiting", "message": "3"}],
    }
