"""Events in the words of the two groups that serve them: `v1` and `events.k8s.io/v1` are one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

_WORDS: Mapping[str, str] = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_WORDS_BACK = {new: core for core, new in _WORDS.items()}


def converted(it: Mapping[str, Any], api_version: str) -> Object:
    """An event in the words of `v1` or `events.k8s.io/v1`; its kind's `decode` adds what is always there."""
    words = _WORDS_BACK if api_version == "v1" else _WORDS
    result = {words.get(key, key): value for key, value in it.items()}
    return {**result, "apiVersion": api_version}
