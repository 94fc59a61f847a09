"""Values as text: what `string()` gives (Go's %v) and what the JSON functions write."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from events import rawjson
from events.errors import FilterError
from events.expressions.expr import layouts
from events.expressions.expr.operators import Key
from events.expressions.expr.times import Duration, Location, Month, Time, Weekday
from events.expressions.expr.values import LISTS, AnyMap, Function, Groups, NilList, NilStrings, encoded, go_type, sized

Spend = Callable[[int], None]
_INVALID = re.compile("[\udc80-\udcff]")


def _unlimited(_size: int) -> None:
    """Nobody counts."""


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits that mean a float, and the place of the decimal point after the first of them."""
    mantissa, _, exponent = f"{value!r}".partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = (whole + rest).lstrip("0")
    point = len(whole) if whole != "0" else len(digits) - len(rest)
    return digits.rstrip("0") or "0", point - 1 + int(exponent or 0)


def _scientific(digits: str, exponent: int, width: int) -> str:
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):0{width}d}"


def _positional(digits: str, exponent: int) -> str:
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole


def float_text(value: float) -> str:
    """A float as %v prints it: `1e+06`, `0.5`, `3`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return sign + "0"
    digits, exponent = _digits(abs(value))
    if exponent < -4 or exponent >= 6:
        return sign + _scientific(digits, exponent, 2)
    return sign + _positional(digits, exponent)


def go_text(value: Any, spend: Spend = _unlimited) -> str:
    """A value as %v prints it; FilterError when too large; `spend` hears of every element beforehand."""
    return sized(_text(value, spend))


def _text(value: Any, spend: Spend) -> str:
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None:
        return "<nil>"
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return float_text(value)
    if isinstance(value, Month | Weekday | Duration | Location):
        return str(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Time):
        return layouts.written(value)
    if isinstance(value, LISTS):
        spend(len(value) + 1)
        return f"[{' '.join(_text(item, spend) for item in value)}]"
    if isinstance(value, dict):
        spend(len(value) + 1)
        items = sorted(value.items(), key=lambda item: _order(item[0]))
        return f"map[{' '.join(f'{_text(key, spend)}:{_text(inner, spend)}' for key, inner in items)}]"
    if isinstance(value, Key):
        return _text(value.value, spend)
    return "0x1" if isinstance(value, Function) else str(value)


def _order(key: Any) -> tuple[int, float, bytes]:
    """Numbers, then texts, each in their order."""
    inner = key.value if isinstance(key, Key) else key
    return (0, float(inner), b"") if isinstance(inner, int | float) else (1, 0.0, encoded(_text(inner, _unlimited)))


def json_text(value: Any, indent: str = "", spend: Spend = _unlimited) -> str:
    """A value as Go's encoding/json writes it; FilterError for what it refuses, or when it is too large."""
    return sized(_json(value, indent, "\n" if indent else "", spend))


def _json(value: Any, indent: str, line: str, spend: Spend) -> str:
    kind = type(value)
    if kind is str:
        return _json_string(value)
    if value is None or isinstance(value, NilStrings | NilList):
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return _json_float(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Duration):
        return str(value.ns)
    if isinstance(value, Time):
        if not 0 <= value.date[0] <= 9999:
            raise FilterError("a time outside of the years 0 to 9999 cannot be written as JSON")
        return f'"{layouts.formatted(value, layouts.RFC3339_NANO)}"'
    if isinstance(value, Function | AnyMap | Groups):
        raise FilterError(f"{go_type(value)} cannot be written as JSON")
    inner = line + indent
    if isinstance(value, LISTS):
        spend(len(value) + 1)
        return _wrapped("[]", [_json(item, indent, inner, spend) for item in value], inner, line)
    if isinstance(value, dict):
        spend(len(value) + 1)
        colon = ": " if indent else ":"
        keys = sorted(value, key=encoded)
        return _wrapped(
            "{}", [_json_string(k) + colon + _json(value[k], indent, inner, spend) for k in keys], inner, line
        )
    return "{}"


def _wrapped(brackets: str, parts: list[str], inner: str, line: str) -> str:
    return f"{brackets[0]}{inner}{f',{inner}'.join(parts)}{line}{brackets[1]}" if parts else brackets


def _json_string(value: str) -> str:
    if _INVALID.search(value):
        return '"' + "\\ufffd".join(_json_string(part)[1:-1] for part in _INVALID.split(value)) + '"'
    return rawjson.dumps(value).decode()


def _json_float(value: float) -> str:
    if not math.isfinite(value):
        raise FilterError(f"{float_text(value)} cannot be written as JSON")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits, exponent = _digits(abs(value))
    large = abs(value) < 1e-6 or abs(value) >= 1e21
    return ("-" if value < 0 else "") + (_scientific(digits, exponent, 1) if large else _positional(digits, exponent))
