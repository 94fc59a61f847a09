"""The recorded cases of `tests/conformance/cases/`, one test for the areas of each module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
from conformance import running
from conformance.core import Case, read
from conformance.workers import WORKERS

CASES = Path(__file__).parent / "cases"


def by_module() -> Mapping[str, list[Case]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for path in sorted(CASES.rglob("*.jsonl*")):
        for case in read(path):
            found[running.AREAS[case.area]].append(case)
    return found


ALL = by_module()


@pytest.mark.parametrize("module", sorted(set(running.AREAS.values())))
def test_answers_are_upstreams_or_our_documented_ones(module: str) -> None:
    report = running.Report()
    try:
        for case, outcome in running.run_all(ALL[module]):
            report.add(case, outcome)
    finally:
        WORKERS.close()
    assert not report.failures, "\n".join(["", *report.failures])


def test_departures_by_case_are_few() -> None:
    listed = running.differences().cases
    assert listed <= {case.id for cases in ALL.values() for case in cases}
    assert len(listed) <= 0.02 * sum(map(len, ALL.values()))
