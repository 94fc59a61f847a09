"""Run a service: signals, drain, the health endpoint. Used by every long-running command.

SIGTERM and SIGINT ask the work to stop; what runs gets `grace` seconds, then the work is cancelled. A second signal
ends the process at once. `/healthz` says that the loop turns, `/readyz` what is not ready yet, `/metrics` the numbers,
`/findings` what is wrong at work (for controllers, which put it into the status of the object).
A port in use never stops the data path: it is tried again until it is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection

import orjson
from aiohttp import web

from events import mounted
from events.backoff import Endless
from events.errors import KeryxError, UserError
from events.findings import Findings
from events.logs import Log
from events.metrics import CONTENT_TYPE, Metrics

Work = Callable[["Process"], Awaitable[None]]

_PROCESS = "process"
WIND_UP_SECONDS = 4.0
"""On top of the grace, which belongs to actions: time to remember their ends and to give up what is owned."""


class Readiness:
    """What must be ready before the process is: name -> why it is not."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._changed = asyncio.Event()
        self.on_change: Callable[[], None] = _nothing
        """Called when something is said that was not known."""

    def waiting(self, name: str, reason: str) -> None:
        """`name` is not ready, for this reason."""
        if self._waiting.get(name) != reason:
            self._waiting[name] = reason
            self.on_change()

    def ready(self, name: str) -> None:
        """`name` is ready."""
        if self._waiting.pop(name, None) is not None:
            self.on_change()
        self._changed.set()

    async def until_ready(self, names: Collection[str]) -> None:
        """Returns once none of `names` is waiting."""
        while not self._waiting.keys().isdisjoint(names):
            self._changed.clear()
            await self._changed.wait()

    @property
    def reasons(self) -> dict[str, str]:
        """What is not ready, and why."""
        return dict(self._waiting)


class Process:
    """What the parts of a running service share. `address` is where health is served; empty: every interface."""

    def __init__(
        self, metrics: Metrics, log: Log, *, grace: float, metrics_port: int | None, address: str = ""
    ) -> None:
        self.metrics, self.log, self.grace = metrics, log, grace
        self.readiness = Readiness()
        self.readiness.waiting(_PROCESS, "starting")
        self.findings = Findings()
        self.stopping = asyncio.Event()
        self.health = HealthServer(metrics, self.readiness, log, metrics_port, address, self.findings)
        self.at_once: Callable[[], None] = _nothing
        """Called before a second signal ends the process: what must not be left behind."""

    def started(self) -> None:
        """Everything that must be ready has said so: until then an empty list would look like readiness."""
        self.readiness.ready(_PROCESS)

    async def run(self, work: Work) -> int:
        """The exit code once `work` has ended: 0, or 1 when it failed or outlived its grace after a signal.

        A UserError of the work is raised: whoever gave the command can cure it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            async with self.health:
                return await self._supervise(work)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _supervise(self, work: Work) -> int:
        task = asyncio.ensure_future(work(self))
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=self.grace + WIND_UP_SECONDS)
            if not task.done():
                self.log.warning("Cancelling what outlived the grace period", seconds=self.grace)
                task.cancel()
                await asyncio.wait({task})
            return self._code(task)
        finally:
            stopping.cancel()
            if not task.done():  # we are cancelled ourselves
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _code(self, task: asyncio.Future[None]) -> int:
        """What the end of the work means."""
        if task.cancelled():
            return 1
        error = task.exception()
        if isinstance(error, UserError):
            raise error
        if isinstance(error, KeryxError):
            self.log.error("Stopping", reason=str(error))
        elif error is not None:
            self.log.exception("Ended by a defect", error)
        return 1 if error else 0

    def _stop(self, number: int) -> None:
        if self.stopping.is_set():
            self.at_once()
            os._exit(1)
        self.log.info("Stopping", signal=signal.Signals(number).name, grace=self.grace)
        self.stopping.set()


def _nothing() -> None:
    """Nothing is left behind."""


class HealthServer:
    """`/metrics`, `/healthz`, `/readyz`, `/findings` on one port; None serves nothing, 0 takes any free port."""

    def __init__(
        self,
        metrics: Metrics,
        readiness: Readiness,
        log: Log,
        port: int | None,
        address: str = "",
        findings: Findings | None = None,
    ) -> None:
        self._metrics, self._readiness, self._log = metrics, readiness, log
        self._findings = findings
        self._wanted = port
        # Port 0 on every interface would be one free port for IPv4 and another one for IPv6.
        self._address = address or (None if port else "0.0.0.0")  # noqa: S104 - probes come from outside
        self.port: int | None = None
        self._server: asyncio.Server | None = None
        self._binding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HealthServer:
        if self._wanted is not None:
            handler = web.Server(self._answer)
            if not await self._bind(handler, warn=True):
                self._binding = asyncio.create_task(self._bind_later(handler))
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._binding is not None:
            self._binding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._binding
        if self._server is not None:
            self._server.close()

    async def _bind(self, handler: web.Server, *, warn: bool) -> bool:
        try:
            self._server = await asyncio.get_running_loop().create_server(handler, self._address, self._wanted or 0)
        except OSError as error:
            if warn:
                self._log.warning(
                    "Health and metrics are not served yet; the port is in use", port=self._wanted, reason=str(error)
                )
            return False
        self.port = self._server.sockets[0].getsockname()[1]
        self._log.info("Health and metrics are served", port=self.port)
        return True

    async def _bind_later(self, handler: web.Server) -> None:
        pauses = Endless(1, 30)
        while True:
            await asyncio.sleep(pauses.next())
            if await self._bind(handler, warn=False):
                return

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        if path == "/metrics":
            await self._metrics.others.refresh()
            return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
        if path == "/healthz":
            return web.Response(text="ok\n")
        if path == "/readyz":
            reasons = self._readiness.reasons
            text = "".join(f"{name}: {reason}\n" for name, reason in sorted(reasons.items())) or "ok\n"
            return web.Response(text=text, status=503 if reasons else 200)
        if path == "/findings" and self._findings is not None:
            return web.Response(
                body=orjson.dumps(self._findings.wire(self._readiness.reasons)), content_type="application/json"
            )
        return web.Response(text="404 page not found\n", status=404)


def start(main: Callable[[], Awaitable[int]]) -> int:
    """Run `main` on the fastest loop there is; its exit code."""
    factory = None
    # Names that only Python's own resolver knows (`standins/site`) are not known to that loop.
    if sys.platform != "win32" and mounted.ROOT not in os.environ:
        import uvloop

        factory = uvloop.new_event_loop
    # What was made while starting stays for the life of the process: do not walk it at each collection.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_as_coroutine(main))


async def _as_coroutine(main: Callable[[], Awaitable[int]]) -> int:
    return await main()
