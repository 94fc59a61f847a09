"""Tables `spec key -> "module:Class"`, imported when first asked for.

An adapter costs nothing (no import, no SDK) until an object names its key. A kind that Argo Events knows and this
version does not run has a row, too: what describes it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from events.errors import UnknownKind
from events.problems import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A sorted table of adapters of one sort (`noun`), each imported at its first use."""

    def __init__(self, noun: str, rows: Mapping[str, str]) -> None:
        self.noun, self.rows = noun, dict(rows)

    def load(self, key: str) -> type[T]:
        """The class of `key`; UnknownKind with the closest key."""
        if row := self.rows.get(key):
            module, _, name = row.partition(":")
            return cast("type[T]", getattr(importlib.import_module(module), name))
        raise UnknownKind(f"unknown {self.noun} {key!r}", cure=did_you_mean(key, self.keys()))

    def keys(self) -> list[str]:
        """All keys that may stand in an object."""
        return sorted(self.rows)

    def __contains__(self, key: Any) -> bool:
        return key in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)
