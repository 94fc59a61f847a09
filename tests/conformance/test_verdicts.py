"""One verdict per object: what validation refuses, the status of a stored object says, too."""

from __future__ import annotations

from conformance.core import read
from conformance.test_conformance import CASES

from events.app import verdicts
from eventsources import stored as event_sources
from sensors import stored as sensors


def test_a_stored_object_gets_the_verdict_of_lint() -> None:
    cases = [case for case in read(CASES / "validate.jsonl.gz") if case.input["object"]["kind"] != "EventBus"]
    assert len(cases) > 300
    other = []
    for case in cases:
        raw = case.input["object"]
        if raw["kind"] == "Sensor":
            found = sensors.judge(raw)
            problems = [*found.dependency_problems, *found.trigger_problems, *found.other_problems]
        else:
            problems = event_sources.judge(raw).problems
        if bool(problems) is not bool(verdicts.BY_KIND[raw["kind"]](raw).errors):
            other.append(case.id)
    assert not other
