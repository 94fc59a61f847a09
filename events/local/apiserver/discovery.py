"""What is served, as clients ask for it: group by group (legacy), or all at once (aggregated, `v2` and `v2beta1`)."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from typing import Any

import orjson

from events.local.apiserver.objects import hooks
from events.local.apiserver.resources import CUSTOM_VERBS, SCALE, STATUS, Resource, Resources
from events.version import VERSION as _OURS

Object = dict[str, Any]

LEGACY, V2, V2BETA1 = "legacy", "v2", "v2beta1"
_GROUP, _LIST = "apidiscovery.k8s.io", "APIGroupDiscoveryList"
_ACCEPTING = frozenset({"application/json", "application/*", "*/*"})
_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")
_ENDING = ("delete", "deletecollection", "get", "list", "watch")
"""What is left of a custom kind while its definition is being deleted."""
_OF_OTHERS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "attach": ("", "v1", "PodAttachOptions", _CONNECT),
    "binding": ("", "v1", "Binding", ("create",)),
    "ephemeralcontainers": ("", "v1", "Pod", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "exec": ("", "v1", "PodExecOptions", _CONNECT),
    "finalize": ("", "v1", "Namespace", ("update",)),
    "log": ("", "v1", "Pod", ("get",)),
    "portforward": ("", "v1", "PodPortForwardOptions", _CONNECT),
    "proxy": ("", "v1", "", _PROXY),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
"""Subresources: group, version and kind of what they read and give, and their verbs. `status` is the object itself."""
_FOREIGN = frozenset({"eviction", "scale", "token"})
"""Those whose kind is of another group: only they say it."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": f"v1.36.0+keryx-{_OURS}",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": platform.python_implementation(),
    "platform": f"{platform.system().lower()}/{_MACHINES.get(platform.machine(), platform.machine())}",
}


def negotiate(accept: str) -> str:
    """Which form an Accept header asks for: `v2`, `v2beta1` or `legacy`.

    The aggregated form that is wanted most, wherever plain JSON stands: a client that names it can read it.
    """
    clauses = [_clause(one) for one in accept.split(",")]
    for media, wanted in sorted(clauses, key=_weight, reverse=True):
        is_list = media in _ACCEPTING and (wanted.get("as"), wanted.get("g")) == (_LIST, _GROUP)
        if is_list and wanted.get("v") in (V2, V2BETA1):
            return wanted["v"]
    return LEGACY


def _clause(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters."""
    media, *rest = (part.strip() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest)
    return media.lower(), {name.strip(): value.strip() for name, _, value in pairs}


def _weight(clause: tuple[str, dict[str, str]]) -> float:
    try:
        return float(clause[1].get("q", "1"))
    except ValueError:
        return 1.0


def content_type(form: str) -> str:
    """Of an aggregated answer."""
    return f"application/json;g={_GROUP};v={form};as={_LIST}"


def etag(it: Object) -> str:
    """Changes with the content."""
    return hashlib.sha256(orjson.dumps(it)).hexdigest().upper()


# -- legacy


def _at(address: str) -> list[Object]:
    return [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]


def api_versions(address: str) -> Object:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": _at(address)}


def groups(resources: Resources, address: str) -> Object:
    """`/apis`: groups of built-in kinds say where they are served."""
    builtin, custom = _names(resources)
    found = [{**_group(resources, name), "serverAddressByClientCIDRs": _at(address)} for name in builtin]
    found += [_group(resources, name) for name in custom]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(resources: Resources, name: str) -> Object | None:
    """`/apis/G`."""
    if not name or name not in resources.groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(resources, name)}


def _group(resources: Resources, name: str) -> Object:
    versions = [{"groupVersion": f"{name}/{one}", "version": one} for one in resources.groups()[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _names(resources: Resources) -> tuple[list[str], list[str]]:
    """The groups of built-in kinds in their order, but for the core, and those of definitions by name."""
    known = {one.group for one in resources.every() if not one.is_custom}
    names = [name for name in resources.groups() if name]
    return [name for name in names if name in known], sorted(name for name in names if name not in known)


def resource_list(resources: Resources, group_name: str, version: str) -> Object | None:
    """`/api/v1`, `/apis/G/V`."""
    if version not in resources.groups().get(group_name, ()):
        return None
    rows = [row for one in resources.in_version(group_name, version) for row in _rows(one)]
    group_version = f"{group_name}/{version}" if group_name else version
    head: Object = {"kind": "APIResourceList"}
    if group_name:
        head["apiVersion"] = "v1"
    return {**head, "groupVersion": group_version, "resources": rows}


def _rows(resource: Resource) -> Iterable[Object]:
    row: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(_verbs(resource)),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if resource.storage:
        row["storageVersionHash"] = resource.storage_hash
    yield row
    for name in _subresources(resource):
        foreign, version, kind, verbs = of_subresource(resource, name)
        sub: Object = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
        if name in _FOREIGN:
            sub |= {"group": foreign, "version": version}
        yield {**sub, "kind": kind, "verbs": list(verbs)}


def _verbs(resource: Resource) -> tuple[str, ...]:
    if hooks.is_terminating(resource):
        return _ENDING
    return CUSTOM_VERBS if resource.is_custom else resource.verbs


def _subresources(resource: Resource) -> Iterable[str]:
    """Sorted for built-in kinds; `status` first for custom ones."""
    if resource.is_custom:
        return sorted(resource.subresources, reverse=True)
    return sorted(resource.subresources)


def of_subresource(resource: Resource, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Group, version and kind of what a subresource reads and gives, and its verbs."""
    if name == STATUS:
        return resource.group, resource.version, resource.kind, ("get", "patch", "update")
    group_name, version, kind, verbs = _OF_OTHERS[name]
    if name == "proxy":
        kind = f"{resource.kind}ProxyOptions"
    if name != SCALE and not group_name:
        group_name = resource.group
    return group_name, version, kind, verbs


# -- aggregated


def aggregated(resources: Resources, *, core: bool, version: str) -> Object:
    """An APIGroupDiscoveryList: of `/api`, or of `/apis`."""
    builtin, custom = _names(resources)
    served: dict[tuple[str, str], list[Resource]] = {}
    for resource in sorted(resources.every(), key=lambda one: one.plural):
        served.setdefault((resource.group, resource.version), []).append(resource)
    items = []
    for name in [""] if core else [*builtin, *custom]:
        shown = [
            {
                "version": one,
                "resources": [_aggregated(resource) for resource in served[name, one]],
                "freshness": "Current",
            }
            for one in resources.groups()[name]
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": shown})
    return {"kind": _LIST, "apiVersion": f"{_GROUP}/{version}", "metadata": {}, "items": items}


def _aggregated(resource: Resource) -> Object:
    found: Object = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource, resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(_verbs(resource)),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    subresources = []
    for name in _subresources(resource):
        group_name, version, kind, verbs = of_subresource(resource, name)
        shown = _response_kind(resource, group_name, version, kind, is_own=name not in _FOREIGN)
        subresources.append({"subresource": name, "responseKind": shown, "verbs": list(verbs)})
    if subresources:
        found["subresources"] = subresources
    return found


def _response_kind(resource: Resource, group_name: str, version: str, kind: str, *, is_own: bool = True) -> Object:
    """Built-in kinds leave out what follows from where they stand; custom ones do not."""
    if is_own and not resource.is_custom:
        group_name = version = ""
    return {"group": group_name, "version": version, "kind": kind}
