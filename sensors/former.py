"""From what Argo Events' own sensor left to the first checkpoint of a trigger. Contract: sensors E.3; design section 5.

Pure, but for `take_over`, which asks the bus and keeps the checkpoint. Called by `trigger_runner` once in the life of a
trigger, when it has no checkpoint of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventbus.base import Bus
from eventbus.former import Former, FormerPending, FormerReader, Topic
from events.logs import Log
from sensors.checkpoint import Checkpoint, Floor, Pending, identity
from sensors.checkpoint_store import CheckpointStore
from sensors.conditions import Condition
from sensors.decision import Decision, Outcome
from sensors.former_hashes import dependency_hash
from sensors.types import EventDependency


@dataclass(frozen=True, slots=True)
class Upstream:
    """A trigger as Argo Events' own sensor had it, if it was this one."""

    expression: str
    """Text of the conditions, as it stands in the object."""
    is_stateful: bool
    topics: Mapping[str, Topic]
    """Dependency -> what it waits for."""
    hashes: Mapping[str, int | None]


def as_upstream(text: str | None, condition: Condition, specs: Mapping[str, EventDependency]) -> Upstream:
    """The trigger with these conditions; `specs` has each of their dependencies."""
    names = condition.dependencies
    return Upstream(
        expression=text or "",
        is_stateful=condition.is_stateful,
        topics={name: (specs[name].event_source_name, specs[name].event_name) for name in names},
        hashes={name: dependency_hash(specs[name]) for name in names},
    )


def adopted(left: Former, mine: Upstream, signatures: Mapping[str, str]) -> tuple[Checkpoint, list[Decision]]:
    """Our first checkpoint, and the end of what waited for something that is another one now.

    It is not the fold of all events up to its position: its floors say which of the later ones are done.
    """
    kept: dict[str, Pending] = {}
    ends: list[Decision] = []
    for name, waiting in left.pending.items():
        why_not = _edited(name, left, mine)
        if not why_not:
            kept[name] = Pending(waiting.event, waiting.sequence, waiting.stored_ns, signatures[name])
        else:
            ends.append(_dropped(name, waiting, why_not))
    checkpoint = Checkpoint(left.after, pending=kept, pins=left.pins)
    for one in sorted(kept.values(), key=lambda pending: pending.sequence):
        checkpoint.recent.add(identity(one.event), one.sequence)
    for topic, taken in left.taken.items():
        if taken.sequence > left.after.sequence:
            here = [name for name in kept if mine.topics[name] == topic]
            some = {at: frozenset(name for name in here if kept[name].sequence == at) for at in taken.left}
            checkpoint.floors[topic] = Floor(taken.sequence, some)
    return checkpoint, ends


def _edited(name: str, left: Former, mine: Upstream) -> str:
    """Why a waiting event counts no longer, by the rule of Argo Events' sensor at its own start; empty when it does."""
    if left.expression is None or left.hashes is None:
        return "what it waited for cannot be read"
    if left.expression != mine.expression or not mine.is_stateful:
        return "the conditions were edited"
    if mine.hashes.get(name) is None or left.hashes.get(name) != mine.hashes[name]:
        return "its dependency was edited"
    return ""


def _dropped(name: str, waiting: FormerPending, why: str) -> Decision:
    detail = f"left by Argo Events' own sensor: {why}"
    return Decision(Outcome.RESET, waiting.sequence, waiting.event.id, name, reason="edited", detail=detail)


async def take_over(
    bus: Bus,
    store: CheckpointStore,
    reader: FormerReader,
    mine: Upstream,
    signatures: Mapping[str, str],
    on_wait: Callable[[str], None],
    log: Log,
) -> tuple[Checkpoint, list[Decision]] | None:
    """Wait for Argo Events' own sensor to end, and make what it left ours, durable; None when there never was one."""
    left = await bus.former(reader, on_wait)
    if left is None:
        return None
    checkpoint, ends = adopted(left, mine, signatures)
    await store.save(checkpoint)
    for note in left.notes:
        log.warning("Something that Argo Events' own sensor left cannot be used", reason=note)
    unacked = sum(len(taken.left) for taken in left.taken.values())
    log.info(
        "Taken over from Argo Events' own sensor",
        after=left.after.sequence,
        unacknowledged=unacked,
        waiting=len(checkpoint.pending),
        dropped=len(ends),
    )
    return checkpoint, ends
