"""retryStrategy: whether the last attempt is followed by another one. Contract: workflows G.1."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events import regexes
from events.local.workflows import expressions, gotexts, phases, variables
from events.local.workflows.engine import limits, scopes
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.errors import WorkflowError

POLICIES = ("Always", "OnFailure", "OnError", "OnTransientError")
_TRANSIENT = (
    "transient error",
    "TLS handshake timeout",
    "i/o timeout",
    "connection refused",
    "connection reset by peer",
    "etcdserver: request timed out",
    "exceeded quota",
    "the object has been modified",
    "try again",
    "EOF",
)
_UNITS = ((86400 * 7, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Verdict:
    """`goes_on`: execution of the template continues; `deadline` of the next pod."""

    goes_on: bool
    deadline: datetime | None = None


def strategy(run: Run, template: Mapping[str, Any]) -> Object | None:
    """The template's own, else the Workflow's."""
    found = template.get("retryStrategy")
    return found if found is not None else run.spec.get("retryStrategy")


def judge(run: Run, node: Node, wanted: Mapping[str, Any]) -> Verdict:
    """Look at the attempts; the Retry node is ended when there is nothing left to try."""
    attempts = scopes.retried(run, node)
    if phases.is_fulfilled(node) or not attempts:
        return Verdict(True)  # noqa: FBT003
    last = attempts[-1]
    if last.get("daemoned"):
        node["daemoned"] = True
    if not phases.is_fulfilled(last):
        return Verdict(True)  # noqa: FBT003
    name = node["name"]
    if not phases.is_bad(last):
        if last.get("outputs"):
            node["outputs"] = last["outputs"]
        run.mark(name, phases.SUCCEEDED)
        return Verdict(True)  # noqa: FBT003
    if run.shutdown or run.is_late:
        says = f"Stopped with strategy '{run.shutdown}'"
        run.mark(name, last["phase"], says if run.shutdown else f"retry exceeded workflow deadline {run.deadline}")
        return Verdict(True)  # noqa: FBT003
    verdict = Verdict(True)  # noqa: FBT003
    if wanted.get("backoff"):
        verdict = _back_off(run, node, wanted, attempts)
        if not verdict.goes_on or phases.is_fulfilled(node):
            return verdict
    _decide(run, node, wanted, attempts)
    return verdict


def _back_off(run: Run, node: Node, wanted: Mapping[str, Any], attempts: list[Node]) -> Verdict:
    backoff, last, name = wanted["backoff"], attempts[-1], node["name"]
    ends: datetime | None = None
    if backoff.get("maxDuration"):
        ends = variables.parsed(attempts[0]["startedAt"]) + timedelta(seconds=limits.seconds(backoff["maxDuration"]))
        if run.now > ends:
            run.mark(name, last["phase"], "Max duration limit exceeded")
            return Verdict(True)  # noqa: FBT003
    if not backoff.get("duration"):
        raise WorkflowError("no base duration specified for retryStrategy")
    wait = limits.seconds(backoff["duration"])
    factor = _whole(backoff.get("factor"))
    if factor is not None and factor > 0:
        wait *= factor ** (len(attempts) - 1)
    if backoff.get("cap"):
        wait = min(wait, limits.seconds(backoff["cap"]))
    due = variables.parsed(last.get("finishedAt") or run.stamp()) + timedelta(seconds=wait)
    if ends is not None and due > ends:
        run.mark(name, last["phase"], "Backoff would exceed max duration limit")
        return Verdict(True)  # noqa: FBT003
    limit = _whole(wanted.get("limit"))
    if run.now < due and limit is not None and len(attempts) <= limit:
        run.look_at(due)
        run.mark(name, node["phase"], f"Backoff for {_humanized(wait)}")
        return Verdict(False)  # noqa: FBT003
    node.pop("message", None)
    return Verdict(True, ends)  # noqa: FBT003


def _decide(run: Run, node: Node, wanted: Mapping[str, Any], attempts: list[Node]) -> None:
    last, name = attempts[-1], node["name"]
    expression = wanted.get("expression")
    policy = wanted.get("retryPolicy") or ("Always" if expression else "OnFailure")
    if policy not in POLICIES:
        raise WorkflowError(f"{policy} is not a valid RetryPolicy")
    covered = {"Always": phases.BAD, "OnFailure": {phases.FAILED}, "OnError": {phases.ERROR}}.get(policy, frozenset())
    if policy == "OnTransientError" and _is_transient(str(last.get("message", ""))):
        covered = phases.BAD
    limit = _whole(wanted.get("limit"))
    if last["phase"] not in covered:
        run.mark(name, last["phase"], str(last.get("message", "")))
    elif limit is not None and len(attempts) > limit:
        run.mark(name, last["phase"], "No more retries left")
    elif expression and not expressions.decide(expression, _scope(attempts)):
        run.mark(name, last["phase"], "retryStrategy.expression evaluated to false")


def _scope(attempts: list[Node]) -> dict[str, str]:
    last = attempts[-1]
    return {
        "retries": str(len(attempts) - 1),
        "lastRetry.exitCode": str((last.get("outputs") or {}).get("exitCode") or "-1"),
        "lastRetry.status": last.get("phase", ""),
        "lastRetry.duration": duration(last),
        "lastRetry.message": str(last.get("message", "")),
    }


def local(attempts: list[Node]) -> dict[str, str]:
    """What the template of the next attempt may refer to."""
    found = {"retries": str(len(attempts))}
    if not attempts:
        return found | {
            "lastRetry.exitCode": "0",
            "lastRetry.status": "",
            "lastRetry.duration": "0",
            "lastRetry.message": "",
        }
    code = (attempts[-1].get("outputs") or {}).get("exitCode")
    return {**_scope(attempts), **found, "lastRetry.exitCode": str(code) if code is not None else "0"}


def duration(node: Node) -> str:
    """Seconds between start and end."""
    if not node.get("finishedAt"):
        return "0"
    passed = variables.parsed(node["finishedAt"]) - variables.parsed(node["startedAt"])
    return gotexts.dumps(passed.total_seconds())


def _whole(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return gotexts.integer(value)
    except ValueError as error:
        raise WorkflowError(str(error)) from error


def _is_transient(message: str) -> bool:
    pattern = os.environ.get("TRANSIENT_ERROR_PATTERN")
    if pattern and regexes.compile(pattern).search(message.encode()):
        return True
    return any(text in message for text in _TRANSIENT)


def _humanized(seconds: float) -> str:
    """`2 minutes 0 seconds`: the largest unit and the one below it."""
    for index, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            count = int(seconds // size)
            found = f"{count} {unit}{'' if count == 1 else 's'}"
            if index + 1 < len(_UNITS):
                below, name = _UNITS[index + 1]
                rest = int(seconds % size // below)
                found += f" {rest} {name}{'' if rest == 1 else 's'}"
            return found
    return "0 seconds"
