"""The layout of `@pretty`: one member a line, arrays without objects on one line when they fit.

Iterative and bounded, because how deep a document nests is up to the sender of an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from events.errors import InvalidPath
from events.paths import scan
from events.paths.result import parse, unquoted

MAX_DEPTH = 128


def checked_depth(depth: int) -> None:
    """InvalidPath when a value is nested too deep for what each level costs."""
    if depth > MAX_DEPTH:
        raise InvalidPath(f"value nested too deep for a modifier: {MAX_DEPTH} levels are allowed")


@dataclass
class Options:
    """What the argument of `@pretty` may set."""

    sort_keys: bool = False
    indent: str = "  "
    prefix: str = ""
    width: int = 80


class _Writer:
    """The lines so far, and how far into the current one we are (in UTF-8, the newline before it counted)."""

    def __init__(self, options: Options, check: Callable[[int], None]) -> None:
        self.options, self.check = options, check
        self.parts: list[str] = []
        self.size = self.column = 0

    def write(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text)
        self.check(self.size)
        self.column += len(text) if text.isascii() else len(text.encode(errors="replace"))

    def line(self, depth: int) -> None:
        self.column = 0
        self.write("\n" + self.options.prefix + self.options.indent * depth)


def pretty(text: str, options: Options, check: Callable[[int], None]) -> str:
    """The text laid out, with a newline at its end; `check` sees the size as it grows."""
    writer = _Writer(options, check)
    writer.write(options.prefix)
    # What is still to be written, last first: a value at a depth, or text after which the line is not over.
    pending: list[tuple[str, int, bool]] = [(parse(text).raw, 0, True)]
    while pending:
        raw, depth, is_value = pending.pop()
        if not is_value:
            if depth >= 0:
                writer.line(depth)
            writer.write(raw)
        elif not raw.startswith(("{", "[")):
            writer.write(raw)
        elif (flat := _flat(raw, options.width - writer.column)) is not None:
            writer.write(flat)
        else:
            _open(raw, depth, options, writer, pending)
    writer.write("\n")
    return "".join(writer.parts)


def _open(raw: str, depth: int, options: Options, writer: _Writer, pending: list[tuple[str, int, bool]]) -> None:
    checked_depth(depth)
    writer.write(raw[0])
    steps: list[tuple[str, int, bool]] = []
    if raw[0] == "{":
        members = [(key, raw[begin:end]) for key, begin, end in scan.members(raw, 1)]
        if options.sort_keys:
            members.sort(key=lambda member: unquoted(member[0]))
        for key, value in members:
            steps += [(f"{key}: ", depth + 1, False), (value, depth + 1, True), (",", -1, False)]
    else:
        for begin, end in scan.elements(raw, 1):
            steps += [("", depth + 1, False), (raw[begin:end], depth + 1, True), (",", -1, False)]
    if steps:
        steps[-1] = ("", depth, False)
    pending.append(("}" if raw[0] == "{" else "]", -1, False))
    pending.extend(reversed(steps))


def _flat(raw: str, room: int) -> str | None:
    """The array on one line, when it holds no object and fits."""
    if raw[0] != "[" or room <= 3:
        return None
    parts: list[str] = []
    size = position = 0
    while token := scan.TOKEN.match(raw, position):
        position, part = token.end(), token[0].strip()
        if part == "{" or not part:
            return None
        part = ", " if part == "," else part
        size += len(part) if part.isascii() else len(part.encode(errors="replace"))
        if size > room:
            return None
        parts.append(part)
        if position >= len(raw.rstrip()):
            return "".join(parts)
    return None
