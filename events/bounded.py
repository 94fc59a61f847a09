"""The last so many values, within so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """A cache that forgets what was put in first."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: K) -> V | None:
        """The value, or None when it is not among the last."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of `size` bytes; the oldest go as far as they must."""
        former = self._values.pop(key, None)
        self._bytes += size - (former[1] if former is not None else 0)
        self._values[key] = (value, size)
        while len(self._values) > self._most or (self._bytes > self._most_bytes and len(self._values) > 1):
            _, (_, gone) = self._values.popitem(last=False)
            self._bytes -= gone

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)
