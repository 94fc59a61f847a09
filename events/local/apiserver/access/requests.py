"""From a request line to what is asked for, by the rules that every client of the API relies on."""

from __future__ import annotations

from collections.abc import Mapping

from events.local.apiserver.access.identity import Attributes
from events.local.apiserver.access.refusals import bad_request
from events.local.apiserver.status import StatusError

_VERBS: Mapping[str, str] = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_OF_NAMESPACES = frozenset({"status", "finalize"})
"""Subresources of a namespace; anything else behind its name is a resource inside it."""
_EXACT = "metadata.name="


def attributes(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """What is asked for. `path` is decoded.

    Raises StatusError 400 for `/api/v1/watch` without a resource, 404 for an empty name: nothing may be authorized as a
    path, and then be served as an object. Who serves the request takes names from the result, not from the path again.
    """
    parts = path.strip("/").split("/") if path.strip("/") else []
    head = {"api": 1, "apis": 2}.get(parts[0], 0) if parts else 0
    if not head or len(parts) < head + 2:
        return Attributes(method.lower(), path=path)
    if "" in parts:
        raise StatusError(404, "NotFound", "the server could not find the requested resource", {})
    group, version = parts[1] if head == 2 else "", parts[head]
    rest, verb = parts[head + 1 :], _VERBS.get(method, "")
    prefixed = rest[0] if rest[0] in ("watch", "proxy") else ""
    if prefixed:
        verb, rest = prefixed, rest[1:]
        if not rest:
            raise bad_request(f"unable to determine kind and namespace from url, {path}")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
    resource, name = rest[0], rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 and prefixed != "proxy" else ""
    if not name and verb == "get":
        verb, name = ("watch" if _true(query.get("watch")) else "list"), _selected(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, group, version, resource, subresource, namespace, name, path)


def _true(value: str | None) -> bool:
    """`watch` alone, or with any value but a false one, asks for a watch."""
    return value is not None and value.lower() not in ("false", "0", "f")


def _selected(query: Mapping[str, str]) -> str:
    """The one object that a field selector leaves: who may get it may list and watch it."""
    for term in query.get("fieldSelector", "").split(","):
        if term.startswith(_EXACT):
            name = term.removeprefix(_EXACT).removeprefix("=")
            if name not in ("", ".", "..") and "/" not in name and "%" not in name:
                return name
    return ""
