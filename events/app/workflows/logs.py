"""`keryx wf logs`: the lines of a Workflow's pods, `POD: LINE`. Contract: workflows N."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.app.workflows.session import Session
from events.kube.api import KubeError, Object

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


async def show(session: Session, name: str, pod: str, wanted: Wanted, say: Callable[[str], None]) -> None:
    """Lines of all pods of a Workflow, or of one."""
    workflow = (await session.get(name))["metadata"]["name"]
    if not wanted.follows:
        found: list[tuple[str, str, str]] = []
        for one in await _pods(session, workflow, pod):
            found += [(moment, one, text) async for moment, text in _lines(session, one, wanted, follows=False)]
        for _, one, text in sorted(found, key=lambda line: line[0]):
            _say(one, text, wanted, say)
        return
    await _follow(session, workflow, pod, wanted, say)


async def _follow(session: Session, name: str, pod: str, wanted: Wanted, say: Callable[[str], None]) -> None:
    """Until the Workflow has ended and all its pods have been read."""
    seen: set[str] = set()

    async def read(one: str) -> None:
        async for _, text in _lines(session, one, wanted, follows=True):
            _say(one, text, wanted, say)

    async with asyncio.TaskGroup() as tasks:
        while True:
            is_over = (await session.get(name)).get("status", {}).get("phase") in _FINAL
            for one in await _pods(session, name, pod):
                if one not in seen:
                    seen.add(one)
                    tasks.create_task(read(one))
            if is_over:
                return
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


def _say(pod: str, text: str, _wanted: Wanted, say: Callable[[str], None]) -> None:
    say(f"{pod}: {text}")
