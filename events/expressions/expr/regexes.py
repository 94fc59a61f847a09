"""Patterns of `matches`: RE2 through google-re2, as Go's."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import cast

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
Search = Callable[[bytes], object]


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Search:
    """The search of a pattern over UTF-8; ValueError when it is not one."""
    # Only now: most filters need no regular expression, and the library takes 20 ms to load.
    import re2

    if any(escape[1] == "C" for escape in _ESCAPE.finditer(pattern)):
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: \\C would match half a character")
    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Search", re2.compile(pattern.encode("utf-8", "replace"), options).search)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {text}") from error


def matches(search: Search, text: str) -> bool:
    """Whether it occurs anywhere in a text."""
    return search(text.encode("utf-8", "replace")) is not None
