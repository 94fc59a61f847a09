"""Whether a webhook or a policy is meant: by rule, by labels of the namespace, by labels of the object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from events.local.apiserver.access.refusals import not_found
from events.local.apiserver.admission.request import NAMESPACES, Kind, NamespaceLookup, Object, Request, Resource
from events.local.apiserver.validation import selectors

ALL = "*"
_CONFIGURATIONS = frozenset(
    {
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
_REVIEWS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})


class Equivalents(Protocol):
    """The same objects under other groups or versions."""

    def of(self, resource: Resource) -> Iterable[tuple[Resource, Kind]]:
        """Other names of a resource, each with the kind its objects have there."""

    def convert(self, it: Object, kind: Kind) -> Object:
        """An object as it is there."""


def is_exempt(request: Request) -> bool:
    """The configuration of admission itself is never held up by webhooks, or nobody could repair it."""
    return request.kind.group == "admissionregistration.k8s.io" and request.kind.kind in _CONFIGURATIONS


def is_exempt_from_policies(request: Request) -> bool:
    """Policies do not judge questions either."""
    return is_exempt(request) or (request.kind.group in _REVIEWS and request.resource.resource.endswith("reviews"))


def matched(
    rules: Iterable[Object], policy: str, request: Request, equivalents: Equivalents | None
) -> tuple[Kind, Resource] | None:
    """Kind and resource that a rule names, None when no rule fits; other names only by `matchPolicy: Equivalent`."""
    rules = list(rules)
    if any(_fits(rule, request, request.resource) for rule in rules):
        return request.kind, request.resource
    if policy == "Equivalent" and equivalents is not None:
        others = list(equivalents.of(request.resource))
        for rule in rules:
            for resource, kind in others:
                if _fits(rule, request, resource):
                    return kind, resource
    return None


def _fits(rule: Object, request: Request, resource: Resource) -> bool:
    names = rule.get("resourceNames")
    return (
        _has(rule.get("operations"), request.operation)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and _in_scope(rule.get("scope") or ALL, request, resource)
        and any(_names(one, resource.resource, request.subresource) for one in rule.get("resources") or ())
        and (not names or request.name in names)
    )


def _has(values: Iterable[str] | None, value: str) -> bool:
    return any(one in (ALL, value) for one in values or ())


def _names(pattern: str, resource: str, subresource: str) -> bool:
    wanted, _, below = pattern.partition("/")
    return wanted in (ALL, resource) and below in (ALL, subresource)


def _in_scope(scope: str, request: Request, resource: Resource) -> bool:
    if scope == ALL:
        return True
    in_namespace = resource != NAMESPACES and bool(request.home)
    return in_namespace == (scope == "Namespaced")


def namespace_matches(selector: Object | None, request: Request, namespaces: NamespaceLookup) -> bool:
    """By the labels of the namespace; objects of the cluster always match. Raises StatusError 404."""
    if not request.home or selectors.is_empty(selector):
        return True
    if request.resource == NAMESPACES and not request.subresource and request.new is not None:
        namespace: Object | None = request.new  # the one being written, not the one before
    else:
        namespace = namespaces.namespace(request.home)
    if namespace is None:
        raise not_found("", "namespaces", request.home)
    return selectors.matches(selector or {}, labels(namespace))


def object_matches(selector: Object | None, request: Request) -> bool:
    """By the labels of the new object or of the old one."""
    if selectors.is_empty(selector):
        return True
    return any(it is not None and selectors.matches(selector or {}, labels(it)) for it in (request.new, request.old))


def labels(it: Object) -> Mapping[str, Any]:
    """The labels of an object."""
    return (it.get("metadata") or {}).get("labels") or {}
