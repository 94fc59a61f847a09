"""Raw JSON: documents spliced into others without touching literals. Contract: eventsources 0, "raw JSON".

A sender's number literals, key order, doubled keys and escapes reach the bus as they came; only white space goes, and
`<`, `>`, `&`, U+2028/9 are escaped as Go's encoder does. Syntax is what Go's scanner takes: also lone surrogates,
numbers beyond a double and bytes that are not UTF-8. Ours: deeper than about 1,000 levels is refused (Go: 10,000).
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any, NoReturn

import orjson

from events.errors import InvalidEvent

_EXPLAINED = 16384
"""Characters that are looked at to explain an error: explaining is slow, and senders choose what we explain."""
_SPACE = b" \t\r\n"
_END = "unexpected end of JSON input"
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


def compact(text: bytes) -> bytes:
    """Exactly one JSON value, without insignificant white space; InvalidEvent, in Go's words, when it is not one."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        _check(text)
    if b" " in text or b"\n" in text or b"\t" in text or b"\r" in text:
        text = _without_space(text)
    return escape(text)


def dumps(value: Any) -> bytes:
    """A value as Go would write it: keys sorted, no white space, HTML escaped. TypeError for lone surrogates."""
    return escape(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def first_wins(text: str) -> Any:
    """JSON parsed as gjson does it: of a key that is there twice, the first counts. ValueError, RecursionError."""
    try:
        tree = orjson.loads(text)
        if orjson.dumps(tree) == text.encode():  # most of the time: then no key was there twice
            return tree
    except (ValueError, TypeError):  # lone surrogates, nested deeper than orjson reads or writes
        pass
    return json.loads(text, object_pairs_hook=_first, parse_int=float, parse_constant=_refuse)


def _first(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(members)) if len(members) > 1 else dict(members)


def escape(text: bytes) -> bytes:
    """Valid JSON with `<`, `>`, `&`, U+2028/9 as escapes; outside of strings they cannot occur."""
    for char, escaped in _ESCAPES:
        if char in text:
            text = text.replace(char, escaped)
    return text


def _without_space(text: bytes) -> bytes:
    """Valid JSON without the white space outside of strings.

    Control characters are not valid anywhere, so they can stand for the two escapes that matter until the quotes are
    counted: every step is one pass in C, as this runs for bodies of a megabyte.
    """
    escaped = b"\\" in text
    if escaped:
        text = text.replace(b"\\\\", b"\x00").replace(b'\\"', b"\x01")
    parts = text.split(b'"')
    parts[::2] = b'"'.join(parts[::2]).translate(None, _SPACE).split(b'"')
    text = b'"'.join(parts)
    return text.replace(b"\x01", b'\\"').replace(b"\x00", b"\\\\") if escaped else text


def _check(text: bytes) -> None:
    """InvalidEvent unless Go would take what orjson refused: Go looks at syntax only."""
    # Latin-1 gives every byte a character; numbers stay text, as their size does not matter.
    decoded = text.decode("latin-1")
    try:
        json.loads(decoded, parse_int=str, parse_float=str, parse_constant=_refuse)
    except RecursionError as error:
        raise InvalidEvent("exceeded max depth") from error
    except ValueError as error:
        raise InvalidEvent(explain(decoded)) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# What follows only words an error, as upstream's clients see it; it decides nothing.

_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)?")
_HEX = frozenset("0123456789abcdefABCDEF")
_BLANK = re.compile(r"[ \t\r\n]*+")
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_QUOTED = {"'": r"'\''", '"': "'\"'", "\\": r"'\\'", "\n": r"'\n'", "\r": r"'\r'", "\t": r"'\t'"}


class _Wrong(Exception):
    """A place in a text, and what should have been there."""

    def __init__(self, at: int, context: str) -> None:
        super().__init__(context)
        self.at, self.context = at, context


class _Next(enum.Enum):
    VALUE = enum.auto()
    FIRST_VALUE = enum.auto()
    KEY = enum.auto()
    FIRST_KEY = enum.auto()
    COLON = enum.auto()
    COMMA = enum.auto()


_MAY_CLOSE = (_Next.FIRST_VALUE, _Next.FIRST_KEY, _Next.COMMA)
_AFTER = {"": "after top-level value", "}": "after object key:value pair", "]": "after array element"}


def explain(text: str) -> str:
    """Why a text (Latin-1) is not JSON, in the words of Go's encoding/json."""
    seen = text[:_EXPLAINED]
    try:
        _walk(seen)
    except _Wrong as wrong:
        if wrong.at < len(seen):
            return f"invalid character {_quote(seen[wrong.at])} {wrong.context}"
    return _END if seen == text else "invalid JSON"


def _walk(text: str) -> NoReturn:
    """Read up to where the text goes wrong, at the latest its end."""
    at, expected = 0, _Next.VALUE
    closing = [""]
    while True:
        at = _end(_BLANK, text, at)
        char = text[at : at + 1]
        if char and char == closing[-1] and expected in _MAY_CLOSE:
            closing.pop()
            at, expected = at + 1, _Next.COMMA
        elif expected is _Next.COMMA:
            _require(char == "," and closing[-1] != "", at, _AFTER[closing[-1]])
            at, expected = at + 1, _Next.KEY if closing[-1] == "}" else _Next.VALUE
        elif expected is _Next.COLON:
            _require(char == ":", at, "after object key")
            at, expected = at + 1, _Next.VALUE
        elif expected in (_Next.KEY, _Next.FIRST_KEY):
            _require(char == '"', at, "looking for beginning of object key string")
            at, expected = _string(text, at), _Next.COLON
        elif char in ("{", "["):
            closing.append("}" if char == "{" else "]")
            at, expected = at + 1, _Next.FIRST_KEY if char == "{" else _Next.FIRST_VALUE
        else:
            at, expected = _scalar(text, at, char), _Next.COMMA


def _require(met: bool, at: int, context: str) -> None:  # noqa: FBT001  # reads as a sentence
    if not met:
        raise _Wrong(at, context)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _scalar(text: str, at: int, char: str) -> int:
    if char == '"':
        return _string(text, at)
    if char in _LITERALS:
        literal = _LITERALS[char]
        for offset, wanted in enumerate(literal):
            _require(
                text[at + offset : at + offset + 1] == wanted,
                at + offset,
                f"in literal {literal} (expecting {wanted!r})",
            )
        return at + len(literal)
    _require(char != "" and char in "-0123456789", at, "looking for beginning of value")
    end = _end(_NUMBER, text, at)
    _require(end > at + 1 or char != "-", end, "in numeric literal")
    rest = text[at:end].lower()
    if text[end : end + 1] == "." and "." not in rest and "e" not in rest:
        raise _Wrong(end + 1, "after decimal point in numeric literal")
    if text[end : end + 1] in ("e", "E") and "e" not in rest:
        signed = text[end + 1 : end + 2] in ("+", "-")
        raise _Wrong(end + 1 + signed, "in exponent of numeric literal")
    return end


def _string(text: str, at: int) -> int:
    """The end of a string; the pattern stops at what it cannot read."""
    end = _end(_STRING, text, at)
    stopped = text[end : end + 1]
    if stopped == '"':
        return end + 1
    if stopped != "\\":
        raise _Wrong(end, "in string literal")
    if text[end + 1 : end + 2] != "u":
        raise _Wrong(end + 1, "in string escape code")
    hexes = next((i for i in range(4) if text[end + 2 + i : end + 3 + i] not in _HEX), 4)
    raise _Wrong(end + 2 + hexes, "in \\u hexadecimal character escape")


def _quote(char: str) -> str:
    """A character as Go quotes it in its errors."""
    if char in _QUOTED:
        return _QUOTED[char]
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"'\\x{code:02x}'"
    return f"'{char}'" if char.isprintable() else f"'\\u{code:04x}'"
