"""Values of a running expression, and what Go makes of them: equality, text, 64-bit integers, powers, patterns.

Numbers are floats; an integer in a document counts as the float it is in Go. Nothing here raises anything but
FilterError, and nothing recurses: documents may be nested deeply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from events import regexes
from events.errors import FilterError

MAX_TEXT = 1 << 20
"""Characters that a concatenation may give; ours."""

_SHOWN = 40
_INT64 = 1 << 63
_UINT64 = 1 << 64


class Pattern:
    """A literal to the right of `=~` or `!~`, compiled. As an operand of `+` it is its own text, but not a string."""

    __slots__ = ("search", "text")

    def __init__(self, text: str) -> None:
        """FilterError when it is not RE2."""
        self.text, self.search = text, searcher(text)


class _Mark(str):
    """A piece of text between values; a type of its own, so that it is not taken for a value."""

    __slots__ = ()


def number(value: float) -> float:
    """An integer of a document as Go decodes it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same, of the same type, all the way down."""
    kind = type(left)
    if kind is type(right) and kind is not list and kind is not dict:
        return bool(left == right)
    pending = [(left, right)]
    while pending:
        left, right = pending.pop()
        kind, other = type(left), type(right)
        if kind is int or other is int:
            if not (kind in (int, float) and other in (int, float) and number(left) == number(right)):
                return False
        elif kind is not other:
            return False
        elif kind is list:
            if len(left) != len(right):
                return False
            pending.extend(zip(left, right, strict=True))
        elif kind is dict:
            if left.keys() != right.keys():
                return False
            pending.extend((value, right[key]) for key, value in left.items())
        elif left != right:
            return False
    return True


def text(value: Any) -> str:
    """A value as Go prints it with %v; FilterError when that would be too long."""
    if type(value) is str:
        return value
    pieces: list[str] = []
    length, pending = 0, [value]
    while pending:
        item = pending.pop()
        if type(item) is list:
            _push(pending, "[", [(item_,) for item_ in item], "]")
        elif type(item) is dict:
            _push(pending, "map[", [(_Mark(f"{key}:"), item[key]) for key in sorted(item)], "]")
        else:
            pieces.append(item if isinstance(item, str) else _scalar(item))
            length += len(pieces[-1])
            if length > MAX_TEXT:
                raise FilterError(f"a text would have more than {MAX_TEXT} characters")
    return "".join(pieces)


def _push(pending: list[Any], start: str, groups: list[tuple[Any, ...]], end: str) -> None:
    """Put a container on the stack, the first of it on top."""
    pending.append(_Mark(end))
    for index in range(len(groups) - 1, -1, -1):
        pending.extend(reversed(groups[index]))
        if index:
            pending.append(_Mark(" "))
    pending.append(_Mark(start))


def _scalar(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, Pattern) else float_text(number(value))


def float_text(value: float) -> str:
    """A float as Go prints it with %v: the shortest digits, with an exponent from 1e+06 and below 1e-04."""
    if value != value or value in (math.inf, -math.inf):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    shortest = repr(value)
    if "e" in shortest:
        return shortest
    if -1e6 < value < 1e6:
        return shortest.removesuffix(".0")
    sign = "-" if value < 0 else ""
    whole, _, fraction = shortest.lstrip("-").partition(".")
    digits = (whole + fraction).rstrip("0")
    return f"{sign}{digits[0]}{'.' if len(digits) > 1 else ''}{digits[1:]}e+{len(whole) - 1:02}"


def concatenated(left: Any, right: Any) -> str:
    """Two values as one text; FilterError when it would be too long."""
    joined = text(left) + text(right)
    if len(joined) > MAX_TEXT:
        raise FilterError(f"a text would have more than {MAX_TEXT} characters")
    return joined


def shown(value: Any) -> str:
    """A value, short enough for an error."""
    if type(value) in (list, dict):
        return "a list" if type(value) is list else "an object"
    form = f"'{value}'" if type(value) is str else _scalar(value)
    return form if len(form) <= _SHOWN else f"{form[: _SHOWN - 1]}…"


def int64(value: float) -> int:
    """A float cut to int64; what does not fit is the smallest one, as on amd64."""
    return int(value) if -_INT64 <= value < _INT64 else -_INT64


def uint64(value: float) -> int:
    """A float cut to uint64, a negative one wrapped; what does not fit is 2**63."""
    return int(value) % _UINT64 if -_INT64 <= value < _UINT64 else _INT64


def quotient(left: float, right: float) -> float:
    """Division as of IEEE 754."""
    if right:
        return left / right
    return math.nan if left == 0 or left != left else math.copysign(math.inf, left) * math.copysign(1, right)


def remainder(left: float, right: float) -> float:
    """What is left of a division, with the sign of the dividend."""
    try:
        return math.fmod(left, right)
    except ValueError:
        return math.nan


def power(base: float, exponent: float) -> float:
    """A power as of IEEE 754: too large is infinite, the root of a negative number is not one."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base:
            return math.nan
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf


def left_shifted(left: float, right: float) -> float:
    """`<<` on 64 bits."""
    distance = uint64(right)
    return float((uint64(left) << distance) % _UINT64) if distance < 64 else 0.0


def right_shifted(left: float, right: float) -> float:
    """`>>` on 64 bits."""
    distance = uint64(right)
    return float(uint64(left) >> distance) if distance < 64 else 0.0


@lru_cache(maxsize=256)
def searcher(pattern: str) -> Callable[[bytes], object]:
    """The unanchored search of an RE2 pattern over UTF-8; FilterError when it is not one."""
    try:
        search: Callable[[bytes], object] = regexes.compile(pattern).search
    except ValueError as error:
        raise FilterError(f"the pattern {shown(pattern)} is not a regular expression: {error}") from error
    return search
