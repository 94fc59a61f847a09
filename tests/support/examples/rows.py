"""What is expected of each example: a row, and the usual ways to look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from support.examples.world import World

Check = Callable[[World], Awaitable[None]]
RAN, NOT_YET = "ran", "not yet"


@dataclass(frozen=True)
class Row:
    """One file or folder: what it shows, what becomes of it on one machine, and the proof."""

    path: str
    shows: str
    check: Check
    outcome: str = RAN


def made(namespace: str, sensor: str, says: str = "", *, trigger: str = "", count: int = 1) -> Check:
    """The sensor's Workflows succeed, and say something."""

    async def look(world: World) -> None:
        await world.succeeded(namespace, sensor, trigger, count=count, says=says)

    return look


def logged(namespace: str, sensor: str, *texts: str) -> Check:
    """The sensor's log has it."""

    async def look(world: World) -> None:
        await world.says(namespace, sensor, *texts)

    return look


def not_run(namespace: str, kind: str, name: str, part: str = "example") -> Check:
    """The status says that this version does not run it, and no pod is there for it."""

    async def look(world: World) -> None:
        parts = "SourcesProvided" if kind == "EventSource" else "TriggersProvided"
        told = await world.told(namespace, kind, name, parts, "NotRun")
        assert repr(part) in told["message"], told
        assert "is not run" in told["message"], told
        assert (await world.told(namespace, kind, name, "Deployed", "NotRun"))["status"] == "False"
        assert not await world.pods(namespace, kind, name)

    return look


def waits_for(namespace: str, kind: str, name: str, text: str) -> Check:
    """The status says what is missing."""

    async def look(world: World) -> None:
        async def missing() -> bool:
            told = await world.told(namespace, kind, name, "Deployed", "PodsNotReady")
            return text in told.get("message", "")

        await world.until(missing, lambda: f"{name} waits for {text}")

    return look
