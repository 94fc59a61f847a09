"""What is there before the first object of a user: the kinds that this project knows. They stay there."""

from __future__ import annotations

import asyncio
from typing import Any

from events.app import crds
from events.backoff import Endless
from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object
from events.kube.informer import Informer
from events.local.workflows import definitions as workflows
from events.logs import Log

MANAGER = "keryx-up"
_KIND = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def definitions() -> list[dict[str, Any]]:
    """Of buses, sources and sensors, and of workflows."""
    return [*crds.definitions(), *workflows.definitions()]


async def install(api: KubeApi, wanted: list[dict[str, Any]]) -> None:
    """Create or renew the definitions. Raises ActionError."""
    resource = await api.resource(*_KIND)
    for it in wanted:
        try:
            await api.create(it)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            params = {"fieldManager": MANAGER, "force": "true"}
            await api.patch(resource, it["metadata"]["name"], it, content_type=patches.APPLY, params=params)


async def keep(api: KubeApi, wanted: list[dict[str, Any]], log: Log) -> None:
    """Bring back definitions that are deleted, as when an installation is taken away; until cancelled."""
    by_name = {it["metadata"]["name"]: it for it in wanted}
    missing: set[str] = set()
    changed = asyncio.Event()

    def follow(old: Object | None, new: Object | None) -> None:
        name = (old or new or {})["metadata"]["name"]
        if new is None and name in by_name:
            missing.add(name)
            changed.set()

    informer = Informer(api, *_KIND, trim=lambda it: {"metadata": {"name": it["metadata"]["name"]}}, log=log)
    informer.subscribe(follow)

    async def bring_back() -> None:
        pauses = Endless(0.2, 10)
        while True:
            await changed.wait()
            changed.clear()
            names = sorted(missing)
            try:
                await install(api, [by_name[name] for name in names])
            except ActionError as error:
                log.warning("Definitions that were deleted cannot be made anew yet", reason=str(error))
                await asyncio.sleep(pauses.next())
                changed.set()
                continue
            missing.difference_update(names)
            pauses.reset()
            log.info("Definitions that were deleted are there again, without their objects", definitions=names)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(informer.run())
        tasks.create_task(bring_back())
