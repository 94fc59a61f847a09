"""Pieces of cells: parts of objects, and texts for labels, selectors, containers and long lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from events.local.apiserver import quantities
from events.local.apiserver.resources import Object
from events.local.apiserver.selectors import Labels, Requirement

NONE, UNSET = "<none>", "<unset>"
_MOST = 3
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def part(it: Mapping[str, Any], *names: str) -> Object:
    """A member of a member…; empty when it is missing."""
    found: Any = it
    for name in names:
        found = found.get(name)
        if not found:
            return {}
    result: Object = found
    return result


def name_of(it: Object) -> str:
    """The name of an object; bookmarks have none."""
    found: str = it["metadata"].get("name", "")
    return found


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A structured selector as a query has it; nothing when it is empty."""
    if not selector:
        return ""
    found = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        values = tuple(sorted(one.get("values") or ()))
        found.append(Requirement(one["key"], _OPERATORS[one["operator"]], values))
    return str(Labels(tuple(sorted(found, key=lambda one: one.key))))


def selected(selector: Mapping[str, Any] | None) -> str:
    """A structured selector, or `<none>`."""
    return selector_text(selector) or NONE


def containers(template: Object) -> list[str]:
    """Names and images of the containers of a pod template."""
    several = part(template, "spec").get("containers") or []
    return [",".join(one.get(key, "") for one in several) for key in ("name", "image")]


def shortened(several: Sequence[str], empty: str = UNSET) -> str:
    """The first three, and how many more there are."""
    listed = ",".join(several[:_MOST])
    more = len(several) - _MOST
    return f"{listed} + {more} more..." if more > 0 else listed or empty


def quantity(text: Any) -> str:
    """A quantity as it is written canonically; `0` for none."""
    return "0" if text is None else str(quantities.parse(str(text)))


def condition(conditions: Iterable[Object] | None, kind: str) -> Object | None:
    """The first condition of a type."""
    return next((one for one in conditions or () if one.get("type") == kind), None)


def is_true(conditions: Iterable[Object] | None, kind: str) -> bool:
    """Whether the first condition of a type holds."""
    found = condition(conditions, kind)
    return found is not None and found.get("status") == "True"


def is_going(it: Object) -> bool:
    """Whether the object waits for its end."""
    return bool(it["metadata"].get("deletionTimestamp"))
