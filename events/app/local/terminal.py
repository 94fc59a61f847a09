"""`keryx up` in the foreground of a terminal: its display, and the news of its objects. The log goes to a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from events.app.local import up
from events.app.local.display import Display, Handler
from events.app.local.news import News
from events.app.local.options import Options
from events.app.local.steps import Row
from events.kube.api import KubeApi
from events.logs import Log

_TURN_SECONDS = 0.1


class Terminal(up.Watcher):
    """Shows what it is told."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def stepped(self, rows: tuple[Row, ...]) -> None:
        self._display.parts(rows)

    async def ready(self, ready: up.Ready, api: KubeApi) -> None:
        self._display.ready(
            seconds=ready.seconds, url=ready.url, data=ready.data, kubeconfig=ready.kubeconfig, notes=ready.notes
        )
        await News(api, self._say, Log("up")).run()

    def _say(self, text: str, is_bad: bool) -> None:  # noqa: FBT001 - what kind of news
        mark = self._display.sign("wrong" if is_bad else "there")
        styled = self._display.styled(mark, "red" if is_bad else "green")
        self._display.line(f"{time.strftime('%H:%M:%S')} {styled} {text}")

    def stopping(self) -> None:
        self._display.line("stopping: pods are ended, at most 10 s each; Ctrl-C again has no effect")


async def run(options: Options, display: Display) -> int:
    """Until SIGTERM or SIGINT. Raises UserError."""
    handler = Handler(display)
    logging.getLogger().addHandler(handler)
    try:
        async with _turning(display):
            code = await up.run(options, Terminal(display))
        display.line("stopped")
        return code
    finally:
        display.end()
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def _turning(display: Display) -> AsyncIterator[None]:
    async def turn() -> None:
        while True:
            display.turn()
            await asyncio.sleep(_TURN_SECONDS)

    turning = asyncio.create_task(turn())
    try:
        yield
    finally:
        turning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turning
