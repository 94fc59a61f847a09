"""Where two structures differ, for the messages of the cases."""

from __future__ import annotations

from typing import Any


def difference(expected: Any, got: Any) -> tuple[Any, Any]:
    """The first place where two structures differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted({*expected, *got}):
            if expected.get(key) != got.get(key):
                inner = difference(expected.get(key), got.get(key))
                return {key: inner[0]}, {key: inner[1]}
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            if one != other:
                inner = difference(one, other)
                return {index: inner[0]}, {index: inner[1]}
    return expected, got
