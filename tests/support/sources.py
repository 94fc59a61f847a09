"""A source that listens by itself: its events in a list, its log in a list, what ends it raised where it is awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from support.event_sources import until
from support.webhooks import Bus

from events.credentials import Credentials
from events.logs import Log
from events.problems import Problems
from eventsources.base import Source, SourceContext
from eventsources.service import SystemClock


@dataclass
class Listening:
    """What a source did."""

    task: asyncio.Task[None]
    bus: Bus
    started: list[str]
    failed: list[str]
    said: list[str] = field(default_factory=list)

    @property
    def data(self) -> list[Any]:
        return [orjson.loads(one) for one in self.bus.stored]

    async def received(self, number: int, seconds: float = 30) -> list[Any]:
        """The events, once there are so many."""
        await until(lambda: len(self.bus.stored) >= number or self.task.done(), seconds)
        if self.task.done():
            self.task.result()
        return self.data

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


class _Lines(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.INFO)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(f"{record.getMessage()} {getattr(record, 'fields', '')}")


@asynccontextmanager
async def listening(
    kind: type[Source[Any]],
    spec: dict[str, Any],
    secrets: Path,
    http: Any = None,
    bus: Bus | None = None,
    state: Any = None,
) -> AsyncIterator[Listening]:
    """A source that runs until the end of the block; whether it got as far as to listen is the test's question."""
    parsed, problems = kind.Spec.parse(spec), Problems()
    kind.validate(parsed, problems)
    assert not problems.errors
    bus, started, failed, said = bus or Bus(), list[str](), list[str](), list[str]()
    logger = logging.getLogger("argo-events.test")
    lines = _Lines(said)
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    unused = cast("Any", None)
    context = SourceContext(
        namespace="ns",
        source_name="src",
        event_name="ev",
        emit=bus.emit,
        state=state,
        http=http,
        clock=SystemClock(),
        log=Log("test"),
        secrets=Credentials((secrets,)),
        kube=unused,
        started=lambda: started.append("ev"),
        failed=lambda: failed.append("ev"),
    )
    found = Listening(asyncio.create_task(kind(parsed).listen(context)), bus, started, failed, said)
    try:
        yield found
    finally:
        logger.removeHandler(lines)
        await found.stop() if not found.task.done() else None


def write_secret(root: Path, key: str, value: str, name: str = "aws") -> None:
    """A secret as it is mounted; replaced whole, as Kubernetes does it."""
    path = root / "secrets" / name / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(value)
    path.with_suffix(".new").replace(path)
