"""Values as text: Go's fmt, for the types that templates know.

The directives of a format and single values are gotpl's; containers, nil and named types are formatted here, element by
element, as Go does it and gotpl does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from events.expressions.expr.texts import float_text
from events.templates.values import MISSING, go_type

MAX_WIDTH = 10_000
"""Width and precision that a format may ask for; ours."""

_NUMBER = re.compile(r"\d+")
# The verbs of single values, first the one that %v stands for.
_VERBS: Mapping[type, str] = MappingProxyType(
    {str: "sqxX", int: "dboOxXcqU", float: "geEfFGbxX", bool: "t", complex: "geEfFGbxX"}
)


def text(value: Any) -> str:
    """A value as %v prints it."""
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None or value is MISSING:
        return "<nil>"
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return float_text(value)
    if isinstance(value, dict):
        return f"map[{' '.join(f'{text(key)}:{text(value[key])}' for key in sorted(value))}]"
    return f"[{' '.join(map(text, value))}]" if isinstance(value, list) else str(value)


def printed(values: Iterable[Any]) -> str:
    """What print makes of them: a space between two that are no strings."""
    pieces, was_text = [], True
    for value in values:
        is_text = type(value) is str
        if not was_text and not is_text:
            pieces.append(" ")
        pieces.append(text(value))
        was_text = is_text
    return "".join(pieces)


def sprintf(form: Any, *values: Any) -> str:
    """What printf makes of them; ValueError when a width is unreasonable."""
    from gotpl.runtime.gofmt import sprintf as format_scalars

    if type(form) is not str:
        raise TypeError(f"expected string, not {go_type(form)}")
    widths = [int(digits) if len(digits) < 9 else MAX_WIDTH + 1 for digits in _NUMBER.findall(form)]
    if "*" in form:
        widths.extend(abs(value) for value in values if isinstance(value, int))
    if max(widths, default=0) > MAX_WIDTH:
        raise ValueError(f"widths over {MAX_WIDTH} are refused")
    if "*" in form:
        return format_scalars(form, *(value if type(value) is int else _Argument(value) for value in values))
    return format_scalars(form, *map(_Argument, values))


def _scalar(directive: str, value: Any) -> str:
    """A single value by a single directive, which gotpl knows best."""
    from gotpl.runtime.gofmt import sprintf as format_scalars

    return str(format_scalars(directive, value))


class _Argument:
    """A value that gotpl hands back to us to be formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __go_format__(self, spec: Any) -> str:
        width = "" if spec.width is None else str(spec.width)
        precision = "" if spec.precision is None else f".{spec.precision}"
        return _formatted(self._value, spec.flags, width + precision, spec.verb, nested=False)

    def __go_format_value__(self, kind: str, _mode: str, *, nested: bool) -> str:
        """For arguments that the format does not use."""
        return go_type(self._value) if kind == "type" else text(self._value)


def _formatted(value: Any, flags: str, size: str, verb: str, *, nested: bool) -> str:
    directive = f"%{flags}{size}{verb}"
    if verb == "T":
        return _scalar(f"%{flags}{size}s", go_type(value))
    if value is None:
        if verb != "v":
            return f"%!{verb}(<nil>)"
        return _scalar(f"%{flags}{size}s", "interface {}(nil)" if "#" in flags and nested else "<nil>")
    if verb == "v" and "#" in flags:
        return _syntax(value)
    if isinstance(value, list):
        return f"[{' '.join(_formatted(item, flags, size, verb, nested=True) for item in value)}]"
    if isinstance(value, dict):
        pairs = ((_formatted(key, flags, size, verb, nested=True), value[key]) for key in sorted(value))
        return f"map[{' '.join(f'{key}:{_formatted(item, flags, size, verb, nested=True)}' for key, item in pairs)}]"
    if verbs := _VERBS.get(type(value)):
        if verb == "v":
            return _scalar(f"%{flags.replace('+', '')}{size}{verbs[0]}", value)
        if verb in verbs:
            return _scalar(directive, value)
        return f"%!{verb}({go_type(value)}={_scalar(f'{directive[:-1]}{verbs[0]}', value)})"
    return _named(value, directive, verb)


def _named(value: Any, directive: str, verb: str) -> str:
    """A number of a named type, or an object that can say what it is."""
    if verb in "vsq" and (not isinstance(value, int) or type(value).__str__ is not int.__str__):
        return _scalar(f"{directive[:-1]}{'s' if verb == 'v' else verb}", str(value))
    if isinstance(value, int):
        if verb == "v" or verb in _VERBS[int]:
            return _scalar(directive.replace("v", "d"), int(value))
        return f"%!{verb}({go_type(value)}={_scalar(f'{directive[:-1]}d', int(value))})"
    return f"%!{verb}({go_type(value)}={value})"


def _syntax(value: Any) -> str:
    """%#v."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, list):
        return f"{go_type(value)}{{{', '.join(map(_syntax, value))}}}"
    if isinstance(value, dict):
        pairs = (f"{_syntax(key)}:{_syntax(value[key])}" for key in sorted(value))
        return f"{go_type(value)}{{{', '.join(pairs)}}}"
    return _scalar("%#v", value) if type(value) in _VERBS else str(int(value) if isinstance(value, int) else value)
