"""Scripts: the programs of a process and the workers that run them."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from events.errors import EventError, FilterError, TransformError, UserError
from events.logs import Log
from events.scripting.checking import check
from events.scripting.frames import Kind, Operation
from events.scripting.lane import Lane, Refused, Request, Stopped
from events.scripting.link import Limits

__all__ = ["Limits", "Program", "Scripts", "check"]

ResultT = TypeVar("ResultT", bytes, bool)


class Program(Generic[ResultT]):
    """One jq program or Lua script; `place` is where its author finds it. Made by `Scripts`."""

    def __init__(self, scripts: Scripts, kind: Kind, text: str, place: str) -> None:
        self._scripts, self._kind, self.place = scripts, kind, place
        self.number = scripts.number(kind, text)
        self.definition = kind.value + text.encode("utf-8", "replace")

    async def run(self, data: bytes) -> ResultT:
        """What the program makes of an event's data; TransformError (of a filter: FilterError) when that is nothing."""
        try:
            return cast("ResultT", await self._scripts.ask(self, Operation.RUN, data))
        except (Refused, Stopped) as error:
            raise self._error(f"{self.place}: {error}") from error

    async def compile(self) -> None:
        """Compile it now, not with its first event; UserError when it cannot be."""
        try:
            await self._scripts.ask(self, Operation.COMPILE, b"")
        except (Refused, Stopped) as error:
            raise UserError(str(error), path=self.place) from error

    @property
    def _error(self) -> type[EventError]:
        return FilterError if self._kind is Kind.LUA_FILTER else TransformError


class Scripts:
    """One per process. Workers start when they are first needed, and end with `aclose`.

    A program that had to be stopped once goes on in a second worker, with others of its kind: while that one spends its
    time on deadlines and restarts, well-behaved programs keep theirs.
    """

    def __init__(self, limits: Limits | None = None, log: Log | None = None) -> None:
        limits, self._log = limits or Limits(), log or Log("scripts")
        self._lane = Lane("scripts", limits, self._log)
        self._slow_lane = Lane("suspects", limits, self._log)
        self._suspects: set[int] = set()
        self._numbers: dict[tuple[Kind, str], int] = {}

    def jq(self, text: str, place: str = "jq") -> Program[bytes]:
        """A jq program that makes an object of an object."""
        return Program[bytes](self, Kind.JQ, text, place)

    def lua(self, text: str, place: str = "script") -> Program[bytes]:
        """A Lua script that returns the new data as a table."""
        return Program[bytes](self, Kind.LUA_TRANSFORM, text, place)

    def lua_filter(self, text: str, place: str = "script") -> Program[bool]:
        """A Lua script that returns true for events that pass."""
        return Program[bool](self, Kind.LUA_FILTER, text, place)

    async def start(self) -> None:
        """Have a worker ready before the first event; not needed."""
        self._lane.start()

    async def aclose(self) -> None:
        """End the workers."""
        await self._lane.aclose()
        await self._slow_lane.aclose()

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that run now."""
        return [pid for pid in (self._lane.pid, self._slow_lane.pid) if pid is not None]

    def number(self, kind: Kind, text: str) -> int:
        """What a program is called between here and the workers; equal programs share one."""
        return self._numbers.setdefault((kind, text), len(self._numbers))

    async def ask(self, program: Program[ResultT], operation: Operation, payload: bytes) -> bytes | bool:
        """One request of a program; Refused or Stopped when it has no answer."""
        number = program.number
        lane = self._slow_lane if number in self._suspects else self._lane
        try:
            return await lane.ask(Request(operation, number, program.definition, payload))
        except Stopped as error:
            if number not in self._suspects:
                self._suspects.add(number)
                self._log.warning("A script was stopped; it runs apart now", place=program.place, reason=str(error))
            raise
