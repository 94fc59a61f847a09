"""kubectl's jsonpath texts: `a {.b.c}!`, with `range`, quoted texts, filters. Contract: workflows B.2. Pure.

What is not there is empty, as with kubectl; several values stand side by side with a blank between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from events.errors import FilterError
from events.expressions.expr.jsonpath import query
from events.local.workflows import gotexts
from events.local.workflows.errors import WorkflowError

_PART = re.compile(r"\{((?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^{}'\"])*)\}", re.DOTALL)
_MANY = re.compile(r"\*|\.\.|\?\(|\[[^\]'\"]*[:,]")
_ESCAPED = re.compile(r"\.((?:[^.\[\]\\]|\\.)*\\\.(?:[^.\[\]\\]|\\.)*)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def text_of(obj: Any, template: str) -> str:
    """What a template makes of an object; WorkflowError when it is none."""
    parts = list(_parts(template))
    found, end = _filled(parts, 0, obj, obj)
    if end != len(parts):
        raise WorkflowError(f"jsonPath {template!r} has an end without a range")
    return found


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """(kind, text): text, path, range or end."""
    at = 0
    while at < len(template):
        start = template.find("{", at)
        if start < 0:
            break
        if start > at:
            yield "text", template[at:start]
        found = _PART.match(template, start)
        if found is None:
            raise WorkflowError(f"jsonPath {template!r} cannot be read at {template[start : start + 20]!r}")
        at = found.end()
        yield from _inside(found[1].strip())
    if at < len(template):
        yield "text", template[at:]


def _inside(text: str) -> Iterator[tuple[str, str]]:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        yield "text", re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])
    elif text == "end":
        yield "end", ""
    elif text.startswith("range "):
        yield "range", text[6:].strip()
    else:
        yield "path", text


def _filled(parts: list[tuple[str, str]], at: int, item: Any, root: Any) -> tuple[str, int]:
    """The text of the parts from `at` on, and where their range ends."""
    found = ""
    while at < len(parts):
        kind, text = parts[at]
        if kind == "end":
            return found, at
        at += 1
        if kind == "text":
            found += text
        elif kind == "path":
            found += " ".join(one if isinstance(one, str) else gotexts.dumps(one) for one in _values(item, text, root))
        else:
            end = at
            for one in _values(item, text, root) or [_NOTHING]:
                inner, end = _filled(parts, at, one, root)
                found += inner if one is not _NOTHING else ""
            if end == len(parts):
                raise WorkflowError("a range of a jsonPath has no end")
            at = end + 1
    return found, at


_NOTHING: Any = {}


def _values(item: Any, text: str, root: Any) -> list[Any]:
    """The values of a path; one that is not there is none."""
    where = root if text.startswith("$") else item
    path = text[1:] if text[:1] in ("$", "@") else text
    if path in ("", "."):
        return [where]
    path = path if path.startswith((".", "[")) else f".{path}"
    path = _ESCAPED.sub(_bracketed, path)
    try:
        value = query(json.dumps(where), f"${path}", _free)
    except FilterError as error:
        if "finds nothing" in str(error):
            return []
        raise WorkflowError(f"jsonPath: {error}") from error
    return list(value) if _MANY.search(path) and isinstance(value, list) else [value]


def _bracketed(found: re.Match[str]) -> str:
    """A key whose dots are escaped, as the language of paths writes it."""
    return "[" + json.dumps(re.sub(r"\\(.)", r"\1", found[1])) + "]"


def _free(_steps: int) -> None:
    """Objects of the API are bounded already."""
