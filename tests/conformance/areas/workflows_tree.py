"""tree: the table of `argo get`, from the heading of its columns on."""

from __future__ import annotations

from datetime import UTC, datetime

from conformance.core import Case, Outcome, judge

from events.local.workflows.tree import Style, drawn


def run(case: Case) -> Outcome:
    """Compare the text."""
    now = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)
    return judge(case, drawn(case.input["workflow"], now, Style(case.input["output"])))
