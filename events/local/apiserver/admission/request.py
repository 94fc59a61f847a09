"""One request as admission sees it, and its AdmissionReview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from events.local.apiserver.access.identity import User
from events.local.apiserver.access.refusals import forbidden_because
from events.local.apiserver.status import StatusError

Object = Mapping[str, Any]


class Kind(NamedTuple):
    """Group, version, kind."""

    group: str
    version: str
    kind: str


class Resource(NamedTuple):
    """Group, version, plural name."""

    group: str
    version: str
    resource: str


NAMESPACES = Resource("", "v1", "namespaces")


class NamespaceLookup(Protocol):
    """Reads namespaces."""

    def namespace(self, name: str) -> Object | None:
        """A namespace, None when it is not there."""


@dataclass(frozen=True)
class Request:
    """A create, an update, a delete or a connect.

    `new` is None for a delete, `old` for a create. `options` are those of the request with their `kind`. `warnings`
    fills up while it is admitted. `complete` gives an object that a webhook changed its defaults again.
    """

    operation: str
    user: User
    kind: Kind
    resource: Resource
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    new: Object | None = None
    old: Object | None = None
    options: Object = field(default_factory=dict)
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict

    @property
    def home(self) -> str:
        """The namespace it is about: a namespace is in itself."""
        return self.namespace or (self.name if self.resource == NAMESPACES else "")

    def review(self, kind: Kind, resource: Resource, version: str, uid: str) -> dict[str, Any]:
        """The AdmissionReview; `kind` and `resource` are those that the rule of the webhook names."""
        request = self.facts(kind, resource)
        objects = {"object": self.new, "oldObject": self.old}
        whole = {"uid": uid, **request, **objects}
        return {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": whole}

    def facts(self, kind: Kind, resource: Resource) -> dict[str, Any]:
        """The request without its objects: the variable `request` of expressions."""
        optional = {
            "subResource": self.subresource,
            "requestSubResource": self.subresource,
            "name": self.name,
            "namespace": self.home,
        }
        return {
            "kind": kind._asdict(),
            "resource": resource._asdict(),
            "requestKind": self.kind._asdict(),
            "requestResource": self.resource._asdict(),
            **{key: value for key, value in optional.items() if value},
            "operation": self.operation,
            "userInfo": self.user.info(),
            "dryRun": self.dry_run,
            "options": self.options or None,
        }

    def forbidden(self, message: str) -> StatusError:
        """A refusal that names the object; one without a name yet is called by its `generateName`."""
        metadata = (self.new or {}).get("metadata") or {}
        name = self.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
        return forbidden_because(self.resource.group, self.resource.resource, name, message)
