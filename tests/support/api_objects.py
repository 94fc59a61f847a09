"""Small objects of the API, and a place that keeps them, for tests of parts that read it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from events.local.apiserver.access.rbac.index import Object

RBAC = "rbac.authorization.k8s.io"


class Objects:
    """Keeps objects by resource, namespace and name; tells who follows of roles and bindings."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], Object] = {}
        self._told: list[Callable[[Object | None, Object | None], None]] = []

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._kept.get((resource, namespace, name))

    def namespace(self, name: str) -> Object | None:
        return self.get("namespaces", "", name)

    def role_objects(self) -> Iterable[Object]:
        return [it for it in self._kept.values() if it["apiVersion"].startswith(RBAC)]

    def on_role_change(self, changed: Callable[[Object | None, Object | None], None]) -> None:
        self._told.append(changed)

    def put(self, it: Object) -> Object:
        key = self._key(it)
        old, self._kept[key] = self._kept.get(key), it
        self._tell(old, it)
        return it

    def drop(self, it: Object) -> None:
        self._tell(self._kept.pop(self._key(it)), None)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        it = new or old
        if it and it["apiVersion"].startswith(RBAC):
            for changed in self._told:
                changed(old, new)

    @staticmethod
    def _key(it: Object) -> tuple[str, str, str]:
        return f"{it['kind'].lower()}s", it["metadata"].get("namespace", ""), it["metadata"]["name"]


def thing(kind: str, name: str, namespace: str = "", api_version: str = "v1", **more: Any) -> dict[str, Any]:
    """An object with a uid of its own."""
    metadata = {"name": name, "uid": str(uuid.uuid4()), **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata | more.pop("metadata", {}), **more}


def role(name: str, namespace: str, *rules: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """A role, or without namespace a cluster role, of rules (verbs, groups, resources), each with blanks between."""
    written = [
        {"verbs": verbs.split(), "apiGroups": groups.split(" "), "resources": resources.split()}
        for verbs, groups, resources in rules
    ]
    kind = "Role" if namespace else "ClusterRole"
    return thing(kind, name, namespace, f"{RBAC}/v1", rules=written, **more)


def binding(name: str, namespace: str, role: str, *subjects: str) -> dict[str, Any]:
    """A binding to `Kind/name` of subjects `Kind/name` or `ServiceAccount/namespace/name`."""
    kind, _, role_name = role.partition("/")
    bound = []
    for subject in subjects:
        who, *place, name_of = subject.split("/")
        bound.append({"kind": who, "name": name_of, **({"namespace": place[0]} if place else {})})
    reference = {"apiGroup": RBAC, "kind": kind, "name": role_name}
    whole = "RoleBinding" if namespace else "ClusterRoleBinding"
    return thing(whole, name, namespace, f"{RBAC}/v1", roleRef=reference, subjects=bound)
