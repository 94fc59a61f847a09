"""What a server makes of a definition after it was stored: names accepted or refused, conditions, what is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]

_TRUE, _FALSE = "True", "False"


def status(it: Object, others: Iterable[Object], now: str) -> dict[str, Any]:
    """The status of a definition among `others` (it may be among them), with conditions changed at `now` (RFC 3339).

    Accepted names of other definitions of the group count as taken; of this one, they are kept.
    """
    before = it.get("status") or {}
    accepted, (reason, message) = _names(it, before.get("acceptedNames") or {}, others)
    agreed = reason == "NoConflicts"
    conditions = [dict(one) for one in before.get("conditions") or ()]
    _set(conditions, "NamesAccepted", _TRUE if agreed else _FALSE, reason, message, now)
    if agreed:
        _set(conditions, "Established", _TRUE, "InitialNamesAccepted", "the initial names have been accepted", now)
    elif not any(one["type"] == "Established" for one in conditions):
        _set(conditions, "Established", _FALSE, "NotAccepted", "not all names are accepted", now)
    stored = list(before.get("storedVersions") or ())
    stored += [
        one["name"] for one in it["spec"].get("versions") or () if one.get("storage") and one["name"] not in stored
    ]
    return {"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored}


def doomed(it: Object, now: str) -> dict[str, Any]:
    """The status of a definition that somebody has just deleted."""
    conditions = [dict(one) for one in (it.get("status") or {}).get("conditions") or ()]
    says = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    _set(conditions, "Terminating", _TRUE, "InstanceDeletionPending", says, now)
    return {**(it.get("status") or {}), "conditions": conditions}


def terminating(it: Object, now: str) -> dict[str, Any]:
    """The status of a definition that is being deleted."""
    conditions = [dict(one) for one in (it.get("status") or {}).get("conditions") or ()]
    says = "CustomResource deletion is in progress"
    _set(conditions, "Terminating", _TRUE, "InstanceDeletionInProgress", says, now)
    return {**(it.get("status") or {}), "conditions": conditions}


def is_served(it: Object) -> bool:
    """Whether its resources can be asked for."""
    conditions = (it.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def _set(conditions: list[dict[str, Any]], kind: str, value: str, reason: str, message: str, now: str) -> None:
    for one in conditions:
        if one["type"] == kind:
            if one["status"] != value:
                one.update(status=value, lastTransitionTime=now)
                one.update(reason=reason, message=message)
            elif kind != "Established":
                one.update(reason=reason, message=message)
            return
    conditions.append({"type": kind, "status": value, "lastTransitionTime": now, "reason": reason, "message": message})


def _names(it: Object, mine: Object, others: Iterable[Object]) -> tuple[dict[str, Any], tuple[str, str]]:
    resources, kinds = _taken(it, others)
    wanted, accepted = it["spec"]["names"], dict(mine)
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    said = ("NoConflicts", "no conflicts found")
    for key, taken, reason in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
        ("shortNames", resources, "ShortNamesConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        value = wanted.get(key)
        new = [value] if isinstance(value, str) else [name for name in value or () if name not in (mine.get(key) or ())]
        conflicts = [name for name in new if name in taken and name != mine.get(key)]
        if conflicts:
            texts = [f'"{name}" is already in use' for name in conflicts]
            said = (reason, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        elif value:
            accepted[key] = value
        else:
            accepted.pop(key, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return accepted, said


def _taken(it: Object, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"].get("group") != it["spec"].get("group"):
            continue
        if other["metadata"].get("name") == it["metadata"].get("name"):
            continue  # what is its own is not in its way
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {taken.get("plural", ""), taken.get("singular", ""), *(taken.get("shortNames") or ())}
        kinds |= {taken.get("kind", ""), taken.get("listKind", "")}
    return resources - {""}, kinds - {""}
