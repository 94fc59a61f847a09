"""The functions of text/template itself, where gotpl has not Go's way with nil, missing keys and types of integers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote_plus

from events.expressions.expr.values import Uint8
from events.templates.formatting import printed, sprintf, text
from events.templates.values import MISSING, go_type, is_true

_HTML = str.maketrans({"\0": "�", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _basic_kind(value: Any) -> str:
    """What values can be compared by; nothing for those that cannot."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float) and value is not MISSING:
        return "float"
    return "string" if isinstance(value, str) else ""


def equal(first: Any, *others: Any) -> bool:
    """Whether the first is equal to any of the others; nil is equal to nil only."""
    if not others:
        raise TypeError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(one: Any, other: Any) -> bool:
    kind = _basic_kind(one)
    if kind != _basic_kind(other):
        if one is None or other is None:
            return False
        raise TypeError(f"incompatible types for comparison: {go_type(one)} and {go_type(other)}")
    if kind or one is None or other is None:
        return bool(one == other) if kind else one is other
    if isinstance(one, (list, dict)) or isinstance(other, (list, dict)):
        raise TypeError(f"non-comparable types {go_type(one)} and {go_type(other)}")
    return bool(one == other)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(one: Any, other: Any) -> bool:
        kind = _basic_kind(one)
        if kind not in ("int", "float", "string") or not _basic_kind(other):
            raise TypeError("invalid type for comparison")
        if kind != _basic_kind(other):
            raise TypeError(f"incompatible types for comparison: {go_type(one)} and {go_type(other)}")
        return compare(one, other)

    return run


def length(value: Any) -> int:
    """Bytes of a string, elements of a list or map."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, (list, dict)):
        return len(value)
    raise TypeError("len of nil pointer" if value is None else f"len of type {go_type(value)}")


def index(value: Any, *steps: Any) -> Any:
    """Elements of elements."""
    for step in steps:
        if value is None:
            raise TypeError("index of untyped nil")
        if isinstance(value, dict):
            if type(step) is not str:
                raise TypeError(f"value has type {go_type(step)}; should be string")
            value = value.get(step, MISSING)
            continue
        if not isinstance(value, (list, str)):
            raise TypeError(f"can't index item of type {go_type(value)}")
        if not isinstance(step, int) or isinstance(step, bool):
            raise TypeError(f"cannot index slice/array with type {go_type(step)}")
        items: Any = value.encode() if isinstance(value, str) else value
        if not 0 <= step < len(items):
            raise IndexError(f"index out of range: {step}")
        value = Uint8(items[step]) if isinstance(value, str) else items[step]
    return value


def _js(values: tuple[Any, ...]) -> str:
    return "".join(_JS.get(char) or (f"\\u{ord(char):04X}" if not char.isprintable() else char) for char in values[0])


def html(*values: Any) -> str:
    """Escaped for HTML."""
    return _plain(values).translate(_HTML)


def js(*values: Any) -> str:
    """Escaped for a string of JavaScript."""
    return _js((_plain(values),))


def urlquery(*values: Any) -> str:
    """Escaped for the query of a URL."""
    return quote_plus(_plain(values), safe="")


def _plain(values: tuple[Any, ...]) -> str:
    """As print has it, but nil is a value that is missing."""
    if len(values) == 1 and values[0] is None:
        return "<no value>"
    return printed(values)


BUILTINS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "eq": equal,
        "ne": lambda one, other: not _equal(one, other),
        "lt": _ordered(operator.lt),
        "le": _ordered(operator.le),
        "gt": _ordered(operator.gt),
        "ge": _ordered(operator.ge),
        "not": lambda value: not is_true(value),
        "len": length,
        "index": index,
        "print": lambda *values: printed(values),
        "printf": sprintf,
        "println": lambda *values: " ".join(map(text, values)) + "\n",
        "html": html,
        "js": js,
        "urlquery": urlquery,
    }
)
