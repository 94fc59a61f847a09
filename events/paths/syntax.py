"""The grammar of paths: what each step of one means, worked out once and kept.

A step means different things in an object and in an array (`#` is an ordinary key in an object), so an `Expression`
reads itself lazily, once for each, and the walk (`walk.py`) asks for the one it needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from events.errors import InvalidPath
from events.paths import globs, modifiers, result, scan

MAX_LENGTH = 16_384

# A step that is no known modifier is an ordinary key, whatever it begins with.
MODIFIERS = modifiers.NAMES | {"dig"}
_OPERATORS = ("!=", "!%", "<=", ">=", "==", "<", ">", "=", "%")
_OPEN, _CLOSE = "[{(", "]})"


@dataclass(frozen=True, slots=True)
class Modifier:
    """`@name:argument`, and what is read from its outcome."""

    name: str
    argument: str
    rest: Expression | None


@dataclass(frozen=True, slots=True)
class Literal:
    """`!"x"`: a value that stands in the path itself."""

    raw: str
    rest: Expression | None


@dataclass(frozen=True, slots=True)
class Multipath:
    """`[a,b]` or `{a,"name":b}`; `selectors` pairs the quoted member name with the path."""

    opening: str
    selectors: tuple[tuple[str, Expression], ...]
    rest: Expression | None


@dataclass(frozen=True, slots=True)
class Query:
    """`#(left operator right)`, for every match when `every`."""

    left: Expression | None
    operator: str
    right: str
    every: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A step into an object: a name, or a wildcard when `matches` is set."""

    name: str
    matches: globs.Matcher | None
    rest: Expression | None
    pipe: Expression | None


@dataclass(frozen=True, slots=True)
class Element:
    """A step into an array. One of: an index (-1 matches nothing), a query, `#` itself, `#.collect`."""

    index: int = -1
    counts: bool = False
    query: Query | None = None
    collect: Expression | None = None
    rest: Expression | None = None
    pipe: Expression | None = None


class Expression:
    """One path, or what is left of one after some steps."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def head(self) -> Modifier | Literal | Multipath | None:
        """What the path begins with, when that is something to compute and not a step to take."""
        if len(self.text) < 2:
            return None
        first = self.text[0]
        if first == "@":
            return _modifier(self.text)
        if first == "!":
            return _literal(self.text)
        return _multipath(self.text) if first in "[{" else None

    @cached_property
    def lines(self) -> Expression | None:
        """What is read from the document as JSON lines (`..`), when it is."""
        return Expression(self.text[2:]) if self.text.startswith("..") else None

    @cached_property
    def key(self) -> Key:
        """The next step, in an object."""
        return _key(self.text)

    @cached_property
    def element(self) -> Element:
        """The next step, in an array."""
        return _element(self.text)


def expression(path: str) -> Expression:
    """A path of a spec, or InvalidPath when it is longer than any honest one."""
    if len(path) > MAX_LENGTH:
        raise InvalidPath(f"path of {len(path)} characters: {MAX_LENGTH} are allowed")
    return Expression(path)


def _continued(text: str) -> Expression | None:
    return Expression(text[1:]) if text.startswith(("|", ".")) else None


def _begins_computed(text: str) -> bool:
    """Whether a dot before this is a pipe: what follows is computed from the value, not found in it."""
    if text.startswith("@"):
        return re.split(r"[.|:]", text[1:], maxsplit=1)[0] in MODIFIERS
    return text.startswith(("[", "{"))


_ESCAPED_KEY = re.compile(r"(?:[^\\.|]|\\.)*+", re.DOTALL)


def _key(text: str) -> Key:
    found = _ESCAPED_KEY.match(text)
    end = found.end() if found else 0
    part, mark, after = text[:end], text[end : end + 1], text[end + 1 :]
    if mark == "\\":  # a lone one at the very end escapes nothing
        mark = ""
    name = globs.unescaped(part)
    # An escaped star next to one that is not escaped is a wildcard again: so gjson has it.
    matches = globs.compile_glob(name) if globs.is_wild(part) else None
    if mark == "|" or (mark == "." and _begins_computed(after)):
        return Key(name, matches, None, Expression(after))
    return Key(name, matches, Expression(after) if mark else None, None)


def _element(text: str) -> Element:
    if text.startswith("#.") and len(text) > 1:
        collect, pipe = split_pipe(text[2:])
        return Element(collect=Expression(collect), pipe=pipe)
    query, start = None, 0
    if text.startswith(("#(", "#[")):
        query, start = _query(text)
        if query is None:
            return Element(query=Query(None, "", "", every=False))
    end = start
    while end < len(text) and text[end] not in ".|":
        end += 1
    part, mark, after = text[:end], text[end : end + 1], text[end + 1 :]
    hashed = "#" in part
    index = int(part) if part.isascii() and part.isdecimal() and len(part) < 19 else -1
    rest = pipe = None
    if mark == "|" or (mark == "." and not hashed and _begins_computed(after)):
        pipe = Expression(after)
    elif mark and query is not None:
        left, pipe = split_pipe(after)
        rest = Expression(left)
    elif mark:
        rest = Expression(after)
    return Element(index, part == "#", query, None, rest, pipe)


def _balanced(text: str, start: int, opening: str, closing: str) -> int:
    """Position of the bracket that closes the one before `start`, strings and escapes left alone; -1 without one."""
    depth, position = 1, start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"':
            position = _end_of_quote(text, position)
        elif character in opening:
            depth += 1
        elif character in closing:
            depth -= 1
            if not depth:
                return position
        position += 1
    return -1


def _end_of_quote(text: str, start: int) -> int:
    position = start + 1
    while position < len(text) and text[position] != '"':
        position += 2 if text[position] == "\\" else 1
    return position


def _query(text: str) -> tuple[Query | None, int]:
    """The query at the start of a step and where it ends; None when its brackets do not close."""
    end = _balanced(text, 2, "[(", "])")
    if end < 0:
        return None, 0
    start = _start_of_operator(text, end)
    every = text[end + 1 : end + 2] == "#"
    left = text[2:start].strip()
    operator, right = _operator(text[start:end].strip())
    if len(right) >= 2 and right[0] == right[-1] == '"':
        right = result.unquoted(right)
    return Query(Expression(left) if left else None, operator, right, every), end + 1


def _start_of_operator(text: str, end: int) -> int:
    position, depth = 2, 0
    while position < end:
        character = text[position]
        if not depth and character in "!=<>%":
            return position
        if character == "\\":
            position += 1
        elif character == '"':
            position = _end_of_quote(text, position)
        elif character in "[(":
            depth += 1
        elif character in "])":
            depth -= 1
        position += 1
    return end


def _operator(text: str) -> tuple[str, str]:
    for operator in _OPERATORS:
        if text.startswith(operator):
            return operator.replace("==", "="), text[len(operator) :].strip()
    return "", text


def split_pipe(text: str) -> tuple[str, Expression | None]:
    """A path up to its first pipe outside of queries, and what comes behind the pipe."""
    if "|" not in text:
        return text, None
    position = 0
    if text.startswith("{"):
        end = _balanced(text, 1, _OPEN, _CLOSE)
        behind = text[end + 1 :] if end >= 0 else ""
        return (text[: end + 1], Expression(behind[1:])) if behind.startswith("|") else (text, None)
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "|":
            return text[:position], Expression(text[position + 1 :])
        elif text.startswith(".#", position):
            position += 2  # in gjson too, a pipe right behind `.#` belongs to the part before the pipe
            if text.startswith(("(", "["), position):
                end = _balanced(text, position + 1, "[(", "])")
                position = end if end >= 0 else len(text)
        position += 1
    return text, None


_NAME = re.compile(r"@([^:.|]*)")


def _modifier(text: str) -> Modifier | None:
    found = _NAME.match(text)
    if found is None or found[1] not in MODIFIERS:
        return None
    rest = text[found.end() :]
    if not rest.startswith(":") or rest == ":":
        return Modifier(found[1], "", _continued(rest.removeprefix(":")))
    rest = rest[1:]
    end = scan.end_of_value(rest, 0) if rest[0] in '{["' else _end_of_argument(rest)
    return Modifier(found[1], rest[:end], _continued(rest[end:]))


def _end_of_argument(text: str) -> int:
    position = 0
    while position < len(text) and text[position] != "|":
        if text[position] in '{["(':
            position = _end_of_group(text, position) - 1
        position += 1
    return position


def _end_of_group(text: str, start: int) -> int:
    if text[start] == '"':
        return min(_end_of_quote(text, start) + 1, len(text))
    end = _balanced(text, start + 1, _OPEN, _CLOSE)
    return end + 1 if end >= 0 else len(text)


_NUMBER = re.compile(r"[+-]?[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")


def _literal(text: str) -> Literal | None:
    first = text[1]
    if first in "{[":
        end = scan.end_of_value(text, 1)
        return Literal(text[1:end], _continued(text[end:]))
    if first in '"+-0123456789':
        # Nothing can be read from a scalar: what follows it is not looked at.
        found = None if first == '"' else _NUMBER.match(text, 1)
        return Literal(found[0] if found else text[1 : scan.end_of_value(text, 1)], None)
    name = re.split(r"[.|]", text[1:], maxsplit=1)[0]
    if name.lower() not in ("true", "false", "null", "nan", "inf"):
        return None
    return Literal(name, _continued(text[1 + len(name) :]))


def _multipath(text: str) -> Multipath | None:
    """The selectors between the brackets; None when they do not close or something odd follows."""
    selectors: list[tuple[str, Expression]] = []
    start, colon, modifier, depth, position = 1, 0, False, 1, 1
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"':
            position = _end_of_quote(text, position)
        elif character == "@":
            modifier = modifier or text[position - 1] in ".|"
        elif character == ":" and depth == 1 and not colon and not modifier:
            colon = position
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        if not depth or (character == "," and depth == 1):
            selectors.append(_selector(text, start, colon, position))
            start, colon, modifier = position + 1, 0, False
            if not depth:
                behind = text[position + 1 :]
                known = not behind or behind[0] in "|."
                return Multipath(text[0], tuple(selectors), _continued(behind)) if known else None
        position += 1
    return None


def _selector(text: str, start: int, colon: int, end: int) -> tuple[str, Expression]:
    name, path = (text[start:colon], text[colon + 1 : end]) if colon else ("", text[start:end])
    if not name:
        name = re.split(r"(?<!\\)[.|]", path)[-1]
        if not re.fullmatch(r"[^\x00-\x1f\[\]{}()#|!]*", name):
            name = "_"
        return result.quoted(name), Expression(path)
    quoted = name[0] == '"' and scan.is_valid(name)
    return name if quoted else result.quoted(name), Expression(path)
