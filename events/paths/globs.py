r"""Wildcards in keys and in `%` queries: `*` any run, `?` any one character, `\` the next character as it is.

A pattern becomes a regular expression whose stars never give back what they took, so many stars cost no more than one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Matcher = Callable[[str], object]

_TOKEN = re.compile(r"\\(.)|(\*+)|(.)", re.DOTALL)


def is_wild(part: str) -> bool:
    """Whether a part of a path has a wildcard that is not escaped."""
    return any(token[0][0] in "*?" for token in _TOKEN.finditer(part))


def unescaped(part: str) -> str:
    """The part without its escapes."""
    return re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) if "\\" in part else part


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Matcher:
    """A predicate for texts that match the whole pattern."""
    runs: list[list[str]] = [[]]
    for token in _TOKEN.finditer(pattern):
        escaped, stars, character = token.groups()
        if stars:
            runs.append([])
        else:
            runs[-1].append("." if character == "?" else re.escape(escaped or character))
    first, *middle = ("".join(run) for run in runs)
    # The first place for each run is always a right one; only the last run has to be at the end of the text.
    last = f".{{{len(runs[-1])},}}+\\Z(?<={middle.pop()})" if middle else r"\Z"
    atomic = "".join(f"(?>.*?{run})" for run in middle if run)
    return re.compile(first + atomic + last, re.DOTALL).match
