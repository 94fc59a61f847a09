"""What is there before the first object of a user: the kinds that this project knows. They stay there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from events.app import crds
from events.backoff import Endless
from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.kube.informer import Informer
from events.local.workflows import definitions as workflows
from events.logs import Log

MANAGER = "keryx-up"
_KIND = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def definitions() -> list[dict[str, Any]]:
    """Of buses, sources and sensors, and of workflows."""
    return [*crds.definitions(), *workflows.definitions()]


async def install(api: KubeApi, wanted: list[dict[str, Any]], known: Path) -> None:
    """Create or renew the definitions; those that are as we last wrote them are left alone. Raises ActionError.

    `known` is a file with what was written: a judge of schemas takes half a second for all of them.
    """
    resource = await api.resource(*_KIND)
    former, there = _read(known), {}
    for it in (await api.list(resource)).get("items") or ():
        there[it["metadata"]["name"]] = it
    for it in wanted:
        name = it["metadata"]["name"]
        text = hashlib.sha256(json.dumps(it, sort_keys=True).encode()).hexdigest()
        found = there.get(name)
        if found is None or former.get(name) != _mark(found, text):
            former[name] = _mark(await _write(api, resource, it, found is None), text)
    with contextlib.suppress(OSError):
        known.write_text(json.dumps(former))  # noqa: ASYNC240 - a small file, once


async def _write(api: KubeApi, resource: Resource, it: dict[str, Any], is_new: bool) -> Object:  # noqa: FBT001 - known
    if is_new:
        try:
            return await api.create(it)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
    params = {"fieldManager": MANAGER, "force": "true"}
    return await api.patch(resource, it["metadata"]["name"], it, content_type=patches.APPLY, params=params)


def _mark(stored: Object, text: str) -> list[Any]:
    """What a definition is known by: another spec has another generation, another object another uid."""
    return [stored["metadata"]["uid"], stored["metadata"].get("generation"), text]


def _read(known: Path) -> dict[str, Any]:
    try:
        found = json.loads(known.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


async def keep(api: KubeApi, wanted: list[dict[str, Any]], known: Path, log: Log) -> None:
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
            missing.clear()  # what goes while these are made is missing again
            try:
                await install(api, [by_name[name] for name in names], known)
            except ActionError as error:
                log.warning("Definitions that were deleted cannot be made anew yet", reason=str(error))
                await asyncio.sleep(pauses.next())
                missing.update(names)
                changed.set()
                continue
            pauses.reset()
            log.info("Definitions that were deleted are there again, without their objects", definitions=names)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(informer.run())
        tasks.create_task(bring_back())
