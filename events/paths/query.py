"""The comparison of a query `#(left operator right)`, per kind of the value on the left."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from events.paths import globs
from events.paths.result import Kind, Result, to_float

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TRUE_WORDS, _FALSE_WORDS = frozenset(("1", "t", "true")), frozenset(("0", "f", "false"))


def accepts(comparison: str, right: str, value: Result) -> bool:
    """Whether a value passes; without a comparison it is enough to exist."""
    if right.startswith("~"):
        return _is_like(comparison, right[1:], value)
    if not value.exists:
        return False
    if not comparison:
        return True
    if value.kind is Kind.STRING:
        if comparison in ("%", "!%"):
            return bool(globs.compile_glob(right)(value.text)) is (comparison == "%")
        return _ORDER[comparison](value.text, right)
    if comparison not in _ORDER:
        return False
    if value.kind is Kind.NUMBER:
        return _ORDER[comparison](value.number, to_float(right))
    if value.kind in (Kind.TRUE, Kind.FALSE):
        return _compares_bool(comparison, right, is_true=value.kind is Kind.TRUE)
    return False


def _compares_bool(comparison: str, right: str, *, is_true: bool) -> bool:
    """False sorts before true; a word that is neither is only ever different."""
    word = "true" if is_true else "false"
    if comparison in ("=", "!="):
        return _ORDER[comparison](word, right)
    if comparison == (">=" if is_true else "<="):
        return True
    other = "false" if is_true else "true"
    return comparison == (">" if is_true else "<") and right == other


def _is_like(comparison: str, wanted: str, value: Result) -> bool:
    """`~true`, `~false`, `~null` and `~*`: the value as a truth, then compared with true."""
    if wanted == "*":
        alike = value.exists
    elif wanted == "null":
        alike = value.kind is Kind.NULL
    elif wanted == "true":
        alike = _is_truth(value, _TRUE_WORDS)
    elif wanted == "false":
        alike = value.kind is Kind.NULL or _is_truth(value, _FALSE_WORDS)
    else:
        return False
    if not comparison:
        return True
    return comparison in _ORDER and _compares_bool(comparison, "true", is_true=alike)


def _is_truth(value: Result, words: frozenset[str]) -> bool:
    if value.kind is Kind.STRING:
        return value.text.lower() in words
    if value.kind is Kind.NUMBER:
        return (value.number != 0) is (words is _TRUE_WORDS)
    return value.kind is (Kind.TRUE if words is _TRUE_WORDS else Kind.FALSE)
