"""What operators do. Each is a function of both values; types are never converted, except by a `+` with a text."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from events.errors import FilterError
from events.expressions.govaluate import values
from events.expressions.govaluate.values import Pattern, equal, shown

Binary = Callable[[Any, Any], Any]
_ORDERED = (float, str)


def misfit(value: Any, sign: str, wanted: str) -> FilterError:
    """The error of an operand of a wrong type."""
    return FilterError(f"{sign} wants {wanted}, not {shown(value)}")


def _arithmetic(sign: str, compute: Callable[[float, float], float]) -> Binary:
    def run(left: Any, right: Any) -> float:
        if type(left) is float and type(right) is float:
            return compute(left, right)
        raise misfit(right if type(left) is float else left, sign, "numbers")

    return run


def _bitwise(sign: str, compute: Callable[[int, int], int]) -> Binary:
    return _arithmetic(sign, lambda left, right: float(compute(values.int64(left), values.int64(right))))


def _ordering(sign: str, compute: Callable[[Any, Any], bool]) -> Binary:
    def run(left: Any, right: Any) -> bool:
        if type(left) is type(right) and type(left) in _ORDERED:
            return compute(left, right)
        raise FilterError(f"{sign} compares two numbers or two texts, not {shown(left)} with {shown(right)}")

    return run


def _plus(left: Any, right: Any) -> float | str:
    if type(left) is float and type(right) is float:
        return left + right
    if type(left) is str or type(right) is str:
        return values.concatenated(left, right)
    raise FilterError(f"+ wants two numbers, or a text on one side, not {shown(left)} and {shown(right)}")


def _matches(left: Any, right: Any) -> bool:
    if type(left) is not str:
        raise misfit(left, "=~", "a text on its left")
    if type(right) is Pattern:
        search = right.search
    elif type(right) is str:
        search = values.searcher(right)
    else:
        raise misfit(right, "=~", "a pattern on its right")
    return search(left.encode("utf-8", "replace")) is not None


def _in(left: Any, right: Any) -> bool:
    if type(right) is not list:
        raise misfit(right, "in", "a list of two or more values, or a variable that is one,")
    if type(left) in (list, dict):
        if any(type(item) is type(left) for item in right):
            raise misfit(left, "in", "a text, a number or a bool on its left")  # upstream crashes
        return False
    return any(equal(left, item) for item in right)


BINARY: Mapping[str, Binary] = MappingProxyType(
    {
        "==": equal,
        "!=": lambda left, right: not equal(left, right),
        "<": _ordering("<", operator.lt),
        "<=": _ordering("<=", operator.le),
        ">": _ordering(">", operator.gt),
        ">=": _ordering(">=", operator.ge),
        "=~": _matches,
        "!~": lambda left, right: not _matches(left, right),
        "in": _in,
        "+": _plus,
        "-": _arithmetic("-", operator.sub),
        "*": _arithmetic("*", operator.mul),
        "/": _arithmetic("/", values.quotient),
        "%": _arithmetic("%", values.remainder),
        "**": _arithmetic("**", values.power),
        "&": _bitwise("&", operator.and_),
        "|": _bitwise("|", operator.or_),
        "^": _bitwise("^", operator.xor),
        "<<": _arithmetic("<<", values.left_shifted),
        ">>": _arithmetic(">>", values.right_shifted),
    }
)


def negated(value: Any) -> float:
    """`-`."""
    if type(value) is float:
        return -value
    raise misfit(value, "-", "a number")


def inverted(value: Any) -> bool:
    """`!`."""
    if type(value) is bool:
        return not value
    raise misfit(value, "!", "a bool")


def complemented(value: Any) -> float:
    """`~`."""
    if type(value) is float:
        return float(~values.int64(value))
    raise misfit(value, "~", "a number")


PREFIX: Mapping[str, Callable[[Any], Any]] = MappingProxyType({"-": negated, "!": inverted, "~": complemented})
