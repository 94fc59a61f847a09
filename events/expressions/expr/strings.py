"""Functions on strings. What grows a string is bounded; what walks through one costs steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events.errors import FilterError
from events.expressions.expr.frame import Frame
from events.expressions.expr.values import (
    MAX_TEXT,
    NilStrings,
    Strings,
    encoded,
    go_type,
    text,
    to_int,
)

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_REPETITIONS = 1_000_000


def _walked(frame: Frame, value: Any) -> str:
    """A string that is about to be gone through."""
    found = text(value)
    frame.spend(len(found) >> 9)
    return found


def trim(frame: Frame, value: Any, cutset: Any = _SPACE) -> str:
    """Without the characters of `cutset` at both ends."""
    whole, characters = _walked(frame, value), text(cutset)
    return whole.strip(characters) if characters else whole


def trim_prefix(_frame: Frame, value: Any, prefix: Any = " ") -> str:
    """Without a prefix."""
    return text(value).removeprefix(text(prefix))


def trim_suffix(_frame: Frame, value: Any, suffix: Any = " ") -> str:
    """Without a suffix."""
    return text(value).removesuffix(text(suffix))


def _simple_case(char: str, changed: str) -> str:
    """Go changes character by character; what Python would make two of stays."""
    return changed if len(changed) == 1 else char


def upper(frame: Frame, value: Any) -> str:
    """In capitals."""
    found = _walked(frame, value)
    if found.isascii():
        return found.upper()
    return "".join(_simple_case(char, char.upper()) for char in found)


def lower(frame: Frame, value: Any) -> str:
    """In small letters."""
    found = _walked(frame, value)
    if found.isascii():
        return found.lower()
    return "".join("i" if char == "İ" else _simple_case(char, char.lower()) for char in found)


def _parts(frame: Frame, value: Any, separator: Any, limit: int, *, keep: bool) -> Strings:
    whole, between = _walked(frame, value), text(separator)
    if limit == 0:
        return NilStrings()
    if not between:
        parts = _characters(whole, limit)
    else:
        parts = whole.split(between, limit - 1 if limit > 0 else -1)
        if keep:
            parts = [part + between for part in parts[:-1]] + parts[-1:]
    frame.grow(len(parts))
    return Strings(parts)


def _characters(whole: str, limit: int) -> list[str]:
    if limit < 0 or limit > len(whole):
        return list(whole)
    return [*whole[: limit - 1], whole[limit - 1 :]]


def split(frame: Frame, value: Any, separator: Any, limit: Any = -1) -> Strings:
    """At every separator, into at most `limit` parts."""
    return _parts(frame, value, separator, to_int(limit), keep=False)


def split_after(frame: Frame, value: Any, separator: Any, limit: Any = -1) -> Strings:
    """Behind every separator, into at most `limit` parts."""
    return _parts(frame, value, separator, to_int(limit), keep=True)


def replace(frame: Frame, value: Any, old: Any, new: Any, limit: Any = -1) -> str:
    """Every `old`, or the first `limit`, by `new`."""
    whole, before, after, most = _walked(frame, value), text(old), text(new), to_int(limit)
    count = whole.count(before) if most < 0 else min(whole.count(before), most)
    if len(whole) + count * (len(after) - len(before)) > MAX_TEXT:
        raise FilterError(f"a string of more than {MAX_TEXT} characters")
    frame.spend(count >> 4)
    return whole.replace(before, after, most)


def repeat(frame: Frame, value: Any, count: Any) -> str:
    """So many times."""
    whole, times = text(value), to_int(count)
    if not 0 <= times <= _REPETITIONS or len(whole) * times > MAX_TEXT:
        raise FilterError(f"repeat: {times} times")
    frame.spend(len(whole) * times >> 9)
    return whole * times


def join(frame: Frame, value: Any, glue: Any = "") -> str:
    """The strings of a list, with `glue` between them."""
    between = text(glue)
    if go_type(value) not in ("[]any", "[]string"):
        raise FilterError(f"join cannot be applied to {go_type(value)}")
    frame.spend(len(value) >> 4)
    parts = [text(part) for part in value]
    if sum(map(len, parts)) + len(between) * len(parts) > MAX_TEXT:
        raise FilterError(f"a string of more than {MAX_TEXT} characters")
    return between.join(parts)


def _index(find: Callable[[bytes, bytes], int]) -> Callable[..., int]:
    def index(frame: Frame, value: Any, part: Any) -> int:
        return find(encoded(_walked(frame, value)), encoded(text(part)))

    return index


def has_prefix(_frame: Frame, value: Any, prefix: Any) -> bool:
    """Whether it starts so."""
    return text(value).startswith(text(prefix))


def has_suffix(_frame: Frame, value: Any, suffix: Any) -> bool:
    """Whether it ends so."""
    return text(value).endswith(text(suffix))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "trim": trim,
    "trimPrefix": trim_prefix,
    "trimSuffix": trim_suffix,
    "upper": upper,
    "lower": lower,
    "split": split,
    "splitAfter": split_after,
    "replace": replace,
    "repeat": repeat,
    "join": join,
    "indexOf": _index(bytes.find),
    "lastIndexOf": _index(bytes.rfind),
    "hasPrefix": has_prefix,
    "hasSuffix": has_suffix,
}
