"""Texts as Go writes them: quoted strings, JSON, numbers, errors of its JSON reader. Contract: workflows E.2."""

from __future__ import annotations

import json
import re
from typing import Any

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_HTML_PATTERN = re.compile("[<>&\u2028\u2029]")
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_INTEGER = re.compile(r"[+-]?[0-9]+")


def quoted(text: str) -> str:
    """strconv.Quote without the quotes: control characters become escapes that JSON does not know."""
    return "".join(map(_quoted, text))


def _quoted(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def dumps(value: Any) -> str:
    """Compact JSON with sorted keys and raw characters."""
    return json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _whole(value: Any) -> Any:
    """Floats without a fraction as Go writes them."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {str(key): _whole(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_whole(one) for one in value]
    return value


def marshaled(value: Any) -> str:
    """As json.Marshal: with the escapes for HTML."""
    return _HTML_PATTERN.sub(lambda found: _HTML[found[0]], dumps(value))


def scalar(value: Any) -> str:
    """A string, number or bool of YAML as the text that it is kept as (A.3)."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return dumps(value)


def json_error(text: str) -> str:
    """What Go's JSON reader says of a text that is no JSON."""
    body = text.lstrip(" \t\r\n")
    if not body:
        return "unexpected end of JSON input"
    first = body[0]
    if literal := _LITERALS.get(first):
        for index, expected in enumerate(literal):
            if index >= len(body):
                return "unexpected end of JSON input"
            if body[index] != expected:
                return f"invalid character {_char(body[index])} in literal {literal} (expecting {_char(expected)})"
        return f"invalid character {_char(body[len(literal) :].lstrip()[:1])} after top-level value"
    if first not in '{["-0123456789':
        return f"invalid character {_char(first)} looking for beginning of value"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].lstrip()
        if not rest or "Unterminated" in error.msg:
            return "unexpected end of JSON input"
        if error.msg == "Extra data":
            return f"invalid character {_char(rest[0])} after top-level value"
        return f"invalid character {_char(rest[0])} looking for beginning of value"
    return "invalid JSON"


def _char(char: str) -> str:
    return {"'": "'\\''", '"': "'\"'"}.get(char, f"'{quoted(char)}'")


def integer(text: Any) -> int:
    """strconv.Atoi; ValueError with its text."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if not _INTEGER.fullmatch(str(text)):
        raise ValueError(f'strconv.Atoi: parsing "{quoted(str(text))}": invalid syntax')
    return int(text)
