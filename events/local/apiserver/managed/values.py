"""When two JSON values are the same."""

from __future__ import annotations

from typing import Any

import orjson


class Absent:
    """The type of `ABSENT`: a field that is not there (None is one that is null)."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: `1` is `1.0`, but not `true`."""
    if one is other:
        return True
    if type(one) is not type(other):
        return _is_number(one) and _is_number(other) and bool(one == other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(key in other and same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_fast(one: Any, other: Any) -> bool:
    """`same`, but False may be wrong: for skipping what need not be looked at.

    Python's `==` is quick but takes `True` for `1`; the encoded text decides about that.
    """
    if one is other:
        return True
    if one != other:
        return False
    if type(one) is not dict and type(one) is not list:
        return type(one) is type(other)
    try:
        return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # numbers beyond 64 bits
        return same(one, other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def go_text(value: Any, *, most: int = 1000, depth: int = 0) -> str:
    """A value as the real server prints it inside a message; `most` elements and 20 levels of it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list) and depth > 20:
        return "…"
    if isinstance(value, dict):
        items = sorted(value.items())[:most]
        return "map[" + " ".join(f"{key}:{go_text(item, most=most, depth=depth + 1)}" for key, item in items) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_text(item, most=most, depth=depth + 1) for item in value[:most]) + "]"
    text = str(value)
    return text if len(text) <= 500 else text[:499] + "…"
