"""OpenAPI documents of what is served: an index, and one document for each version of a group (v3).

They are for `kubectl explain`, and for clients that look up what the server can do. A document is made when it is first
asked for and kept, compressed, until the resources change. Schemas have their published texts; parameters are told in
short. The v2 document is empty but valid: clients before 1.29 ask for it, and need no more.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from events.local.apiserver.managed.types import OBJECT_META
from events.local.apiserver.resources import SCALE, STATUS, Resource, Resources
from events.local.apiserver.schemas import REF, Schemas, references

Object = dict[str, Any]

V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_PROTOBUF = b"\n\x032.0\x12\x15\n\nKubernetes\x12\x07v1.36.0"
V2_JSON = b'{"swagger":"2.0","info":{"title":"Kubernetes","version":"v1.36.0"},"paths":{}}'

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_LIST_META, _STATUS, _PATCH, _DELETE = (f"{_META}{name}" for name in ("ListMeta", "Status", "Patch", "DeleteOptions"))
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_APPLY = "application/apply-patch+yaml"
_TEXT, _TRUTH, _NUMBER = "string", "boolean", "integer"
_WRITE = {
    "dryRun": (_TEXT, "`All`: everything but the storing is done."),
    "fieldManager": (_TEXT, "Who makes these changes; the fields are his from then on."),
    "fieldValidation": (_TEXT, "What becomes of unknown and doubled fields: Ignore, Warn or Strict."),
}
_FORCE = {"force": (_TRUTH, "Apply: take over fields that others own.")}
_LIST = {
    "allowWatchBookmarks": (_TRUTH, "Tell the version now and then, even when nothing changes."),
    "continue": (_TEXT, "The token of the piece before."),
    "fieldSelector": (_TEXT, "Only objects with these fields."),
    "labelSelector": (_TEXT, "Only objects with these labels."),
    "limit": (_NUMBER, "At most so many objects in one piece."),
    "resourceVersion": (_TEXT, "Not older than this version."),
    "resourceVersionMatch": (_TEXT, "How the version is meant: Exact or NotOlderThan."),
    "sendInitialEvents": (_TRUTH, "Watch: begin with what is there."),
    "timeoutSeconds": (_NUMBER, "End after so many seconds."),
    "watch": (_TRUTH, "Changes instead of a list."),
}
_REMOVE = {
    "dryRun": _WRITE["dryRun"],
    "gracePeriodSeconds": (_NUMBER, "How long it may take to end."),
    "orphanDependents": (_TRUTH, "Deprecated: use propagationPolicy."),
    "propagationPolicy": (_TEXT, "What becomes of dependents: Foreground, Background or Orphan."),
}
_HELD = 4
"""Documents that are kept."""


class _Kept:
    """Documents made for one state of the resources."""

    def __init__(self) -> None:
        self.generation = -1
        self.documents: dict[tuple[str, str], bytes] = {}


_KEPT: dict[int, _Kept] = {}


def index(resources: Resources) -> Object:
    """`/openapi/v3`: where the documents are. The hash changes with what a document says."""
    paths: Object = {}
    for group, versions in resources.groups().items():
        for version in versions:
            where = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[where] = {"serverRelativeURL": f"/openapi/v3/{where}?hash={_hash(resources, group, version)}"}
    return {"paths": paths}


def _hash(resources: Resources, group: str, version: str) -> str:
    told = hashlib.sha256()
    for one in resources.in_version(group, version):
        metadata = one.definition["metadata"] if one.definition else {}
        told.update(f"{one.plural} {metadata.get('uid')} {metadata.get('resourceVersion')}".encode())
    return told.hexdigest().upper()


def document(resources: Resources, group: str, version: str) -> bytes | None:
    """`/openapi/v3/apis/G/V`, as JSON."""
    if version not in resources.groups().get(group, ()):
        return None
    kept = _KEPT.setdefault(id(resources), _Kept())
    if kept.generation != resources.generation:
        kept.generation = resources.generation
        kept.documents.clear()
    found = kept.documents.get((group, version))
    if found is None:
        if len(kept.documents) >= _HELD:
            kept.documents.pop(next(iter(kept.documents)))
        made = orjson.dumps(_document(resources.in_version(group, version)))
        found = kept.documents[group, version] = zlib.compress(made, 1)
    return zlib.decompress(found)


def _document(found: list[Resource]) -> Object:
    """All resources of one version of a group."""
    known = found[0].kinds.schemas
    is_custom = all(one.is_custom for one in found)
    own: Object = {}
    wanted = {OBJECT_META, _LIST_META, _STATUS, _PATCH, _DELETE}
    paths: Object = {}
    for one in found:
        names = _names(one, known)
        if one.is_custom:
            own |= _custom_schemas(one, names)
        else:
            wanted |= {name for name in names if name in _published(known)}
        if SCALE in one.subresources:
            wanted.add("io.k8s.api.autoscaling.v1.Scale")
        for path, item in _paths(one, names):
            paths[path] = item
    wanted |= {name for name in references(own) if name not in own}
    schemas = known.published(name for name in wanted if name in _published(known))
    title = "Kubernetes CRD Swagger" if is_custom else "Kubernetes"
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": "v0.1.0" if is_custom else "v1.36.0"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {**schemas, **own}},
    }


def _published(known: Schemas) -> frozenset[str]:
    from events.local.apiserver import schemas

    del known
    return frozenset(schemas.builtin().names)


def _names(resource: Resource, known: Schemas) -> tuple[str, str]:
    """The names of a kind's schema and of its list's."""
    if resource.is_custom:
        prefix = ".".join([*reversed(resource.group.split(".")), resource.version])
        return f"{prefix}.{resource.kind}", f"{prefix}.{resource.list_kind}"
    kind = known.name_of(resource.group, resource.version, resource.kind) or ""
    return kind, known.name_of(resource.group, resource.version, resource.list_kind) or f"{kind}List"


# -- schemas of definitions


def _custom_schemas(resource: Resource, names: tuple[str, str]) -> Object:
    assert resource.definition is not None
    version = next(one for one in resource.definition["spec"]["versions"] if one["name"] == resource.version)
    node = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    from events.local.apiserver.schemas import builtin

    common = builtin().full(f"{_META}Status")["properties"]
    head = {key: {"description": common[key].get("description", ""), "type": _TEXT} for key in ("apiVersion", "kind")}
    told = "Standard object's metadata. More info: "
    told += "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
    metadata = {"description": told, "allOf": [{"$ref": f"{REF}{OBJECT_META}"}]}
    shown = _with_merge_keys(node)
    shown["properties"] = {**head, "metadata": metadata, **_without_head(shown.get("properties") or {})}
    shown["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
    several = common["metadata"].get("description", "")
    items_told = f"List of {resource.plural}. More info: "
    items_told += "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    listed = {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": head["apiVersion"],
            "items": {"description": items_told, "type": "array", "items": {"$ref": f"{REF}{names[0]}"}},
            "kind": head["kind"],
            "metadata": {"description": several, "allOf": [{"$ref": f"{REF}{_LIST_META}"}]},
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, resource.list_kind)],
    }
    return {names[0]: shown, names[1]: listed}


def _without_head(properties: Mapping[str, Any]) -> Object:
    return {key: value for key, value in properties.items() if key not in ("apiVersion", "kind", "metadata")}


def _with_merge_keys(node: Any) -> Any:
    """A copy in which keyed lists say their key to strategic patches, too."""
    if isinstance(node, list):
        return [_with_merge_keys(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _with_merge_keys(value) for key, value in node.items()}
    keys = node.get("x-kubernetes-list-map-keys")
    if node.get("x-kubernetes-list-type") == "map" and isinstance(keys, list) and keys:
        found["x-kubernetes-patch-merge-key"] = keys[0]
    return found


def _gvk(resource: Resource, kind: str) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": kind}


# -- paths


def _paths(resource: Resource, names: tuple[str, str]) -> Iterable[tuple[str, Object]]:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    place = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    collection, item = f"{place}/{resource.plural}", f"{place}/{resource.plural}/{{name}}"
    in_place = [_path_parameter("namespace")] if resource.namespaced else []
    yield collection, _item(in_place, _collection(resource, names))
    if not resource.storage:
        return
    if resource.namespaced:
        yield f"{root}/{resource.plural}", _item([], {"get": _operation(resource, "list", names[1], _LIST)})
    named = [_path_parameter("name"), *in_place]
    yield item, _item(named, _single(resource, names[0]))
    for name in resource.subresources:
        if name == STATUS:
            several = {key: one for key, one in _single(resource, names[0]).items() if key != "delete"}
            yield f"{item}/status", _item(named, several)
        elif name == SCALE:
            yield f"{item}/scale", _item(named, _scale(resource))


def _collection(resource: Resource, names: tuple[str, str]) -> Object:
    found: Object = {}
    if "list" in resource.verbs:
        found["get"] = _operation(resource, "list", names[1], _LIST)
    if "create" in resource.verbs:
        found["post"] = _operation(resource, "post", names[0], _WRITE, body=names[0])
    if "deletecollection" in resource.verbs:
        several = {**_LIST, **_REMOVE}
        found["delete"] = _operation(resource, "deletecollection", _STATUS, several, body=_DELETE, is_optional=True)
    return found


def _single(resource: Resource, name: str) -> Object:
    return {
        "get": _operation(resource, "get", name, {}),
        "put": _operation(resource, "put", name, _WRITE, body=name),
        "patch": _operation(resource, "patch", name, {**_WRITE, **_FORCE}, patches=_media(resource)),
        "delete": _operation(resource, "delete", _STATUS, _REMOVE, body=_DELETE, is_optional=True),
    }


def _scale(resource: Resource) -> Object:
    name = "io.k8s.api.autoscaling.v1.Scale"
    found = {key: one for key, one in _single(resource, name).items() if key != "delete"}
    kind = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {key: {**one, "x-kubernetes-group-version-kind": kind} for key, one in found.items()}


def _media(resource: Resource) -> tuple[str, ...]:
    return (_APPLY, *(_PATCHES[:2] if resource.is_custom else _PATCHES))


def _operation(
    resource: Resource,
    action: str,
    answer: str,
    parameters: Mapping[str, tuple[str, str]],
    *,
    body: str = "",
    is_optional: bool = False,
    patches: Iterable[str] = (),
) -> Object:
    found: Object = {
        "parameters": [_query_parameter(name, *parameters[name]) for name in sorted(parameters)],
        "responses": {"200": {"description": "OK", "content": _content(answer, ("application/json",))}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource, resource.kind),
    }
    if patches:
        found["requestBody"] = {"content": _content(_PATCH, patches), "required": True}
    elif body:
        content = _content(body, ("application/json", "application/yaml"))
        found["requestBody"] = {"content": content} | ({} if is_optional else {"required": True})
    return found


def _content(name: str, media: Iterable[str]) -> Object:
    return {one: {"schema": {"$ref": f"{REF}{name}"}} for one in media}


def _item(parameters: list[Object], operations: Object) -> Object:
    return {**operations, "parameters": parameters} if parameters else operations


def _query_parameter(name: str, kind: str, told: str) -> Object:
    return {"name": name, "in": "query", "description": told, "schema": {"type": kind, "uniqueItems": True}}


def _path_parameter(name: str) -> Object:
    return {"name": name, "in": "path", "required": True, "schema": {"type": _TEXT, "uniqueItems": True}}
