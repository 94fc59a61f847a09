"""A node of the tests: containers of pods are processes of this machine, restarted never, volumes where they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from events.kube import patches
from events.kube.api import KubeApi, KubeError
from events.kube.informer import Informer

Object = dict[str, Any]


class PodPlayer:
    """Runs every pod that appears; with `runs` false nothing is run, and `codes` (by name) are how it ended."""

    def __init__(self, api: KubeApi, *, runs: bool = True) -> None:
        self.api, self.runs = api, runs
        self.codes: dict[str, int] = {}
        self.started: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self._seen: set[str] = set()
        self._playing: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup
        self._slots = asyncio.Semaphore(16)
        self._pods = Informer(api, "v1", "Pod")

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[PodPlayer]:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            following = tasks.create_task(self._pods.run())
            self._pods.subscribe(self._note)
            try:
                yield self
            finally:
                following.cancel()
                for task in self._playing.values():
                    task.cancel()

    def _note(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and (task := self._playing.get(old["metadata"]["uid"])):
            task.cancel()
        if new is None or new["metadata"]["uid"] in self._seen or (new.get("status") or {}).get("phase") in _OVER:
            return
        self._seen.add(new["metadata"]["uid"])
        task = self._tasks.create_task(self._play(new))
        self._playing[new["metadata"]["uid"]] = task

    async def _play(self, pod: Object) -> None:
        async with self._slots:
            await self.held.wait()
            self.started.append(pod["metadata"]["name"])
            names = [one["name"] for one in pod["spec"]["containers"]]
            running = [{"name": one, "ready": True, "state": {"running": {}}} for one in names]
            await self._status(pod, {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": running})
            codes = await asyncio.gather(*(self._container(pod, one) for one in pod["spec"]["containers"]))
            statuses = [
                {"name": name, "state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}}
                for name, code in zip(names, codes, strict=True)
            ]
            phase = "Failed" if any(codes) else "Succeeded"
            await self._status(pod, {"phase": phase, "containerStatuses": statuses})

    async def _container(self, pod: Object, container: Object) -> int:
        name = pod["metadata"]["name"]
        if not self.runs:
            return self.codes.get(name, 0)
        env = dict(os.environ)
        for one in container.get("env") or ():
            path = ((one.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
            env[one["name"]] = pod["metadata"]["uid"] if path == "metadata.uid" else str(one.get("value", ""))
        argv = [*(container.get("command") or ()), *(container.get("args") or ())]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            return await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _status(self, pod: Object, status: Object) -> None:
        meta = pod["metadata"]
        resource = await self.api.resource("v1", "Pod")
        with contextlib.suppress(KubeError):
            await self.api.patch(
                resource,
                meta["name"],
                {"status": status},
                content_type=patches.MERGE,
                namespace=meta["namespace"],
                status=True,
            )


_OVER = ("Succeeded", "Failed")
