"""What finally failed is kept for a person, and sent again when the person says so. Design section 5.

Kept before the checkpoint moves past it, so that a crash between the two keeps it twice under one id, never not at all.
While the store is away the line waits. A dead letter that is redriven leaves the store when its outcome is known: gone
if it succeeded, else back under a new id with its count raised.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from eventbus.base import Bus, Delivery, Lease
from eventbus.dead_letters import REDRIVE_SOURCE, DeadLetter, redrive_topic, redriven
from events.backoff import Endless
from events.errors import Unavailable
from events.event import Event
from events.logs import Log
from events.metrics import Metrics
from sensors.base import Firing
from sensors.checkpoint import Checkpoint
from sensors.decision import Decision, Outcome
from sensors.pipeline import Pipeline, Prepared, Redrive

INTERRUPTED = "interrupted"
T = TypeVar("T")


class DeadLetterDesk:
    """The dead letters of one trigger, while it is owned. Everything here waits for the bus; NotOwner ends it."""

    def __init__(
        self,
        bus: Bus,
        pipeline: Pipeline,
        lease: Lease,
        metrics: Metrics,
        log: Log,
        *,
        namespace: str,
        sensor: str,
        trigger: str,
        on_kept: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_kept = on_kept
        self._bus, self._pipeline, self._lease, self._metrics, self._log = bus, pipeline, lease, metrics, log
        self._names = (namespace, sensor, trigger)
        self._topic = redrive_topic(sensor, trigger)

    # ---- coming in: events, and dead letters that a person sends again

    def is_redrive(self, delivery: Delivery) -> bool:
        """Whether it is no event of the world, but the order to send a dead letter again."""
        event = delivery.event
        return event is not None and (event.source, event.subject) == self._topic

    async def prepare(self, deliveries: Sequence[Delivery]) -> list[Prepared]:
        """Several deliveries, in their order."""
        for delivery in deliveries:
            if delivery.event is not None and delivery.event.source == REDRIVE_SOURCE:
                break
        else:
            return await self._pipeline.prepare_all(deliveries)
        return [await self._prepare(delivery) for delivery in deliveries]

    async def _prepare(self, delivery: Delivery) -> Prepared:
        if not self.is_redrive(delivery):
            return await self._pipeline.prepare(delivery)
        assert delivery.event is not None
        order = redriven(delivery.event)
        letter = None if order is None else await self._patiently(lambda: self._get(order[0]))
        return await self._pipeline.prepare_redrive(delivery, Redrive(letter, order[1] if order else 0))

    async def _get(self, identity: str) -> DeadLetter | None:
        found = await (await self._bus.dead_letters()).get(identity)
        mine = found is not None and (found.namespace, found.sensor, found.trigger) == self._names
        return found if mine else None

    # ---- going out

    async def settle(self, firing: Firing, end: Decision) -> None:
        """The outcome of a firing: keep it if it failed for good, and let go the letter it came from."""
        if end.outcome is Outcome.FAILED and not end.is_passed_on:
            await self._keep(
                self._letter(
                    firing.id,
                    "firing",
                    end.reason,
                    end.detail,
                    firing.events,
                    firing.sequences,
                    attempts=firing.remakes + end.attempts,
                    redrives=firing.redrives,
                )
            )
        if firing.letter:
            await self._let_go(firing.letter)

    async def keep_event(self, prepared: Prepared, decisions: Sequence[Decision]) -> None:
        """Keep what the pipeline could not handle of one event."""
        failed = [one for one in decisions if one.outcome is Outcome.FAILED]
        if not failed:
            return
        redrive = prepared.redrive
        if redrive is None or redrive.letter is None:
            await self._keep(self._event_letter(prepared.delivery, failed))
            return
        again = replace(redrive.letter, reason=failed[0].reason, detail=failed[0].detail, failed_at=datetime.now(UTC))
        await self._keep(replace(again, id=_numbered(again.id, redrive.count), redrives=redrive.count))

    async def let_go(self, prepared: Prepared) -> None:
        """Once it is durable what became of a redriven event: its letter has served. A firing's goes with `settle`."""
        letter = prepared.redrive.letter if prepared.redrive is not None else None
        if letter is not None and letter.kind == "event" and letter.events:
            await self._let_go(letter.id)

    def _event_letter(self, delivery: Delivery, failed: Sequence[Decision]) -> DeadLetter:
        position, event = delivery.position, delivery.event
        parts = (*self._names, position.stream_created, str(position.sequence))
        names = [one.dependency for one in failed if one.dependency]
        letter = self._letter(
            hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest(),
            "event",
            failed[0].reason,
            "; ".join(dict.fromkeys(one.detail for one in failed)),
            {} if event is None else dict.fromkeys(names, event),
            dict.fromkeys(names or [""], position.sequence),
        )
        return letter if event is not None else replace(letter, raw=delivery.raw)

    async def interrupted(self, left: Checkpoint, ends: Sequence[Decision]) -> None:
        """Firings that were claimed by an owner that died: kept with their events, read again from the stream."""
        details = {one.firing_id: one.detail for one in ends}
        stream = left.applied.stream_created
        for identity, sequences in left.claims.items():
            events = {}
            for dependency, sequence in sequences.items():
                event = await self._again(stream, dependency, sequence)
                if event is not None:
                    events[dependency] = event
            if len(events) == len(sequences) and self._pipeline.firing_id(stream, events, sequences) != identity:
                events = {}  # a stream that lost its tail has other events under these numbers
            detail = details.get(identity, "")
            await self._keep(self._letter(identity, "firing", INTERRUPTED, detail, events, sequences))

    async def _again(self, stream: str, dependency: str, sequence: int) -> Event | None:
        """The event of a dependency as its trigger saw it; None when the stream has it no longer."""
        delivery = await self._patiently(lambda: self._bus.read(sequence)) if sequence else None
        if delivery is None or delivery.position.stream_created != stream:
            return None
        prepared = await self._pipeline.prepare(delivery)
        return next((match.event for match in prepared.matches if match.dependency == dependency), None)

    def _letter(
        self,
        identity: str,
        kind: Literal["firing", "event"],
        reason: str,
        detail: str,
        events: Mapping[str, Event],
        sequences: Mapping[str, int],
        *,
        attempts: int = 0,
        redrives: int = 0,
    ) -> DeadLetter:
        namespace, sensor, trigger = self._names
        return DeadLetter(
            id=_numbered(identity, redrives),
            namespace=namespace,
            sensor=sensor,
            trigger=trigger,
            reason=reason,
            detail=detail,
            attempts=attempts,
            failed_at=datetime.now(UTC),
            firing_id=identity if kind == "firing" else "",
            redrives=redrives,
            events=events,
            sequences=sequences,
            kind=kind,
        )

    async def _keep(self, letter: DeadLetter) -> None:
        async def add() -> None:
            await (await self._bus.dead_letters()).add(letter)

        await self._patiently(add)
        self._metrics.dead_letters.labels(*self._names, letter.reason).inc()
        self._on_kept()
        self._log.debug("Kept as a dead letter", letterID=letter.id, reason=letter.reason, detail=letter.detail)

    async def _let_go(self, identity: str) -> None:
        async def remove() -> None:
            await (await self._bus.dead_letters()).remove(identity)

        await self._patiently(remove)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        pauses = Endless(0.05, 5)
        while True:
            self._lease.require()
            try:
                return await call()
            except Unavailable as error:
                if not pauses.count:
                    self._log.warning("Waiting for the dead letters' store", reason=str(error))
                await asyncio.sleep(pauses.next())


def _numbered(identity: str, redrives: int) -> str:
    """Each round that a letter makes has an id of its own, the same when it is kept again after a crash."""
    return f"{identity.partition('-')[0]}-{redrives}"
