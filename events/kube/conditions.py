"""Conditions in the status of an object: what works, and why not. Contract: sensors F.4 to F.7."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from events.kube.api import Object


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them. The status of each is True when all is well."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""


def merged(old: Iterable[Object] | None, new: Iterable[Condition], generation: int, now: datetime) -> list[Object]:
    """The conditions to write: those of `new`, sorted by type, as of `generation`.

    `lastTransitionTime` moves only when a status does; what did not change is what it was, to the letter.
    """
    before = {one.get("type"): one for one in old or () if isinstance(one, dict)}
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [_next(before.get(one.type), one, generation, moment) for one in sorted(new, key=lambda one: one.type)]


def _next(before: Object | None, one: Condition, generation: int, moment: str) -> Object:
    is_same = before is not None and before.get("status") == one.status and before.get("lastTransitionTime")
    after = {
        "type": one.type,
        "status": one.status,
        "reason": one.reason,
        "message": one.message,
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and is_same else moment,
        "observedGeneration": generation,
    }
    return {name: value for name, value in after.items() if value != ""}


def all_of(obj: Object) -> list[Object]:
    """The conditions of an object, however it was stored."""
    status = obj.get("status")
    found = status.get("conditions") if isinstance(status, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def ready(obj: Object) -> bool:
    """Whether the object has conditions and all are True: what Argo Events calls ready."""
    found = all_of(obj)
    return bool(found) and all(one.get("status") == "True" for one in found)


def changed(old: Iterable[Object], new: Iterable[Object]) -> list[Object]:
    """The conditions of `new` whose status or reason is another than in `old`: worth an Event."""
    before = {one.get("type"): (one.get("status"), one.get("reason")) for one in old}
    return [one for one in new if before.get(one["type"]) != (one["status"], one.get("reason"))]
