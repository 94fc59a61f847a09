"""What single kinds ask of a write beyond the common life: prepared specs, addresses, finalizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events.local.apiserver.access.refusals import invalid
from events.local.apiserver.objects import errors
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import causes

Object = dict[str, Any]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a definition until its objects are gone."""
CREATED_BY_PUT = frozenset(
    {
        ("", "endpoints"),
        ("", "events"),
        ("", "limitranges"),
        ("", "services"),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
    }
)
"""Kinds whose objects a PUT makes when they are not there."""
RETURNED_WHEN_DELETED = frozenset(
    {"persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas", "serviceaccounts"}
)
"""Kinds of the core group of which a DELETE answers the object instead of a Status."""


def begin_in_place(resource: Resource, it: Object) -> None:
    """A new object of a kind: fields that are always there, and those that only the server writes."""
    if resource.is_custom:
        return
    from events.local.apiserver.validation.builtin import prepare

    if resource.has_status:
        restore_empty_in_place(resource, it)
    prepare.prepare_in_place(resource.group, resource.kind, it)


_UNCONDITIONAL_NEVER = frozenset({"apiextensions.k8s.io/customresourcedefinitions"})


def check_version(resource: Resource, name: str, subresource: str) -> None:
    """Some kinds are only replaced by who says which version he saw. Raises StatusError 422."""
    is_strict = resource.is_custom or resource.storage in _UNCONDITIONAL_NEVER
    if not is_strict or subresource == "scale":
        return
    says = "must be specified for an update"
    raise invalid(resource.group, resource.plural, name, [causes.invalid("metadata.resourceVersion", 0, says)])


def restore_empty_in_place(resource: Resource, it: Object) -> None:
    """A status that was taken away is shown empty where the kind always shows it."""
    if "status" not in it and "status" in resource.managed.empty:
        it["status"] = dict(resource.managed.empty["status"])


def carry_in_place(resource: Resource, it: Object, old: Object, subresource: str) -> None:
    """A changed object of a kind."""
    if resource.is_custom or subresource:
        return
    from events.local.apiserver.validation.builtin import prepare

    prepare.prepare_change_in_place(resource.group, resource.kind, it, old)


def is_terminating(resource: Resource) -> str:
    """Why nothing may be made of a kind any longer; nothing when it may."""
    if resource.definition is None or not resource.definition["metadata"].get("deletionTimestamp"):
        return ""
    return "create not allowed while custom resource definition is terminating"


class Hooks:
    """What the server's controllers put into the life of objects: addresses of services."""

    def __init__(self) -> None:
        self.take_address: Callable[[Mapping[str, Any]], str] | None = None
        self.give_address_back: Callable[[str], None] | None = None
        self.complete_ports_in_place: Callable[[Object, Object | None], None] | None = None
        self.give_ports_back: Callable[[Mapping[str, Any], Mapping[str, Any] | None], None] | None = None
        self.taken: type[Exception] = LookupError
        """What both raise when a service asks for what another one has: field, value, text."""

    def complete_in_place(self, resource: Resource, it: Object) -> None:
        """A new service gets its address and ports. Raises StatusError 500 when there are none left."""
        if resource.storage != "services" or self.take_address is None:
            return
        self.change_in_place(resource, it, None)
        from events.local.apiserver.validation.builtin import prepare

        spec = it.get("spec") or {}
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
            prepare.with_address(it, "None")
            return
        try:
            address = self.take_address(it)
        except self.taken as error:
            self.give_back(resource, {**it, "spec": {**spec, "clusterIP": ""}})
            raise _taken(resource, it, error) from error
        except LookupError as error:
            raise errors.internal(f"failed to allocate a serviceIP: {error}") from error
        prepare.with_address(it, address)

    def change_in_place(self, resource: Resource, it: Object, old: Object | None) -> None:
        """A service may have become one with ports. Raises StatusError 422 and 500."""
        if resource.storage != "services" or self.complete_ports_in_place is None:
            return
        try:
            self.complete_ports_in_place(it, old)
        except self.taken as error:
            raise _taken(resource, it, error) from error
        except LookupError as error:
            raise errors.internal(f"failed to allocate a nodePort: {error}") from error

    def changed(self, resource: Resource, old: Object, new: Object) -> None:
        """A service was written anew: ports that it has no longer are free."""
        if resource.storage == "services" and self.give_ports_back is not None:
            self.give_ports_back(old, new)

    def give_back(self, resource: Resource, it: Object) -> None:
        """The service is gone, or was never made."""
        if resource.storage == "services" and self.give_ports_back is not None:
            self.give_ports_back(it, None)
        if resource.storage == "services" and self.give_address_back is not None:
            address = (it.get("spec") or {}).get("clusterIP")
            if address and address != "None":
                self.give_address_back(address)


def _taken(resource: Resource, it: Object, error: Exception) -> StatusError:
    field, value, says = error.args
    name = it["metadata"].get("name", "")
    return invalid(resource.group, resource.kind, name, [causes.invalid(field, value, says)])
