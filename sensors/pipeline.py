"""THE SPINE: match -> transform -> filter -> condition -> fire (steps 6 to 9).

`prepare` is stateless: which dependencies an event satisfies, transformed, and every refusal with its reason. `fold`
takes prepared events in bus order into a checkpoint and says which firings became due. Neither does I/O nor reads a
clock, so explaining, testing and replaying an event is the same code as running it, on a copy of the checkpoint.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from eventbus.base import Delivery
from events.errors import TransformError
from events.event import Event
from sensors.base import Firing
from sensors.checkpoint import Checkpoint, Pending, identity
from sensors.conditions import Condition
from sensors.decision import Decision, Outcome
from sensors.dependencies import Dependencies, Dependency
from sensors.filters.verdict import undecided
from sensors.resets import Resets


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """One delivery with what every dependency made of it."""

    delivery: Delivery
    identity: int
    matches: tuple[Match, ...]


@dataclass(slots=True)
class Step:
    """What one event led to."""

    firings: list[Firing] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


# A publisher of its own may put an event on a subject that its attributes do not name.
_UNMATCHED: Final = Match("", None, "", "unmatched", "no dependency has the source and name that the event itself has")


class Pipeline:
    """The pipeline of one trigger. `scope` (namespace, sensor, trigger) makes its firing ids its own."""

    def __init__(
        self, dependencies: Dependencies, condition: Condition, scope: Iterable[str], resets: Resets | None = None
    ) -> None:
        self.condition = condition
        self._dependencies, self._resets = dependencies, resets
        self._scope = "\0".join(scope)

    async def prepare(self, delivery: Delivery) -> Prepared:
        """Which dependencies the event satisfies. A coroutine because scripts run in a worker with a deadline."""
        event = delivery.event
        if event is None:
            return Prepared(delivery, 0, ())
        matches = []
        for dependency in self._dependencies.matching(event):
            matches.append(await _match(dependency, event))
        return Prepared(delivery, identity(event), tuple(matches))

    async def prepare_all(self, deliveries: Sequence[Delivery]) -> list[Prepared]:
        """Several events, in their order; with scripts all at once, so that the worker is never idle between two."""
        if self._dependencies.have_scripts:
            return await asyncio.gather(*(self.prepare(delivery) for delivery in deliveries))
        return [await self.prepare(delivery) for delivery in deliveries]

    def fold(self, checkpoint: Checkpoint, prepared: Prepared) -> Step:
        """Take one event into `checkpoint`, which is changed in place; the same inputs give the same step."""
        step, position = Step(), prepared.delivery.position
        checkpoint.advance(position)
        if self._resets is not None and checkpoint.pending:
            self._reset(checkpoint, self._resets, position.stored_ns, step)
        event = prepared.delivery.event
        if event is None:
            step.decisions.append(
                Decision(Outcome.FAILED, position.sequence, reason="invalid event", detail=prepared.delivery.error)
            )
            return step
        is_repeat = checkpoint.recent.get(prepared.identity) not in (None, position.sequence)
        for match in prepared.matches or (_UNMATCHED,):
            if match.event is not None and not is_repeat:
                self._take(checkpoint, match, match.event, prepared, step)
                checkpoint.recent.add(prepared.identity, position.sequence)
            else:
                step.decisions.append(_refusal(position.sequence, event, match))
        return step

    def _reset(self, checkpoint: Checkpoint, resets: Resets, stored_ns: int, step: Step) -> None:
        """Drop what has waited since before the latest tick."""
        for name, waiting in list(checkpoint.pending.items()):
            if resets.dropped(waiting.stored_ns, stored_ns):
                del checkpoint.pending[name]
                detail = "conditionsReset dropped it before the conditions were met"
                step.decisions.append(
                    Decision(
                        Outcome.RESET, waiting.sequence, waiting.event.id, name, reason="conditionsReset", detail=detail
                    )
                )

    def _take(self, checkpoint: Checkpoint, match: Match, event: Event, prepared: Prepared, step: Step) -> None:
        """One accepted event of one dependency: fire, or wait for the others."""
        position = prepared.delivery.position
        one = Pending(event, position.sequence, position.stored_ns, match.signature)
        if not self.condition.is_stateful:
            step.firings.append(self._firing(checkpoint, {match.dependency: one}))
            return
        former = checkpoint.pending.get(match.dependency)
        if former is not None:
            detail = "a newer event of the same dependency took its place"
            step.decisions.append(
                Decision(Outcome.SUPERSEDED, former.sequence, former.event.id, match.dependency, detail=detail)
            )
        checkpoint.pending[match.dependency] = one
        if self.condition.satisfied_by(checkpoint.pending.keys()):
            step.firings.append(self._firing(checkpoint, checkpoint.pending))
            checkpoint.pending = {}
        else:
            missing = ", ".join(name for name in self.condition.dependencies if name not in checkpoint.pending)
            step.decisions.append(
                Decision(
                    Outcome.WAITING, position.sequence, event.id, match.dependency, detail=f"not there yet: {missing}"
                )
            )

    def _firing(self, checkpoint: Checkpoint, complete: dict[str, Pending]) -> Firing:
        """A firing whose id follows from what completes it: a replay makes the same firing with the same id."""
        parts = [self._scope, checkpoint.applied.stream_created]
        parts += [f"{name}\0{one.sequence}\0{one.event.id}" for name, one in sorted(complete.items())]
        return Firing(
            id=hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest(),
            events={name: one.event for name, one in complete.items()},
            sequences={name: one.sequence for name, one in complete.items()},
            stored_ns=checkpoint.applied.stored_ns,
        )


async def _match(dependency: Dependency, event: Event) -> Match:
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


def _refusal(sequence: int, event: Event, match: Match) -> Decision:
    """Why a dependency did not take the event: it did not match, or came before."""
    if match.event is None:
        return Decision(match.outcome, sequence, event.id, match.dependency, match.reason, match.detail)
    detail = "an event of this source, name and id came before"
    return Decision(Outcome.DUPLICATE, sequence, event.id, match.dependency, detail=detail)
