"""One worker's place: one life after another, and what is to be said of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from events.backoff import Endless
from events.errors import KeryxError, UserError
from events.logs import Log
from events.tally import Tally
from eventsources.workers.channel import Message
from eventsources.workers.life import Life
from eventsources.workers.plan import Plan

_STEADY_SECONDS = 30.0
"""A worker that lived this long has done well: its next death is the first again."""
_PATIENCE = 10.0
"""The others serve meanwhile, so one that died is not missed for this long."""
_TOO_MANY = 3
"""Deaths in a row that show: it will not get better by itself."""


class Slot:
    """Worker `number` of an EventSource. `changed` is called when something is to be said that was not."""

    def __init__(self, number: int, command: Sequence[str], plan: Plan, tally: Tally, log: Log) -> None:
        self.number, self._command, self._plan, self._tally, self._log = number, command, plan, tally, log
        self.changed: Callable[[], None] = lambda: None
        self.died: Callable[[], None] = lambda: None
        self.wanted: dict[str, str] = {}
        """The ports it wants -> for which event."""
        self._orders: Message = {}
        self._life: Life | None = None
        self._stopping = asyncio.Event()
        self._waiting: dict[str, str] | None = None
        """What it waits for, in its own words; None: it has not said so yet."""
        self._deaths = 0
        self._end = "it is starting"
        self._missed_since: float | None = 0.0
        """When it was last ready; 0: never, None: it is."""

    @property
    def pid(self) -> int | None:
        """The process of its life, while there is one."""
        return self._life.pid if self._life is not None else None

    # ---- its lives

    async def run(self) -> None:
        """Until it was told to stop and has; UserError when it cannot work with its plan."""
        pauses, loop = Endless(0.1, 30), asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            end, is_well = await self._live()
            if self._stopping.is_set():
                if not is_well:
                    self._log.error("A worker did not end well", worker=self.number, reason=end)
                return
            if loop.time() - began > _STEADY_SECONDS:
                pauses.reset()
                self._deaths = 0
            pause = pauses.next()
            self._on_death(end, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _live(self) -> tuple[str, bool]:
        """One life; how it ended, and whether that was well."""
        self._life = life = Life(self._hear, self.changed)
        self._tally.join(life, life.refresh)
        try:
            status = await life.live(self._command, self._plan)
            return life.describe(status), status == 0
        except UserError:
            raise
        except KeryxError as error:
            return str(error), False
        finally:
            self._tally.leave(life)
            self._life = None

    def _on_death(self, end: str, pause: float) -> None:
        self._end = end
        self._deaths += 1
        if self._deaths & (self._deaths - 1) == 0:  # of a long row each 1st, 2nd, 4th …
            text = "A worker ended; it is started again"
            self._log.warning(text, worker=self.number, reason=end, deaths=self._deaths, seconds=round(pause, 1))
        self.died()
        self._say(None)

    def order(self, orders: Message) -> None:
        """What holds from now on, in this life and the next ones."""
        self._orders = orders
        if self._life is not None and self._waiting is not None:
            self._life.tell(orders)

    def stop(self) -> None:
        """Drain and end."""
        self._stopping.set()
        if self._life is not None:
            self._life.stop()

    # ---- what it says

    def _hear(self, message: Message) -> None:
        is_first = self._waiting is None
        if "numbers" in message:
            self._tally.take(self._life, message["numbers"])
        self.wanted |= {str(port): str(event) for port, event in message["ports"].items()}
        self._say({str(name): str(reason) for name, reason in message["waiting"].items()})
        if is_first:
            self.order(self._orders)

    def _say(self, waiting: dict[str, str] | None) -> None:
        was_ready = self.is_ready
        self._waiting = waiting
        if self.is_ready:
            self._missed_since = None
        elif was_ready:
            self._missed_since = asyncio.get_running_loop().time()
        self.changed()

    @property
    def is_ready(self) -> bool:
        """Whether it listens."""
        return self._waiting is not None and not self._waiting

    def is_excused(self, now: float) -> bool:
        """Whether it need not be ready: it was, has just died, and the others serve."""
        if self._missed_since is None:
            return True
        return 0 < self._deaths < _TOO_MANY and self._missed_since > 0 and now - self._missed_since < _PATIENCE

    def reason(self, part: str) -> str:
        """Why a part of it is not ready; nothing when it is."""
        if self._waiting is not None:
            return self._waiting.get(part) or self._waiting.get("process", "")
        return self._end if self._deaths < 2 else f"{self._end}, {self._deaths} times in a row"
