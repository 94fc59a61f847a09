"""Ownership by a Kubernetes Lease instead of the bus: where the annotation asks for it. Contract: B.9, 0.4, 1.8.

Keeps the contract of `Session`; one process, one object, one Lease. The deadline of an owner ends before anybody else
may take over: it counts from before its last renewal was sent, for less than the Lease says to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from events import durations
from events.errors import ActionError, KeryxError, NotOwner, UserError
from events.kube.api import KubeApi
from events.kube.election import Lock, Times
from events.logs import Log

DEFAULTS = Times(lease=5.0, renew=2.0, retry=1.0)
_VARIABLES = {
    "lease": "LEADER_ELECTION_LEASE_DURATION",
    "renew": "LEADER_ELECTION_RENEW_DEADLINE",
    "retry": "LEADER_ELECTION_RETRY_PERIOD",
}


def times(given: Mapping[str, str], log: Log) -> Times:
    """From the variables of the environment; the default, and a warning, for what cannot be used."""
    found = {}
    for field, variable in _VARIABLES.items():
        found[field] = getattr(DEFAULTS, field)
        if not (text := given.get(variable, "")):
            continue
        try:
            if (seconds := durations.seconds(text)) <= 0:
                raise UserError("must be positive")
            found[field] = seconds
        except UserError as error:
            log.warning("The default is taken", variable=variable, value=text, reason=error.message)
    # Others are told whole seconds.
    chosen = Times(math.ceil(found["lease"]), found["renew"], found["retry"])
    if not chosen.retry < chosen.renew < chosen.lease:
        reason = "the retry period must be less than the renew deadline, and that less than the lease duration"
        log.warning("The defaults of leader election are taken", reason=reason)
        return DEFAULTS
    return chosen


@dataclass(frozen=True, slots=True)
class Candidate:
    """For which Lease a pod stands, under which name."""

    namespace: str
    lease: str
    pod: str


class KubernetesSession:
    """This process's candidacy for one Lease."""

    def __init__(self, api: Callable[[], KubeApi], candidate: Candidate, log: Log, *, times: Times = DEFAULTS) -> None:
        self._api, self._candidate, self._times = api, candidate, times
        self._log = log.bind(lease=f"{candidate.namespace}/{candidate.lease}")
        self._is_failing = False

    @asynccontextmanager
    async def own(self, _name: str, on_standby: Callable[[], None] | None = None) -> AsyncIterator[LeaseTerm]:
        """Wait until the Lease is free; own it until it cannot be renewed in time, or the block ends.

        The name is the Lease's: a pod has one object.
        """
        lock = self._lock()
        await self._take(lock, on_standby)
        term = LeaseTerm(lock)
        renewing = asyncio.create_task(self._renew(lock, term), name="lease renewal")
        try:
            yield term
        finally:
            term.end()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with contextlib.suppress(ActionError, TimeoutError):
                async with asyncio.timeout(self._times.renew):
                    await lock.release()

    def _lock(self) -> Lock:
        """Another identity each time: what an earlier term left undone is nobody's claim to this one."""
        it = self._candidate
        return Lock(self._api(), it.namespace, it.lease, f"{it.pod}_{uuid.uuid4().hex[:12]}", times=self._times)

    async def _take(self, lock: Lock, on_standby: Callable[[], None] | None) -> None:
        holder = ""
        while not await self._attempt(lock, self._times.lease):
            if lock.holder and lock.holder != holder:
                if not holder and on_standby is not None:
                    on_standby()
                holder = lock.holder
                self._log.info("Not the LEADER, stand by ...", leader=holder)
            await asyncio.sleep(lock.wait)

    async def _renew(self, lock: Lock, term: LeaseTerm) -> None:
        """Until the Lease is not ours, at the latest at its deadline."""
        try:
            while lock.left > 0:
                await asyncio.sleep(min(self._times.retry, lock.left))
                if lock.left > 0:
                    await self._attempt(lock, min(lock.left, self._times.retry))
            self._log.warning("The Lease is lost; what it owned is paused", leader=lock.holder)
        finally:
            term.end()

    async def _attempt(self, lock: Lock, seconds: float) -> bool:
        """One step; said once when it begins to fail."""
        try:
            async with asyncio.timeout(seconds):
                is_ours = await lock.attempt()
        except (KeryxError, TimeoutError) as error:
            if not self._is_failing:
                self._log.warning("The Lease cannot be read or written", reason=str(error) or "no answer in time")
            self._is_failing = True
            return lock.left > 0
        self._is_failing = False
        return is_ours and lock.left > 0


class LeaseTerm:
    """One term of ownership."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._over = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether the deadline has not passed."""
        return not self._over.is_set() and self._lock.left > 0

    def require(self) -> None:
        """NotOwner unless held."""
        if not self.held:
            raise NotOwner(f"the term of the Lease is over; holder: {self._lock.holder or 'nobody'}")

    async def lost(self) -> None:
        """Returns when the term is over."""
        await self._over.wait()

    def end(self) -> None:
        """It is over, and stays so."""
        self._over.set()


def asked_for(value: str) -> bool:
    """Whether LEADER_ELECTION, or the annotation that it copies, asks for a Lease."""
    return value.lower() == "k8s"


def opener(session: KubernetesSession) -> Callable[[], Awaitable[KubernetesSession]]:
    """In the place of `Bus.session`."""

    async def opened() -> KubernetesSession:
        return session

    return opened
