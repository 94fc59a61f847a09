"""Run one sensor: ownership, then one line per trigger (steps 5 and 12).

One owner per sensor. Losing ownership pauses it, never ends the process. A trigger that cannot be compiled stops alone.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from eventbus.base import Bus, Lease, Start
from events.backoff import Endless
from events.clients import Clients
from events.errors import BusError, UserError
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from sensors import compiling, types
from sensors.trigger_runner import Owner, TriggerRunner


class SensorService:
    """One sensor in this process."""

    def __init__(
        self,
        sensor: types.Sensor,
        bus: Bus,
        clients: Clients,
        metrics: Metrics,
        readiness: Readiness,
        log: Log,
        *,
        namespace: str,
        grace: float,
        since: datetime | Start = Start.NEW,
    ) -> None:
        self.name = sensor.metadata.name
        self._bus, self._readiness = bus, readiness
        self._log = log.bind(sensorName=self.name, **(sensor.spec.logging_fields or {}))
        self._part = f"sensor {namespace}/{self.name}"
        owner = Owner(namespace, self.name, sensor.metadata.uid or "", since, grace)
        self._runners: list[TriggerRunner] = []
        for trigger in sensor.spec.triggers:
            try:
                plan = compiling.plan(sensor, trigger, clients, metrics, self._log, namespace=namespace)
            except UserError as error:
                name = trigger.template.name if trigger.template else ""
                self._log.error("The trigger is not started", triggerName=name, reason=str(error))
                continue
            self._runners.append(TriggerRunner(plan, owner, bus, metrics, self._log, self._on_subscribed))
        self._waiting = {runner.plan.name for runner in self._runners}
        self._is_owner = False
        self._is_stopping = False
        readiness.waiting(self._part, "not subscribed yet")

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, then wind down within the grace."""
        working = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            self._is_stopping = True
            if self._is_owner:
                self._stop_runners()
            else:
                working.cancel()
            await asyncio.wait({working})
            if not working.cancelled():
                working.result()
        finally:
            stopped.cancel()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            for runner in self._runners:
                await runner.plan.action.aclose()

    def _stop_runners(self) -> None:
        for runner in self._runners:
            runner.stop()

    async def _work(self) -> None:
        """One term of ownership after another."""
        pauses = Endless(0.1, 5)
        while not self._is_stopping:
            try:
                session = await self._bus.session()
                async with session.own(self._part, self._stand_by) as lease:
                    self._is_owner = True
                    self._log.info("I'm the LEADER, starting ...")
                    pauses.reset()
                    await self._lead(lease)
            except BusError as error:
                self._log.debug("Not leading", reason=str(error))
                await asyncio.sleep(pauses.next())
            finally:
                self._is_owner = False

    def _stand_by(self) -> None:
        self._readiness.ready(self._part)

    def _on_subscribed(self, trigger: str) -> None:
        self._waiting.discard(trigger)
        if not self._waiting:
            self._waiting = {""}  # said once
            self._readiness.ready(self._part)
            self._log.info("Sensor started.", triggers=len(self._runners))

    async def _lead(self, lease: Lease) -> None:
        """Run all triggers until the lease is lost or all have stopped."""
        tasks = [runner.start(lease) for runner in self._runners]
        lost = asyncio.create_task(lease.lost())
        try:
            running: asyncio.Future[Any] = asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.wait({running, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._stop_runners()
            await running
            if not tasks:
                await lost
        finally:
            lost.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
