"""Steps 7 and 8: what a dependency makes of an event, and making it once for all triggers of a sensor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from eventbus.base import Position
from events.bounded import Bounded
from events.errors import TransformError
from events.event import Event
from sensors.decision import Outcome
from sensors.dependencies import Dependency
from sensors.filters.verdict import undecided

_KEPT = 1024
_KEPT_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Match:
    """What one dependency made of an event: the event as the trigger will see it, or None and why not."""

    dependency: str
    event: Event | None
    signature: str = ""
    reason: str = ""
    detail: str = ""
    outcome: Outcome = Outcome.FILTERED
    """What becomes of an event that is None."""


class Matches:
    """What the dependencies of a sensor made of the last events: ten triggers on one dependency filter once."""

    def __init__(self) -> None:
        self._made: Bounded[tuple[str, int, str], Match | asyncio.Future[Match]] = Bounded(_KEPT, _KEPT_BYTES)

    async def match(self, dependency: Dependency, event: Event, position: Position) -> Match:
        """As `match`, of the event at this position."""
        key = (position.stream_created, position.sequence, dependency.name)
        made = self._made.get(key)
        if made is None:
            size = len(event.data or b"")
            if dependency.is_scripted:
                # Kept while it is under way: the others wait for it. A line that stops does not take it with it.
                made = asyncio.ensure_future(match(dependency, event))
            else:
                made = await match(dependency, event)
            self._made.put(key, made, size)
        return made if isinstance(made, Match) else await asyncio.shield(made)


async def match(dependency: Dependency, event: Event) -> Match:
    """Transform, then filter: that is Argo's order. What cannot be transformed has failed, it was not filtered."""
    if dependency.transform is not None:
        try:
            event = await dependency.transform.apply(event)
        except TransformError as error:
            return Match(dependency.name, None, "", "transform", str(error), Outcome.FAILED)
        except Exception as error:  # noqa: BLE001 - it becomes the event's reason
            detail = f"the transformation has a defect: {error!r}"
            return Match(dependency.name, None, "", "defect", detail, Outcome.FAILED)
    try:
        # No coroutine for what needs none: most filters are decided here and now.
        decide = dependency.filter
        verdict = await decide.decide(event) if dependency.is_scripted else decide.accepts(event)
    except Exception as error:  # noqa: BLE001 - a filter with a defect must not hold up all events behind this one
        verdict = undecided("defect", f"the filter has a defect: {error!r}")
    if verdict.passed:
        return Match(dependency.name, event, dependency.signature)
    return Match(dependency.name, None, "", verdict.reason, verdict.detail)
