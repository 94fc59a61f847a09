"""What Argo Events' own sensor left on the bus for a trigger, as plain data. Contract: sensors E.3, B.5.

Whoever swaps the image of its sensor for ours does so while events are on the bus: what it had taken must not be done
again, what it had not must be. `Bus.former` reads this, `sensors.former` makes the first checkpoint of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from events.event import Event

if TYPE_CHECKING:
    from eventbus.base import Position

Topic = tuple[str, str]
"""(event source, event name)"""


@dataclass(frozen=True, slots=True)
class FormerReader:
    """Whose it is: a trigger as Argo Events names it. `topics`: dependency -> what it waits for now."""

    sensor: str
    trigger: str
    topics: Mapping[str, Topic]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a topic: every event up to `sequence`, but for those that are `left`."""

    sequence: int
    left: frozenset[int] = frozenset()
    """Delivered and never acknowledged: nobody knows how far they got."""


@dataclass(frozen=True, slots=True)
class FormerPending:
    """An event, transformed, that waited for those of other dependencies."""

    event: Event
    sequence: int
    """0 when the stream has no such message."""
    stored_ns: int


@dataclass(frozen=True, slots=True)
class Former:
    """All that was left for one trigger, after its reader had ended."""

    after: Position
    """Before the first event that was left."""
    taken: Mapping[Topic, Taken]
    """For each topic of the reader; one that nobody read until now is taken up to now."""
    pending: Mapping[str, FormerPending]
    """Dependency -> its event."""
    expression: str | None = None
    """The text of the conditions that the events waited for; None when unknown."""
    hashes: Mapping[str, int] | None = None
    """Dependency -> hash of its definition when the events were taken; None when unknown."""
    pins: tuple[str, ...] = ()
    """What makes the broker keep events for the former reader, for `Bus.dismiss`."""
    notes: tuple[str, ...] = ()
    """What could not be read, for a person."""
