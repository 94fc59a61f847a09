"""Triggers that a Sensor no longer has: what the bus keeps for them goes. Called by `service`, once per term.

Only a controller knows all triggers of an object: without its word nothing is removed. A trigger that is wrong at the
moment is not removed, and neither is anything of a Sensor that was deleted: one of the same name goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from eventbus.base import Bus, Lease
from events.backoff import Endless
from events.errors import BusError, InvalidEvent, NotOwner
from events.event import parse_time
from events.logs import Log
from sensors.checkpoint_store import reader, remembered


@dataclass(frozen=True, slots=True)
class Appeared:
    """What the controller says of a Sensor's triggers: when each first appeared, and whether these are all."""

    triggers: Mapping[str, datetime] = field(default_factory=dict)
    are_all: bool = False

    @classmethod
    def of_wire(cls, raw: Mapping[str, Any] | None, log: Log) -> Appeared:
        """From `since.json`. A time that cannot be read counts for nothing, and its trigger is still there."""
        found: dict[str, datetime] = {}
        listed = (raw or {}).get("triggers")
        names = listed if isinstance(listed, dict) else {}
        for name, text in names.items():
            try:
                found[name] = parse_time(str(text))
            except InvalidEvent:
                log.warning("A trigger's first appearance is no time; it starts with what is new", triggerName=name)
        are_all = (raw or {}).get("complete") is True and found.keys() == names.keys()
        return cls(found, are_all)


async def forget(bus: Bus, lease: Lease, kept: Collection[str], namespace: str, sensor: str, log: Log) -> None:
    """Remove what is left of triggers but those `kept`, while the Sensor is owned; tried until the bus has done it."""
    pauses = Endless(1, 60)
    while lease.held:
        try:
            state = await bus.state("state")
            for trigger, keys in (await remembered(state, sensor)).items():
                if trigger in kept:
                    continue
                lease.require()
                await bus.forget(reader(namespace, sensor, trigger))
                for key in keys:
                    lease.require()
                    await state.purge(key)
                log.info("Forgot a trigger that the Sensor no longer has", triggerName=trigger)
        except NotOwner:
            return
        except BusError as error:
            log.debug("Cannot forget removed triggers yet", reason=str(error))
            await asyncio.sleep(pauses.next())
        else:
            return
