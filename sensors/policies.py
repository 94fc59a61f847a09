"""Whether what the target answered counts as success. Contract: sensors B.8.

`policy.status` looks at a status code, `policy.k8s` at the labels that an object comes to carry, again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from events.backoff import Backoff
from events.errors import ActionError
from events.kube import objects
from events.problems import Problems
from sensors.base import Result, TriggerContext
from sensors.types import K8SResourcePolicy, TriggerPolicy

BY_LABELS = ("argoWorkflow", "k8s")
BY_STATUS = ("awsLambda", "http", "openWhisk")

Check = Callable[[Result, TriggerContext], Awaitable[None]]


def compile(policy: TriggerPolicy | None, kind: str) -> Check | None:
    """A check that raises ActionError for a result that does not count; None when what did not raise is a success."""
    if policy is None:
        return None
    by_labels = policy.k8s
    if by_labels is not None and by_labels.labels is not None and kind in BY_LABELS:
        return Labels(by_labels)
    allowed = policy.status.allow if policy.status else None
    return None if allowed is None else Status(allowed)


class Status:
    """A status code must be one of those allowed."""

    def __init__(self, allowed: list[int]) -> None:
        self._allowed = allowed

    async def __call__(self, result: Result, _context: TriggerContext) -> None:
        check_status(self._allowed, result)


class Labels:
    """An object must come to carry labels."""

    def __init__(self, policy: K8SResourcePolicy) -> None:
        self._wanted = policy.labels or {}
        self._backoff = policy.backoff or Backoff()
        self._is_strict = bool(policy.error_on_backoff_timeout)

    async def __call__(self, result: Result, context: TriggerContext) -> None:
        """Look, and pause, until it has them. What cannot be read is a failure at once; nothing to look at is none."""
        if not isinstance(result.value, dict):
            return  # it was deleted
        obj, pauses, kube = result.value, self._backoff.pauses(), context.kube()
        resource = await kube.resource(*objects.kind_of(obj))
        meta, namespace = obj["metadata"], objects.home(obj, context.namespace)
        while True:
            found = await kube.get(resource, meta["name"], namespace=namespace)
            has = found.get("metadata", {}).get("labels") or {}
            if all(has.get(name) == value for name, value in self._wanted.items()):
                return
            pause = next(pauses, None)
            if pause is None:
                break
            await asyncio.sleep(pause)
        if self._is_strict:
            missing = ", ".join(f"{name}={value}" for name, value in self._wanted.items() if has.get(name) != value)
            raise ActionError(f"{objects.describe(obj)} has not come to carry {missing}")


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
    elif not policy.k8s.labels:
        problems.warn("k8s.labels", "is empty: that the object can be read is enough")
