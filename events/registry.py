"""Tables `spec key -> "module:Class"`, imported when first asked for.

An adapter costs nothing (no import, no SDK) until an object names its key. A key that Argo Events knows and this
version lacks stays in the table without a class, so that its users get a reason instead of a did-you-mean.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from events.errors import NotAvailable, UnknownKind
from events.problems import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A sorted table of adapters of one sort (`noun`), each imported at its first use."""

    def __init__(self, noun: str, rows: Mapping[str, str], *, missing: tuple[str, ...] = ()) -> None:
        self.noun, self.rows, self.missing = noun, dict(rows), missing

    def load(self, key: str) -> type[T]:
        """The adapter class of `key`; UnknownKind with the closest key, or NotAvailable."""
        if row := self.rows.get(key):
            module, _, name = row.partition(":")
            return cast("type[T]", getattr(importlib.import_module(module), name))
        if key in self.missing:
            raise NotAvailable(f"{self.noun} {key!r} is not in this version of Keryx")
        raise UnknownKind(f"unknown {self.noun} {key!r}", cure=did_you_mean(key, self.keys()))

    def keys(self) -> list[str]:
        """All keys that may stand in an object, also those without an adapter yet."""
        return sorted((*self.rows, *self.missing))

    def __contains__(self, key: Any) -> bool:
        return key in self.rows or key in self.missing

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)
