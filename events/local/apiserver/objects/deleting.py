"""Delete an object, or many: preconditions, grace, finalizers, propagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from events.local.apiserver.access.refusals import conflict
from events.local.apiserver.entries import Entry
from events.local.apiserver.objects import bodies, errors, hooks, life, options, versions
from events.local.apiserver.objects.operations import Operations
from events.local.apiserver.objects.options import Options
from events.local.apiserver.patches import documents
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_GRACE_OF_PODS = 30
_DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"


@dataclass(frozen=True)
class DeleteOptions:
    """What a client asks of a removal."""

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    version: str = ""
    orphans: bool | None = None
    dry_run: tuple[str, ...] = ()
    raw: Object = field(default_factory=dict)


def parse(body: bytes, content_type: str, query: Mapping[str, Sequence[str]]) -> DeleteOptions:
    """The options of a body, or else of the query. Raises StatusError 400, 415 and 422."""
    given = _of_body(body, content_type) if body else _of_query(query)
    preconditions = given.get("preconditions") or {}
    found = DeleteOptions(
        given.get("propagationPolicy") or "",
        given.get("gracePeriodSeconds"),
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        given.get("orphanDependents"),
        tuple(given.get("dryRun") or ()),
        {key: value for key, value in given.items() if key not in ("kind", "apiVersion")},
    )
    wrong = options.wrong_dry_run(found.dry_run) + _wrong_propagation(found)
    if wrong:
        raise errors.invalid_options("DeleteOptions", wrong)
    return found


def _of_body(body: bytes, content_type: str) -> Object:
    media = bodies.media_type(content_type)
    if media == bodies.JSON:
        try:
            found, _ = documents.decode(body)
        except StatusError as error:
            says = error.message.removeprefix("error decoding patch: ")
            raise errors.bad_request(f"couldn't get version/kind; json parse error: {says}") from error
    else:
        found, _ = bodies.parsed(body, content_type, "DeleteOptions")
    if not isinstance(found, dict):
        raise errors.bad_request("expected an object with delete options")
    return _typed(found)


_TYPES: Mapping[str, type] = {
    "propagationPolicy": str,
    "gracePeriodSeconds": int,
    "preconditions": dict,
    "orphanDependents": bool,
    "dryRun": list,
    "uid": str,
    "resourceVersion": str,
}


def _typed(found: Object) -> Object:
    inner = found.get("preconditions")
    for key, value in [*found.items(), *(inner.items() if isinstance(inner, dict) else ())]:
        wanted = _TYPES.get(key)
        if value is not None and wanted is not None and type(value) is not wanted:
            what = documents.name_of(value)
            raise errors.bad_request(
                f'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal {what} '
                f"into Go struct field DeleteOptions.{key}"
            )
    if not all(isinstance(one, str) for one in found.get("dryRun") or ()):
        raise errors.bad_request("dryRun must be a list of texts")
    return found


def _of_query(query: Mapping[str, Sequence[str]]) -> Object:
    found: Object = {}
    if query.get("propagationPolicy"):
        found["propagationPolicy"] = query["propagationPolicy"][0]
    if query.get("gracePeriodSeconds"):
        text = query["gracePeriodSeconds"][0]
        try:
            found["gracePeriodSeconds"] = int(text)
        except ValueError:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if query.get("orphanDependents"):
        found["orphanDependents"] = options.truth(query["orphanDependents"][0])
    if "dryRun" in query:
        found["dryRun"] = list(query["dryRun"])
    return found


def _wrong_propagation(found: DeleteOptions) -> list[Cause]:
    if found.propagation and found.propagation not in _POLICIES:
        return [causes.not_supported("propagationPolicy", found.propagation, _POLICIES)]
    if found.propagation and found.orphans is not None:
        says = "orphanDependents and deletionPropagation cannot be both set"
        return [causes.invalid("propagationPolicy", found.propagation, says)]
    return []


@dataclass(frozen=True)
class Deleted:
    """The object as it was last seen, and whether it is gone by now."""

    object: Object
    is_gone: bool


class Deleting:
    """Removals on the operations of a store."""

    def __init__(self, operations: Operations) -> None:
        self._operations, self._store = operations, operations.store

    async def delete(
        self, resource: Resource, namespace: str, name: str, wanted: DeleteOptions, who: Options
    ) -> Deleted:
        """Raises StatusError 404, 409 and what admission says."""
        who = replace(who, dry_run=bool(wanted.dry_run), warnings=who.warnings)
        request_options = {**who.told("DELETE"), **wanted.raw}
        for _ in range(5):
            entry = self._operations.find(resource, namespace, name)
            old = versions.shown(resource, entry)
            _check_preconditions(resource, old, wanted)
            request = self._operations.request("DELETE", resource, "", namespace, name, who, None, old)
            request = replace(request, options=request_options)
            await self._operations.admission.mutate(request)
            await self._operations.admission.validate(request)
            if self._store.get(resource.storage, namespace, name) is entry:
                found = self._end(resource, entry, old, wanted, who)
                await self._store.settled()
                return found
        raise errors.conflict(resource, name)

    def _end(self, resource: Resource, entry: Entry, old: Object, wanted: DeleteOptions, who: Options) -> Deleted:
        it = {**old, "metadata": dict(old["metadata"])}
        finalizers = _finalizers(resource, it["metadata"].get("finalizers") or [], wanted)
        grace = _grace(resource, old, wanted)
        is_held = bool(finalizers) or life.has_inner_finalizers(it)
        if not grace and not is_held:
            return self._remove(resource, entry, it, who)
        metadata = it["metadata"]
        if not metadata.get("deletionTimestamp") or grace < metadata.get("deletionGracePeriodSeconds", 0):
            _mark_in_place(resource, it, grace, who.now)
        if finalizers != (metadata.get("finalizers") or []):
            metadata.pop("finalizers", None)
            if finalizers:
                metadata["finalizers"] = finalizers
        if it != old and not who.dry_run:
            self._operations.put(resource, it, entry)
        return Deleted(it, is_gone=False)

    def _remove(self, resource: Resource, entry: Entry, it: Object, who: Options) -> Deleted:
        if not who.dry_run:
            version = self._store.remove(resource.storage, entry)
            it["metadata"]["resourceVersion"] = str(version)
            self._operations.hooks.give_back(resource, it)
        return Deleted(it, is_gone=True)


def _mark_in_place(resource: Resource, it: Object, grace: int, now: datetime) -> None:
    metadata = it["metadata"]
    metadata["deletionTimestamp"] = life.timestamp(now + timedelta(seconds=grace))
    if resource.storage == _DEFINITIONS:
        from events.local.apiserver.validation.custom import accepting

        it["status"] = accepting.doomed(it, life.timestamp(now))
        return
    if resource.storage == "namespaces":
        it["status"] = {**(it.get("status") or {}), "phase": "Terminating"}
        return
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _grace(resource: Resource, old: Object, wanted: DeleteOptions) -> int:
    """Only pods that run have time to end."""
    if resource.storage != "pods":
        return 0
    spec, phase = old.get("spec") or {}, (old.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if wanted.grace is not None:
        return max(1, wanted.grace) if wanted.grace < 0 else wanted.grace
    return int(spec.get("terminationGracePeriodSeconds", _GRACE_OF_PODS))


def _finalizers(resource: Resource, present: list[str], wanted: DeleteOptions) -> list[str]:
    """Those that hold the object until the garbage collector has done its part."""
    policy = wanted.propagation
    if wanted.orphans is not None:
        policy = "Orphan" if wanted.orphans else "Background"
    kept = list(present)
    if policy:
        kept = [one for one in kept if one not in (FOREGROUND, ORPHAN)]
        kept += [{"Foreground": FOREGROUND, "Orphan": ORPHAN}[policy]] if policy in ("Foreground", "Orphan") else []
    if resource.storage == _DEFINITIONS and hooks.CLEANUP not in kept:
        kept.append(hooks.CLEANUP)
    return kept


def _check_preconditions(resource: Resource, it: Object, wanted: DeleteOptions) -> None:
    metadata = it["metadata"]
    name, uid, version = metadata["name"], metadata.get("uid", ""), metadata.get("resourceVersion", "")
    why = ""
    if wanted.uid and wanted.uid != uid:
        why = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif wanted.version and wanted.version != version:
        why = (
            f"the ResourceVersion in the precondition ({wanted.version}) does not match the ResourceVersion in record "
            f"({version}). The object might have been modified"
        )
    if why:
        raise conflict(resource.group, resource.kind, name, why)
