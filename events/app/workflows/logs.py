"""`keryx wf logs`: the lines of a Workflow's pods, `POD: LINE`. Contract: workflows N."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from events.app.workflows.session import Session
from events.errors import KeryxError
from events.kube.api import KubeError, Object
from events.local.workflows import names, phases
from events.local.workflows.artifacts import locations
from events.threads import in_thread

_FINAL = ("Succeeded", "Failed", "Error")


@dataclass(frozen=True)
class Wanted:
    """Which lines."""

    container: str = "main"
    follows: bool = False
    previous: bool = False
    since: str = ""
    tail: int = -1
    grep: str = ""
    timestamps: bool = False

    def params(self, *, follows: bool) -> dict[str, str]:
        """Of the API; times always come along, to put lines in order."""
        found = {"container": self.container, "timestamps": "true"}
        if follows:
            found["follow"] = "true"
        if self.previous:
            found["previous"] = "true"
        if self.since:
            found["sinceSeconds"] = self.since
        if self.tail >= 0:
            found["tailLines"] = str(self.tail)
        return found


Say = Callable[[str], None]


async def show(session: Session, name: str, pod: str, wanted: Wanted, say: Say, note: Say) -> None:
    """Lines of all pods of a Workflow, or of one; `note` is told what cannot be shown."""
    workflow = await session.get_or_archived(name)
    name = workflow["metadata"]["name"]
    if wanted.follows:
        seen = await _follow(session, workflow, pod, wanted, say)
        found: list[Line] = []
    else:
        seen = set(await _pods(session, name, pod))
        found = [Line(*line, one) for one in seen for line in await _all(session, one, wanted)]
    found += await _archived(session, workflow, pod, wanted, seen, note)
    for line in sorted(found, key=lambda line: (line.moment, line.pod)):
        say(f"{line.pod}: {line.text}")


@dataclass(frozen=True)
class Line:
    """What one pod said; those of archived logs have the time at which their pod began."""

    moment: str
    text: str
    pod: str


async def _all(session: Session, pod: str, wanted: Wanted) -> list[tuple[str, str]]:
    return [line async for line in _lines(session, pod, wanted, follows=False)]


async def _archived(
    session: Session, workflow: Object, only: str, wanted: Wanted, seen: set[str], note: Say
) -> list[Line]:
    """Logs of pods that are gone."""
    found: list[Line] = []
    for node in ((workflow.get("status") or {}).get("nodes") or {}).values():
        pod = names.pod_of(workflow, node)
        is_gone = node.get("type") == "Pod" and phases.is_completed(node) and pod not in seen
        if not is_gone or (only and only != pod):
            continue
        try:
            text = await _archived_text(session, workflow, node, wanted.container)
        except KeryxError as error:
            note(f"{pod}: its archived log cannot be read: {error}")
            continue
        if text is None:
            note(f"{pod} is gone, and its log was not archived (archiveLogs: true in the Workflow does)")
            continue
        lines = [one for one in text.splitlines() if not wanted.grep or re.search(wanted.grep, one)]
        lines = lines[max(0, len(lines) - wanted.tail) :] if wanted.tail >= 0 else lines
        found += [Line(str(node.get("startedAt", "")), one, pod) for one in lines]
    return found


async def _archived_text(session: Session, workflow: Object, node: Object, container: str) -> str | None:
    several = (node.get("outputs") or {}).get("artifacts") or ()
    artifact = next((one for one in several if one["name"] == f"{container}-logs" and not one.get("deleted")), None)
    if artifact is None:
        return None
    place = (workflow["status"].get("artifactRepositoryRef") or {}).get("artifactRepository") or {}
    location = locations.located(artifact["s3"], place)
    if location.bucket is None:
        session.folder()  # says what to do where the local store is out of reach
    store = await session.stores().of(workflow["metadata"]["namespace"], location)
    with TemporaryDirectory(prefix="keryx-logs-") as folder:
        file = Path(folder) / "log"
        if not await store.fetch(location.key, file):
            return None
        return await in_thread(lambda: file.read_text(encoding="utf-8", errors="replace"), "logs")


async def _follow(session: Session, workflow: Object, pod: str, wanted: Wanted, say: Say) -> set[str]:
    """Until the Workflow has ended and all its pods have been read; their names."""
    seen: set[str] = set()
    name = workflow["metadata"]["name"]

    async def read(one: str) -> None:
        async for _, text in _lines(session, one, wanted, follows=True):
            say(f"{one}: {text}")

    async with asyncio.TaskGroup() as tasks:
        while True:
            is_over = (await session.get_or_archived(name)).get("status", {}).get("phase") in _FINAL
            for one in await _pods(session, name, pod):
                if one not in seen:
                    seen.add(one)
                    tasks.create_task(read(one))
            if is_over:
                return seen
            await asyncio.sleep(0.3)


async def _pods(session: Session, workflow: str, only: str) -> list[str]:
    """Names of pods that have begun."""
    resource = await session.api.resource("v1", "Pod")
    selector = f"workflows.argoproj.io/workflow={workflow}"
    found = await session.api.list(resource, namespace=session.namespace, label_selector=selector)
    several: list[Object] = found["items"]
    begun = [one for one in several if (one.get("status") or {}).get("phase") not in (None, "Pending")]
    return sorted(str(one["metadata"]["name"]) for one in begun if not only or one["metadata"]["name"] == only)


async def _lines(session: Session, pod: str, wanted: Wanted, *, follows: bool) -> Any:
    params = wanted.params(follows=follows)
    try:
        async for line in session.api.logs(pod, namespace=session.namespace, params=params):
            moment, _, text = line.decode(errors="replace").partition(" ")
            if not wanted.grep or re.search(wanted.grep, text):
                yield moment, f"{moment} {text}" if wanted.timestamps else text
    except KubeError as error:
        if error.status not in (400, 404):  # not begun, or gone meanwhile
            raise
