"""JSON as Go's encoding/json reads it into `any`: numbers are floats, what is no text becomes U+FFFD."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from events.errors import FilterError

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_TEXT = re.compile("[\ud800-\udfff]")


def parse(document: bytes) -> Any:
    """The value of a document; FilterError when it is not one, or not one a filter can hold."""
    text = document.decode("utf-8", "surrogateescape")
    if not document.isascii():
        text = _NO_TEXT.sub("\ufffd", text)
    try:
        found = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refused)
    except RecursionError as error:
        raise FilterError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise FilterError(f"not JSON: {error}") from error
    return _mended(found) if _SURROGATE_ESCAPE.search(document) else found


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _mended(value: Any) -> Any:
    """Without the halves of a character that escapes can spell."""
    if isinstance(value, str):
        return _NO_TEXT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value
