"""Access reviews: may somebody do something, what may I do, who am I. Nothing is stored; the answer is the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from events.local.apiserver.access.identity import Attributes, User
from events.local.apiserver.access.rbac.index import Index
from events.local.apiserver.access.rbac.rules import ALL
from events.local.apiserver.access.refusals import bad_request, invalid
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_GROUP = "authorization.k8s.io"
_METADATA = ("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers")
_NOT_TOGETHER = "cannot be specified in combination with resourceAttributes"
_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def self_subject_review(it: Object, _index: Index, user: User, _namespace: str, now: float) -> dict[str, Any]:
    """Who am I."""
    stamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**_head(it), "metadata": {"creationTimestamp": stamp}, "status": {"userInfo": user.info()}}


def self_subject_access_review(it: Object, index: Index, user: User, _namespace: str, _now: float) -> dict[str, Any]:
    """May I."""
    _refuse(_wrong_spec(it) + _wrong_selectors(it) + _wrong_metadata(it))
    return _answered(it, index, user)


def subject_access_review(it: Object, index: Index, _user: User, _namespace: str, _now: float) -> dict[str, Any]:
    """May somebody."""
    _refuse(_wrong_spec(it) + _wrong_subject(it) + _wrong_selectors(it) + _wrong_metadata(it))
    return _answered(it, index, _subject(it))


def local_subject_access_review(it: Object, index: Index, _user: User, namespace: str, _now: float) -> dict[str, Any]:
    """May somebody, in this namespace."""
    it = {**it, "metadata": {**(it.get("metadata") or {}), "namespace": namespace}}
    found = _wrong_spec(it) + _wrong_subject(it) + _wrong_selectors(it) + _wrong_metadata(it, local=True)
    spec = it["spec"] if it.get("spec") else {}
    resource = spec.get("resourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        says = "must match metadata.namespace"
        found.append(causes.invalid("spec.resourceAttributes.namespace", resource.get("namespace", ""), says))
    if spec.get("nonResourceAttributes") is not None:
        shown = _path_attributes(spec["nonResourceAttributes"])
        found.append(causes.invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    _refuse(found)
    return _answered(it, index, _subject(it))


def self_subject_rules_review(it: Object, index: Index, user: User, _namespace: str, _now: float) -> dict[str, Any]:
    """What may I do in a namespace."""
    namespace = (it.get("spec") or {}).get("namespace")
    if not namespace:
        raise bad_request("no namespace on request")
    grants = index.grants(user, namespace)
    resources, paths = [], []
    for rule in grants.rules:
        if rule.resources:
            given = {"apiGroups": rule.groups, "resources": rule.resources, "resourceNames": rule.names}
            kept = {key: list(values) for key, values in given.items() if values}
            resources.append({"verbs": list(rule.verbs), **kept})
        if rule.paths:
            paths.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)})
    status = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
    problem = {"evaluationError": grants.problem} if grants.problems else {}
    return {**_head(it), "metadata": {}, "spec": {}, "status": status | problem}


Review = Callable[[Object, Index, User, str, float], dict[str, Any]]
REVIEWS: Mapping[tuple[str, str], Review] = {
    ("authentication.k8s.io", "selfsubjectreviews"): self_subject_review,
    (_GROUP, "localsubjectaccessreviews"): local_subject_access_review,
    (_GROUP, "selfsubjectaccessreviews"): self_subject_access_review,
    (_GROUP, "selfsubjectrulesreviews"): self_subject_rules_review,
    (_GROUP, "subjectaccessreviews"): subject_access_review,
}
"""By group and resource: (object as decoded, index, who asks, namespace of the path, seconds) to the answer."""


def _head(it: Object) -> dict[str, Any]:
    return {key: it[key] for key in ("kind", "apiVersion") if key in it}


def _answered(it: Object, index: Index, user: User) -> dict[str, Any]:
    decision = index.authorize(user, _attributes(it["spec"]))
    status = {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})
    return {**it, "status": status}


def _attributes(spec: Object) -> Attributes:
    if (path := spec.get("nonResourceAttributes")) is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    wanted = spec["resourceAttributes"]
    keys = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    given = {key: wanted.get(key, "") for key in keys}
    return Attributes(**given | {"resource": given["resource"] or "", "version": given["version"] or ALL})


def _subject(it: Object) -> User:
    spec = it["spec"]
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _refuse(found: list[Cause]) -> None:
    if found:
        raise invalid(_GROUP, "", "", found)


def _wrong_spec(it: Object) -> list[Cause]:
    spec = it.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        return [causes.invalid("spec.nonResourceAttributes", _path_attributes(path), _NOT_TOGETHER)]
    if resource is None and path is None:
        return [causes.invalid("spec.resourceAttributes", None, _ONE_OF)]
    return []


def _wrong_subject(it: Object) -> list[Cause]:
    spec = it.get("spec") or {}
    if spec.get("user") or spec.get("groups"):
        return []
    return [causes.invalid("spec.user", "", "at least one of user or group must be specified")]


def _wrong_selectors(it: Object) -> list[Cause]:
    """A selector is either raw or a list; roles know neither, so it is only checked."""
    found = []
    resource = (it.get("spec") or {}).get("resourceAttributes") or {}
    for key in ("fieldSelector", "labelSelector"):
        selector, path = resource.get(key), f"spec.resourceAttributes.{key}"
        if selector is None:
            continue
        raw, listed = selector.get("rawSelector"), selector.get("requirements")
        if raw and listed:
            says = "may not specified at the same time as requirements"
            found.append(causes.invalid(f"{path}.rawSelector", raw, says))
        elif not raw and not listed:
            says = f"when {path} is specified, requirements or rawSelector is required"
            found.append(causes.required(f"{path}.requirements", says))
    return found


def _wrong_metadata(it: Object, *, local: bool = False) -> list[Cause]:
    metadata = it.get("metadata") or {}
    given = {key: metadata[key] for key in _METADATA if metadata.get(key)}
    if not set(given) - ({"namespace"} if local else set()):
        return []
    shown = given | ({"managedFields": metadata["managedFields"]} if metadata.get("managedFields") else {})
    return [causes.invalid("metadata", shown, "must be empty except for namespace" if local else "must be empty")]


def _path_attributes(path: Object) -> dict[str, str]:
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}
