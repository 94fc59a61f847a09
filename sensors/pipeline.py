"""THE SPINE: match -> transform -> filter -> condition -> fire (steps 6 to 9).

`prepare` is stateless: which dependencies an event satisfies, transformed, and every refusal with its reason. `fold`
takes prepared events in bus order into a checkpoint and says which firings became due. Neither does I/O nor reads a
clock, so explaining, testing and replaying an event is the same code as running it, on a copy of the checkpoint.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eventbus.base import Delivery
from eventbus.dead_letters import DeadLetter, obstacle
from events.event import Event
from sensors.base import Firing
from sensors.checkpoint import Checkpoint, Pending, identity
from sensors.conditions import Condition
from sensors.decision import POLICY, Decision, Outcome
from sensors.dependencies import Dependencies
from sensors.matching import Match, Matches, match
from sensors.resets import Resets

POISONED = "poisoned"
REDRIVE = "redrive"


@dataclass(frozen=True, slots=True)
class Redrive:
    """A dead letter that a person sends again; None when it is there no longer."""

    letter: DeadLetter | None
    count: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """One delivery with what every dependency made of it."""

    delivery: Delivery
    identity: int
    matches: tuple[Match, ...]
    redrive: Redrive | None = None


@dataclass(slots=True)
class Step:
    """What one event led to."""

    firings: list[Firing] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    pending: dict[str, Pending] = field(default_factory=dict)
    """What waits after it."""
    accepted: int | None = None
    """Identity of the event, when it is to be recognised if it comes again."""


# A publisher of its own may put an event on a subject that its attributes do not name.
_UNMATCHED: Final = Match("", None, "", "unmatched", "no dependency has the source and name that the event itself has")


class Pipeline:
    """The pipeline of one trigger. `scope` (namespace, sensor, trigger) makes its firing ids its own."""

    def __init__(
        self,
        dependencies: Dependencies,
        condition: Condition,
        scope: Iterable[str],
        resets: Resets | None = None,
        matches: Matches | None = None,
    ) -> None:
        self.condition, self._shared = condition, matches
        self._dependencies, self._resets = dependencies, resets
        self._scope = "\0".join(scope)

    async def prepare(self, delivery: Delivery) -> Prepared:
        """Which dependencies the event satisfies. A coroutine because scripts run in a worker with a deadline."""
        event = delivery.event
        if event is None:
            return Prepared(delivery, 0, ())
        waiting, shared = self._dependencies.matching(event), self._shared
        if shared is None:
            matches = [await match(one, event) for one in waiting]
        else:
            matches = [await shared.match(one, event, delivery.position) for one in waiting]
        return Prepared(delivery, identity(event), tuple(matches))

    async def prepare_redrive(self, delivery: Delivery, redrive: Redrive) -> Prepared:
        """A dead letter again: a firing as it was, an event through those dependencies that could not take it."""
        letter, order = redrive.letter, delivery.event
        matches: tuple[Match, ...] = ()
        if letter is not None and letter.kind == "event" and letter.events:
            event = next(iter(letter.events.values()))
            waiting = self._dependencies.matching(event)
            matches = tuple([await match(one, event) for one in waiting if one.name in letter.events])
        return Prepared(delivery, identity(order) if order is not None else 0, matches, redrive)

    def poisoned(self, delivery: Delivery, detail: str) -> Prepared:
        """An event that is not touched, because doing so ended the process each time."""
        event = delivery.event
        names = [one.name for one in self._dependencies.matching(event)] if event is not None else []
        matches = tuple(Match(name, None, "", POISONED, detail, Outcome.FAILED) for name in names)
        return Prepared(delivery, 0, matches)

    async def prepare_all(self, deliveries: Sequence[Delivery]) -> list[Prepared]:
        """Several events, in their order; with scripts all at once, so that the worker is never idle between two."""
        if self._dependencies.have_scripts:
            return await asyncio.gather(*(self.prepare(delivery) for delivery in deliveries))
        return [await self.prepare(delivery) for delivery in deliveries]

    def fold(self, checkpoint: Checkpoint, prepared: Prepared) -> Step:
        """Take one event into `checkpoint`, which is changed in place; the same inputs give the same step."""
        step = Step()
        checkpoint.advance(prepared.delivery.position)
        self._decide(checkpoint, prepared, step)
        if step.accepted is not None:
            checkpoint.recent.add(step.accepted, prepared.delivery.position.sequence)
        if checkpoint.pending:
            step.pending = dict(checkpoint.pending)
        return step

    def follow(self, checkpoint: Checkpoint, prepared: Prepared, step: Step) -> None:
        """Bring another checkpoint, of the event before, to where this step led."""
        position = prepared.delivery.position
        checkpoint.advance(position)
        if step.accepted is not None:
            checkpoint.recent.add(step.accepted, position.sequence)
        checkpoint.pending = step.pending

    def _decide(self, checkpoint: Checkpoint, prepared: Prepared, step: Step) -> None:
        position = prepared.delivery.position
        if self._resets is not None and checkpoint.pending:
            self._reset(checkpoint, self._resets, position.stored_ns, step)
        event = prepared.delivery.event
        if prepared.redrive is not None:
            self._send_again(checkpoint, prepared, prepared.redrive, step)
            return
        if event is None:
            if checkpoint.floors and all(floor.has(position.sequence, "") for floor in checkpoint.floors.values()):
                return  # whatever its topic: it was taken, and thrown away
            step.decisions.append(
                Decision(Outcome.FAILED, position.sequence, reason="invalid event", detail=prepared.delivery.error)
            )
            return
        is_repeat = checkpoint.recent.get(prepared.identity) not in (None, position.sequence)
        for made in prepared.matches or (_UNMATCHED,):
            if checkpoint.floors and checkpoint.is_done(
                position.sequence, (event.source, event.subject), made.dependency
            ):
                continue  # its decision was another's
            if made.event is not None and not is_repeat:
                self._take(checkpoint, made, made.event, prepared, step)
                step.accepted = prepared.identity
            else:
                step.decisions.append(_refusal(position.sequence, event, made))

    def _send_again(self, checkpoint: Checkpoint, prepared: Prepared, redrive: Redrive, step: Step) -> None:
        """A dead letter that is redriven: past the check for duplicates, but the same order counts once."""
        letter, position = redrive.letter, prepared.delivery.position
        is_repeat = checkpoint.recent.get(prepared.identity) not in (None, position.sequence)
        step.accepted = prepared.identity
        why_not = "this redrive came before" if is_repeat else _obstacle(letter)
        if letter is None or why_not:
            step.decisions.append(Decision(Outcome.FILTERED, position.sequence, reason=REDRIVE, detail=why_not))
        elif letter.kind == "firing":
            step.firings.append(
                Firing(
                    id=letter.firing_id,
                    events=letter.events,
                    sequences=letter.sequences,
                    stored_ns=position.stored_ns,
                    # What the policy did not count is made anew, under a name of its own.
                    remakes=letter.attempts if letter.reason == POLICY else 0,
                    redrives=redrive.count,
                    letter=letter.id,
                )
            )
        else:
            for made in prepared.matches or (_UNMATCHED,):
                if made.event is not None:
                    self._take(checkpoint, made, made.event, prepared, step)
                else:
                    step.decisions.append(_refusal(position.sequence, next(iter(letter.events.values())), made))

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
        if former is not None and former.sequence > one.sequence and former.stored_ns > one.stored_ns:
            # Taken over from Argo Events' own sensor, which had left this one unacknowledged and gone on.
            detail = "a newer event of the same dependency waits already"
            step.decisions.append(Decision(Outcome.SUPERSEDED, one.sequence, event.id, match.dependency, detail=detail))
            return
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
        events = {name: one.event for name, one in complete.items()}
        sequences = {name: one.sequence for name, one in complete.items()}
        identity = self.firing_id(checkpoint.applied.stream_created, events, sequences)
        return Firing(id=identity, events=events, sequences=sequences, stored_ns=checkpoint.applied.stored_ns)

    def firing_id(self, stream: str, events: Mapping[str, Event], sequences: Mapping[str, int]) -> str:
        """The id of a firing of these events of a stream."""
        parts = [self._scope, stream]
        parts += [f"{name}\0{sequences[name]}\0{event.id}" for name, event in sorted(events.items())]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def _obstacle(letter: DeadLetter | None) -> str:
    """Why a dead letter cannot be sent again; empty when it can."""
    if letter is None:
        return "the dead letter is gone"
    if letter.events.keys() != letter.sequences.keys():
        return "not all of its events are kept"
    return obstacle(letter)


def _refusal(sequence: int, event: Event, match: Match) -> Decision:
    """Why a dependency did not take the event: it did not match, or came before."""
    if match.event is None:
        return Decision(match.outcome, sequence, event.id, match.dependency, match.reason, match.detail)
    detail = "an event of this source, name and id came before"
    return Decision(Outcome.DUPLICATE, sequence, event.id, match.dependency, detail=detail)
