"""The roles and bindings of a fresh cluster, and how they are brought up to date at each start.

Kept as compact text (`bootstrap.txt`). The permissions are those of a fresh Kubernetes 1.36, but for kinds that are not
served here. Nodes have no authorizer of their own: the role `system:node` is bound to the group `system:nodes`.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from events.local.apiserver.access.rbac import aggregation
from events.local.apiserver.access.rbac.index import GROUP

Object = dict[str, Any]

_DATA = "bootstrap.txt"
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_KEYS = ("apiGroups", "resources", "resourceNames")
_READER = "extension-apiserver-authentication-reader"
_AUTHENTICATION = "extension-apiserver-authentication"


def objects() -> list[Object]:
    """Cluster roles (those that gather others' rules are filled), bindings, and one role of `kube-system`."""
    text = importlib.resources.files(__package__).joinpath(_DATA).read_text()
    roles, _, bindings = text.partition("\n---\n")
    return [*_cluster_roles(roles), *map(_binding, bindings.splitlines()), _reader()]


def reconciled(existing: Mapping[str, Any] | None, wanted: Object) -> Object | None:
    """What to write at a start: the object that is missing, or one that lost rules or subjects; None when all is well.

    An object whose annotation `autoupdate` somebody set to false is left alone.
    """
    if existing is None:
        return wanted
    if (existing["metadata"].get("annotations") or {}).get(_AUTOUPDATE) != "true" or "aggregationRule" in wanted:
        return None
    key = "subjects" if "roleRef" in wanted else "rules"
    present = existing.get(key) or []
    lost = [one for one in wanted.get(key) or () if one not in present]
    return {**existing, key: [*present, *lost]} if lost else None


def _object(kind: str, name: str, labels: Sequence[str] = (), namespace: str = "") -> Object:
    metadata: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"} | _as_labels(labels)
    metadata["annotations"] = {_AUTOUPDATE: "true"}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _as_labels(names: Sequence[str]) -> dict[str, str]:
    return {f"{GROUP}/{name}": "true" for name in names}


def _cluster_roles(text: str) -> list[Object]:
    roles: list[Object] = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith(" "):
            roles[-1]["rules"].append(_rule(line.split()))
            continue
        name, *rest = line.split()
        said = dict(zip(rest[::2], (value.split(",") for value in rest[1::2]), strict=True))
        role = _object("ClusterRole", name, said.get("labelled", ()))
        if "gathers" in said:
            selectors = [{"matchLabels": {label: "true"}} for label in _as_labels(said["gathers"])]
            role["aggregationRule"] = {"clusterRoleSelectors": selectors}
        roles.append(role | {"rules": []})
    by_name = {role["metadata"]["name"]: role for role in roles}
    while right := list(aggregation.outdated(roles)):
        for name, gathered in right:
            by_name[name]["rules"] = gathered
    return roles


def _rule(words: Sequence[str]) -> Object:
    verbs, *rest = ([_name(one) for one in word.split(",")] for word in words)
    if words[1] == "paths":
        return {"verbs": verbs, "nonResourceURLs": rest[1]}
    return {"verbs": verbs} | dict(zip(_KEYS, rest, strict=False))


def _name(word: str) -> str:
    return "" if word == "core" else word


def _binding(line: str) -> Object:
    name, role, *subjects = line.split()
    bound = [
        {"apiGroup": GROUP, "kind": kind, "name": who} for kind, _, who in (one.partition("/") for one in subjects)
    ]
    it = _object("ClusterRoleBinding", name)
    it["roleRef"] = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    return it | ({"subjects": bound} if bound else {})


def _reader() -> Object:
    """Lets servers behind this one read whom to trust."""
    rule = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"]}
    role = _object("Role", _READER, namespace="kube-system")
    return role | {"rules": [rule | {"resourceNames": [_AUTHENTICATION]}]}
