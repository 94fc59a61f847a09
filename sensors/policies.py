"""Whether what the target answered counts as success. Contract: sensors B.8.

`policy.status` looks at a status code. `policy.k8s` looks at labels of the created object for a while; this version
does not run it, and validation says so where it would count.
"""

from __future__ import annotations

from collections.abc import Callable

from events.errors import ActionError, NotAvailable
from events.problems import Problems
from sensors.base import Result
from sensors.types import TriggerPolicy

BY_LABELS = ("argoWorkflow", "k8s")
BY_STATUS = ("awsLambda", "http", "openWhisk")
_NO_LABELS = "this version of Keryx describes a policy on labels, but does not run it"

Check = Callable[[Result], None]


def compile(policy: TriggerPolicy | None, kind: str) -> Check:
    """A check that raises ActionError for a result that does not count; NotAvailable for a policy we lack."""
    if policy is None:
        return _accept
    if reason := not_run(policy, kind):
        raise NotAvailable(reason, path="policy")
    allowed = policy.status.allow if policy.status else None
    return _accept if allowed is None else lambda result: check_status(allowed, result)


def not_run(policy: TriggerPolicy, kind: str) -> str:
    """Why this version does not run a trigger with this policy; empty when it does."""
    return _NO_LABELS if policy.k8s is not None and policy.k8s.labels and kind in BY_LABELS else ""


def _accept(_result: Result) -> None:
    """No policy: what did not raise is a success."""


def check_status(allowed: list[int], result: Result) -> None:
    """ActionError when there is a status code and it is not in the list; an empty list allows none."""
    if result.status is not None and result.status not in allowed:
        wanted = ", ".join(map(str, allowed)) or "none"
        raise ActionError(f"status {result.status} is not allowed; allowed: {wanted}")


def validate(policy: TriggerPolicy, kind: str, problems: Problems) -> None:
    """Contract D.15; paths are relative to the policy."""
    if policy.k8s is not None:
        _validate_labels(policy, kind, problems)
    if policy.status is not None:
        if kind not in BY_STATUS:
            problems.warn("status", f"has no effect: {kind} has no status code")
        elif policy.status.allow is None and kind != "openWhisk":
            problems.error("status.allow", "required", "list the status codes that mean success")
        elif policy.status.allow == []:
            problems.warn("status.allow", "is empty: every attempt fails")


def _validate_labels(policy: TriggerPolicy, kind: str, problems: Problems) -> None:
    assert policy.k8s is not None
    if kind not in BY_LABELS:
        problems.warn("k8s", f"has no effect: {kind} creates no object")
    elif policy.k8s.labels is None:
        problems.error("k8s.labels", "required", "name the labels that mean success")
    elif policy.k8s.labels:
        problems.warn("k8s", _NO_LABELS)
    else:
        problems.warn("k8s.labels", "is empty: the policy has no effect")
