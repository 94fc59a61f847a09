"""What happens while `keryx up` runs in a terminal: a line when a pod fails, a Workflow ends, a Sensor becomes ready.

`told` is pure: from how an object was and is to a line, or to nothing. More than a screen can show is only counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from events.app.local import health
from events.app.local.health import Health
from events.kube.api import KubeApi
from events.kube.informer import Informer
from events.logs import Log

Object = dict[str, Any]
_OF_WORKFLOW = "workflows.argoproj.io/workflow"
_LONGEST = 160
_AT_ONCE, _SECONDS = 12, 1.0
"""Lines in that time."""


def told(old: Object | None, new: Object | None) -> tuple[str, bool] | None:
    """The line about a change, and whether it is bad news; None when it is none."""
    if new is None:
        return None
    name, now = health.name_of(new), health.of(new)
    before = health.of(old) if old is not None else None
    if new.get("kind") == "Workflow":
        return _workflow(name, before, now, new)
    if now == before or now.word == "goes":
        return None
    if new.get("kind") == "Pod":
        return _pod(name, before, now, new)
    if now.word == "ready":
        return f"{name} is ready", False
    was_ready = before is not None and before.word == "ready"
    return (f"{name} is not ready any more: {now.reason}", True) if was_ready else None


def _workflow(name: str, before: Health | None, now: Health, new: Object) -> tuple[str, bool] | None:
    if before is None:
        return f"{name} created", False
    if before.word == now.word or now.word not in ("ended", "failed"):
        return None
    status = new.get("status") or {}
    text = f"{name} {status.get('phase')}"
    return (f"{text}: {now.reason}", True) if now.word == "failed" else (text, False)


def _pod(name: str, before: Health | None, now: Health, new: Object) -> tuple[str, bool] | None:
    is_step = _OF_WORKFLOW in (new["metadata"].get("labels") or {})
    if now.word == "failed":
        return f"{name} failed: {now.reason}", True
    if now.word == "waits":
        is_new = before is None or before.word != "waits" or _cause(before) != _cause(now)
        is_starting = "being started" in now.reason
        return (f"{name} waits: {now.reason}", True) if is_new and not is_starting else None
    if is_step:
        return None  # its Workflow says enough
    if now.word == "ready":
        return f"{name} runs", False
    return (f"{name} ended", False) if now.word == "ended" else None


def _cause(it: Health) -> str:
    """Without the numbers that count up in a message."""
    return ":".join(it.reason.split(":")[:2])


class News:
    """Follows what people look at, and says what is new; what is there already is not."""

    def __init__(self, api: KubeApi, say: Callable[[str, bool], None], log: Log) -> None:
        self._say = say
        self._informers = [Informer(api, version, kind, log=log) for kind, version in health.KINDS.items()]
        self._is_new = False
        self._window, self._count, self._left_out = 0.0, 0, 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._informers:
                one.subscribe(self._changed)
                tasks.create_task(one.run())
            for one in self._informers:
                await one.synced()
            self._is_new = True
            while True:
                await asyncio.sleep(_SECONDS)
                self._sum_up()

    def objects(self) -> int:
        """How many there are."""
        return sum(len(one) for one in self._informers)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if not self._is_new or (found := told(old, new)) is None:
            return
        now = time.monotonic()
        if now - self._window >= _SECONDS:
            self._sum_up()
            self._window, self._count = now, 0
        self._count += 1
        if self._count > _AT_ONCE:
            self._left_out += 1
            return
        text, is_bad = found
        self._say(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", is_bad)

    def _sum_up(self) -> None:
        if self._left_out:
            self._say(f"… and {self._left_out} more", False)  # noqa: FBT003 - no bad news
            self._left_out = 0
