"""One of several replicas leads, by a Lease. Contract: sensors F.1 (15 s, 10 s, 2 s).

Clocks are never compared: who waits measures with its own clock how long the Lease has not changed, who leads how long
ago it last began a renewal that succeeded. The leader's time ends before anybody else's begins, and it then stops at
once, whatever it is doing: `check` is asked before every write, so also after the whole process stood still.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeApi, KubeError, Object
from events.logs import Log

NAME = "argo-events-controller"
_LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps: others do not sleep with it."""


_OURS = "_keryx_"
"""Part of the identity of a candidate of this program: of such a leader we know when it stops by itself."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: how long a Lease holds for others, a leader goes on without renewing it, either waits between looks."""

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    @property
    def succession(self) -> float:
        """After how long without renewal a leader of this program is followed: dead ones are, within the 15 s."""
        return min(self.lease, self.renew + self.retry)


class NotLeading(ActionError):
    """A write that a process may not do, because the Lease is not its own (any more)."""


def identity(pod: str) -> str:
    """Who a candidate is: another one each time it starts."""
    return f"{pod}{_OURS}{uuid.uuid4().hex[:12]}"


def _clock() -> float:
    return time.clock_gettime(_CLOCK)


class Leadership(Protocol):
    """What an election is about: who may write, and for how long."""

    identity: str
    times: Times

    @property
    def holder(self) -> str:
        """Who has it, as last seen."""
        ...

    @property
    def left(self) -> float:
        """Seconds for which it is ours without renewal; at most 0 when it is not."""
        ...

    @property
    def wait(self) -> float:
        """Seconds until it is worth another attempt of who does not hold it."""
        ...

    def check(self) -> None:
        """NotLeading unless it is ours now."""
        ...

    async def attempt(self) -> bool:
        """Take or renew it; whether it is ours now. ActionError without an answer."""
        ...

    async def release(self) -> None:
        """Give it up. ActionError without an answer."""
        ...


class Lock:
    """One Lease and one candidate for it: a step at a time, without any loop."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        times: Times = Times(),
        clock: Callable[[], float] = _clock,
    ) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self.identity, self.times, self._clock = identity, times, clock
        self._seen: tuple[Any, ...] = ()
        self._seen_at = self._free_at = 0.0
        self._until = 0.0
        self.holder = ""
        """Who holds the Lease, as last seen."""

    @property
    def left(self) -> float:
        """Seconds for which it is ours without renewal; at most 0 when it is not."""
        return self._until - self._clock()

    @property
    def wait(self) -> float:
        """Seconds until it is worth another attempt of who does not hold it."""
        until_free = self._free_at - self._clock()
        return min(self.times.retry, until_free + 0.01) if until_free > 0 else self.times.retry

    def check(self) -> None:
        """NotLeading unless the Lease is ours now."""
        if self.left <= 0:
            raise NotLeading(f"the Lease {self._namespace}/{self._name} is not ours; holder: {self.holder or 'nobody'}")

    async def attempt(self) -> bool:
        """Take or renew the Lease if it is free or ours; whether it is ours now. ActionError without an answer."""
        begun = self._clock()
        try:
            lease = await self._read()
            if lease is None:
                await self._api.create(self._claim({}, {}), namespace=self._namespace)
            elif not self._is_free(lease):
                self._until = 0.0
                return False
            else:
                await self._api.replace(self._claim(lease, lease.get("spec") or {}), namespace=self._namespace)
        except KubeError as error:
            if error.status != 409:
                raise
            # Somebody wrote first, or our own write before this one went unanswered: the next attempt will see.
            return self.left > 0
        self.holder, self._until = self.identity, begun + self.times.renew
        return True

    async def release(self) -> None:
        """Give the Lease up, so that another need not wait. ActionError without an answer."""
        self._until = 0.0
        lease = await self._read()
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self.identity:
            return
        spec = (lease.get("spec") or {}) | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        await self._api.replace(lease | {"spec": spec}, namespace=self._namespace)

    async def _read(self) -> Object | None:
        resource = await self._api.resource(_LEASE["apiVersion"], _LEASE["kind"])
        try:
            return await self._api.get(resource, self._name, namespace=self._namespace)
        except KubeError as error:
            if error.status != 404:
                raise
            return None

    def _is_free(self, lease: Object) -> bool:
        """Whether nobody holds it, or we do, or its holder has not renewed it for as long as it holds."""
        spec = lease.get("spec") or {}
        seen = (lease["metadata"].get("resourceVersion"), spec.get("holderIdentity"), spec.get("renewTime"))
        now = self._clock()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        self.holder = spec.get("holderIdentity") or ""
        holds = self.times.succession if _OURS in self.holder else float(spec.get("leaseDurationSeconds") or 0)
        self._free_at = self._seen_at + max(holds, self.times.renew)
        return self.holder in ("", self.identity) or now >= self._free_at

    def _claim(self, lease: Object, spec: Object) -> Object:
        now, is_ours = _now(), spec.get("holderIdentity") == self.identity
        claimed = spec | {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.times.lease)),
            "renewTime": now,
        }
        if not is_ours or "acquireTime" not in claimed:
            claimed["acquireTime"] = now
            claimed["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
        named = lease or _LEASE | {"metadata": {"name": self._name, "namespace": self._namespace}}
        return objects.copied(named | {"spec": claimed})


class Election:
    """Runs work while this process leads, and contends again when it no longer does."""

    def __init__(self, lock: Leadership, *, log: Log, on_change: Callable[[bool], None] = lambda _leads: None) -> None:
        self._lock, self._on_change = lock, on_change
        self._log = log.bind(identity=lock.identity)
        self._is_failing = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever possible, until the work returns; when cancelled, end it and give the Lease up.

        `work` is cancelled as soon as the Lease is not ours, and called again when it is; its errors are raised.
        """
        try:
            await self._contend()
            while not await self._lead(work):
                await self._contend()
        finally:
            await asyncio.shield(self._release())

    async def _contend(self) -> None:
        """Returns once the Lease is ours."""
        holder = ""
        while not await self._attempt():
            if self._lock.holder and self._lock.holder != holder:
                holder = self._lock.holder
                self._log.info("Not the LEADER, stand by ...", leader=holder)
            await asyncio.sleep(self._lock.wait)

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work while the Lease is ours; whether it came to its end."""
        self._log.info("I'm the LEADER, starting ...")
        self._on_change(True)  # noqa: FBT003 - what it became
        task = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew())
        try:
            await asyncio.wait({task, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
                return True
            self._log.warning("Not the LEADER any more, stopping", leader=self._lock.holder)
            return False
        finally:
            self._on_change(False)  # noqa: FBT003 - what it became
            for one in (renewing, task):
                one.cancel()
            await asyncio.wait({task, renewing})

    async def _renew(self) -> None:
        """Returns once the Lease is not ours, at the latest at the end of its time."""
        while self._lock.left > 0:
            await asyncio.sleep(min(self._lock.times.retry, max(0.0, self._lock.left)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._lock.left)):
                    await self._attempt()

    async def _attempt(self) -> bool:
        """One step; without an answer it is ours for as long as it was."""
        try:
            is_ours = await self._lock.attempt()
        except ActionError as error:
            if not self._is_failing:
                self._log.warning("The Lease cannot be read or written", reason=str(error), left=round(self._lock.left))
            self._is_failing = True
            return self._lock.left > 0
        self._is_failing = False
        return is_ours

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(self._lock.times.retry):
                await self._lock.release()
        except (ActionError, TimeoutError) as error:
            self._log.warning("The Lease could not be given up: others wait until it ends", reason=str(error))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
