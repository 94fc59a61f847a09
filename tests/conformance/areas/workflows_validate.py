"""validate: objects accepted or refused."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, Error, Outcome, judge

from events.local.workflows import validation
from events.local.workflows.errors import WorkflowError


def run(case: Case) -> Outcome:
    """Accepted is null."""
    return judge(case, answer(case.input))


def answer(given: dict[str, Any]) -> Any:
    options = given.get("opts") or {}
    templates, cluster = (
        {one["metadata"]["name"]: one for one in given.get(key) or ()}
        for key in ("workflowTemplates", "clusterWorkflowTemplates")
    )
    try:
        validation.check(given["object"], templates, cluster, is_lint=bool(options.get("Lint")))
    except WorkflowError as error:
        return Error(error.message)
    return None
