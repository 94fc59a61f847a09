"""What the server serves: a resource is one version of a kind under a path. Built-in ones, and those of definitions.

A resource knows its names (discovery), its subresources, how its objects are read (`rules`, a `validation.Kind`) and
who owns their fields (`managed`, a `tracking.Kind`); both are made at first use. Objects of several versions share one
`storage` key, where they lie in the version `stored_version`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from events.local.apiserver.managed import tracking
    from events.local.apiserver.managed.fieldsets import FieldSet
    from events.local.apiserver.validation import Kinds
    from events.local.apiserver.validation.decoded import Kind

Object = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""The order in which a real server lists the verbs of a custom resource."""
SCALE, STATUS = "scale", "status"
BUILTIN_SCALE: Mapping[str, str] = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


@dataclass(frozen=True)
class Column:
    """A column of a table. `path` is a simple JSONPath, for those of definitions."""

    name: str
    type: str
    description: str = ""
    format: str = ""
    priority: int = 0
    path: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Resource:
    """One version of a kind. `storage` is `configmaps` or `apps/deployments`: plural names are unique in a group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    kinds: Kinds
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    subresources: tuple[str, ...] = ()
    """`status`, `scale`, and those that do something: `token`, `log`, `exec`…"""
    storage: str = ""
    stored_version: str = ""
    counted: tuple[str, ...] = ()
    """The fields whose changes count in `metadata.generation`; none: it has no generation."""
    selectable: tuple[str, ...] = ()
    """Paths that a field selector may name beside name and namespace, as `.spec.nodeName`."""
    scale_paths: Mapping[str, str] = field(default_factory=lambda: BUILTIN_SCALE)
    columns: tuple[Column, ...] = ()
    """Of a definition; those of built-in kinds are in `tables`."""
    definition: Object | None = None
    """The CustomResourceDefinition; None for a built-in kind."""
    deprecation: str | None = None
    """The warning of each answer."""

    @property
    def is_custom(self) -> bool:
        return self.definition is not None

    @property
    def has_status(self) -> bool:
        return STATUS in self.subresources

    @cached_property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def qualified(self) -> str:
        """`configmaps`, `deployments.apps`: how messages call it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def qualified_kind(self) -> str:
        """`ConfigMap`, `Deployment.apps`: how messages about invalid objects call it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @cached_property
    def storage_hash(self) -> str:
        """Tells clients whether two resources are stored as one; nothing else may be read from it."""
        text = f"{self.group if self.plural != 'events' else ''}/{self.stored_version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()

    @cached_property
    def rules(self) -> Kind:
        """How objects are read and judged."""
        if self.definition is not None:
            found: Kind = self.kinds.custom(self.definition, self.version)
            return found
        return self.kinds.builtin(self.group, self.version, self.kind, namespaced=self.namespaced)

    @cached_property
    def stored_rules(self) -> Kind:
        """How objects are read in the version in which they lie."""
        if self.definition is None or self.version == self.stored_version:
            return self.rules
        found: Kind = self.kinds.custom(self.definition, self.stored_version)
        return found

    @cached_property
    def managed(self) -> tracking.Kind:
        """What field management knows of the kind, in all its versions."""
        from events.local.apiserver.managed import tracking

        known = self.kinds.schemas
        if self.definition is None:
            nodes: dict[str, Any] = {self.api_version: known.of(self.group, self.version, self.kind)}
            empty = self.rules.decode({}, defaulting=False).object
            return tracking.Kind(self.kind, nodes, known.resolve, empty=empty)
        nodes = {}
        for version in self.definition["spec"]["versions"]:
            node = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            nodes[f"{self.group}/{version['name']}"] = with_metadata(node)
        return tracking.Kind(self.kind, nodes, known.resolve, is_custom=True)

    def reset(self, subresource: str = "") -> FieldSet:
        """The fields that this endpoint never stores."""
        from events.local.apiserver.managed import reset

        return reset.fields(self.group, self.kind, subresource, has_status=self.has_status, is_custom=self.is_custom)

    @cached_property
    def has_defaults(self) -> bool:
        """Whether objects that were stored before may lack defaults that a definition has by now."""
        return self.definition is not None and '"default"' in _text(self.definition["spec"]["versions"])

    def __str__(self) -> str:
        return f"{self.api_version} {self.plural}"


def _text(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def with_metadata(node: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a custom kind with the fields that every object has."""
    from events.local.apiserver.managed.types import OBJECT_META
    from events.local.apiserver.schemas import REF

    common = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"{REF}{OBJECT_META}"},
    }
    return {**node, "properties": {**(node.get("properties") or {}), **common}}


class Resources:
    """Everything that is served; definitions come and go."""

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str, str], Resource] = {}
        self._versions: dict[str, list[str]] = {}
        self._custom: dict[str, list[Resource]] = {}
        self._by_storage: dict[str, Resource] = {}
        self.generation = 0
        """Grows with each change, for those who keep what they made from the resources."""
        for resource in builtin:
            self._add(resource)

    def _add(self, resource: Resource) -> None:
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.group, resource.version, resource.kind] = resource
        first = self._by_storage.setdefault(resource.storage, resource) if resource.storage else resource
        if resource.storage and first.group == resource.group and resource.version == resource.stored_version:
            self._by_storage[resource.storage] = resource
        versions = self._versions.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
        self.generation += 1

    def define(self, name: str, served: Iterable[Resource]) -> None:
        """The resources of a definition, instead of those it had."""
        self.forget(name)
        self._custom[name] = list(served)
        for resource in self._custom[name]:
            self._add(resource)
        self._order()

    def forget(self, name: str) -> None:
        """A definition is gone."""
        for resource in self._custom.pop(name, ()):
            self._by_path.pop((resource.group, resource.version, resource.plural), None)
            self._by_kind.pop((resource.group, resource.version, resource.kind), None)
            self._by_storage.pop(resource.storage, None)
        self._order()

    def _order(self) -> None:
        """Versions of custom groups in the order of preference; groups that serve nothing are gone."""
        from events.local.apiserver.validation.custom.resources import priority

        self.generation += 1
        versions: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            found = versions.setdefault(group, [])
            if version not in found:
                found.append(version)
        customs = {resource.group for several in self._custom.values() for resource in several}
        for group in customs & versions.keys():
            versions[group].sort(key=priority, reverse=True)
        self._versions = versions

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """By path."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, group: str, version: str, kind: str) -> Resource | None:
        """By group, version and kind."""
        return self._by_kind.get((group, version, kind))

    def groups(self) -> Mapping[str, list[str]]:
        """Groups with their versions, preferred ones first; those of `kinds` in its order, then custom ones."""
        return self._versions

    def is_builtin(self, group: str) -> bool:
        """Whether built-in kinds are served in a group."""
        return any(one.group == group and not one.is_custom for one in self._by_path.values())

    def in_version(self, group: str, version: str) -> list[Resource]:
        """The resources of one version of a group, by plural name."""
        found = [one for one in self._by_path.values() if (one.group, one.version) == (group, version)]
        return sorted(found, key=lambda one: one.plural)

    def every(self) -> list[Resource]:
        """All resources."""
        return list(self._by_path.values())

    def of_storage(self, storage: str) -> Resource | None:
        """The resource of a storage key, in the version in which its objects lie where that one is served."""
        return self._by_storage.get(storage)

    def stored(self) -> dict[str, Resource]:
        """One resource of each storage key."""
        return dict(self._by_storage)
