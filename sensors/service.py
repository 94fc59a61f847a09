"""Run one sensor: ownership, then one line per trigger (steps 5 and 12).

One owner per sensor. Losing ownership pauses it, never ends the process. A trigger that cannot be compiled stops alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from eventbus.base import Bus, Lease, Session, Start
from events.backoff import Endless
from events.clients import Clients
from events.errors import BusError, KeryxError, UserError
from events.findings import OF_SENSORS, Findings, Whose
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from sensors import removed, types
from sensors.compiling import Compiler
from sensors.health import Progress, SensorHealth
from sensors.trigger_runner import Owner, Plan, TriggerRunner

NOTHING_SAID = removed.Appeared()
# Of the process's grace, kept for what comes after the actions: last checkpoint, consumer, ownership.
_WIND_DOWN_SECONDS = 5.0


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
        appeared: removed.Appeared = NOTHING_SAID,
        session: Callable[[], Awaitable[Session]] | None = None,
        findings: Findings | None = None,
    ) -> None:
        """A trigger without a checkpoint starts when it `appeared`, if that is known, else at `since`.

        `session` is where ownership comes from, if not from the bus.
        """
        self.name = sensor.metadata.name
        self._bus, self._readiness = bus, readiness
        self._session = session or bus.session
        self._log = log.bind(**((sensor.spec.logging_fields or {}) | {"sensorName": self.name}))
        self._part = f"sensor {namespace}/{self.name}"
        actions = max(grace - _WIND_DOWN_SECONDS, grace / 2)
        owner = Owner(namespace, self.name, sensor.metadata.uid or "", since, actions)
        findings = findings or Findings()
        findings.speak_for(Whose(types.KIND, namespace, self.name, sensor.metadata.uid or ""), OF_SENSORS)
        self._health = SensorHealth(findings, clients.kube, self._log, namespace=namespace)
        plans = self._plans(sensor, clients, metrics, namespace)
        said = self._on_subscribed, self._on_wait
        owners = [replace(owner, since=appeared.triggers.get(plan.name, since)) for plan in plans]
        runners = zip(plans, owners, strict=True)
        self._runners = [TriggerRunner(plan, its, bus, metrics, self._log, *said) for plan, its in runners]
        self._owner, self._appeared = owner, appeared
        self._waiting = {plan.name for plan in plans}
        self._is_owner = False
        self._is_stopping = False
        if plans:
            readiness.waiting(self._part, "not subscribed yet")

    def _plans(self, sensor: types.Sensor, clients: Clients, metrics: Metrics, namespace: str) -> list[Plan]:
        """The triggers that can be started; what keeps the others from it is said once."""
        plans: dict[str, Plan] = {}
        compiler = Compiler(sensor, clients, metrics, self._log, namespace=namespace, health=self._health)
        for trigger in sensor.spec.triggers:
            name = trigger.template.name if trigger.template else ""
            try:
                if name in plans:
                    raise UserError("another trigger has this name", path="template.name")
                plans[name] = compiler.plan(trigger)
            except KeryxError as error:
                self._log.error("The trigger is not started", triggerName=name, reason=str(error))
                self._health.not_started(f"{name} (a second one)" if name in plans else name, str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours is this trigger's problem alone
                self._log.exception("The trigger is not started", error, triggerName=name)
                self._health.not_started(name, f"a defect: {error!r}")
        return list(plans.values())

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, then wind down within the grace."""
        working = asyncio.create_task(self._work() if self._runners else stopping.wait())
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
            self._readiness.ready(self._part)  # it is gone: nobody need wait for it
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
                session = await self._session()
                async with session.own(self._part, self._stand_by) as lease:
                    self._is_owner = True
                    self._log.info("I'm the LEADER, starting ...")
                    pauses.reset()
                    await self._lead(lease)
            except BusError as error:
                self._log.debug("Not leading", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours must not end the sensor for good
                self._log.exception("The sensor starts again after a defect", error)
            finally:
                self._is_owner = False
            if not self._is_stopping:
                await asyncio.sleep(pauses.next())

    def _stand_by(self) -> None:
        self._readiness.ready(self._part)

    def _on_subscribed(self, trigger: str) -> None:
        self._waiting.discard(trigger)
        if not self._waiting:
            self._waiting = {""}  # said once
            self._readiness.ready(self._part)
            self._log.info("Sensor started.", triggers=len(self._runners))

    def _on_wait(self, trigger: str, reason: str) -> None:
        if trigger in self._waiting:
            self._readiness.waiting(self._part, f"trigger {trigger}: {reason}")

    async def _lead(self, lease: Lease) -> None:
        """Run all triggers until the lease is lost or all have stopped."""
        tasks = [runner.start(lease) for runner in self._runners]
        forgetting = asyncio.create_task(self._forget(lease), name="removed triggers")
        looking = asyncio.create_task(self._health.run(self._bus, self._progress), name="health")
        lost = asyncio.create_task(lease.lost())
        try:
            running: asyncio.Future[Any] = asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.wait({running, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._stop_runners()
            await running
        finally:
            mine = (lost, forgetting, looking, *tasks)
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)

    def _progress(self) -> list[tuple[str, Progress]]:
        return [(one.plan.name, one.progress) for one in self._runners if one.progress is not None]

    async def _forget(self, lease: Lease) -> None:
        owner = self._owner
        if self._appeared.are_all:
            kept = {*self._appeared.triggers, *(runner.plan.name for runner in self._runners)}
            await removed.forget(self._bus, lease, kept, owner.namespace, owner.sensor, self._log)
