"""Patterns of `matches`: RE2 through google-re2, as Go's."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from events import regexes

Search = Callable[[bytes], object]


def compiled(pattern: str) -> Search:
    """The search of a pattern over UTF-8; ValueError when it is not one."""
    try:
        return cast("Search", regexes.compile(pattern).search)
    except ValueError as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from error


def matches(search: Search, text: str) -> bool:
    """Whether it occurs anywhere in a text."""
    return search(text.encode("utf-8", "replace")) is not None
