"""Rules of label selectors inside objects (`matchLabels`, `matchExpressions`), and whether one matches labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]


def check(path: str, selector: Object | None) -> list[Cause]:
    """What is wrong with a selector."""
    if not selector:
        return []
    found: list[Cause] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        found += causes.each(f"{path}.matchLabels", key, names.qualified_name(key))
        found += causes.each(f"{path}.matchLabels", value, names.label_value(value))
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        found += _expression(f"{path}.matchExpressions[{index}]", one)
    return found


def _expression(path: str, one: Object) -> list[Cause]:
    operator, values, key = one.get("operator", ""), one.get("values") or (), one.get("key", "")
    found: list[Cause] = []
    if operator in ("In", "NotIn"):
        if not values:
            says = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(causes.required(f"{path}.values", says))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            says = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(causes.forbidden(f"{path}.values", says))
    else:
        found.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += causes.each(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(values):
        found += causes.each(f"{path}.values[{index}]", value, names.label_value(value))
    return found


def is_empty(selector: Object | None) -> bool:
    """Whether it says nothing."""
    return not selector or (not selector.get("matchLabels") and not selector.get("matchExpressions"))


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels are selected; an empty selector selects everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        key, values, has = one["key"], one.get("values") or (), one["key"] in labels
        if {
            "In": not has or labels.get(key) not in values,
            "NotIn": has and labels[key] in values,
            "Exists": not has,
            "DoesNotExist": has,
        }.get(one.get("operator", ""), True):
            return False
    return True
