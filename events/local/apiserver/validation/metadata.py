"""The rules of `metadata`, for every kind: on creation and on change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

MOST_ANNOTATION_BYTES = 256 * 1024
_MOST_MANAGER_BYTES, _MOST_SUBRESOURCE_BYTES = 128, 256
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
STANDARD_FINALIZERS = frozenset({"kubernetes", _FOREGROUND, _ORPHAN})
"""Finalizers without a domain that a server knows."""
_IMMUTABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_EMPTY = {"name": "", "namespace": "", "uid": ""}


def created(meta: Object, rule: names.Rule, *, namespaced: bool, core: bool = True) -> list[Cause]:
    """What is wrong with the metadata of an object; `core` adds what the API's own kinds ask of finalizers."""
    found: list[Cause] = []
    if prefix := meta.get("generateName"):
        found += causes.each("metadata.generateName", prefix, rule(masked(prefix)))
    if name := meta.get("name"):
        found += causes.each("metadata.name", name, rule(name))
    else:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    return found + _placed(meta, namespaced=namespaced) + _shared(meta) + finalizers(meta, core=core)


def updated(meta: Object, old: Object, *, core: bool = True) -> list[Cause]:
    """What is wrong with a change of metadata."""
    found: list[Cause] = []
    if old.get("deletionTimestamp") is not None:
        found += _new_finalizers(meta, old)
    if not meta.get("resourceVersion"):
        found.append(causes.invalid("metadata.resourceVersion", "", "must be specified for an update"))
    if meta.get("generation", 0) < old.get("generation", 0):
        found.append(causes.invalid("metadata.generation", meta.get("generation", 0), "must not be decremented"))
    for key in _IMMUTABLE:
        empty = _EMPTY.get(key)
        found += causes.immutable(f"metadata.{key}", meta.get(key) or empty, old.get(key) or empty)
    found += _shared(meta)
    return found + (_standard(meta) if core else [])


def masked(prefix: str) -> str:
    """A prefix as it is judged: its last dash will be followed by something."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def _placed(meta: Object, *, namespaced: bool) -> list[Cause]:
    namespace = meta.get("namespace", "")
    if not namespaced:
        return [causes.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [causes.required("metadata.namespace")]
    return causes.each("metadata.namespace", namespace, names.dns1123_label(namespace))


def _shared(meta: Object) -> list[Cause]:
    found = labels("metadata.labels", meta.get("labels"))
    found += check_annotations("metadata.annotations", meta.get("annotations"))
    found += owners("metadata.ownerReferences", meta.get("ownerReferences") or ())
    return found + _managed("metadata.managedFields", meta.get("managedFields") or ())


def labels(path: str, given: Mapping[str, str] | None) -> list[Cause]:
    """Keys and values."""
    found: list[Cause] = []
    for key, value in (given or {}).items():
        found += causes.each(path, key, names.qualified_name(key))
        found += causes.each(path, value, names.label_value(value))
    return found


def check_annotations(path: str, given: Mapping[str, str] | None) -> list[Cause]:
    """Keys, and the size of all together."""
    if not given:
        return []
    found: list[Cause] = []
    for key in given:
        found += causes.each(path, key, names.qualified_name(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in given.items()) > MOST_ANNOTATION_BYTES:
        found.append(causes.too_long(path, MOST_ANNOTATION_BYTES))
    return found


def owners(path: str, references: Sequence[Object]) -> list[Cause]:
    """Owner references: complete, and at most one controller."""
    found: list[Cause] = []
    controller = ""
    for owner in references:
        version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
        if not version.rpartition("/")[2] or version.count("/") > 1:
            found.append(causes.invalid(f"{path}.apiVersion", version, "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                found.append(causes.invalid(f"{path}.{key}", "", "must not be empty"))
        if (version, kind) in (("v1", "Event"), ("events.k8s.io/v1", "Event")):
            group, _, plain = version.rpartition("/")
            says = f"{group}/{plain}, Kind={kind} is disallowed from being an owner"
            found.append(causes.invalid(path, _ordered(owner), says))
        if owner.get("controller"):
            named = f"{kind}/{owner.get('name', '')}"
            if controller:
                says = 'Only one reference can have Controller set to true. Found "true" in references for '
                found.append(causes.invalid(path, list(map(_ordered, references)), f"{says}{controller} and {named}"))
            else:
                controller = named
    return found


def _ordered(owner: Object) -> dict[str, Any]:
    order = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return {key: owner[key] for key in order if key in owner}


def finalizers(meta: Object, *, core: bool) -> list[Cause]:
    """Finalizers of a new object."""
    path, given = "metadata.finalizers", meta.get("finalizers") or ()
    found: list[Cause] = []
    for name in given:
        found += causes.each(path, name, names.qualified_name(name))
    if _FOREGROUND in given and _ORPHAN in given:
        says = f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        found.append(causes.invalid(path, list(given), says))
    return found + (_standard(meta) if core else [])


def _standard(meta: Object) -> list[Cause]:
    return [
        causes.invalid(
            f"metadata.finalizers[{index}]", name, "name is neither a standard finalizer name nor is it fully qualified"
        )
        for index, name in enumerate(meta.get("finalizers") or ())
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]


def _new_finalizers(meta: Object, old: Object) -> list[Cause]:
    extra = sorted(set(meta.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if not extra:
        return []
    shown = ", ".join(map(causes.quoted, extra))
    says = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
    return [causes.forbidden("metadata.finalizers", f"{says}{{{shown}}}")]


def _managed(path: str, entries: Sequence[Object]) -> list[Cause]:
    found: list[Cause] = []
    for index, entry in enumerate(entries):
        here = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            found.append(causes.invalid(f"{here}.operation", entry.get("operation", ""), "must be `Apply` or `Update`"))
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            found.append(causes.invalid(f"{here}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        found += manager(f"{here}.manager", entry.get("manager", ""))
        if len(entry.get("subresource", "").encode()) > _MOST_SUBRESOURCE_BYTES:
            found.append(causes.too_long(f"{here}.subresource", _MOST_SUBRESOURCE_BYTES))
    return found


def manager(path: str, name: str) -> list[Cause]:
    """The name of a field manager."""
    if len(name.encode()) > _MOST_MANAGER_BYTES:
        return [causes.too_long(path, _MOST_MANAGER_BYTES)]
    for position, character in enumerate(name):
        if not character.isprintable():
            return [causes.invalid(path, name, f"invalid character {character!r} at position {position}")]
    return []


def duplicate_owners(meta: Object) -> list[str]:
    """The warning about owner references that are there twice; `deduplicated` removes them."""
    seen: set[str] = set()
    twice = []
    for owner in meta.get("ownerReferences") or ():
        uid = owner.get("uid", "")
        if uid in seen and uid not in twice:
            twice.append(uid)
        seen.add(uid)
    if not twice:
        return []
    says = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, "
        "and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
    )
    return [says + ", ".join(twice)]


def deduplicated(owners: Sequence[Object]) -> list[Object]:
    """Owner references, each once."""
    kept: list[Object] = []
    for owner in owners:
        if owner not in kept:
            kept.append(owner)
    return kept
