"""The built-in controllers hold the Leases that installed ones ask for, so that those stand by.

Held are: that of the namespace `argo-events` once there is one, and those of namespaces where a Deployment runs a
controller, or where such a Lease already is. Who else holds one leads, and the built-in controllers stand by: never do
two reconcile the same objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from events.errors import ActionError
from events.kube import election
from events.kube.api import KubeApi, Object
from events.kube.informer import Informer
from events.logs import Log

HOME = "argo-events"
IDENTITY = "keryx-up"
"""The same at every start: the data directory lets in one at a time, and after a crash nobody waits for himself."""
_ALWAYS = 3600.0
_RENEWED_BELOW = 0.5
"""Of the time that a Lease is ours: a write to the disk every five seconds, not every two."""
_COMMAND = "controller"
_SECONDS = 4.0
"""For one request about a Lease: one that hangs must leave time for another."""


class Leases:
    """All those Leases as one: ours when every one of them is."""

    def __init__(self, api: KubeApi, log: Log, *, times: election.Times | None = None) -> None:
        self._api, self._log = api, log
        self.identity, self.times = IDENTITY, times or election.Times()
        self._locks: dict[str, election.Lock] = {}
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self._namespaces = Informer(api, "v1", "Namespace", trim=_names_only, log=log)
        self._deployments = Informer(api, "apps/v1", "Deployment", trim=_with_commands, log=log)
        self._leases = Informer(api, "coordination.k8s.io/v1", "Lease", trim=_names_only, log=log)
        for one in (self._namespaces, self._deployments, self._leases):
            one.subscribe(lambda _old, _new: self._changed.set())

    async def run(self) -> None:
        """Follow what is asked for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in (self._namespaces, self._deployments, self._leases):
                tasks.create_task(one.run())
            await self.synced()
            while True:
                self._changed.clear()
                await self._follow()
                await self._changed.wait()

    async def synced(self) -> None:
        """Returns once it is known who asks."""
        for one in (self._namespaces, self._deployments, self._leases):
            await one.synced()

    def wanted(self) -> set[str]:
        """The namespaces whose Lease must be ours."""
        alive = {one["metadata"]["name"] for one in self._namespaces.all() if _is_alive(one)}
        asked = {one["metadata"]["namespace"] for one in self._deployments.all() if runs_controller(one)}
        there = {one["metadata"]["namespace"] for one in self._leases.all() if one["metadata"]["name"] == election.NAME}
        return (asked | there | {HOME}) & alive

    async def _follow(self) -> None:
        """Take what is newly asked for at once: a controller that was just installed takes a second to start."""
        wanted = self.wanted()
        for gone in self._locks.keys() - wanted:
            del self._locks[gone]
        for namespace in sorted(wanted - self._locks.keys()):
            lock = election.Lock(self._api, namespace, election.NAME, IDENTITY, times=self.times)
            try:
                async with self._busy, asyncio.timeout(_SECONDS):
                    is_ours = await lock.attempt()
            except (ActionError, TimeoutError) as error:
                self._log.debug("A Lease cannot be taken yet", namespace=namespace, reason=str(error))
                asyncio.get_running_loop().call_later(self.times.retry, self._changed.set)
                continue
            # Only now, so that nothing stops for the moment that it takes.
            self._locks[namespace] = lock
            if is_ours:
                self._log.info("Controllers installed there stand by: ours work", namespace=namespace)
            else:
                self._log.warning("Another controller works; ours stand by", namespace=namespace, leader=lock.holder)

    # ---- as a Leadership

    @property
    def holder(self) -> str:
        """Who holds one that is not ours; else we."""
        return next((one.holder for one in self._locks.values() if one.left <= 0), IDENTITY)

    @property
    def left(self) -> float:
        """Seconds; an hour while nobody asks for any Lease."""
        return min((one.left for one in self._locks.values()), default=_ALWAYS)

    @property
    def wait(self) -> float:
        """Seconds until another attempt."""
        return max((one.wait for one in self._locks.values()), default=self.times.retry)

    def check(self) -> None:
        """NotLeading unless all are ours."""
        for one in self._locks.values():
            one.check()

    async def attempt(self) -> bool:
        """Renew those that have used up half of their time, take those that are free."""
        await self._each(lambda lock: lock.left < self.times.renew * _RENEWED_BELOW, lambda lock: lock.attempt())
        return self.left > 0

    async def release(self) -> None:
        """Give up those that are ours."""
        await self._each(lambda lock: lock.left > 0, lambda lock: lock.release())

    async def _each(
        self, is_due: Callable[[election.Lock], bool], do: Callable[[election.Lock], Awaitable[Any]]
    ) -> None:
        """All of them, whatever becomes of one; then what went wrong."""
        failures: list[ActionError] = []
        async with self._busy:
            for lock in [one for one in self._locks.values() if is_due(one)]:
                try:
                    async with asyncio.timeout(_SECONDS):
                        await do(lock)
                except TimeoutError:
                    failures.append(ActionError(f"no answer within {_SECONDS:g} s"))
                except ActionError as error:
                    failures.append(error)
        if failures:
            raise failures[0]


def runs_controller(deployment: Object) -> bool:
    """Whether its pods run a controller of ours or of Argo Events."""
    containers = deployment["spec"]["template"]["spec"].get("containers") or ()
    return any(_COMMAND in [*(one.get("command") or ()), *(one.get("args") or ())] for one in containers)


def _is_alive(namespace: Object) -> bool:
    return not namespace["metadata"].get("deletionTimestamp")


def _names_only(it: Object) -> Object:
    kept = ("name", "namespace", "deletionTimestamp", "resourceVersion")
    return {"metadata": {key: it["metadata"][key] for key in kept if key in it["metadata"]}}


def _with_commands(it: Object) -> Object:
    containers = [
        {key: one[key] for key in ("command", "args") if key in one}
        for one in it["spec"]["template"]["spec"].get("containers") or ()
    ]
    return _names_only(it) | {"spec": {"template": {"spec": {"containers": containers}}}}
