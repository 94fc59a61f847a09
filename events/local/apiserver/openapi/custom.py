"""Schemas of custom kinds as documents have them: what a definition says, and what every object has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.apiserver.managed.types import OBJECT_META
from events.local.apiserver.resources import Resource
from events.local.apiserver.schemas import REF
from events.local.apiserver.validation.custom.structural import EMBEDDED, LIST_TYPE, MAP_KEYS, MAP_TYPE, PRESERVE

Object = dict[str, Any]
Node = Mapping[str, Any]

GVK = "x-kubernetes-group-version-kind"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
REFERRED = (OBJECT_META, _LIST_META)
"""What every definition of a custom kind refers to; its own schemas can refer to nothing."""
_MERGE_KEY, _SELECTABLE = "x-kubernetes-patch-merge-key", "x-kubernetes-selectable-fields"

_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_VERSIONED = (
    "defines the versioned schema of this representation of an object. Servers should convert recognized schemas to "
    f"the latest internal value, and may reject unrecognized values. More info: {_CONVENTIONS}#resources"
)
_INFERRED = (
    "Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. "
    f"More info: {_CONVENTIONS}#types-kinds"
)


def _ref(name: str, text: str) -> Object:
    return {"description": text, "allOf": [{"$ref": f"{REF}{name}"}]}


_META = _ref(OBJECT_META, f"Standard object's metadata. More info: {_CONVENTIONS}#metadata")
_TYPE: Object = {
    "apiVersion": {"description": f"APIVersion {_VERSIONED}", "type": "string"},
    "kind": {
        "description": f"Kind is a string value representing the REST resource this object represents. {_INFERRED}",
        "type": "string",
    },
}
_EMBEDDED_TYPE: Object = {
    "apiVersion": {"description": f"apiVersion {_VERSIONED}", "type": "string"},
    "kind": {
        "description": f"kind is a string value representing the type of this object. {_INFERRED}",
        "type": "string",
    },
}

_ONE = frozenset({"not"})
_SEVERAL = frozenset({"allOf", "anyOf", "oneOf"})
_PLAIN = frozenset(
    {
        "default",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
    }
)
"""Written as they are, whatever their value; other keywords only when they say something."""
_SPOKEN = frozenset(
    {
        "description",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "nullable",
        "pattern",
        "required",
        "title",
        "type",
        "uniqueItems",
        "x-kubernetes-int-or-string",
        "x-kubernetes-validations",
        EMBEDDED,
        LIST_TYPE,
        MAP_KEYS,
        MAP_TYPE,
        PRESERVE,
    }
)


def name_of(resource: Resource, kind: str = "") -> str:
    """`com.example.v1.Widget` for the group `example.com`."""
    prefix = ".".join(reversed(resource.group.split(".")))
    return f"{prefix}.{resource.version}.{kind or resource.kind}"


def version_of(resource: Resource) -> Object:
    """The version of the definition that a resource serves."""
    assert resource.definition is not None
    found: Object = next(one for one in resource.definition["spec"]["versions"] if one["name"] == resource.version)
    return found


def definitions(resource: Resource) -> Object:
    """Of the kind and of its list, by name."""
    return {
        name_of(resource): _kind(resource),
        name_of(resource, resource.list_kind): _list(resource),
    }


def _kind(resource: Resource) -> Object:
    version = version_of(resource)
    node = (version.get("schema") or {}).get("openAPIV3Schema")
    found: Object = {"type": "object"}
    if node:  # without one, properties would say that there are no others
        found |= published(node)
        found["properties"] = dict(sorted({**found.get("properties", {}), **_TYPE, "metadata": _META}.items()))
    found[GVK] = [_gvk(resource, resource.kind)]
    if fields := version.get("selectableFields"):
        found[_SELECTABLE] = [{"fieldPath": one["jsonPath"]} for one in fields]
    return found


def _list(resource: Resource) -> Object:
    items = {
        "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
        "type": "array",
        "items": {"$ref": f"{REF}{name_of(resource)}"},
    }
    meta = _ref(_LIST_META, f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds")
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_TYPE, "items": items, "metadata": meta},
        GVK: [_gvk(resource, resource.list_kind)],
    }


def _gvk(resource: Resource, kind: str) -> Object:
    return {"group": resource.group, "kind": kind, "version": resource.version}


def published(node: Node) -> Object:
    """A schema of a definition as clients see it; keywords that nothing is made of (`example`) are left out."""
    found: Object = {}
    for key, value in node.items():
        if value is None:
            continue
        if key in _PLAIN:
            found[key] = value
        elif key == "properties":
            found[key] = {name: published(one or {}) for name, one in sorted(value.items())}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            found[key] = published(value)
        elif key == "additionalProperties":
            found[key] = value
        elif key in _ONE:
            found[key] = published(value)
        elif key in _SEVERAL and value:
            found[key] = [published(one) for one in value]
        elif key in _SPOKEN and value:
            found[key] = value
    if node.get(LIST_TYPE) == "map" and node.get(MAP_KEYS):
        found[_MERGE_KEY] = node[MAP_KEYS][0]
    if node.get(EMBEDDED):
        found["properties"] = dict(sorted({**found.get("properties", {}), **_EMBEDDED_TYPE, "metadata": _META}.items()))
        required = list(found.get("required", ()))
        found["required"] = required + [one for one in ("kind", "apiVersion") if one not in required]
    if not found.get("properties", True):
        del found["properties"]
    return found
