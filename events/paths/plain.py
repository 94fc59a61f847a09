"""The fast ways for plain paths: keys and indexes only, which is what nearly every spec has.

Either one regular expression over the raw text (exact: it gives up on anything it is not sure of, such as a key with
escapes, and then the walk decides), or a look-up in a tree that was parsed before.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Final

from events.paths import scan
from events.paths.result import Result, found, missing

_PLAIN = re.compile(r"(?:[^.|#*?@!\\\[\]{}]++|\\[.|#@!\[\]{}])++(?:\.(?:[^.|#*?@!\\\[\]{}]++|\\[.|#@!\[\]{}])++)*+")
_PART = re.compile(r"((?:[^.\\]|\\.)+)\.?")
_NEEDS_ESCAPE = re.compile('["\\\\\x00-\x1f]')
_MAX_PARTS, _MAX_INDEX = 12, 64
_S = scan.SPACE


class Missing:
    """The type of `MISSING`, which is neither null nor any other value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


Parts = tuple[tuple[str, int], ...]


def parts_of(path: str) -> Parts:
    """(key, index or -1) for each step of a plain path; empty when the path is not plain."""
    if not _PLAIN.fullmatch(path):
        return ()
    parts = []
    for part in _PART.findall(path):
        is_index = part.isascii() and part.isdecimal() and len(part) < 10
        parts.append((re.sub(r"\\(.)", r"\1", part), int(part) if is_index else -1))
    return tuple(parts)


def lookup(tree: Any, parts: Parts) -> Any:
    """The value in parsed JSON, or MISSING. Exact unless an object had a key twice: here the last one wins."""
    for key, index in parts:
        if isinstance(tree, dict):
            if key not in tree:
                return MISSING
            tree = tree[key]
        elif isinstance(tree, list) and 0 <= index < len(tree):
            tree = tree[index]
        else:
            return MISSING
    return tree


class Scanner:
    """A plain path as regular expressions: one that finds the value, one that proves there is none."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def find(self, document: str) -> Result | None:
        """The value in the document, or None when only the walk can tell."""
        if not self._usable:
            return None
        if present := self._present.match(document):
            start = present.end()
            return found(document, start, scan.end_of_value(document, start))
        return missing() if self._absent is not None and self._absent.match(document) else None

    @cached_property
    def _usable(self) -> bool:
        return 0 < len(self.parts) <= _MAX_PARTS and not any(
            _NEEDS_ESCAPE.search(key) or index > _MAX_INDEX for key, index in self.parts
        )

    @cached_property
    def _present(self) -> re.Pattern[str]:
        pattern = r'(?=["\[{tfn0-9-])'
        for key, index in reversed(self.parts):
            member = f'{{{_S}(?>(?:{_other(key)},{_S})*)"{re.escape(key)}"{_S}:{_S}'
            if index >= 0:
                element = rf"\[{_S}(?>(?:{scan.VALUE}{_S},{_S}){{{index}}})"
                member = rf"(?:\{member}|{element})"
            else:
                member = rf"\{member}"
            pattern = member + pattern
        return re.compile(_S + pattern, re.DOTALL)

    @cached_property
    def _absent(self) -> re.Pattern[str] | None:
        if any(index >= 0 for _, index in self.parts):
            return None
        inner = ""
        for key, _ in reversed(self.parts):
            same = f'|"{re.escape(key)}"{_S}:{_S}{inner}{_S}' if inner else ""
            member = f"(?:{_other(key)}{same})"
            inner = rf"(?:\{{{_S}(?>(?:{member}(?:,{_S}|(?=\}})))*)\}}|(?!\{{){scan.VALUE})"
        return re.compile(rf"{_S}{inner}{_S}\Z", re.DOTALL)


def _other(key: str) -> str:
    """A member with another key, and the space behind it."""
    return rf'"(?!{re.escape(key)}")[^"\\]*+"{_S}:{_S}{scan.VALUE}{_S}'
