"""JSON as Go's `encoding/json` reads and writes it: every number a double, keys sorted, numbers in Go's words. Pure."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

import orjson

_EXACT = 1e21  # below this a whole number is written in full
_NEEDS_CARE = re.compile(rb"[0-9][.eE]|[0-9]{16}")
_EXPONENT = re.compile(rb"[0-9]e|[0-9]\.0(?![0-9])")
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidDocument(ValueError):
    """Data that is no JSON object, or a result that JSON cannot say."""


def read(data: bytes) -> dict[str, Any]:
    """A JSON object; `null` counts as an empty one, as it does for Go. InvalidDocument when it is neither."""
    try:
        document = _parse(data) if _NEEDS_CARE.search(data) else orjson.loads(data)
    except orjson.JSONDecodeError:
        document = _parse(data)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidDocument(f"the event's data is {_kind(document)}, not a JSON object")
    return document


def _parse(data: bytes) -> Any:
    """What orjson cannot: numbers as doubles, bytes that are not UTF-8 and lone surrogates replaced, as Go does."""
    try:
        document = _loads(data.decode("utf-8", "replace"))
        if b"\\ud" in data or b"\\uD" in data:
            document = _loads(_SURROGATE.sub("\ufffd", json.dumps(document, ensure_ascii=False)))
    except RecursionError as error:
        raise InvalidDocument("the event's data is nested too deep") from error
    except ValueError as error:
        raise InvalidDocument(f"the event's data is not a JSON object: {error}") from error
    return document


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_integer, parse_float=_double, parse_constant=_refuse)


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 16 else _double(text)


def _double(text: str) -> int | float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"number {text[:32]} is out of range")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {bool: "a bool", str: "a string", list: "an array"}
    return kinds.get(type(value), "a number")


def write(value: Any) -> bytes:
    """A value as Go writes it, but for the escaping of HTML."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if not _EXPONENT.search(text):
            return text
    except TypeError:
        pass  # integers beyond 64 bits, more than 254 levels
    try:
        return _written(value).encode("utf-8", "replace")
    except RecursionError as error:
        raise InvalidDocument("the result is nested too deep") from error


def _written(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{_quoted(key)}:{_written(value[key])}" for key in sorted(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return {None: "null", True: "true", False: "false"}[value]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def number(value: int | float) -> str:
    """A number in Go's words: `1`, `0.00001`, `1e-7`, `100000000000000000000`, `1e+21`."""
    if abs(value) < _EXACT and value == int(value):
        return str(int(value))
    text = repr(float(value))
    if "e" not in text:
        return text
    if 1e-6 <= abs(value) < _EXACT:
        return format(Decimal(text), "f")
    digits, _, exponent = text.partition("e")
    return f"{digits}e{exponent[0]}{exponent[1:].lstrip('0')}"
