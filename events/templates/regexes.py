"""The regular expressions of sprig on google-re2: gotpl's own engine is written in Python and slow on long texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from events import regexes
from events.templates.limits import allowance

_REFERENCE = re.compile(rb"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def _compiled(pattern: str) -> Any:
    try:
        return regexes.compile(pattern)
    except ValueError as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from error


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _matches(pattern: str, data: bytes, limit: int = -1) -> Iterator[Any]:
    """Matches from left to right; an empty one right after another does not count, as in Go."""
    search = _compiled(pattern).search
    at, end, found = 0, -1, 0
    check_time = allowance.get().check_time
    while at <= len(data) and found != limit:
        match = search(data, at)
        if match is None:
            return
        check_time()
        start, stop = match.span()
        is_empty = stop == at
        if not (is_empty and start == end):
            found += 1
            yield match
        at = stop + (_width(data, stop) if is_empty else 0)
        end = stop


def _width(data: bytes, at: int) -> int:
    """Bytes of the character at a place."""
    width = 1
    while at + width < len(data) and data[at + width] & 0xC0 == 0x80:
        width += 1
    return width


def matches(pattern: str, text: str) -> bool:
    """Whether it occurs anywhere in a text; ValueError when it is no pattern."""
    return _compiled(pattern).search(_encoded(text)) is not None


def lenient_matches(pattern: str, text: str) -> bool:
    """The same; what is no pattern matches nothing."""
    try:
        return matches(pattern, text)
    except ValueError:
        return False


def find(pattern: str, text: str) -> str:
    """The first match, or nothing."""
    match = _compiled(pattern).search(_encoded(text))
    return "" if match is None else _decoded(match.group())


def find_all(pattern: str, text: str, limit: int) -> list[str]:
    """The matches; not more than `limit` of them, if it is not negative."""
    return [_decoded(match.group()) for match in _matches(pattern, _encoded(text), limit)]


def _replaced(pattern: str, text: str, replacement: Callable[[Any], bytes]) -> str:
    data = _encoded(text)
    pieces: list[bytes] = []
    at = 0
    for match in _matches(pattern, data):
        start, stop = match.span()
        pieces += (data[at:start], replacement(match))
        at = stop
    return _decoded(b"".join((*pieces, data[at:])))


def replace_all(pattern: str, text: str, template: str) -> str:
    """Matches replaced; `$1` and `${name}` stand for groups."""
    parts = _encoded(template)
    names = _compiled(pattern).groupindex
    count = _compiled(pattern).groups

    def expanded(match: Any) -> bytes:
        def group(reference: re.Match[bytes]) -> bytes:
            name = reference[1] or reference[2]
            if name is None:
                return b"$"
            number = int(name) if name.isdigit() else names.get(name, names.get(name.decode(), -1))
            return match.group(number) or b"" if 0 <= number <= count else b""

        return _REFERENCE.sub(group, parts)

    return _replaced(pattern, text, expanded)


def replace_all_literal(pattern: str, text: str, replacement: str) -> str:
    """Matches replaced by a text as it is."""
    data = _encoded(replacement)
    return _replaced(pattern, text, lambda _match: data)


def split(pattern: str, text: str, limit: int) -> list[str]:
    """What is between the matches; at most `limit` pieces, if it is not negative."""
    if limit == 0:
        return []
    data = _encoded(text)
    if pattern and not data:
        return [""]
    pieces: list[str] = []
    start = end = 0
    for match in _matches(pattern, data):
        if limit > 0 and len(pieces) == limit - 1:
            break
        end = match.span()[0]
        if match.span()[1] != 0:
            pieces.append(_decoded(data[start:end]))
        start = match.span()[1]
    if end != len(data):
        pieces.append(_decoded(data[start:]))
    return pieces


def quoted(text: str) -> str:
    """A text as the pattern that matches it alone."""
    return _SPECIAL.sub(r"\\\g<0>", text)


REGEXES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "regexMatch": lenient_matches,
        "mustRegexMatch": matches,
        "regexFind": find,
        "mustRegexFind": find,
        "regexFindAll": find_all,
        "mustRegexFindAll": find_all,
        "regexReplaceAll": replace_all,
        "mustRegexReplaceAll": replace_all,
        "regexReplaceAllLiteral": replace_all_literal,
        "mustRegexReplaceAllLiteral": replace_all_literal,
        "regexSplit": split,
        "mustRegexSplit": split,
        "regexQuoteMeta": quoted,
    }
)
