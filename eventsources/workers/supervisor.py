"""Keep N workers of one EventSource: start, start again, drain; hold their ports; say together what they say."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

from events.backoff import Endless
from events.errors import UserError
from events.findings import OF_EVENT_SOURCES, SOURCES_WORKING, Findings, Whose
from events.logs import Log
from events.metrics import Metrics
from events.process import WIND_UP_SECONDS, Readiness
from eventsources import types
from eventsources.http import ports
from eventsources.registry import SOURCES
from eventsources.workers.plan import Plan
from eventsources.workers.slot import Slot

_KILL_SECONDS = 1.0
"""On top of what a worker has for its own winding up."""


def count(event_source: types.EventSource, log: Log) -> int:
    """How many processes are to serve this EventSource; 1: this one does."""
    wanted = min(event_source.spec.workers or 1, types.MAX_WORKERS)
    if wanted <= 1:
        return 1
    log = log.bind(eventSourceName=event_source.metadata.name)
    if sys.platform != "linux":
        log.warning("Several workers need Linux; one process serves", workers=wanted)
        return 1
    alone = [key for key, events in event_source.spec.sources.items() if events and not _is_everywhere(key)]
    if alone:
        log.warning("Only HTTP endpoints can have several workers; one process serves", workers=wanted, kinds=alone)
        return 1
    return wanted


def _is_everywhere(key: str) -> bool:
    try:
        return not SOURCES.load(key).active_passive
    except UserError:
        return True  # it is left out, whoever serves


class Supervisor:
    """The workers of one EventSource. `command` starts one; the pid of this process and its number are added."""

    def __init__(
        self,
        event_source: types.EventSource,
        number: int,
        command: Sequence[str],
        plan: Plan,
        *,
        metrics: Metrics,
        readiness: Readiness,
        log: Log,
        opened: Callable[[], Awaitable[None]] | None = None,
        findings: Findings | None = None,
    ) -> None:
        """`opened` returns when events may be published; None: at once."""
        name, uid = event_source.metadata.name, event_source.metadata.uid or ""
        self._findings = findings or Findings()
        self._findings.speak_for(Whose(types.KIND, plan.namespace, name, uid), OF_EVENT_SOURCES)
        self._plan, self._readiness, self._opened = plan, readiness, opened
        self._log = log.bind(eventSourceName=name)
        self._part = f"event source {plan.namespace}/{name}"
        self._parts = [f"{self._part} {event}" for events in event_source.spec.sources.values() for event in events]
        self._listening = metrics.source_workers.labels(plan.namespace, name)
        deaths = metrics.source_worker_deaths.labels(plan.namespace, name)
        self._slots = [
            Slot(n, (*command, str(os.getpid()), str(n)), plan, metrics.others, self._log) for n in range(1, number + 1)
        ]
        for slot in self._slots:
            slot.changed, slot.died = self._on_change, deaths.inc
        self._is_open = opened is None
        self._held: dict[str, socket.socket] = {}
        self._holding: dict[str, asyncio.Task[None]] = {}
        self._is_over = False
        for part in self._parts:
            readiness.waiting(part, "not listening yet")

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that run now."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then the workers drain, all at the same time. UserError when the plan cannot be used."""
        tasks = [asyncio.create_task(slot.run(), name=f"worker {slot.number}") for slot in self._slots]
        stopped = asyncio.create_task(stopping.wait())
        opening = asyncio.create_task(self._open())
        self._order()
        try:
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.is_set():
                await self._drain(tasks)
        finally:
            self._is_over = True
            mine = [stopped, opening, *self._holding.values(), *tasks]
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)
            for held in self._held.values():
                held.close()
            self._listening.set(0)
            for part in (*self._parts, *map(self._port_part, self._holding)):
                self._readiness.ready(part)  # nobody waits for what is not wanted any more
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _drain(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for slot in self._slots:
            slot.stop()
        _, left = await asyncio.wait(tasks, timeout=self._plan.around.grace + WIND_UP_SECONDS + _KILL_SECONDS)
        if left:
            self._log.error("Workers do not stop; they are killed", workers=len(left))

    # ---- what workers are told

    async def _open(self) -> None:
        if self._opened is not None:
            await self._opened()
            self._is_open = True
            self._order()

    def _order(self) -> None:
        for slot in self._slots:
            slot.order({"ports": sorted(self._held), "open": self._is_open})

    async def _hold(self, port: str, event: str) -> None:
        """Hold a port, for good; said once per reason while that cannot be."""
        pauses, said = Endless(0.2, 30), ""
        while True:
            try:
                self._held[port] = ports.reserve(self._plan.around.address, port, event)
            except UserError as error:
                self._readiness.waiting(self._port_part(port), str(error))
                self._findings.tell(SOURCES_WORKING, event, "PortNotFree", str(error))
                if said != str(error):
                    said = str(error)
                    self._log.warning("The workers cannot listen; it is tried again", reason=said)
                await asyncio.sleep(pauses.next())
                continue
            self._readiness.ready(self._port_part(port))
            self._findings.clear(SOURCES_WORKING, event)
            if said:
                self._log.info("The workers can listen", port=port)
            self._order()
            return

    def _port_part(self, port: str) -> str:
        return f"{self._part} port {port}"

    # ---- what they say

    def _on_change(self) -> None:
        if self._is_over:
            return
        for slot in self._slots:
            for port, event in slot.wanted.items():
                if port not in self._holding:
                    self._holding[port] = asyncio.create_task(self._hold(port, event), name=f"port {port}")
        listening = sum(slot.is_ready for slot in self._slots)
        self._listening.set(listening)
        now = asyncio.get_running_loop().time()
        missed = [slot for slot in self._slots if not (listening and slot.is_excused(now))]
        for part in self._parts:
            if text := _together({slot.number: reason for slot in missed if (reason := slot.reason(part))}):
                self._readiness.waiting(part, text)
            else:
                self._readiness.ready(part)


def _together(reasons: dict[int, str]) -> str:
    """What several workers say, once where they say the same."""
    numbers: dict[str, list[str]] = {}
    for number, reason in reasons.items():
        numbers.setdefault(reason, []).append(str(number))
    return "; ".join(
        f"worker{'s' if len(who) > 1 else ''} {', '.join(who)}: {reason}" for reason, who in numbers.items()
    )
