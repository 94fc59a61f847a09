"""What a server itself writes into `metadata` when an object begins, changes and ends."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Any

from events.local.apiserver.managed.values import same
from events.local.apiserver.resources import STATUS, Resource

Object = dict[str, Any]

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX, _LONGEST_PREFIX = 5, 58
_NOT_COUNTED = frozenset({"apiVersion", "kind", "metadata", "status"})
EVERYTHING = ("*",)


def timestamp(now: datetime) -> str:
    """Seconds, as the API writes times."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def generated(prefix: str) -> str:
    """A name that begins like this."""
    return prefix[:_LONGEST_PREFIX] + "".join(secrets.choice(_LETTERS) for _ in range(_SUFFIX))


def begin_in_place(resource: Resource, it: Object, now: datetime) -> None:
    """A new object: named, with its uid, times and generation; without what only the server writes."""
    metadata = it["metadata"] = dict(it.get("metadata") or {})
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(key, None)
    metadata["creationTimestamp"] = timestamp(now)
    metadata["uid"] = str(uuid.uuid4())
    if resource.counted:
        metadata["generation"] = 1
    if metadata.get("generateName") and not metadata.get("name"):
        metadata["name"] = generated(metadata["generateName"])
    if resource.has_status:
        it.pop("status", None)


def carry_in_place(resource: Resource, it: Object, old: Object, subresource: str) -> None:
    """A changed object: what this endpoint does not write, and what nobody writes, is as it was."""
    metadata, before = it["metadata"], old["metadata"]
    if subresource == STATUS:
        _keep_all_but_status(resource, it, old)
        metadata = it["metadata"]
    elif resource.has_status and not subresource:
        if "status" in old:
            it["status"] = old["status"]
        else:
            it.pop("status", None)
    metadata.pop("selfLink", None)
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not metadata.get(key) and key in before:
            metadata[key] = before[key]
    metadata["creationTimestamp"] = before.get("creationTimestamp")
    metadata.pop("generation", None)
    if "generation" in before:
        metadata["generation"] = before["generation"]
        if subresource != STATUS and has_news(resource, it, old):
            metadata["generation"] += 1


def _keep_all_but_status(resource: Resource, it: Object, old: Object) -> None:
    """Of metadata a status endpoint writes labels and the like for built-in kinds, and nothing for custom ones."""
    for key in set(it) | set(old):
        if key in ("status", "metadata", "apiVersion", "kind"):
            continue
        if key in old:
            it[key] = old[key]
        else:
            it.pop(key)
    if resource.is_custom or resource.plural == "customresourcedefinitions":
        managed = it["metadata"].get("managedFields")
        version = it["metadata"].get("resourceVersion")
        it["metadata"] = {key: value for key, value in old["metadata"].items() if key != "managedFields"}
        if managed:
            it["metadata"]["managedFields"] = managed
        if version:
            it["metadata"]["resourceVersion"] = version


def has_news(resource: Resource, it: Object, old: Object) -> bool:
    """Whether something changed that counts in the generation."""
    if resource.counted == EVERYTHING:
        skipped = _NOT_COUNTED if resource.has_status else _NOT_COUNTED - {"status"}
        return not same(_without(it, skipped), _without(old, skipped))
    return any(not same(_counted(it, key), _counted(old, key)) for key in resource.counted)


def _counted(it: Object, key: str) -> Any:
    return (it["metadata"].get(key) if key in ("annotations", "labels") else it.get(key)) or None


def _without(it: Object, keys: frozenset[str]) -> Object:
    return {key: value for key, value in it.items() if key not in keys}


def dedupe_owners_in_place(it: Object) -> None:
    """An owner that is there twice counts once."""
    owners = it["metadata"].get("ownerReferences")
    if owners and len(owners) > 1:
        kept: list[Object] = []
        for owner in owners:
            if owner not in kept:
                kept.append(owner)
        it["metadata"]["ownerReferences"] = kept


def settle_empty_in_place(resource: Resource, it: Object) -> None:
    """Lists that a kind shows as null when there is nothing in them."""
    if resource.is_custom:
        return
    for key, value in resource.managed.empty.items():
        if value is None and it.get(key) == []:
            it[key] = None


def is_over(it: Object) -> bool:
    """Whether nothing holds an object any longer that is being deleted."""
    metadata = it["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not has_inner_finalizers(it)


def has_inner_finalizers(it: Object) -> bool:
    """Whether a namespace still has to be emptied."""
    return bool(it.get("kind") == "Namespace" and (it.get("spec") or {}).get("finalizers"))
