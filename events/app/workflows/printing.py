"""What `keryx wf get` and `list` print. Contract: workflows N.1, N.2. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from events import yamls
from events.local.workflows import phases, tree, variables
from events.local.workflows.tree import Style

Object = Mapping[str, Any]
_WIDTH = 20


def shown(workflow: Object, now: datetime, style: Style) -> str:
    """One Workflow: the heading and the tree; `short` is the tree alone."""
    drawn = tree.drawn(workflow, now, style)
    if style.output == "short":
        return drawn
    lines = [line(name, value) for name, value in _heading(workflow, now, style)]
    has_nodes = bool((workflow.get("status") or {}).get("nodes"))
    return "\n".join(lines) + "\n" + (f"\n{drawn}" if has_nodes else "")


def line(name: str, value: str) -> str:
    """A line of a heading."""
    return f"{name:<{_WIDTH}} {value}".rstrip()


def _heading(workflow: Object, now: datetime, style: Style) -> list[tuple[str, str]]:
    meta, spec, status = workflow["metadata"], workflow["spec"], workflow.get("status") or {}
    account = spec.get("serviceAccountName") or "unset (will run with the default ServiceAccount)"
    found = [
        ("Name:", meta["name"]),
        ("Namespace:", meta.get("namespace", "")),
        ("ServiceAccount:", account),
        ("Status:", state(workflow)),
    ]
    if status.get("message"):
        found.append(("Message:", status["message"]))
    found += _conditions(status, style)
    found.append(("Created:", moment(meta.get("creationTimestamp"), now)))
    if status.get("startedAt"):
        found.append(("Started:", moment(status["startedAt"], now)))
    if status.get("finishedAt"):
        found.append(("Finished:", moment(status["finishedAt"], now)))
    if status.get("startedAt"):
        found.append(("Duration:", _long(_duration(status, now))))
    if status.get("progress"):
        found.append(("Progress:", status["progress"]))
    found += _values("Parameters:", (spec.get("arguments") or {}).get("parameters"))
    found += _values("Output Parameters:", (status.get("outputs") or {}).get("parameters"))
    artifacts = (status.get("outputs") or {}).get("artifacts")
    if artifacts:
        found += [("Output Artifacts:", ""), *((f"  {one['name']}:", _location(one)) for one in artifacts)]
    return found


def _values(title: str, parameters: Sequence[Object] | None) -> list[tuple[str, str]]:
    if not parameters:
        return []
    rows = [(f"  {one['name']}:", "" if one.get("value") is None else str(one["value"])) for one in parameters]
    return [(title, ""), *rows]


def _location(artifact: Object) -> str:
    return str((artifact.get("s3") or {}).get("key", ""))


def _conditions(status: Object, style: Style) -> list[tuple[str, str]]:
    several = status.get("conditions") or ()
    if not several:
        return []
    rows = []
    for one in several:
        icon = "✖" if "Error" in one.get("type", "") else "✔"
        text = one.get("message") or one.get("status", "")
        rows.append((f"{icon if style.utf8 else ''} {one.get('type', '')}".strip(), text))
    return [("Conditions:", ""), *((f" {name}", text) for name, text in rows)]


def state(workflow: Object) -> str:
    """The status, with what is special about it."""
    status, spec = workflow.get("status") or {}, workflow["spec"]
    phase = status.get("phase") or "Pending"
    if phase == "Running" and (
        spec.get("suspend") or any(phases.is_active_suspend(dict(one)) for one in (status.get("nodes") or {}).values())
    ):
        return "Running (Suspended)"
    if phase == "Failed" and spec.get("shutdown"):
        return "Failed (Terminated)"
    return str(phase)


def moment(text: str | None, now: datetime) -> str:
    """A time, and how long it is ago or ahead."""
    if not text:
        return ""
    found = variables.parsed(text)
    told = f"{_ago(found - now)[:-4]} from now" if found - now > timedelta(seconds=1) else _ago(now - found)
    return f"{found:%a %b %d %H:%M:%S +0000} ({told})"


_UNITS = ((86400 * 7, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def _ago(passed: timedelta) -> str:
    seconds = int(passed.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "now"


def _long(passed: timedelta) -> str:
    """`2 minutes 5 seconds`."""
    seconds = max(0, int(passed.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        if seconds >= size or (unit == "second" and not parts):
            count, seconds = divmod(seconds, size)
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2])


def _duration(status: Object, now: datetime) -> timedelta:
    ends = variables.parsed(status["finishedAt"]) if status.get("finishedAt") else now
    return ends - variables.parsed(status["startedAt"])


def listed(
    workflows: Sequence[Object],
    now: datetime,
    *,
    with_namespace: bool,
    is_wide: bool,
    heading: bool,
    with_uid: bool = False,
) -> str:
    """The table of `list`; `with_uid` keeps the order and names the uid, too."""
    if not workflows:
        return "No workflows found\n"
    names = ["NAMESPACE"] if with_namespace else []
    names += ["NAME", "STATUS", "AGE", "DURATION", "PRIORITY"]
    if is_wide:
        names += ["P/R/C", "PARAMETERS"]
    names.append("MESSAGE")
    several = workflows if with_uid else ordered(workflows)
    rows = [_row(one, now, with_namespace=with_namespace, is_wide=is_wide) for one in several]
    if with_uid:
        names.append("UID")
        rows = [[*row, one["metadata"]["uid"]] for row, one in zip(rows, several, strict=True)]
    return tree.table([names, *rows] if heading else rows, gap=3)


def _row(workflow: Object, now: datetime, *, with_namespace: bool, is_wide: bool) -> list[str]:
    meta, spec, status = workflow["metadata"], workflow["spec"], workflow.get("status") or {}
    row = [meta.get("namespace", "")] if with_namespace else []
    age = (
        tree.short_duration(now - variables.parsed(meta["creationTimestamp"])) if meta.get("creationTimestamp") else ""
    )
    passed = tree.short_duration(_duration(status, now)) if status.get("startedAt") else "0s"
    row += [meta["name"], state(workflow), age, passed, str(spec.get("priority") or 0)]
    if is_wide:
        counts = [0, 0, 0]
        for node in (status.get("nodes") or {}).values():
            if node.get("type") == "Pod":
                index = {phases.PENDING: 0, phases.RUNNING: 1}.get(node.get("phase", ""), 2)
                counts[index] += 1
        given = (spec.get("arguments") or {}).get("parameters") or ()
        row += ["/".join(map(str, counts)), ",".join(f"{one['name']}={one.get('value', '')}" for one in given)]
    return [*row, str(status.get("message", ""))]


def ordered(workflows: Sequence[Object]) -> list[Object]:
    """Unfinished ones first, the newest first; then those that ended, the last first."""
    running = [one for one in workflows if not (one.get("status") or {}).get("finishedAt")]
    ended = [one for one in workflows if (one.get("status") or {}).get("finishedAt")]
    running.sort(key=lambda one: str(one["metadata"].get("creationTimestamp", "")), reverse=True)
    ended.sort(key=lambda one: str(one["status"]["finishedAt"]), reverse=True)
    return [*running, *ended]


def written(obj: Any, output: str) -> str:
    """JSON or YAML."""
    return json.dumps(obj, indent=2, ensure_ascii=False) + "\n" if output == "json" else yamls.dump(obj)
