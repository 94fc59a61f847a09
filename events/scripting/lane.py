"""One script worker and the requests that wait for it: started when needed, restarted when it dies.

The worker runs requests in their order and sends each answer at once, so when it dies the first request without an
answer was running. Where the worker's end says that the script did it (deadline, memory, crash) that request fails;
where it may have been somebody else (a signal from outside) it gets a second chance. All others are sent again: scripts
have no effects.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from dataclasses import dataclass, field

from events.backoff import Endless
from events.errors import KeryxError
from events.logs import Log
from events.scripting import frames
from events.scripting.link import CannotStart, Limits, Link, describe

_IN_FLIGHT = 256
_LIVES = 2
_GUILTY = {
    signal.SIGPROF: "it took more than {seconds:g} s of CPU time",
    signal.SIGABRT: "it took too much memory",
    signal.SIGSEGV: "it crashed its worker",
    signal.SIGBUS: "it crashed its worker",
    signal.SIGILL: "it crashed its worker",
    signal.SIGFPE: "it crashed its worker",
    signal.SIGTRAP: "it crashed its worker",
}


class Stopped(KeryxError):
    """A script took more than it may; the worker was stopped, or is about to be."""


class Refused(KeryxError):
    """A program that cannot be compiled, data it cannot work on, or an error of its own."""


@dataclass(slots=True, eq=False)
class Request:
    """One request and where its answer goes."""

    operation: frames.Operation
    program: int
    definition: bytes
    payload: bytes
    answer: asyncio.Future[bytes | bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    deaths: int = 0


class Lane:
    """A worker, whenever there is something to do for it."""

    def __init__(self, name: str, limits: Limits, log: Log) -> None:
        self._name, self._limits, self._log = name, limits, log
        self._waiting: deque[Request] = deque()
        self._sent = 0  # how many of the waiting ones the worker has
        self._defined: set[int] = set()
        self._link: Link | None = None
        self._is_ready = False
        self._answers = 0
        self._wanted = asyncio.Event()
        self._pauses = Endless(0.05, 5)
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process, when there is one."""
        return self._link.pid if self._link else None

    async def ask(self, request: Request) -> bytes | bool:
        """The answer; Refused or Stopped when the script has none."""
        self._waiting.append(request)
        self.start()
        self._send()
        return await request.answer

    def start(self) -> None:
        """Have a worker from now on."""
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._supervise(), name=f"script worker {self._name}")

    async def aclose(self) -> None:
        """End the worker. Whoever still waits is cancelled: an error would be taken for the event's."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for request in self._waiting:
            request.answer.cancel()
        self._waiting.clear()

    # What the link calls.

    def ready(self) -> None:
        """The worker can take requests."""
        self._is_ready = True
        self._send()

    def answered(self, status: frames.Status, payload: bytes) -> None:
        """The first request that waits has its answer."""
        request = self._waiting.popleft()
        self._sent -= 1
        self._answers += 1
        self._pauses.reset()
        if not request.answer.done():
            _settle(request.answer, status, payload)
        self._send()

    def _send(self) -> None:
        """Hand the worker as much as it may have; what nobody waits for any more is left out."""
        link = self._link
        if link is None or not self._is_ready:
            return
        while self._sent < min(len(self._waiting), _IN_FLIGHT):
            request = self._waiting[self._sent]
            if request.answer.done():
                del self._waiting[self._sent]
                continue
            if request.program not in self._defined:
                self._defined.add(request.program)
                link.send(frames.request(frames.Operation.DEFINE, request.program, request.definition))
            link.send(frames.request(request.operation, request.program, request.payload))
            self._sent += 1

    # The worker's lives.

    async def _supervise(self) -> None:
        """One worker after another; after a death a new one only when there is something to do."""
        failures = 0
        while True:
            await self._wanted.wait()
            try:
                await self._live()
                failures = 0
            except CannotStart as error:
                failures += 1
                if failures & (failures - 1) == 0:  # of a long row each 1st, 2nd, 4th …
                    self._log.error("The script worker does not start", reason=str(error), failures=failures)
            if not self._waiting:
                self._wanted.clear()
            await asyncio.sleep(self._pauses.next())

    async def _live(self) -> None:
        """One life, from start to death."""
        self._link = link = Link(self)
        self._sent, self._is_ready = 0, False
        self._defined.clear()
        status = 0
        try:
            await link.start(self._limits)
            is_overdue = await self._watch(link)
        finally:
            self._is_ready = False
            status = await link.end()
            self._link = None
        self._blame(status, link.defect, is_overdue=is_overdue)

    async def _watch(self, link: Link) -> bool:
        """Until the worker is gone; True when it had to be killed because it said nothing for too long."""
        silent = 0
        while True:
            before = self._answers
            await asyncio.wait({link.closed}, timeout=self._limits.patience / 4)
            if link.closed.done():
                return False
            # Counted in looks, not read off a clock: while our own loop stood still, answers may have come.
            silent = silent + 1 if self._sent and self._answers == before else 0
            if silent > 4:
                link.kill()
                return True

    def _blame(self, status: int, defect: str, *, is_overdue: bool) -> None:
        """The request that was running fails, if the worker's death was its doing."""
        if not self._sent:
            self._log.debug("The script worker starts again", reason=describe(status))
            return
        self._sent, request = 0, self._waiting[0]
        request.deaths += 1
        reason = _GUILTY.get(signal.Signals(-status), "") if status < 0 else ""
        if is_overdue:
            reason = f"it gave no answer within {self._limits.patience:g} s"
        elif request.deaths >= _LIVES:
            reason = reason or f"its worker {describe(status)}, {request.deaths} times"
        self._log.debug("The script worker starts again", reason=describe(status), blamed=bool(reason), defect=defect)
        if not reason:
            return
        self._pauses.reset()  # explained: the next one need not wait for it
        self._waiting.popleft()
        if not request.answer.done():
            request.answer.set_exception(Stopped(reason.format(seconds=self._limits.seconds)))


def _settle(answer: asyncio.Future[bytes | bool], status: frames.Status, payload: bytes) -> None:
    if status is frames.Status.DATA:
        answer.set_result(payload)
    elif status in (frames.Status.TRUE, frames.Status.FALSE):
        answer.set_result(status is frames.Status.TRUE)
    else:
        error = Stopped if status is frames.Status.LIMIT else Refused
        answer.set_exception(error(payload.decode("utf-8", "replace")))
