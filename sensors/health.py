"""What is wrong with a Sensor at work: a trigger that fails, events that wait long, a full store of dead letters.

A finding stays until it is over. A missing permission is over as soon as the account has it, which every account may
ask of itself; all else when the trigger succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from eventbus.base import Bus
from eventbus.dead_letters import Figures
from events import findings
from events.errors import ActionError, BusError, CredentialError, KeryxError
from events.findings import Findings
from events.kube.api import KubeApi
from events.kube.permissions import Forbidden, Missing, is_granted, own_account
from events.logs import Log
from sensors import preflight
from sensors.preflight import Wanted

FAILING = "TriggerFailing"
LAGGING = "EventsWaiting"
NOT_STARTED = "NotStarted"
FULL = "DeadLettersFull"
LOOK_SECONDS = 15.0
LETTERS_SECONDS = 60.0
LAG_SECONDS = 300.0
"""So long events wait, and the last that was handled is so old, before it is told."""
_TRIES = 3
_FULL = 0.9


class Progress(Protocol):
    """How far a trigger is."""

    @property
    def lag(self) -> int:
        """Events that are stored, and that it is not done with."""
        ...

    @property
    def applied_ns(self) -> int:
        """When the last event that it is done with was stored; 0: unknown."""
        ...


class TriggerHealth:
    """What is wrong with the action of one trigger."""

    def __init__(self, found: Findings | None = None, name: str = "", wanted: Wanted | None = None) -> None:
        self._findings, self.name = found or Findings(), name
        self.wanted = wanted
        """What it will have to be allowed, where that is known before any event."""
        self._failures = 0
        self.missing: Missing | None = None
        """The permission that it failed for."""
        self.has_kept = False
        """Whether dead letters were kept since the store was looked at."""

    def kept(self) -> None:
        """A dead letter was kept: if the store is full, another one was discarded for it."""
        self.has_kept = True

    def failed(self, error: KeryxError, *, is_final: bool = False) -> None:
        """An attempt failed, or a firing for good. What is wrong with an event is not wrong with the trigger."""
        if isinstance(error, Forbidden):
            self._lacks(error.missing, str(error))
            return
        if not isinstance(error, ActionError | CredentialError):
            return
        self.missing = None
        self._failures += 1
        if isinstance(error, CredentialError):
            self._tell(findings.CREDENTIALS, str(error))
        elif is_final or self._failures >= _TRIES:
            self._tell(FAILING, f"its last attempt failed: {error}")

    def succeeded(self) -> None:
        """It works."""
        self._failures, self.missing = 0, None
        self._findings.clear(findings.TRIGGERS_WORKING, self.name)

    async def look_ahead(self, kube: KubeApi, namespace: str, user: str) -> None:
        """Whether what it will do is allowed at all, before there is an event. Raises ActionError."""
        if self.wanted is None or self.missing is not None:
            return
        missing = await preflight.permission(kube, self.wanted, namespace, user)
        if not await is_granted(kube, missing):
            self._lacks(missing, _text(missing))

    async def look(self, kube: KubeApi) -> bool:
        """Whether the permission that was missing is there now. Raises ActionError."""
        missing = self.missing
        if missing is None or not await is_granted(kube, missing):
            return False
        self.succeeded()
        return True

    def _lacks(self, missing: Missing, text: str) -> None:
        self.missing = missing
        self._tell(findings.FORBIDDEN, f"{text}{_advice(missing)}")

    def _tell(self, reason: str, message: str) -> None:
        self._findings.tell(findings.TRIGGERS_WORKING, self.name, reason, message)


class SensorHealth:
    """The findings of one Sensor in this process; `run` looks at what tells nothing by itself."""

    def __init__(
        self,
        found: Findings,
        kube: Callable[[], KubeApi],
        log: Log,
        now: Callable[[], float] = time.time,
        *,
        namespace: str = "",
    ) -> None:
        self._namespace = namespace
        self._findings, self._kube, self._log, self._now = found, kube, log, now
        self._triggers: list[TriggerHealth] = []
        self._behind: dict[str, float] = {}
        self._has_letters = False

    def trigger(self, name: str, wanted: Wanted | None = None) -> TriggerHealth:
        """Of a trigger."""
        made = TriggerHealth(self._findings, name, wanted)
        self._triggers.append(made)
        return made

    async def run(self, bus: Bus, progress: Callable[[], Iterable[tuple[str, Progress]]]) -> None:
        """Look for ever, while this process owns the Sensor; then nothing is known any more."""
        loop, letters_at = asyncio.get_running_loop(), 0.0
        self._has_letters = False
        try:
            await self.look_ahead(own_account())
            while True:
                await self.look_at_permissions()
                self.look_at_lag(progress())
                self._has_letters |= any(one.has_kept for one in self._triggers)
                if self._has_letters and loop.time() >= letters_at:
                    letters_at = loop.time() + LETTERS_SECONDS
                    await self._look_at_letters(bus)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._forget()

    async def look_ahead(self, user: str) -> None:
        """What no event can change is looked at once, where the account is known: in a pod."""
        for one in self._triggers if user else ():
            try:
                await one.look_ahead(self._kube(), self._namespace, user)
            except KeryxError as error:  # then the first event says it
                self._log.debug("Permissions cannot be asked for", reason=str(error))
                continue
            if one.missing is not None:
                self._log.warning("A permission is missing", triggerName=one.name, reason=_text(one.missing))

    def _forget(self) -> None:
        """Somebody else runs the Sensor now, and knows."""
        self._behind.clear()
        self._findings.clear(findings.DEAD_LETTERS_KEPT, "")
        for one in self._triggers:
            one.succeeded()
            self._findings.clear(findings.KEEPING_UP, one.name)

    def not_started(self, name: str, why: str) -> None:
        """A trigger does not run, in this process nor in another one."""
        self._triggers = [one for one in self._triggers if one.name != name]
        self._findings.tell(findings.TRIGGERS_WORKING, name, NOT_STARTED, why)

    async def look_at_permissions(self) -> None:
        """Those that were missing may have been given."""
        for one in self._triggers:
            if one.missing is None:
                continue
            try:
                if await one.look(self._kube()):
                    self._log.info("The permission is there now", triggerName=one.name)
            except KeryxError as error:  # then the next success says it
                self._log.debug("Permissions cannot be asked for", reason=str(error))

    def look_at_lag(self, progress: Iterable[tuple[str, Progress]]) -> None:
        """Events that have waited long, and nothing newer was handled meanwhile."""
        now = self._now()
        for name, one in progress:
            if not one.lag:
                self._behind.pop(name, None)
                self._findings.clear(findings.KEEPING_UP, name)
                continue
            since = self._behind.setdefault(name, now)
            handled = one.applied_ns / 1e9 or since
            if now - max(since, handled) >= LAG_SECONDS:
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(handled))
                text = f"{one.lag} events wait; the last that it is done with was stored at {at}"
                self._findings.tell(findings.KEEPING_UP, name, LAGGING, text)
            elif now - handled < LAG_SECONDS:
                self._findings.clear(findings.KEEPING_UP, name)

    async def _look_at_letters(self, bus: Bus) -> None:
        try:
            self.look_at_letters(await (await bus.dead_letters()).figures())
        except BusError as error:
            self._log.debug("The dead letters' store cannot be looked at", reason=str(error))

    def look_at_letters(self, figures: Figures) -> None:
        """Whether letters go that nobody has looked at."""
        if figures.bytes < _FULL * figures.max_bytes:
            self._findings.clear(findings.DEAD_LETTERS_KEPT, "")
            return
        text = (
            f"the store of dead letters has {figures.bytes} of {figures.max_bytes} bytes: the oldest are discarded;"
            " look at them with `keryx dlq list`, then redrive or purge them"
        )
        self._findings.tell(findings.DEAD_LETTERS_KEPT, "", FULL, text)


def _text(missing: Missing) -> str:
    return f"{missing}; cure: {missing.cure}"


def _advice(missing: Missing) -> str:
    """What else may be meant: without `serviceAccountName` pods have the account that has no rights."""
    account: Sequence[str] = missing.account or ("", "")
    if account[1] != "default":
        return ""
    return "; or name an account that has it in the Sensor's spec.template.serviceAccountName"
