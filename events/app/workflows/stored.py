"""`keryx wf template|cluster-template|cron …`: the same verbs for each kind. Contract: workflows N."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from events.app.workflows import linting, printing
from events.app.workflows.session import Session
from events.errors import UserError
from events.kube.api import Object
from events.local.workflows import schedules, tree, validation, variables
from events.local.workflows.errors import WorkflowError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kind:
    """A kind and the word for it on the command line."""

    word: str
    kind: str
    is_namespaced: bool = True

    @property
    def is_cron(self) -> bool:
        return self.kind == "CronWorkflow"


@dataclass(frozen=True)
class Listing:
    """What `list` shows, and how."""

    everywhere: bool = False
    selector: str = ""
    output: str = ""


async def list_all(session: Session, kind: Kind, wanted: Listing, say: Say) -> int:
    """Show the objects of a kind."""
    found = await session.list(everywhere=wanted.everywhere, selector=wanted.selector, kind=kind.kind)
    if wanted.output == "name":
        for one in found:
            say(one["metadata"]["name"])
    elif wanted.output in ("json", "yaml"):
        say(printing.written(found, wanted.output).rstrip("\n"))
    elif not found:
        say(f"No {kind.word.replace('-', ' ')}s found")
    else:
        now, with_namespace = datetime.now(UTC), wanted.everywhere and kind.is_namespaced
        heading = [*(["NAMESPACE"] if with_namespace else []), "NAME", *(_CRON_COLUMNS if kind.is_cron else ())]
        rows = [_row(one, kind, now, with_namespace=with_namespace) for one in found]
        say(tree.table([heading, *rows], gap=3).rstrip("\n"))
    return 0


_CRON_COLUMNS = ("AGE", "LAST RUN", "NEXT RUN", "SCHEDULES", "TIMEZONE", "SUSPENDED")


def _row(obj: Object, kind: Kind, now: datetime, *, with_namespace: bool) -> list[str]:
    meta = obj["metadata"]
    row = [meta.get("namespace", "")] if with_namespace else []
    row.append(meta["name"])
    if kind.is_cron:
        spec, status = obj["spec"], obj.get("status") or {}
        following = next_run(obj, now)
        row += [
            _passed(meta.get("creationTimestamp"), now),
            _passed(status.get("lastScheduledTime"), now),
            tree.short_duration(following - now) if following else "N/A",
            ",".join(spec.get("schedules") or ()),
            str(spec.get("timezone") or ""),
            "true" if spec.get("suspend") else "false",
        ]
    return row


def _passed(text: str | None, now: datetime) -> str:
    return tree.short_duration(now - variables.parsed(text)) if text else "N/A"


def next_run(cron: Mapping[str, Any], now: datetime) -> datetime | None:
    """When a CronWorkflow is due next; None for one that never is, or is suspended."""
    spec = cron["spec"]
    if spec.get("suspend"):
        return None
    try:
        return schedules.upcoming(schedules.parse_all(spec.get("schedules") or (), spec.get("timezone") or ""), now)
    except WorkflowError:
        return None


async def get(session: Session, kind: Kind, names: Sequence[str], output: str, say: Say) -> int:
    """Show some."""
    for name in names:
        _show(await session.get(name, kind.kind), kind, output, say)
    return 0


def _show(obj: Object, kind: Kind, output: str, say: Say) -> None:
    meta, now = obj["metadata"], datetime.now(UTC)
    if output == "name":
        say(meta["name"])
        return
    if output in ("json", "yaml"):
        say(printing.written(obj, output).rstrip("\n"))
        return
    rows = [("Name:", meta["name"])]
    if kind.is_namespaced:
        rows.append(("Namespace:", meta.get("namespace", "")))
    rows.append(("Created:", printing.moment(meta.get("creationTimestamp"), now)))
    if kind.is_cron:
        rows += _cron_rows(obj, now)
    say("\n".join(printing.line(name, value) for name, value in rows))


def _cron_rows(obj: Object, now: datetime) -> list[tuple[str, str]]:
    spec, status = obj["spec"], obj.get("status") or {}
    rows = [
        ("Schedules:", ",".join(spec.get("schedules") or ())),
        ("Suspended:", "true" if spec.get("suspend") else "false"),
    ]
    if spec.get("timezone"):
        rows.append(("Timezone:", str(spec["timezone"])))
    if spec.get("startingDeadlineSeconds") is not None:
        rows.append(("StartingDeadlineSeconds:", str(spec["startingDeadlineSeconds"])))
    rows.append(("ConcurrencyPolicy:", str(spec.get("concurrencyPolicy") or "Allow")))
    if status.get("lastScheduledTime"):
        rows.append(("LastScheduledTime:", printing.moment(status["lastScheduledTime"], now)))
    following = next_run(obj, now)
    if following:
        rows.append(("NextScheduledTime:", printing.moment(variables.instant(following), now)))
    active = [one["name"] for one in status.get("active") or ()]
    if active:
        rows.append(("Active Workflows:", ", ".join(active)))
    return rows + [(f"{one['type']}:", one.get("message", "")) for one in status.get("conditions") or ()]


async def create(session: Session, kind: Kind, files: Sequence[Path], output: str, say: Say, *, updates: bool) -> int:
    """Create, or replace, the objects of files, once they are all right."""
    several = [one for path in files for one in linting.objects_of(path, kind.kind)]
    if not several:
        raise UserError(f"there is no {kind.kind} in what was given", cure=f"give a file with kind: {kind.kind}")
    templates, cluster = [
        {one["metadata"]["name"]: one for one in await session.list(kind=each)}
        for each in ("WorkflowTemplate", "ClusterWorkflowTemplate")
    ]
    for one in several:
        name = (one.get("metadata") or {}).get("name", "")
        try:
            validation.check(one, templates, cluster)
        except WorkflowError as error:
            raise UserError(f'{kind.kind} "{name}": {error.message}', cure=error.cure) from error
    for one in several:
        _show(await session.put(one, updates=updates), kind, output, say)
    return 0


async def delete(session: Session, kind: Kind, names: Sequence[str], say: Say, *, is_all: bool = False) -> int:
    """Delete by name, or all of the namespace."""
    chosen = list(names)
    if is_all:
        chosen += [one["metadata"]["name"] for one in await session.list(kind=kind.kind)]
    elif not chosen:
        raise UserError(f"no {kind.word} is named", cure="give names, or --all")
    for name in chosen:
        await session.delete(name, kind.kind)
        say(f"{kind.kind} '{name}' deleted")
    return 0


async def suspend(session: Session, kind: Kind, names: Sequence[str], say: Say, *, is_suspended: bool) -> int:
    """Have CronWorkflows make no Workflows, or make them again."""
    for name in names:
        await session.merge(name, kind.kind, {"spec": {"suspend": is_suspended}})
        say(f"{kind.kind} '{name}' {'suspended' if is_suspended else 'resumed'}")
    return 0
