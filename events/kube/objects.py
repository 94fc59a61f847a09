"""Pure functions on raw objects: names, REST paths, selectors, JSON copies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from events.errors import ActionError
from events.kube.api import KubeError, Object, Resource

T = TypeVar("T")

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes generated names of: no vowels, no digits that look like letters."""
MAX_GENERATED = 63
"""Length of a generated name; Kubernetes cuts the prefix, whatever the kind allows."""

_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_INTEGER = re.compile(r"-?\d{1,18}")
_TERM = re.compile(
    r"\s*(?:"
    r"(?P<key>[^\s=!,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s=!,()]*)"
    r"|(?P<set_key>[^\s=!,()]+)\s+(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<than_key>[^\s=!,()<>]+)\s*(?P<than>[<>])\s*(?P<number>-?\d+)"
    r"|(?P<absent>!?)\s*(?P<exists>[^\s=!,()]+)"
    r")\s*(?:,|$)"
)

Match = Callable[[dict[str, Any]], bool]


def metadata(obj: Object) -> dict[str, Any]:
    """An object's metadata; KubeError 400 when it is not an object with metadata."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        raise KubeError(400, "BadRequest", "the object has no metadata")
    return found


def kind_of(obj: Object) -> tuple[str, str]:
    """`(apiVersion, kind)` of an object; KubeError 400 when it has none."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not (isinstance(api_version, str) and api_version and isinstance(kind, str) and kind):
        raise KubeError(400, "BadRequest", "the object has no apiVersion and kind")
    return api_version, kind


def describe(obj: Object) -> str:
    """`Workflow argo/build-x7k2` for messages."""
    found = obj.get("metadata")
    names = found if isinstance(found, dict) else {}
    name = names.get("name") or f"{names.get('generateName', '')}…"
    place = f"{names['namespace']}/" if names.get("namespace") else ""
    return f"{obj.get('kind') or 'object'} {place}{name}"


def generated(prefix: str, suffix: str) -> str:
    """A name of `prefix` and `suffix`, the prefix cut so that it fits."""
    return prefix[: MAX_GENERATED - len(suffix)] + suffix


def is_label_value(text: Any) -> bool:
    """Whether an API server takes `text` as the value of a label."""
    return isinstance(text, str) and _LABEL.fullmatch(text) is not None


def path(resource: Resource, *, namespace: str | None = None, name: str | None = None, status: bool = False) -> str:
    """The REST path of a collection (`name` absent) or object; KubeError 400 for what cannot be part of a path.

    Names may come from events: `..` or an empty name would address something else, a whole collection for one.
    """
    parts = [group_path(resource.api_version)]
    if resource.namespaced and namespace is not None:
        parts += ["namespaces", _segment(namespace, "namespace")]
    elif resource.namespaced and name is not None:
        raise KubeError(400, "BadRequest", f"{resource.kind} {name!r} needs a namespace")
    parts.append(resource.plural)
    if name is not None:
        parts.append(_segment(name, "name"))
    return "/".join([*parts, "status"] if status else parts)


def group_path(api_version: str) -> str:
    """`/api/v1`, `/apis/batch/v1`: where the kinds of a group-version are listed."""
    group, _, version = api_version.rpartition("/")
    version = _segment(version, "version")
    return f"/apis/{_segment(group, 'group')}/{version}" if group else f"/api/{version}"


def _segment(text: Any, what: str) -> str:
    if not isinstance(text, str) or text in ("", ".", "..") or "/" in text or "%" in text:
        raise KubeError(400, "BadRequest", f"{text!r} is not a {what}")
    return quote(text, safe="")


def home(obj: Object, namespace: str | None) -> str | None:
    """The namespace an object goes to: its own, else `namespace`."""
    return metadata(obj).get("namespace") or namespace


def copied(obj: T) -> T:
    """A deep copy, as a socket would make it; ActionError when it is not JSON."""
    copy: T = orjson.loads(encoded(obj))
    return copy


def encoded(obj: Any) -> bytes:
    """JSON of `obj`; ActionError when it has none."""
    try:
        return orjson.dumps(obj)
    except orjson.JSONEncodeError as error:
        raise ActionError(f"the object is not JSON: {error}") from error


def label_selector(text: str) -> Match:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2` on a dict of labels; KubeError 400 when it cannot be read."""
    terms = [_label_term(found) for found in _terms(text)]
    return lambda labels: all(term(labels) for term in terms)


def field_selector(text: str) -> Match:
    """`metadata.name=a,status.phase!=b` on a whole object; KubeError 400 when it cannot be read."""
    terms = []
    for found in _terms(text):
        if found["key"] is None:
            raise KubeError(400, "BadRequest", f"unable to parse field selector {text!r}")
        terms.append((found["key"].split("."), found["value"], found["op"] != "!="))
    return lambda obj: all((_at(obj, steps) == value) is wanted for steps, value, wanted in terms)


def _terms(text: str) -> list[re.Match[str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        term = _TERM.match(text, at)
        if term is None:
            raise KubeError(400, "BadRequest", f"unable to parse selector {text!r}")
        found.append(term)
        at = term.end()
    return found


def _label_term(term: re.Match[str]) -> Match:
    if key := term["key"]:
        value, wanted = term["value"], term["op"] != "!="
        return lambda labels: (labels.get(key) == value) is wanted
    if key := term["set_key"]:
        values, wanted = {value.strip() for value in term["values"].split(",")}, term["set_op"] == "in"
        return lambda labels: (key in labels and labels[key] in values) is wanted
    if key := term["than_key"]:
        limit, sign = int(term["number"]), 1 if term["than"] == ">" else -1
        return lambda labels: bool(_INTEGER.fullmatch(labels.get(key, ""))) and sign * (int(labels[key]) - limit) > 0
    key, wanted = term["exists"], not term["absent"]
    return lambda labels: (key in labels) is wanted


def _at(obj: Any, steps: list[str]) -> str:
    for step in steps:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)
