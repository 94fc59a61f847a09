"""What `keryx up` starts, part by part: which ones are there, since when, and what there is to say about each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from events.local.kubelet import processes

Row = tuple[str, float | None, str]
"""Name, seconds that it took (None: not there yet), what there is to say."""


@dataclass
class Step:
    """One part."""

    name: str
    begun: float
    seconds: float | None = None
    detail: str = ""


class Steps:
    """The parts in the order in which they were begun; `tell` is called whenever one begins or is there."""

    def __init__(self, tell: Callable[[], None] = lambda: None) -> None:
        self.tell = tell
        self._steps: list[Step] = []
        self._add("program", began()).seconds = age()

    def _add(self, name: str, begun: float) -> Step:
        step = Step(name, begun)
        self._steps.append(step)
        return step

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A part that starts as long as the block lasts; one that fails never is there."""
        step = self._add(name, time.monotonic())
        self.tell()
        yield step
        step.seconds = time.monotonic() - step.begun
        self.tell()

    @property
    def rows(self) -> tuple[Row, ...]:
        """As of now."""
        return tuple((one.name, one.seconds, one.detail) for one in self._steps)


def began() -> float:
    """When this process was started, by the monotonic clock."""
    return time.monotonic() - age()


def age() -> float:
    """Seconds since this process was started, its interpreter included."""
    return processes.age() or time.monotonic() - _IMPORTED


_IMPORTED = time.monotonic()
