"""Lua 5.1 scripts in the worker, each in a state of its own. Contract: A.5.5, A.6; what a script sees: sandbox.lua.

A script that takes too long is stopped by a hook; the worker's deadline is for what no hook can stop (a pattern that
backtracks in C). A state that was stopped, or ran out of memory, is thrown away.
"""

from __future__ import annotations

from typing import Any, NoReturn

import orjson
from lupa import lua51

from events import rawjson
from events.scripting import documents
from events.scripting.documents import InvalidDocument

MEMORY = 64 << 20
_TIDY_ABOVE = 4 << 20
_TOO_BIG = f"the script took more than {MEMORY >> 20} MB of memory"


class Stopped(Exception):
    """The script took too much time or memory."""


def _no_attributes(_object: Any, name: Any, _is_setting: bool) -> NoReturn:  # noqa: FBT001 - lupa calls it
    raise AttributeError(name)


class _State:
    """One Lua state with one script in it."""

    def __init__(self, text: str, sandbox: str) -> None:
        self.runtime = lua51.LuaRuntime(
            register_eval=False, register_builtins=False, max_memory=MEMORY, attribute_filter=_no_attributes
        )
        compile_, self.run, self.last_bytes = self.runtime.execute(sandbox, name="=sandbox", mode="t")
        compiled = compile_(text)
        if isinstance(compiled, tuple):
            raise InvalidDocument(_lines(compiled[1]))
        self.chunk = compiled


class LuaScript:
    """One script; for a filter the answer is a bool, else JSON text."""

    def __init__(self, text: str, sandbox: str, *, is_filter: bool) -> None:
        self._text, self._sandbox, self._is_filter = text, sandbox, is_filter
        self._state: _State | None = _State(text, sandbox)

    def run(self, data: bytes, seconds: float) -> bytes | bool:
        """What the script returns last; InvalidDocument when it fails, Stopped when it takes too much."""
        document = documents.read(data)
        state, self._state = self._state or _State(self._text, self._sandbox), None
        try:
            is_good, result = self._run(state, document, seconds)
        except lua51.LuaMemoryError as error:
            raise Stopped(_TOO_BIG) from error
        except lua51.LuaError as error:
            raise Stopped(str(error)) from error
        if not is_good and result == "not enough memory":
            raise Stopped(_TOO_BIG)
        self._keep(state)
        if not is_good:
            raise InvalidDocument(_lines(str(result)))
        return result if self._is_filter else _json(result)

    def _keep(self, state: _State) -> None:
        """For the next event, unless it has grown: Lua never forgets that a coroutine had a hook."""
        if state.runtime.get_memory_used() > _TIDY_ABOVE:
            state.runtime.gccollect()
        if state.runtime.get_memory_used() <= _TIDY_ABOVE:
            self._state = state

    def _run(self, state: _State, document: dict[str, Any], seconds: float) -> tuple[bool, Any]:
        event = state.runtime.table_from(document, recursive=True)
        try:
            is_good, result = state.run(state.chunk, event, self._is_filter, seconds)
        except UnicodeDecodeError:  # Go puts a replacement character for every byte that is not UTF-8
            return not self._is_filter, bytes.fromhex(state.last_bytes()).decode("utf-8", "replace")
        return bool(is_good), result


def _json(text: str) -> bytes:
    """The script's result, its numbers and order of keys as Go has them."""
    return rawjson.escape(documents.write(orjson.loads(text)))


def _lines(message: str) -> str:
    """`script:3: …` as `line 3: …`."""
    head, _, rest = message.partition(":")
    at, _, said = rest.partition(":")
    return f"line {at}:{said}" if head == "script" and at.isdigit() else message
