"""Which fields an endpoint never stores: whoever writes them there does not come to own them."""

from __future__ import annotations

from functools import cache

from events.local.apiserver.managed.fieldsets import FieldSet, of_paths

_OF_STATUS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): ("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): ("spec", "metadata"),
    ("apps", "Deployment"): ("spec", "metadata.labels"),
}
"""Kinds whose status endpoint resets more than `spec`."""


@cache
def fields(
    group: str, kind: str, subresource: str = "", *, has_status: bool = True, is_custom: bool = False
) -> FieldSet:
    """The reset fields of an endpoint of a kind; `has_status`: the kind has a status endpoint of its own."""
    if subresource == "status":
        if is_custom:
            return of_paths("spec", "metadata")
        return of_paths(*_OF_STATUS.get((group, kind), ("spec",)))
    return of_paths("status") if not subresource and has_status else {}
