"""The special keys of strategic merge patches, and how patched lists are put in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.local.apiserver.managed.fieldsets import text_of
from events.local.apiserver.managed.values import go_text
from events.local.apiserver.status import StatusError

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList"
SET_ORDER = "$setElementOrder"
MERGE, REPLACE, DELETE = "merge", "replace", "delete"

BAD_DELETE_LIST = "invalid patch format of primitive list"
BAD_ORDER_LIST = "invalid patch format of setElementOrder list"
BAD_RETAIN_KEYS = "invalid patch format of retainKeys"


def refused(text: str) -> StatusError:
    """400. The real server says 500 to some of these; they are the client's mistakes."""
    return StatusError(400, "BadRequest", text)


def no_list_of_lists() -> StatusError:
    """422: lists of lists cannot be merged."""
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, {})


def unknown_directive(directive: Any, item: Any) -> StatusError:
    """400: a `$patch` of no known kind."""
    return refused(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")


def no_merge_key(item: Any, key: str) -> StatusError:
    """400: an element cannot be found without its merge key."""
    return refused(f"map: {go_text(item)} does not contain declared merge key: {key}")


def wrong_type(wanted: str, given: Any) -> StatusError:
    """400: a list is no list, an object no object."""
    return refused(f"expected a {wanted}, but received a {type_name(given)}")


def type_name(value: Any) -> str:
    """The type of a value as messages name it."""
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {
        dict: "map[string]interface {}",
        list: "[]interface {}",
        str: "string",
        int: "int64",
        float: "float64",
    }
    return names.get(type(value), "<nil>")


def target(key: str, prefix: str, otherwise: str) -> str:
    """The field that a key such as `$setElementOrder/env` is about."""
    start, slash, name = key.partition("/")
    if start != prefix or not slash:
        raise refused(otherwise)
    return name


def element_type(*lists: list[Any]) -> str:
    """The one type of all elements. Raises StatusError when there are several, or lists among them."""
    found = ""
    for items in lists:
        for item in items:
            kind = type_name(item)
            if not found:
                if isinstance(item, list):
                    raise no_list_of_lists()
                found = kind
            elif kind != found:
                raise refused(f"list element types are not identical: {go_text(list(lists))}")
    if not found or found == "<nil>":
        raise refused("no elements in any of the given slices")
    return found


def identity(item: Any, key: str) -> str:
    """What an element is found by: its merge key (`key` not empty) or itself. Raises StatusError without the key."""
    if not key:
        return _hashable(item)
    if not isinstance(item, dict):
        raise wrong_type("map[string]interface {}", item)
    if key not in item:
        raise no_merge_key(item, key)
    return _hashable(item[key])


def _hashable(value: Any) -> str:
    return f"{type_name(value)} {text_of(value)}"


def places(items: Iterable[Any], key: str) -> dict[str, int]:
    """Where each element stands; the first of several with the same identity counts."""
    found: dict[str, int] = {}
    for place, item in enumerate(items):
        found.setdefault(identity(item, key), place)
    return found


def is_deletion(item: Any) -> bool:
    """Whether this element of a patch says that one is to be deleted."""
    return isinstance(item, dict) and item.get(PATCH) == DELETE


def in_order_of(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Sorted as `order` has them; elements to be deleted come last."""
    place = places(order, key)
    kept = [item for item in items if not (key and is_deletion(item))]
    kept.sort(key=lambda item: place.get(identity(item, key), len(place)))
    return kept + [item for item in items if key and is_deletion(item)]


def arranged(merged: list[Any], first: list[Any], live: list[Any], key: str) -> list[Any]:
    """A merged list: what `first` names in its order, the others as they stood in `live`, interleaved by `live`."""
    named = places(first, key)
    ours = in_order_of([item for item in merged if identity(item, key) in named], first, key)
    others = in_order_of([item for item in merged if identity(item, key) not in named], live, key)
    before = places(live, key)
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(ours):
        mine, theirs = before.get(identity(others[left], key)), before.get(identity(ours[right], key))
        if mine is not None and theirs is not None and mine < theirs:
            result.append(others[left])
            left += 1
        else:
            result.append(ours[right])
            right += 1
    return result + ours[right:] + others[left:]
