"""Paths of a resource with their operations: what may be asked, with which parameters, bodies and answers."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import orjson

from events.local.apiserver import discovery
from events.local.apiserver.objects.hooks import RETURNED_WHEN_DELETED
from events.local.apiserver.openapi import custom
from events.local.apiserver.resources import SCALE, STATUS, Resource
from events.local.apiserver.schemas import REF

Object = dict[str, Any]

_API = "io.k8s.apimachinery.pkg.apis.meta.v1."
PATCH = f"{_API}Patch"
_STATUS, _DELETE_OPTIONS, _RESOURCES = f"{_API}Status", f"{_API}DeleteOptions", f"{_API}APIResourceList"

_ANY, _TEXT = "*/*", "text/plain"
_FORMS = ("application/json", "application/yaml")
_WATCHED = (*_FORMS, "application/json;stream=watch")
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"
_CODES = {"200": "OK", "201": "Created", "202": "Accepted", "401": "Unauthorized"}
_OK, _STORED, _MADE, _STARTED = ("200",), ("200", "201"), ("200", "201", "202"), ("200", "202")

_WRITTEN = {
    STATUS: ("get", "put", "patch"),
    SCALE: ("get", "put", "patch"),
    "ephemeralcontainers": ("get", "put", "patch"),
    "finalize": ("put",),
}
"""Subresources that are read and written as objects are, with their methods."""
_ASKED = frozenset({"binding", "eviction", "token"})
_CONNECTED = frozenset({"attach", "exec", "portforward"})
_STREAMS = tuple(f"{{name}}/{name}" for name in sorted(_CONNECTED))
_VERBS = {"get": "read", "put": "replace", "patch": "patch"}
_METHOD_OF = {"get": "get", "update": "put", "patch": "patch"}


@cache
def _texts() -> Mapping[str, Mapping[str, tuple[str, str]]]:
    """Parameters by use: name, type and text, as Kubernetes publishes them."""
    raw = importlib.resources.files(__package__).joinpath("parameters.json").read_bytes()
    found: Mapping[str, Mapping[str, tuple[str, str]]] = orjson.loads(raw)
    return found


def _query(*uses: str) -> list[Object]:
    """The parameters of some uses, by name."""
    found = {name: facts for use in uses for name, facts in _texts()[use].items()}
    return [_parameter(name, "query", *facts) for name, facts in sorted(found.items())]


def _parameter(name: str, place: str, type_: str, text: str) -> Object:
    found: Object = {"name": name, "in": place, "description": text}
    if place == "path":
        found["required"] = True
    return {**found, "schema": {"type": type_, "uniqueItems": True}}


def _content(schema: Object, forms: Iterable[str]) -> Object:
    return {form: {"schema": schema} for form in forms}


def _responses(codes: Iterable[str], schema: Object, forms: Iterable[str]) -> Object:
    """What is answered when it works out, and to strangers."""
    found: Object = {code: {"description": _CODES[code], "content": _content(schema, forms)} for code in codes}
    return {**found, "401": {"description": _CODES["401"]}}


def _ref(name: str) -> Object:
    return {"$ref": f"{REF}{name}"}


def _words(text: str, *, capital: bool) -> str:
    """A part of an identifier: `networking.example` is `networkingExample`, or `NetworkingExample`."""
    found = ""
    for position, letter in enumerate(text):
        if letter.isalpha() or letter == "_" or (position and letter.isdigit()):
            found += letter.upper() if capital else letter
            capital = False
        else:
            capital = True
    return found


def names_of(group: str, version: str) -> tuple[str, str]:
    """What operations of a version are called after, and their tag: `AppsV1`, `apps_v1`."""
    name = group.removesuffix(".k8s.io") or "core"
    tag = f"{_words(name, capital=False)}_{_words(version, capital=False)}"
    return _words(name, capital=True) + _words(version, capital=True), tag


def _root(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _article(kind: str) -> str:
    """`a Pod`, `an Ingress`, but `Endpoints`."""
    if kind.endswith("s") and not kind.endswith("ss"):
        return kind
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def of_version(group: str, version: str) -> Object:
    """The path where a version of built-in kinds tells its resources."""
    name, tag = names_of(group, version)
    operation = {
        "tags": [tag],
        "description": "get available resources",
        "operationId": f"get{name}APIResources",
        "responses": _responses(_OK, _ref(_RESOURCES), _FORMS),
    }
    return {f"{_root(group, version)}/": {"get": operation}}


def of(resource: Resource) -> Object:
    """All paths of a resource, with those of its subresources."""
    return dict(_Paths(resource).items())


class _Paths:
    """`kind` and `name` of methods are those of what a path reads and gives: not always the resource's own."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._called, self._tag = names_of(resource.group, resource.version)
        self._root = _root(resource.group, resource.version)
        self._within = f"{self._root}/namespaces/{{namespace}}" if resource.namespaced else self._root
        self._scope = "Namespaced" if resource.namespaced else ""
        self._own = (resource.group, resource.version, resource.kind)
        self._name = self._definition(self._own)
        self._bodies = _FORMS if resource.is_custom else (_ANY,)
        self._patches = _PATCHES if resource.is_custom else (*_PATCHES, _STRATEGIC)

    def _definition(self, gvk: tuple[str, str, str]) -> str:
        """The name of a definition; nothing for a kind that is only parameters."""
        if self._resource.is_custom and gvk[:2] == self._own[:2]:
            return custom.name_of(self._resource, gvk[2])
        return self._resource.kinds.schemas.name_of(*gvk) or ""

    def items(self) -> Iterable[tuple[str, Object]]:
        resource = self._resource
        collection = f"{self._within}/{resource.plural}"
        yield self._item(collection, self._on_collection())
        if resource.namespaced and "list" in resource.verbs:
            everywhere = self._listing(f"{resource.kind}ForAllNamespaces")
            yield self._item(f"{self._root}/{resource.plural}", {"get": everywhere})
        one = f"{collection}/{{name}}"
        if "get" in resource.verbs:
            yield self._item(one, self._on_object())
        for name in resource.subresources:
            group, version, kind, _ = discovery.of_subresource(resource, name)
            if operations := self._on_subresource(name, (group, version, kind)):
                yield self._item(f"{one}/{name}", operations, "" if resource.is_custom else kind)

    def _item(self, path: str, operations: dict[str, Object], kind: str = "") -> tuple[str, Object]:
        """Parameters that all operations have stand at the path."""
        is_stream = path.endswith(_STREAMS)
        shared = [] if is_stream else [_parameter("pretty", "query", *_texts()["path"]["pretty"])]
        if "{name}" in path:
            shared.append(_parameter("name", "path", "string", f"name of the {kind or self._resource.kind}"))
        if "{namespace}" in path:
            shared.append(_parameter("namespace", "path", *_texts()["path"]["namespace"]))
        several = [one["parameters"] for one in operations.values()]
        common = [one for one in several[0] if all(one in others for others in several[1:])]
        for operation in operations.values():
            operation["parameters"] = [one for one in operation["parameters"] if one not in common]
            if not operation["parameters"]:
                del operation["parameters"]
        return path, {**operations, "parameters": sorted([*shared, *common], key=lambda one: str(one["name"]))}

    def _operation(
        self,
        names: tuple[str, str],
        action: str,
        text: str,
        uses: Iterable[str],
        responses: Object,
        body: Object | None = None,
        gvk: tuple[str, str, str] | None = None,
    ) -> Object:
        """`names` are the verb, and what follows the version in the identifier."""
        group, version, kind = gvk or self._own
        found: Object = {
            "tags": [self._tag],
            "description": text,
            "operationId": f"{names[0]}{self._called}{names[1]}",
            "parameters": _query(*uses),
            "responses": responses,
            "x-kubernetes-action": action,
            custom.GVK: {"group": group, "version": version, "kind": kind},
        }
        if body is not None:
            found["requestBody"] = body
        return found

    def _body(self, name: str) -> Object:
        return {"content": _content(_ref(name), self._bodies), "required": True}

    # -- collections

    def _listing(self, name: str) -> Object:
        resource = self._resource
        list_name = self._definition((resource.group, resource.version, resource.list_kind))
        verb, forms = ("list", _FORMS) if resource.is_custom else ("list or watch", _WATCHED)
        text = f"{verb} objects of kind {resource.kind}"
        return self._operation(("list", name), "list", text, ["list"], _responses(_OK, _ref(list_name), forms))

    def _on_collection(self) -> dict[str, Object]:
        resource, found = self._resource, {}
        name = f"{self._scope}{resource.kind}"
        if "list" in resource.verbs:
            found["get"] = self._listing(name)
        if "create" in resource.verbs:
            text = f"create {_article(resource.kind)}"
            answers = _responses(_MADE, _ref(self._name), _FORMS)
            found["post"] = self._operation(("create", name), "post", text, ["write"], answers, self._body(self._name))
        if "deletecollection" in resource.verbs:
            found["delete"] = self._delete_collection(f"Collection{name}")
        return found

    def _delete_collection(self, name: str) -> Object:
        text, answers = f"delete collection of {self._resource.kind}", _responses(_OK, _ref(_STATUS), _FORMS)
        if self._resource.is_custom:
            return self._operation(("delete", name), "deletecollection", text, ["list"], answers)
        uses = ("list", "delete")
        made = self._operation(("delete", name), "deletecollection", text, uses, answers, self._delete_options())
        watching = ("allowWatchBookmarks", "watch")
        made["parameters"] = [one for one in made["parameters"] if one["name"] not in watching]
        return made

    def _delete_options(self) -> Object:
        return {"content": _content(_ref(_DELETE_OPTIONS), self._bodies)}

    # -- objects

    def _on_object(self) -> dict[str, Object]:
        resource = self._resource
        methods = [method for verb, method in _METHOD_OF.items() if verb in resource.verbs]
        found = {method: self._of_method(method, "", self._own, self._name) for method in methods}
        if "delete" in resource.verbs:
            is_returned = not resource.group and resource.plural in RETURNED_WHEN_DELETED
            answers = _responses(_STARTED, _ref(self._name if is_returned else _STATUS), _FORMS)
            name, text = f"{self._scope}{resource.kind}", f"delete {_article(resource.kind)}"
            names = ("delete", name)
            found["delete"] = self._operation(names, "delete", text, ["delete"], answers, self._delete_options())
        return found

    def _of_method(self, method: str, subresource: str, gvk: tuple[str, str, str], name: str) -> Object:
        """GET, PUT or PATCH of an object, or of a part of it."""
        verb, kind = _VERBS[method], self._resource.kind
        part = f" {subresource} of" if subresource else ""
        text = f"{'partially update' if method == 'patch' else verb}{part} the specified {kind}"
        names = (verb, f"{self._scope}{kind}{subresource.capitalize()}")
        schema = _ref(name)
        if method == "get":
            uses = ["get"] if self._resource.is_custom else []
            return self._operation(names, "get", text, uses, _responses(_OK, schema, _FORMS), gvk=gvk)
        if method == "put":
            answers = _responses(_STORED, schema, _FORMS)
            return self._operation(names, "put", text, ["write"], answers, self._body(name), gvk)
        body = {"content": _content(_ref(PATCH), self._patches), "required": True}
        answers = _responses(_OK if self._resource.is_custom else _STORED, schema, _FORMS)
        return self._operation(names, "patch", text, ["patch"], answers, body, gvk)

    # -- subresources

    def _on_subresource(self, name: str, gvk: tuple[str, str, str]) -> dict[str, Object]:
        """Nothing for what is not served by paths of its own."""
        definition, kind = self._definition(gvk), self._resource.kind
        shown = self._own if self._resource.is_custom else gvk
        if name in _WRITTEN:
            return {method: self._of_method(method, name, shown, definition) for method in _WRITTEN[name]}
        called = f"{self._scope}{kind}{name.capitalize()}"
        if name in _ASKED:
            text, answers = f"create {name} of {_article(kind)}", _responses(_MADE, _ref(definition), _FORMS)
            body = self._body(definition)
            return {"post": self._operation(("create", called), "post", text, ["write"], answers, body, gvk)}
        if name == "log":
            answers = _responses(_OK, {"type": "string"}, (_TEXT,))
            text = f"read log of the specified {kind}"
            return {"get": self._operation(("read", called), "get", text, ["log"], answers, gvk=gvk)}
        if name in _CONNECTED:
            return {method: self._connection(method, name, called, gvk) for method in ("get", "post")}
        return {}

    def _connection(self, method: str, name: str, called: str, gvk: tuple[str, str, str]) -> Object:
        upper = method.upper()
        text = f"connect {upper} requests to {name} of {self._resource.kind}"
        answers = _responses(_OK, {"type": "string"}, (_ANY,))
        names = ("connect", f"{method.capitalize()}{called}")
        return self._operation(names, "connect", text, [name], answers, gvk=gvk)
