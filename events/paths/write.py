"""Writing into raw JSON text at a path: everything around the place keeps its text, order and number literals.

A path of plain steps replaces what is there or creates what is missing; a path with `| # @ * ?` only replaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from events.errors import InvalidPath
from events.paths import scan
from events.paths.result import Kind, Result, parse, quoted
from events.paths.syntax import MAX_LENGTH, Expression, expression
from events.paths.walk import MAX_STEPS, evaluate

# An index far behind the end would fill the document with nulls.
MAX_PADDING = 10_000

_STEP = re.compile(r"(:?)((?:[^\\.]|\\.)*+\\?)(\.?)", re.DOTALL)
_INDEX = re.compile(r"[0-9]{0,18}")
_COMPLEX = re.compile(r"[|#@*?]")


@dataclass(frozen=True, slots=True)
class _Step:
    """One part of a write path: `name` for a new member, `path` to look an old one up."""

    name: str
    path: str
    index: int | None
    appends: bool


def write(document: str, path: str, text: str) -> str:
    """The document with the JSON string of `text` at `path`; InvalidPath when it cannot be there."""
    return write_raw(document, path, _string(text))


def write_raw(document: str, path: str, raw: str) -> str:
    """The document with the JSON text `raw` at `path`; InvalidPath when it cannot be there."""
    if not path:
        raise InvalidPath("path is empty: name the place to write to")
    steps = _steps(path)
    return _replaced(document, expression(path), raw) if steps is None else _placed(document, steps, raw)


def _string(text: str) -> str:
    # As sjson: only a text that needs escaping anyway has its `<`, `>` and `&` escaped too.
    return quoted(text) if re.search(r'[^ -\x7f]|["\\]', text) else f'"{text}"'


def _steps(path: str) -> list[_Step] | None:
    """The plain steps of a path; None when one of them is not plain."""
    if len(path) > MAX_LENGTH or path.count(".") >= MAX_STEPS:
        raise InvalidPath(f"path of {len(path)} characters, {path.count('.') + 1} steps: too long to write to")
    steps, position, more = [], 0, True
    while more:
        found = _STEP.match(path, position)
        assert found is not None
        forced, part, dot = found.groups()
        # Escaped at the first look only: behind an escape everything up to the next dot was looked at already.
        if _COMPLEX.search(re.sub(r"\\.", "", part, flags=re.DOTALL)):
            return None
        name = re.sub(r"\\(.?)", r"\1", part, flags=re.DOTALL)
        # No name at all counts as the index 0, as in sjson.
        index = int(name or "0") if _INDEX.fullmatch(name) and not forced else None
        steps.append(_Step(name, part, index, appends=part == "-1" and not forced))
        position, more = found.end(), bool(dot)
    return steps


def _placed(document: str, steps: list[_Step], raw: str) -> str:
    start, end = 0, len(document)
    for depth, step in enumerate(steps):
        here = document[start:end]
        found = evaluate(here, Expression(step.path))
        if found.index <= 0:
            return document[:start] + _inserted(here, steps[depth:], raw) + document[end:]
        start, end = start + found.index, start + found.index + len(found.raw)
    return document[:start] + raw + document[end:]


def _inserted(here: str, steps: list[_Step], raw: str) -> str:
    """The value `here` with what the steps lead to added at its end."""
    step = steps[0]
    if not here.strip(" \t\n\r"):
        here = "null"
    target = parse(here)
    if target.kind is not Kind.JSON:
        target = Result(Kind.JSON, "[]" if step.index is not None else "{}")
    container = target.raw.rstrip(" \t\n\r")
    inside = container[:-1]
    comma = "," if inside[1:].strip(" \t\n\r") else ""
    if container[0] == "{":
        return f"{inside}{comma}{_built(steps, raw, in_array=False)}}}"
    if step.index is None and not step.appends:
        raise InvalidPath(f"cannot set {step.name!r} in an array: only an index or -1 (append)")
    built = _built(steps, raw, in_array=True)
    if step.index is None:
        return f"{inside}{comma}{built}]"
    elements = [container[begin:end] for begin, end in scan.elements(container, 1)]
    _checked_padding(step.index - len(elements))
    elements += ["null"] * (step.index - len(elements))
    return f"[{','.join([*elements, built])}]"


def _built(steps: list[_Step], raw: str, *, in_array: bool) -> str:
    """What the first step holds when nothing is there yet, from the innermost outwards."""
    text = raw
    for inner in steps[:0:-1]:
        if inner.index is not None or inner.appends:
            _checked_padding(inner.index or 0)
            text = f"[{'null,' * (inner.index or 0)}{text}]"
        else:
            text = f"{{{_string(inner.name)}:{text}}}"
    return text if in_array else f"{_string(steps[0].name)}:{text}"


def _checked_padding(count: int) -> None:
    if count > MAX_PADDING:
        raise InvalidPath(f"index {count} places behind the end: {MAX_PADDING} are allowed")


def _replaced(document: str, path: Expression, raw: str) -> str:
    found = evaluate(document, path)
    if found.index > 0:
        return document[: found.index] + raw + document[found.index + len(found.raw) :]
    if not found.indexes:
        return document
    values = [end - begin for begin, end in scan.elements(found.raw, 1)]
    if len(values) != len(found.indexes) or min(found.indexes) < 0:
        return document
    kept, position = [], 0
    for begin, length in sorted(zip(found.indexes, values, strict=True)):
        kept.append(document[position:begin])
        position = begin + length
    return raw.join([*kept, document[position:]])
