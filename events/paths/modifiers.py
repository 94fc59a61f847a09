"""The modifiers `@name:argument`: from one JSON text to another. `@dig` is in `walk.py`, it reads paths itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from events.errors import InvalidPath
from events.paths import pretty, scan
from events.paths.result import Kind, parse, quoted, unquoted

MAX_CHARACTERS = 8 * 1024 * 1024


class Builder:
    """Parts of an array or object to be; refuses to grow without measure (`[@this,@this]|…` doubles at each pipe)."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def add(self, part: str) -> None:
        """One more element or member."""
        self.size += len(part) + 1
        checked_size(self.size)
        self.parts.append(part)

    def joined(self, opening: str) -> str:
        """The whole, in the brackets that `opening` begins."""
        return f"[{','.join(self.parts)}]" if opening == "[" else f"{{{','.join(self.parts)}}}"


def checked_size(size: int) -> None:
    """InvalidPath when a value put together by a path is larger than any honest one."""
    if size > MAX_CHARACTERS:
        raise InvalidPath(f"the path builds a value of more than {MAX_CHARACTERS} characters")


def apply(name: str, text: str, argument: str) -> str:
    """The outcome of one modifier."""
    outcome = _MODIFIERS[name](text, argument)
    checked_size(len(outcome))
    return outcome


def values(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of what is directly inside an object or array."""
    inside = text.find(text.lstrip(" \t\n\r")[:1]) + 1
    if text[inside - 1] == "[":
        return scan.elements(text, inside)
    return ((begin, end) for _, begin, end in scan.members(text, inside))


def _members(text: str) -> list[tuple[str, str]]:
    return [(key, text[begin:end]) for key, begin, end in scan.members(text, 1)]


def _elements(text: str) -> list[str]:
    return [text[begin:end] for begin, end in scan.elements(text, 1)]


def _array(parts: list[str]) -> str:
    return f"[{','.join(parts)}]"


def _object(parts: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in parts) + "}"


def _option(argument: str, name: str) -> bool:
    option = parse(argument).raw
    chosen = [value for key, value in _members(option) if unquoted(key) == name] if option.startswith("{") else []
    return bool(chosen) and chosen[-1] == "true"


def _this(text: str, _: str) -> str:
    return text


def _valid(text: str, _: str) -> str:
    return text if scan.is_valid(text) else ""


def _reverse(text: str, _: str) -> str:
    raw = parse(text).raw
    if raw.startswith("["):
        return _array(_elements(raw)[::-1])
    return _object(_members(raw)[::-1]) if raw.startswith("{") else text


def _keys(text: str, _: str) -> str:
    value = parse(text)
    if value.raw.startswith("{"):
        return _array([key for key, _ in _members(value.raw)])
    if value.raw.startswith("["):
        return _array(["null"] * len(_elements(value.raw)))
    return "[null]" if value.exists else "[]"


def _values(text: str, _: str) -> str:
    value = parse(text)
    if value.raw.startswith("["):
        return text
    if value.raw.startswith("{"):
        return _array([item for _, item in _members(value.raw)])
    return _array([value.raw] if value.exists else [])


def _inside(raw: str) -> str:
    return raw.strip()[1:-1].strip()


def _flatten(text: str, argument: str) -> str:
    raw = parse(text).raw
    if not raw.startswith("["):
        return text
    deep, parts = _option(argument, "deep"), []
    pending = [(element, 1) for element in _elements(raw)[::-1]]
    while pending:
        part, depth = pending.pop()
        if part.startswith("[") and deep:
            pretty.checked_depth(depth)
            pending.extend((element, depth + 1) for element in _elements(part)[::-1])
        elif inner := (_inside(part) if part.startswith("[") else part):
            parts.append(inner)
    return _array(parts)


def _join(text: str, argument: str) -> str:
    raw = parse(text).raw
    if not raw.startswith("["):
        return text
    objects = [element for element in _elements(raw) if element.startswith("{")]
    if _option(argument, "preserve"):
        return "{" + ",".join(element[1:-1] for element in objects) + "}"
    merged: dict[str, tuple[str, str]] = {}
    for element in objects:
        for key, value in _members(element):
            name = unquoted(key)
            merged[name] = (merged[name][0] if name in merged else key, value)
    return _object(list(merged.values()))


def _group(text: str, _: str) -> str:
    raw = parse(text).raw
    if not raw.startswith("{"):
        return ""
    rows: list[list[tuple[str, str]]] = []
    for key, value in _members(raw):
        if value.startswith("["):
            for position, element in enumerate(_elements(value)):
                if position == len(rows):
                    rows.append([])
                rows[position].append((key, element))
    return _array([_object(row) for row in rows])


def _tostr(text: str, _: str) -> str:
    return quoted(text)


def _fromstr(text: str, _: str) -> str:
    return parse(text).text if scan.is_valid(text) else ""


_SPACE_OR_STRING = re.compile(rf"({scan.STRING})|[\x00-\x20]+", re.DOTALL)


def _ugly(text: str, _: str) -> str:
    return _SPACE_OR_STRING.sub(lambda part: part[1] or "", text)


def _pretty(text: str, argument: str) -> str:
    options = pretty.Options()
    raw = parse(argument).raw
    for key, value in _members(raw) if raw.startswith("{") else ():
        given = parse(value)
        match unquoted(key):
            case "sortKeys":
                options.sort_keys = given.kind is Kind.TRUE
            case "indent":
                options.indent = _blank(given.text)
            case "prefix":
                options.prefix = _blank(given.text)
            case "width":
                options.width = int(min(max(given.number, -1.0), 1e9))
    return pretty.pretty(text, options, checked_size)


def _blank(text: str) -> str:
    """Only white space of it: indentation must not change the value."""
    return "".join(character for character in text if character in " \t\n\r")


_MODIFIERS: dict[str, Callable[[str, str], str]] = {
    "flatten": _flatten,
    "fromstr": _fromstr,
    "group": _group,
    "join": _join,
    "keys": _keys,
    "pretty": _pretty,
    "reverse": _reverse,
    "this": _this,
    "tostr": _tostr,
    "ugly": _ugly,
    "valid": _valid,
    "values": _values,
}

NAMES = frozenset(_MODIFIERS)
