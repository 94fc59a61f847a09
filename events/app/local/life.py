"""`keryx up --detach`, `down`, `status`, `reset`: one that runs in the background, from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from events.app.local.place import Place, State
from events.errors import UserError
from events.local.kubelet import processes

_START_SECONDS, _STOP_SECONDS = 60.0, 40.0
_PAUSE = 0.05
_SHOWN = 2000


def detach(place: Place, arguments: Sequence[str], stepped: Callable[[State | None], None]) -> State:
    """Start one in a session of its own; returns once it is ready. Raises UserError with what it said.

    `stepped` is called now and then with how far it has come.
    """
    place.check()
    _nobody(place)
    command = [sys.executable, "-P", "-m", "events.app.cli", "up", "--data", str(place.data), *arguments]
    with place.log.open("ab") as log:
        begin = log.tell()
        child = subprocess.Popen(  # noqa: S603  # ourselves
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        state = place.state()
        is_ours = state is not None and state.pid == child.pid
        stepped(state if is_ours else None)
        if state is not None and is_ours and state.is_ready:
            return state
        if child.poll() is not None:
            _nobody(place)  # who was faster
            raise UserError(f"it did not start:\n{_said(place.log, begin)}")
        time.sleep(_PAUSE)
    raise UserError(f"it was not ready within {_START_SECONDS:g} s; see {place.log}", cure="`keryx down` stops it")


def _nobody(place: Place) -> None:
    if (state := place.state()) is not None:
        raise UserError(f"it runs already (pid {state.pid})", path=str(place.data), cure="`keryx down` stops it")


def _said(path: Path, begin: int) -> str:
    """What a person needs of it: the last error if there is one."""
    with path.open("rb") as file:
        file.seek(begin)
        text = file.read()[-_SHOWN:].decode("utf-8", "replace").strip()
    lines = [line.removeprefix("keryx: ") for line in text.splitlines() if not line.startswith("{")]
    return "\n".join(lines) or text or "it said nothing"


def _end_left_over(place: Place) -> int:
    count = asyncio.run(end_containers(place)) if place.runtime() else 0
    return count + processes.end_marked(f"{processes.mark_of(place.data.absolute() / 'node')}/")


async def end_containers(place: Place) -> int:
    """The real containers of one that was killed; how many. Raises UserError when their engine does not answer."""
    from events.local.kubelet import engines

    name, mark = place.runtime(), processes.mark_of(place.data.absolute() / "node")
    if not name:
        return 0
    try:
        return await engines.found(name).end(mark)
    except engines.EngineError as error:
        cure = f"`{name} ps --all --filter label={engines.LABEL}={mark}` shows them"
        raise UserError(f"left-over containers cannot be ended: {error}", path=str(place.data), cure=cure) from error


def down(place: Place) -> str:
    """Stop what runs there, and end what a killed one left behind; what was done, in words. Raises UserError."""
    state = place.state()
    if state is None:
        count = _end_left_over(place)
        place.clear()
        return f"not running; ended {count} left-over processes" if count else "not running"
    os.kill(state.pid, signal.SIGTERM)
    end = time.monotonic() + _STOP_SECONDS
    while state.is_alive and place.is_locked:
        if time.monotonic() > end:
            os.kill(state.pid, signal.SIGKILL)
            _end_left_over(place)
            place.clear()
            return f"killed: it did not stop within {_STOP_SECONDS:g} s"
        time.sleep(_PAUSE)
    return "stopped"


def reset(place: Place) -> str:
    """Forget everything. Raises UserError while it runs."""
    if (state := place.state()) is not None:
        raise UserError(f"it runs (pid {state.pid})", path=str(place.data), cure="`keryx down` first")
    _end_left_over(place)
    place.remove()
    return f"removed what `keryx up` kept in {place.data}"
