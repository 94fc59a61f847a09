"""One evaluation: what it may see, and what is left of its budgets.

Memory counts list elements and map entries as the library does. Steps are ours: one per turn of a closure, and one per
so many characters or elements a function goes through, so that no expression holds the event loop for long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events.errors import FilterError

MEMORY = 1_000_000
STEPS = 250_000


class Scope:
    """The turn a closure is in."""

    __slots__ = ("acc", "index", "item")

    def __init__(self) -> None:
        self.item: Any = None
        self.index = 0
        self.acc: Any = None


class Frame:
    """The state of one evaluation."""

    __slots__ = ("clock", "environment", "memory", "scope", "steps", "variables")

    def __init__(self, environment: Mapping[str, Any], variables: int, clock: Callable[[], int]) -> None:
        self.environment = environment
        self.variables: list[Any] = [None] * variables
        self.clock = clock
        self.scope = _NO_SCOPE
        self.memory, self.steps = MEMORY, STEPS

    def spend(self, steps: int) -> None:
        """Use up steps; FilterError when there are none left."""
        self.steps -= steps
        if self.steps < 0:
            raise FilterError("the expression takes too long for this event")

    def grow(self, size: int) -> None:
        """Use up memory; FilterError when there is none left."""
        self.memory -= size
        if self.memory <= 0:
            raise FilterError("the expression builds too large lists for this event")


_NO_SCOPE = Scope()
