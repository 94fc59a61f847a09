"""Finding values in raw JSON text without decoding it: members, elements, ends of values, validity.

The bottom of `events.paths`. Everything works on positions in one `str`, is iterative (nesting costs no stack) and
expects valid JSON; on anything else the scan just ends early, it never raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE = r"[ \t\n\r]*+"
STRING = r'"[^"\\]*+(?:"|\\.[^"\\]*+(?>(?:\\.[^"\\]*+)*)")'
SCALAR = r'[^\s,:{}\[\]"]++'

# Nested containers up to this depth are skipped by one regular expression, deeper ones by counting brackets.
_SHALLOW = 4


def _shallow(levels: int) -> str:
    inner = f"|{_shallow(levels - 1)}" if levels > 1 else ""
    return rf'[{{\[][^"{{}}\[\]]*+(?>(?:(?:{STRING}{inner})[^"{{}}\[\]]*+)*)[}}\]]'


VALUE = f"(?:{SCALAR}|{STRING}|{_shallow(_SHALLOW)})"

_STRING = re.compile(STRING, re.DOTALL)
_SCALAR = re.compile(SCALAR)
_CONTAINER = re.compile(_shallow(_SHALLOW), re.DOTALL)
_BRACKET = re.compile(rf'(?>(?:[^"{{}}\[\]]++|{STRING})*)([{{}}\[\]])', re.DOTALL)
_MEMBER = re.compile(rf"{SPACE},?{SPACE}({STRING}){SPACE}:{SPACE}({VALUE})?+", re.DOTALL)
_ELEMENT = re.compile(rf"{SPACE},?{SPACE}({VALUE})?+", re.DOTALL)


def end_of_container(text: str, start: int) -> int:
    """Where the object or array that opens at `start` ends; the end of the text when it is never closed."""
    if shallow := _CONTAINER.match(text, start):
        return shallow.end()
    depth = 0
    for token in _BRACKET.finditer(text, start):
        depth += 1 if token[1] in "{[" else -1
        if not depth:
            return token.end()
    return len(text)


def end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends; `start` itself when there is none."""
    first = text[start : start + 1]
    if first == '"':
        found = _STRING.match(text, start)
        return found.end() if found else len(text)
    if first and first in "{[":
        return end_of_container(text, start)
    found = _SCALAR.match(text, start)
    return found.end() if found else start


def members(text: str, start: int, *, ends: bool = True) -> Iterator[tuple[str, int, int]]:
    """(key with its quotes, start, end of the value) of every member; `start` is just inside the object.

    Without `ends`, the end of a deeply nested value is -1: finding it takes time, and who goes into it needs none.
    """
    match, position = _MEMBER.match, start
    while found := match(text, position):
        begin, position = found.span(2)
        if begin >= 0:
            yield found[1], begin, position
            continue
        begin = found.end()
        if text[begin : begin + 1] not in ("{", "["):
            return
        if not ends:
            yield found[1], begin, -1
        position = end_of_container(text, begin)
        if ends:
            yield found[1], begin, position


def elements(text: str, start: int, *, ends: bool = True) -> Iterator[tuple[int, int]]:
    """(start, end) of every element; `start` is just inside the array, or at the beginning of JSON lines."""
    match, position = _ELEMENT.match, start
    while found := match(text, position):
        begin, position = found.span(1)
        if begin >= 0:
            yield begin, position
            continue
        begin = found.end()
        if text[begin : begin + 1] not in ("{", "["):
            return
        if not ends:
            yield begin, -1
        position = end_of_container(text, begin)
        if ends:
            yield begin, position


TOKEN = re.compile(
    rf"""{SPACE}(?:
        (?P<string>"[^"\\\x00-\x1f]*+(?>(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}})[^"\\\x00-\x1f]*+)*)")
      | (?P<scalar>true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)
      | (?P<mark>[{{}}\[\],:])
      | (?P<end>\Z)
    )""".replace("[ \\t", "[\\ \\t"),
    re.VERBOSE,
)


def is_valid(text: str) -> bool:
    """Whether the text is exactly one JSON value, at any depth; blank text is not."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        # orjson also refuses what is fine here: more than 1024 levels, lone surrogates.
        return _is_valid(text)
    return True


# What may come next, by what came last: a Value, a Key, the Colon, or Separator/close.
def _is_valid(text: str) -> bool:
    position, expects, may_close, opened = 0, "V", False, bytearray()
    while token := TOKEN.match(text, position):
        position, kind = token.end(), token.lastgroup
        if kind == "end":
            return expects == "S" and not opened
        found = token[kind] if kind == "mark" else kind
        if found == "string" and expects == "K":
            expects = "C"
        elif found in ("string", "scalar") and expects == "V":
            expects = "S"
        elif found == ":" and expects == "C":
            expects, may_close = "V", False
            continue
        elif found in ("{", "[") and expects == "V":
            opened.append(ord(found) + 2)
            expects, may_close = ("K" if found == "{" else "V"), True
            continue
        elif found == "," and expects == "S" and opened:
            expects = "K" if opened[-1] == ord("}") else "V"
        elif found in ("}", "]") and (expects == "S" or may_close) and opened and opened.pop() == ord(found):
            expects = "S"
        else:
            return False
        may_close = False
    return False
