"""What operators do with two values. Numbers of all kinds meet, as floats or 64-bit integers; nothing else mixes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from events.errors import FilterError
from events.expressions.expr.times import Duration, Time
from events.expressions.expr.values import (
    INTEGERS,
    LISTS,
    NUMBERS,
    Function,
    Int64,
    Uint8,
    encoded,
    go_type,
    is_nil,
    sized,
    to_float,
    wrap,
)

Spend = Callable[[int], None]


def mismatch(operator: str, left: Any, right: Any) -> FilterError:
    """Two values an operator is not made for."""
    return FilterError(f"{operator} cannot be applied to {go_type(left)} and {go_type(right)}")


def equal(left: Any, right: Any, spend: Spend | None = None) -> bool:
    """`==`: numbers by value, the rest only within its own type; `spend` hears of every value of a list compared."""
    kind, other = type(left), type(right)
    if kind in NUMBERS:
        if other in NUMBERS:
            # Two integers exactly; otherwise both as floats, which Python's own comparison would not do.
            return bool(left == right) if kind is other else _mixed_equal(left, right)
        return False
    if kind is str or kind is bool:
        return kind is other and bool(left == right)
    if left is None or right is None:
        return is_nil(left) and is_nil(right)
    if kind is Time and other is Time:
        return bool(left.ns == right.ns)
    if is_nil(left) and is_nil(right):
        return True
    return deep_equal(left, right, spend)


def _mixed_equal(left: Any, right: Any) -> bool:
    if type(left) is float or type(right) is float:
        return float(left) == float(right)
    return int(left) == int(right)


def deep_equal(left: Any, right: Any, spend: Spend | None = None) -> bool:
    """The same types and values all the way down; without recursion, as data may be deep."""
    pending = [(left, right)]
    while pending:
        one, two = pending.pop()
        if go_type(one) != go_type(two) or isinstance(one, Function):
            return False
        if isinstance(one, (dict, *LISTS)):
            if len(one) != len(two):
                return False
            if spend is not None:
                spend(len(one))
            if isinstance(one, dict):
                if any(key not in two for key in one):
                    return False
                pending.extend((value, two[key]) for key, value in one.items())
            else:
                pending.extend(zip(one, two, strict=True))
        elif one != two:
            return False
    return True


Compare = Callable[[Any, Any], bool]


def _comparison(operator: str, compare: Compare) -> Compare:
    def compared(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if kind in NUMBERS and other in NUMBERS:
            if kind is float or other is float:
                return compare(float(left), float(right))
            return compare(left, right)
        if kind is str and other is str:
            if left.isascii() and right.isascii():
                return compare(left, right)
            return compare(encoded(left), encoded(right))
        if kind is other and (kind is Time or kind is Duration):
            return compare(left.ns, right.ns)
        raise mismatch(operator, left, right)

    return compared


less = _comparison("<", lambda left, right: bool(left < right))
more = _comparison(">", lambda left, right: bool(left > right))
at_most = _comparison("<=", lambda left, right: bool(left <= right))
at_least = _comparison(">=", lambda left, right: bool(left >= right))


def add(left: Any, right: Any) -> Any:
    """Sums, joined texts, later times."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return float(left) + float(right) if float in (kind, other) else wrap(int(left) + int(right))
    if kind is str and other is str:
        return sized(left + right)
    if kind is Time and other is Duration:
        return left.add(right.ns)
    if kind is Duration and other is Time:
        return right.add(left.ns)
    if kind is Duration and other is Duration:
        return Duration(wrap(left.ns + right.ns))
    raise mismatch("+", left, right)


def subtract(left: Any, right: Any) -> Any:
    """Differences, also of times."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return float(left) - float(right) if float in (kind, other) else wrap(int(left) - int(right))
    if kind is Time and other is Time:
        return left.since(right)
    if kind is Time and other is Duration:
        return left.add(-right.ns)
    if kind is Duration and other is Duration:
        return Duration(wrap(left.ns - right.ns))
    raise mismatch("-", left, right)


def multiply(left: Any, right: Any) -> Any:
    """Products; a duration times an integer is a duration, times a float it is nanoseconds."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return float(left) * float(right) if float in (kind, other) else wrap(int(left) * int(right))
    if (kind is Duration or kind in NUMBERS) and (other is Duration or other in NUMBERS):
        one, two = (value.ns if type(value) is Duration else value for value in (left, right))
        return float(one) * float(two) if float in (kind, other) else Duration(wrap(int(one) * int(two)))
    raise mismatch("*", left, right)


def quotient(left: float, right: float) -> float:
    """A division of floats as IEEE 754 has it."""
    if right:
        return left / right
    if left == 0 or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def divide(left: Any, right: Any) -> float:
    """Quotients, always floats."""
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return quotient(float(left), float(right))
    raise mismatch("/", left, right)


def modulo(left: Any, right: Any) -> int:
    """Remainders of integers, with the sign of the dividend."""
    if type(left) in INTEGERS and type(right) in INTEGERS:
        if right == 0:
            raise FilterError("% by zero")
        rest = abs(int(left)) % abs(int(right))
        return -rest if left < 0 else rest
    raise mismatch("%", left, right)


def power(left: Any, right: Any) -> float:
    """Powers, always floats, to the last bit as Go's math.Pow has them."""
    base, exponent = to_float(left), to_float(right)
    if not (math.isfinite(base) and math.isfinite(exponent)) or base == 0 or abs(exponent) >= 2.0**63:
        return _special_power(base, exponent)
    if abs(exponent) == 0.5 and base > 0:
        return math.sqrt(base) if exponent > 0 else 1 / math.sqrt(base)
    rest, whole = math.modf(abs(exponent))
    if rest and base < 0:
        return math.nan
    if rest > 0.5:
        rest, whole = rest - 1, whole + 1
    mantissa = math.exp(rest * math.log(base)) if rest else 1.0
    return _integer_power(base, int(whole), mantissa, negative=exponent < 0)


def _integer_power(base: float, exponent: int, mantissa: float, *, negative: bool) -> float:
    """`mantissa` times an integer power by squaring; mantissa and binary exponent apart, so that nothing overflows."""
    scale, (square, shift) = 0, math.frexp(base)
    while exponent:
        if abs(shift) > 4096:
            scale += shift  # out of every range, whatever follows
            break
        if exponent & 1:
            mantissa, scale = mantissa * square, scale + shift
        square, shift, exponent = square * square, shift * 2, exponent >> 1
        if square < 0.5:
            square, shift = square * 2, shift - 1
    if negative:
        mantissa, scale = 1 / mantissa, -scale
    try:
        return math.ldexp(mantissa, scale)
    except OverflowError:
        return math.copysign(math.inf, mantissa)


def _special_power(base: float, exponent: float) -> float:
    """Powers of and by zero, infinity and NaN."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:  # zero to a negative power
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf


def negate(value: Any) -> Any:
    """`-x`; a byte stays one."""
    kind = type(value)
    if kind is float or kind is int:
        return -value if kind is float else wrap(-value)
    if kind is Int64:
        return Int64(wrap(-value))
    if kind is Uint8:
        return Uint8(-value & 0xFF)
    raise FilterError(f"- cannot be applied to {go_type(value)}")


def contained(needle: Any, collection: Any, spend: Spend | None = None) -> bool:
    """`in`: an element of a list, a key of a map."""
    if collection is None:
        return False
    if isinstance(collection, range):
        if type(needle) is float:
            return needle.is_integer() and int(needle) in collection
        return type(needle) in NUMBERS and int(needle) in collection
    if isinstance(collection, list):
        return _in_list(needle, collection, spend)
    if isinstance(collection, dict):
        return in_map(needle, collection)
    if type(collection) is Time:
        if type(needle) is not str:
            raise mismatch("in", needle, collection)
        return needle in ("wall", "ext", "loc")
    raise mismatch("in", needle, collection)


def _in_list(needle: Any, collection: list[Any], spend: Spend | None) -> bool:
    looked, found = 0, False
    for value in collection:
        looked += 1
        if equal(value, needle, spend):
            found = True
            break
    if spend is not None:
        spend(looked >> 2)
    return found


def in_map(needle: Any, collection: dict[Any, Any]) -> bool:
    """Whether a map has a key; nil stands for the zero value of its keys' type."""
    if go_type(collection).startswith("map[any]"):
        return map_key(needle) in collection
    if needle is None:
        return "" in collection
    if type(needle) is str:
        return needle in collection
    raise FilterError(f"{go_type(needle)} is never a key of {go_type(collection)}")


def map_key(value: Any) -> Any:
    """A value as a key of map[any]…: 1, 1.0 and true are three keys; lists and maps are none."""
    if isinstance(value, (dict, *LISTS)):
        raise FilterError(f"{go_type(value)} cannot be a key")
    return value if type(value) is str else Key(value)


class Key:
    """A key of map[any]… that is no string: equal only within its type."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and type(self.value) is type(other.value) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)
