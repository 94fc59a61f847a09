"""Documents of what is served: OpenAPI v3 per version of a group, and an empty v2.

Clients read the index (`/openapi/v3`) and then only the documents they need. A document is made when it is first asked
for, and kept compressed as long as nothing of it changes; the index tells by a hash whether it did. The v2 document is
empty on purpose: clients that know no v3 must find one, but with an empty one they leave checking to the server.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from events.local.apiserver import schemas
from events.local.apiserver.discovery import VERSION
from events.local.apiserver.openapi import custom, paths
from events.local.apiserver.resources import Resource, Resources

Object = dict[str, Any]
_Key = tuple[str, str]

_MOST_KEPT = 64
"""Documents kept by one server; the one that was asked for longest ago goes first."""
_FAST = 1

_TITLE, _CUSTOM_TITLE = "Kubernetes", "Kubernetes CRD Swagger"
_CUSTOM_VERSION = "v0.1.0"
_TOKEN: Object = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}
_PATCH_TEXT = "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body."


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of a protobuf message, of fewer than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


_RELEASE: str = VERSION["gitVersion"]
V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_PROTOBUF = _field(1, b"2.0") + _field(2, _field(1, _TITLE.encode()) + _field(2, _RELEASE.encode()))
V2_JSON = orjson.dumps({"swagger": "2.0", "info": {"title": _TITLE, "version": _RELEASE}, "paths": {}})


def index(resources: Resources) -> Object:
    """`/openapi/v3`: where the document of each version of a group is, with a hash that changes with it."""
    found = {}
    for (group, version), tag in _kept(resources).tags.items():
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={tag}"}
    return {"paths": dict(sorted(found.items()))}


def document(resources: Resources, group: str, version: str) -> bytes | None:
    """`/openapi/v3/api/v1`, `/openapi/v3/apis/G/V`, as JSON; None when that version is not served."""
    return _kept(resources).document(resources, group, version)


class _Documents:
    """What was made from the resources of one server."""

    def __init__(self) -> None:
        self._generation = -1
        self.tags: dict[_Key, str] = {}
        self._facts: WeakKeyDictionary[Resource, bytes] = WeakKeyDictionary()
        self._packed: OrderedDict[_Key, tuple[str, bytes]] = OrderedDict()

    def refresh(self, resources: Resources) -> _Documents:
        """Forget what is no longer true."""
        if self._generation == resources.generation:
            return self
        served: dict[_Key, list[Resource]] = {}
        for resource in sorted(resources.every(), key=lambda one: one.plural):
            served.setdefault((resource.group, resource.version), []).append(resource)
        self.tags = {key: self._tag(several) for key, several in served.items()}
        for key in [key for key, (tag, _) in self._packed.items() if self.tags.get(key) != tag]:
            del self._packed[key]
        self._generation = resources.generation
        return self

    def document(self, resources: Resources, group: str, version: str) -> bytes | None:
        key = (group, version)
        tag = self.tags.get(key)
        if tag is None:
            return None
        packed = self._packed.get(key)
        if packed is not None:
            self._packed.move_to_end(key)
            return zlib.decompress(packed[1])
        made = orjson.dumps(_document(resources.in_version(group, version)))
        self._packed[key] = (tag, zlib.compress(made, _FAST))
        if len(self._packed) > _MOST_KEPT:
            self._packed.popitem(last=False)
        return made

    def _tag(self, served: Iterable[Resource]) -> str:
        digest = hashlib.sha512(f"{_RELEASE} {schemas.builtin().client}".encode())
        for resource in served:
            facts = self._facts.get(resource)
            if facts is None:
                facts = self._facts[resource] = hashlib.sha512(orjson.dumps(_facts(resource))).digest()
            digest.update(facts)
        return digest.hexdigest().upper()


_KEPT: WeakKeyDictionary[Resources, _Documents] = WeakKeyDictionary()


def _kept(resources: Resources) -> _Documents:
    found = _KEPT.get(resources)
    if found is None:
        found = _KEPT[resources] = _Documents()
    return found.refresh(resources)


def _facts(resource: Resource) -> list[Any]:
    """All that a document says of a resource; built-in schemas change with the release alone."""
    names = [resource.group, resource.version, resource.plural, resource.kind, resource.list_kind]
    offers = [resource.namespaced, resource.verbs, resource.subresources]
    return [*names, *offers, custom.version_of(resource) if resource.is_custom else None]


def _document(served: list[Resource]) -> Object:
    items: Object = {}
    own: Object = {}
    for resource in served:
        items |= paths.of(resource)
        if resource.is_custom:
            own |= custom.definitions(resource)
    is_builtin = any(not one.is_custom for one in served)
    if is_builtin:
        items |= paths.of_version(served[0].group, served[0].version)
    components: Object = {"schemas": _components(items, own, served[0].kinds.schemas)}
    if not is_builtin:
        info = {"title": _CUSTOM_TITLE, "version": _CUSTOM_VERSION}
        return {"openapi": "3.0.0", "info": info, "paths": dict(sorted(items.items())), "components": components}
    components["securitySchemes"] = {"BearerToken": _TOKEN}
    return {
        "openapi": "3.0.0",
        "info": {"title": _TITLE, "version": _RELEASE},
        "paths": dict(sorted(items.items())),
        "components": components,
        "security": [{"BearerToken": []}],
    }


def _components(items: Object, own: Object, known: schemas.Schemas) -> Object:
    """Every definition that is referred to, at any depth."""
    wanted = {*schemas.references(items), *(custom.REFERRED if own else ())} - own.keys()
    patch: Object = {}
    if paths.PATCH in wanted:
        wanted.remove(paths.PATCH)
        patch[paths.PATCH] = {"description": _PATCH_TEXT, "type": "object"}
    return dict(sorted({**known.published(wanted), **patch, **own}.items()))
