"""What is wrong with a field, in the words of a real server: the `details.causes` of an Invalid status.

A cause is a dict `{"field", "reason", "message"}`. Values are shown as the API shows them: numbers and booleans
plainly, texts quoted, everything else as JSON without blanks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

Cause = dict[str, str]

ROOT = "<nil>"
"""The path of the object itself."""


OMITTED: Any = object()
"""A value that is too large to be shown."""


def quoted(text: str) -> str:
    """A text in double quotes."""
    return orjson.dumps(text.encode("utf-8", "replace").decode()).decode()


def as_json(value: Any) -> str:
    """A value as the API's own encoder writes it: HTML's characters are escaped."""
    try:
        shown = orjson.dumps(value, default=str).decode()
    except TypeError:  # numbers beyond 64 bits, half characters
        shown = json.dumps(value, default=str, separators=(",", ":"))
    return shown.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shown(value: Any) -> str:
    """A value inside a message."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return go_float(value)
    return as_json(value)


def go_float(value: float) -> str:
    """A float as Go prints it with %v."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    if exponent and len(power.lstrip("+-")) < 2:
        power = f"{power[0]}0{power[1:]}" if power[0] in "+-" else f"+0{power}"
    elif exponent and power[0] not in "+-":
        power = f"+{power}"
    return f"{mantissa}{exponent}{power}"


def _cause(path: str, reason: str, body: str, detail: str) -> Cause:
    return {"reason": reason, "message": f"{body}: {detail}" if detail else body, "field": path or ROOT}


def invalid(path: str, value: Any, detail: str) -> Cause:
    """The value breaks a rule."""
    body = "Invalid value" if value is OMITTED else f"Invalid value: {shown(value)}"
    return _cause(path, "FieldValueInvalid", body, detail)


def type_invalid(path: str, value: Any, detail: str) -> Cause:
    """The value is of another type."""
    return _cause(path, "FieldValueTypeInvalid", f"Invalid value: {shown(value)}", detail)


def required(path: str, detail: str = "") -> Cause:
    """The value is missing."""
    return _cause(path, "FieldValueRequired", "Required value", detail)


def forbidden(path: str, detail: str) -> Cause:
    """The value may not be there."""
    return _cause(path, "FieldValueForbidden", "Forbidden", detail)


def duplicate(path: str, value: Any) -> Cause:
    """The value is there twice."""
    body = "Duplicate value" if value is OMITTED else f"Duplicate value: {shown(value)}"
    return _cause(path, "FieldValueDuplicate", body, "")


def not_found(path: str, value: Any) -> Cause:
    """The value refers to nothing."""
    return _cause(path, "FieldValueNotFound", f"Not found: {shown(value)}", "")


def not_supported(path: str, value: Any, supported: Iterable[Any]) -> Cause:
    """The value is none of a list."""
    names = ", ".join(quoted(str(one)) for one in supported)
    return _cause(
        path,
        "FieldValueNotSupported",
        f"Unsupported value: {shown(value)}",
        f"supported values: {names}" if names else "",
    )


def too_long(path: str, most: int) -> Cause:
    """More bytes than allowed."""
    return _cause(path, "FieldValueTooLong", "Too long", f"may not be more than {most} byte{'' if most == 1 else 's'}")


def too_many(path: str, count: int, most: int) -> Cause:
    """More items than allowed."""
    detail = f"must have at most {most} item{'' if most == 1 else 's'}"
    return _cause(path, "FieldValueTooMany", f"Too many: {count}", detail)


def internal(path: str, detail: str) -> Cause:
    """The rule itself failed."""
    return _cause(path, "InternalError", "Internal error", detail)


def immutable(path: str, new: Any, old: Any) -> list[Cause]:
    """The value may not change after creation."""
    return [] if new == old else [invalid(path, new, "field is immutable")]


def negative(path: str, value: Any) -> list[Cause]:
    """The value must not be below 0."""
    return [invalid(path, value, "must be greater than or equal to 0")] if value is not None and value < 0 else []


def each(path: str, value: str, wrong: Iterable[str]) -> list[Cause]:
    """One cause for each text that a rule of names gave."""
    return [invalid(path, value, text) for text in wrong]
