"""A Workflow over its template over the defaults. Contract: workflows J.1, J.3.

Maps merge; lists of things with a name merge element by element, the upper ones first; other lists are replaced.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Object = dict[str, Any]
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "templates": "name",
        "parameters": "name",
        "artifacts": "name",
        "volumes": "name",
        "imagePullSecrets": "name",
        "hostAliases": "ip",
        "tolerations": "key",
        "initContainers": "name",
        "sidecars": "name",
        "env": "name",
        "volumeMounts": "mountPath",
        "ports": "containerPort",
    }
)
"""The key that tells the elements of a list apart, by the name of the list."""
_WHOLE = ("hooks", "labelsFrom")
"""Maps whose entries are taken whole."""
TYPES = ("container", "containerSet", "script", "resource", "suspend", "steps", "dag", "http", "data", "plugin")


def merged(workflow: Object, template: Object | None, defaults: Object | None) -> Object:
    """The spec that is carried out."""
    found = copy.deepcopy(dict(workflow))
    for below in (template, defaults):
        if below:
            found = _over(found, below)
    if template is not None:
        found.pop("suspend", None)
        if workflow.get("suspend") is not None:
            found["suspend"] = workflow["suspend"]
    return found


def with_defaults(template: Object, defaults: Object | None) -> Object:
    """A template over templateDefaults; of those, only the type that the template has."""
    if not defaults:
        return template
    usable = {key: value for key, value in defaults.items() if key not in TYPES or key in template}
    usable.pop("name", None)
    return _over(copy.deepcopy(template), usable)


def _over(upper: Object, lower: Mapping[str, Any]) -> Object:
    found = dict(upper)
    for key, below in lower.items():
        above = found.get(key)
        if above is None:
            found[key] = copy.deepcopy(below)
        elif key in _WHOLE and isinstance(above, dict) and isinstance(below, dict):
            found[key] = {**copy.deepcopy(below), **above}
        elif isinstance(above, dict) and isinstance(below, dict):
            found[key] = _over(above, below)
        elif isinstance(above, list) and isinstance(below, list) and key in _KEYS:
            found[key] = _lists(above, below, key)
    return found


def _lists(upper: list[Any], lower: list[Any], name: str) -> list[Any]:
    key = _KEYS[name]
    if not all(isinstance(one, dict) for one in (*upper, *lower)):
        return upper
    below = {one.get(key): one for one in lower}
    found = []
    for one in upper:
        other = below.pop(one.get(key), None)
        found.append(one if other is None or (name == "parameters" and _has_value(one)) else _over(one, other))
    return found + [copy.deepcopy(one) for one in below.values()]


def _has_value(parameter: Mapping[str, Any]) -> bool:
    """Whether it says something of its own; then nothing of the lower one is left."""
    return any(parameter.get(key) is not None for key in ("value", "default", "valueFrom"))
