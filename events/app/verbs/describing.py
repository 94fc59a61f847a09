"""`keryx describe`: one object for people. Who it is, its conditions, its pods, what it says, what happened to it."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from events.app.verbs import arguments, getting, pods, tables, written
from events.app.verbs.arguments import Target
from events.app.verbs.getting import Getting
from events.app.verbs.session import Session
from events.errors import ActionError, UserError
from events.kube import objects
from events.kube.api import KubeError, Object, Resource
from events.kube.client import JSON
from events.kube.discovery import Kind
from events.local.apiserver.tables.ages import Clock

_EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_HEAD = ("apiVersion", "kind", "metadata")
_INDENT = "  "


@dataclass(frozen=True)
class Wanted:
    """Which objects."""

    words: Sequence[str] = ()
    everywhere: bool = False
    selector: str = ""


async def describe(session: Session, wanted: Wanted) -> int:
    """Show all that is meant, one after the other."""
    targets = arguments.targets(await session.catalogue(), wanted.words)
    search = Getting(session, getting.Wanted(everywhere=wanted.everywhere, selector=wanted.selector))
    if wanted.everywhere and any(target.name for target in targets):
        raise UserError("a resource cannot be described by name across all namespaces", cure="give -n NAMESPACE")
    count = 0
    for target in targets:
        for obj in await _found(session, search, target):
            session.screen.text("\n\n" if count else "")
            for line in await _lines(session, target.kind, obj):
                session.screen.line(line)
            count += 1
    return search.finish(is_empty=not count, is_home=not wanted.everywhere)


async def _found(session: Session, search: Getting, target: Target) -> list[Object]:
    """The objects of a target; of a name that is none, those that begin with it."""
    if target.name:
        try:
            return [await session.api.call("GET", search.where(target))]
        except KubeError as error:
            several = await _all(search, Target(target.kind)) if error.status == 404 else []
            alike = [one for one in several if one["metadata"]["name"].startswith(target.name)]
            if not alike:
                search.errors.append(error)
            return alike
        except ActionError as error:
            search.errors.append(error)
            return []
    return await _all(search, target)


async def _all(search: Getting, target: Target) -> list[Object]:
    return [one async for answer in search.pages(target, JSON) for one in getting.items(answer)]


async def _lines(session: Session, kind: Kind, obj: Object) -> list[str]:
    clock = Clock(time.time())
    lines = [*_head(kind, obj, clock), *_conditions(obj, clock)]
    lines += await _pods(session, kind, obj)
    lines += _body(kind, obj)
    return lines + await _events(session, obj, clock)


def _head(kind: Kind, obj: Object, clock: Clock) -> Iterator[str]:
    metadata = obj["metadata"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != _APPLIED}
    owners = [f"{one['kind']}/{one['name']}" for one in metadata.get("ownerReferences") or []]
    rows: list[tuple[str, list[str]]] = [
        ("Name", [metadata["name"]]),
        ("Namespace", [metadata["namespace"]] if metadata.get("namespace") else []),
        ("Kind", [f"{kind.resource.kind} ({kind.resource.api_version})"]),
        ("Labels", _pairs(metadata.get("labels") or {}, "=") or ["<none>"]),
        ("Annotations", _pairs(annotations, ": ") or ["<none>"]),
        ("Created", [f"{metadata.get('creationTimestamp')} ({clock.age(obj)} ago)"]),
        ("Owner", owners),
        ("Finalizers", list(metadata.get("finalizers") or [])),
        ("Being deleted", [f"since {metadata['deletionTimestamp']}"] if metadata.get("deletionTimestamp") else []),
    ]
    width = max(len(name) for name, values in rows if values) + 3
    for name, values in rows:
        for place, value in enumerate(values):
            yield f"{'' if place else name + ':':{width}}{value}"


def _pairs(values: dict[str, Any], sign: str) -> list[str]:
    return [f"{name}{sign}{_line(values[name])}" for name in sorted(values)]


def _line(value: Any) -> str:
    return " ".join(str(value).split())


def _conditions(obj: Object, clock: Clock) -> Iterator[str]:
    conditions = (obj.get("status") or {}).get("conditions")
    if not isinstance(conditions, list) or not conditions:
        return
    rows = [
        [
            *(str(one.get(name) or "") for name in ("type", "status", "reason")),
            clock.since(one["lastTransitionTime"]) if one.get("lastTransitionTime") else "",
            _line(one.get("message") or ""),
        ]
        for one in conditions
        if isinstance(one, dict)
    ]
    yield "Conditions:"
    yield from _table(["Type", "Status", "Reason", "Age", "Message"], rows)


def _table(heading: list[str], rows: list[list[str]]) -> Iterator[str]:
    """As kubectl's: a line under the heading, two spaces between columns."""
    whole = [heading, ["-" * len(name) for name in heading], *rows]
    widths = [max(len(row[place]) for row in whole) + 2 for place in range(len(heading))]
    for row in whole:
        yield _INDENT + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


async def _pods(session: Session, kind: Kind, obj: Object) -> list[str]:
    """The table of its pods, as far as it may be seen."""
    selector = pods.selector(kind.resource, obj)
    if not selector or not obj["metadata"].get("namespace"):
        return []
    where = objects.path(pods.POD, namespace=obj["metadata"]["namespace"])
    try:
        table = await session.api.call("GET", where, params={"labelSelector": selector}, accept=tables.ACCEPT)
    except ActionError as error:
        return [f"Pods:   <{_line(error)}>"]
    lines = tables.lines(Kind(pods.POD), table)
    return ["Pods:", *(_INDENT + line for line in lines)] if lines else ["Pods:   <none>"]


def _body(kind: Kind, obj: Object) -> Iterator[str]:
    """Everything else that the object says, field by field."""
    for name in sorted(obj, key=lambda one: (one == "status", one)):
        value = obj[name]
        if name in _HEAD or value in (None, {}, []):
            continue
        if kind.resource == _SECRET and name in ("data", "stringData"):
            value = {key: _size(text) for key, text in value.items()}
        if name == "status" and isinstance(value, dict):
            value = {key: one for key, one in value.items() if key != "conditions"}
            if not value:
                continue
        title = name[:1].upper() + name[1:]
        if not isinstance(value, dict | list):
            yield f"{title}:   {value}"
            continue
        yield f"{title}:"
        for line in written.dumped(value, "yaml").splitlines():
            yield _INDENT + line if line else ""


_SECRET = Resource("", "v1", "secrets", "Secret", namespaced=True)


def _size(text: Any) -> str:
    """How long a secret is, and nothing more."""
    try:
        return f"<{len(base64.b64decode(str(text), validate=True))} bytes>"
    except (binascii.Error, ValueError):
        return "<hidden>"


async def _events(session: Session, obj: Object, clock: Clock) -> list[str]:
    """What happened to it, the oldest first; nothing when one may not see it."""
    metadata = obj["metadata"]
    about = {"name": metadata["name"], "uid": metadata.get("uid") or ""}
    fields = ",".join(f"involvedObject.{name}={value}" for name, value in about.items() if value)
    where = objects.path(_EVENTS, namespace=metadata.get("namespace"))
    try:
        answer = await session.api.call("GET", where, params={"fieldSelector": fields, "limit": "500"})
    except ActionError as error:
        return [f"Events:   <{_line(error)}>"]
    found = sorted(answer["items"], key=_last)
    if not found:
        return ["Events:   <none>"]
    rows = [
        [
            str(one.get("type") or ""),
            str(one.get("reason") or ""),
            _age(one, clock),
            str((one.get("source") or {}).get("component") or one.get("reportingComponent") or ""),
            _line(one.get("message") or ""),
        ]
        for one in found
    ]
    return ["Events:", *_table(["Type", "Reason", "Age", "From", "Message"], rows)]


def _last(event: Object) -> str:
    series = event.get("series") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(found or event["metadata"].get("creationTimestamp") or "")


def _age(event: Object, clock: Clock) -> str:
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    last = clock.since(_last(event))
    return f"{last} (x{count} over {clock.since(first)})" if count > 1 else last
