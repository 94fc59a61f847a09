"""A Lua script that must return true. Contract: sensors A.5.5. Runs in a worker process (events/scripting)."""

from __future__ import annotations

from events.errors import FilterError
from events.event import Event
from events.problems import Problems
from events.scripting.pool import Scripts, check
from sensors.filters.verdict import PASSED, Verdict, refused, undecided

REASON = "script"


class ScriptFilter:
    """Passes when the last value that the script returns is exactly true; an event without data passes."""

    def __init__(self, text: str, scripts: Scripts, place: str) -> None:
        self._program = scripts.lua_filter(text, place)

    async def check(self, event: Event) -> Verdict:
        """What the script says of the data."""
        if event.data is None:
            return PASSED
        try:
            passes = await self._program.run(event.data)
        except FilterError as error:
            return undecided(REASON, str(error))
        return PASSED if passes else refused(REASON, "the script did not return true")


def validate(text: str, problems: Problems) -> None:
    """A script that compiles, at the place that `problems` stands for."""
    if message := check("lua", text):
        problems.error("", message, "scripts are Lua 5.1")
