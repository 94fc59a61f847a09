"""From files of cases to a report."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any

from conformance.core import Case, NotCovered, Outcome, Verdict, differences

AREAS: Mapping[str, str] = MappingProxyType(
    {
        "calendar": "calendar",
        "cloudevent": "cloudevent",
        "conditions": "conditions",
        "eventsource.expr": "eventsource_expr",
        "filter.combined": "filters",
        "filter.context": "filters",
        "filter.data": "filters",
        "filter.exprs": "filters",
        "filter.script": "filters",
        "filter.time": "filters",
        "http.crd": "kubernetes_http",
        "http.crud": "kubernetes_http",
        "http.delete": "kubernetes_http",
        "http.discovery": "kubernetes_http",
        "http.list": "kubernetes_http",
        "http.misc": "kubernetes_http",
        "http.openapi": "kubernetes_http",
        "http.patch": "kubernetes_http",
        "http.rbac": "kubernetes_http",
        "http.ssa": "kubernetes_http",
        "http.table": "kubernetes_http",
        "http.tokens": "kubernetes_http",
        "http.watch": "kubernetes_http",
        "http.webhook": "kubernetes_http",
        "kubectl": "kubernetes_kubectl",
        "misc": "misc",
        "names": "kubernetes_names",
        "parameters": "parameters",
        "policy": "policy",
        "quantities": "kubernetes_names",
        "resources": "resources",
        "selectors": "kubernetes_selectors",
        "smp": "kubernetes_patches",
        "ssa": "kubernetes_apply",
        "transform.jq": "transforms",
        "transform.script": "transforms",
        "trigger.argoworkflow": "trigger_argo_workflow",
        "trigger.http": "trigger_http",
        "validate": "validate",
        "webhook": "webhook",
        "workflows.cron": "workflows_pure",
        "workflows.depends": "workflows_pure",
        "workflows.expansion": "workflows_pure",
        "workflows.ids": "workflows_pure",
        "workflows.merge": "workflows_pure",
        "workflows.operate": "workflows_operate",
        "workflows.retry": "workflows_retry",
        "workflows.tree": "workflows_tree",
        "workflows.validate": "workflows_validate",
        "workflows.variables": "workflows_pure",
        "workflows.when": "workflows_pure",
    }
)
_SHOWN = 300


@dataclass
class Report:
    """Counts by area, flaws, what failed, and what no longer departs."""

    areas: dict[str, Counter[Verdict]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def add(self, case: Case, outcome: Outcome) -> str:
        """Count one case; its line when it failed."""
        self.areas.setdefault(case.area, Counter())[outcome.verdict] += 1
        if outcome.verdict is Verdict.SAME and case.id in differences().cases:
            self.stale.append(case.id)
        if outcome.verdict is not Verdict.FAILED:
            return ""
        line = f"{case.id}: expected {shown(outcome.expected)}, got {shown(outcome.got)}"
        self.failures.append(line)
        return line

    def total(self, verdict: Verdict) -> int:
        return sum(counts[verdict] for counts in self.areas.values())

    def lines(self) -> Iterable[str]:
        """One line per area, then the sums."""
        for area, counts in sorted(self.areas.items()):
            said = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
            yield f"{area}: {', '.join(said)}"
        if self.stale:
            yield f"as upstream in spite of docs/differences.md: {', '.join(self.stale)}"
        yield f"{self.total(Verdict.BY_FLAW)} departures by flaw"
        yield f"{self.total(Verdict.BY_CASE)} departures by case"
        yield f"{self.total(Verdict.NOT_COVERED)} not covered yet"
        yield f"{self.total(Verdict.SAME)} passed, {self.total(Verdict.FAILED)} failed"


def run_all(cases: Sequence[Case]) -> Iterator[tuple[Case, Outcome]]:
    """Cases with their outcomes; areas that share a server take theirs together."""
    for module, several in groupby(cases, key=lambda case: AREAS.get(case.area)):
        together = list(several)
        area = importlib.import_module(f"conformance.areas.{module}") if module else None
        if hasattr(area, "run_all"):
            for case, outcome in zip(together, area.run_all(together), strict=True):
                yield case, documented(case, outcome)
        else:
            for case in together:
                yield case, run(case)


def run(case: Case) -> Outcome:
    """The outcome of one case; any defect of ours is a failure of its case, not of the run."""
    module = AREAS.get(case.area)
    if module is None:
        return Outcome(Verdict.NOT_COVERED, got=f"area {case.area}")
    area = importlib.import_module(f"conformance.areas.{module}")
    try:
        return documented(case, area.run(case))
    except NotCovered as reason:
        return Outcome(Verdict.NOT_COVERED, got=str(reason))
    except Exception as error:  # noqa: BLE001  # reported as the failure of this case
        return Outcome(Verdict.FAILED, case.expect, f"{type(error).__name__}: {error}")


def documented(case: Case, outcome: Outcome) -> Outcome:
    """A departure counts only when docs/differences.md has it: the flaw's row, or the case."""
    known = differences()
    if outcome.verdict is Verdict.BY_FLAW and case.flaw not in known.ids:
        return Outcome(Verdict.FAILED, f"a row {case.flaw} in docs/differences.md", outcome.got)
    if outcome.verdict is Verdict.FAILED and outcome.is_excusable and not case.flaw and case.id in known.cases:
        return Outcome(Verdict.BY_CASE, outcome.expected, outcome.got)
    return outcome


def shown(value: Any) -> str:
    """A value on one line."""
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(line.splitlines())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
