"""Process groups: started through `launch`, signalled and ended as a whole, found again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from events.errors import KeryxError
from events.local.kubelet.forking import Child, Forker
from events.threads import in_thread

MARK = "KERYX_CONTAINER"
"""In the environment of every process of a container, whoever started it there."""
_LAUNCHER = Path(__file__).with_name("launch.py")
_START_SECONDS = 30.0
_TICKS = 21
"""Where the start time stands in /proc/PID/stat, counted behind the name."""


class StartError(KeryxError):
    """The process could not be made, or what it was to run is not there."""


@dataclass(frozen=True)
class Mount:
    """`source` of the machine, shown at `target`."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Launch:
    """One process. `namespace`: `root`, `user`, or empty for none; `join`: a pid whose namespaces it shares.

    What only real containers need: the image, whether `argv` begins with a command in place of its own, options.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    namespace: str = ""
    root: str = ""
    mounts: Sequence[Mount] = ()
    keep: Sequence[str] = ()
    """Folders of the machine that stay where they are, also below a mount."""
    join: int = 0
    tty: bool = False
    mark: str = ""
    """Of its container."""
    is_beside: bool = False
    """It is another process of a container that runs."""
    image: str = ""
    has_command: bool = False
    options: Sequence[str] = ()
    stdin: bool = False
    parent: int = field(default_factory=os.getpid)
    inner: Mapping[str, str] = field(default_factory=dict)
    """Programs that a forker has ready, by the path under which they are found."""

    def text(self) -> bytes:
        """As the launcher reads it."""
        return json.dumps(asdict(self), default=dict).encode("utf-8", "surrogateescape")


async def fork(forker: Forker, launch: Launch, *, wants_stdin: bool) -> Child:
    """As `start`, with pipes, through a process that forks. Raises StartError, and Unavailable: then `start` it."""
    with contextlib.ExitStack() as inner, contextlib.ExitStack() as outer:
        handles: list[int] = []
        ours: list[int] = []
        for number in range(3):
            if number or wants_stdin:
                reading, writing = os.pipe()
                mine, its = (reading, writing) if number else (writing, reading)
                ours.append(mine)
                outer.callback(os.close, mine)
            else:
                its = os.open(os.devnull, os.O_RDONLY)
            handles.append(its)
            inner.callback(os.close, its)
        try:
            child, report = await forker.fork(launch.text(), handles)
        except OSError as error:
            raise StartError(f"cannot start a process: {error.strerror}") from error
        inner.close()
        outer.pop_all()
        if wants_stdin:
            child.stdin = await child.writes(ours.pop(0))
        child.stdout, child.stderr = await child.reads(ours[0]), await child.reads(ours[1])
    try:
        async with asyncio.timeout(_START_SECONDS):
            said = await report.read()
    except TimeoutError as error:
        child.kill()
        said = f"{launch.argv[0]} did not start within {_START_SECONDS:g} s: {error}".encode()
    if said:
        await child.wait()
        child.close()
        raise StartError(said.decode("utf-8", "replace"))
    return child


async def start(
    launch: Launch, *, stdin: int | None, stdout: int | None, stderr: int | None
) -> asyncio.subprocess.Process:
    """The process, once it is what it was to become. Raises StartError."""
    reading, writing = os.pipe()
    try:
        with tempfile.TemporaryFile() as description:
            description.write(launch.text())
            description.flush()
            number = description.fileno()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LAUNCHER), str(number), str(writing)),
                stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(number, writing),
                env={},
                cwd="/",
            )
    except OSError as error:
        os.close(reading)
        raise StartError(f"cannot start a process: {error.strerror}") from error
    finally:
        os.close(writing)
    try:
        async with asyncio.timeout(_START_SECONDS):
            said = await in_thread(lambda: _all_of(reading), "container start")
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise StartError(f"{launch.argv[0]} did not start within {_START_SECONDS:g} s") from error
    if said:
        await process.wait()
        raise StartError(said.decode("utf-8", "replace"))
    return process


def _all_of(handle: int) -> bytes:
    with os.fdopen(handle, "rb") as file:
        return file.read()


def start_time(pid: int) -> str:
    """What tells a process from a later one with its pid; empty when it is not there."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[_TICKS - 2]


def mark_of(data: Path) -> str:
    """What the marks of processes begin with, of a node with this folder."""
    return hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]


def age() -> float:
    """Seconds since this process was started; 0 where nobody says so."""
    ticks = start_time(os.getpid())
    if not ticks:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK"))


def signal_group(pid: int, number: int) -> None:
    """To the whole process group of a container."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def marked(marks: Iterable[str]) -> list[int]:
    """The pids of processes that belong to containers: those whose mark begins with one of these."""
    wanted = tuple(f"{MARK}={mark}".encode() for mark in marks)
    found = []
    for entry in os.listdir("/proc") if sys.platform == "linux" else ():
        if not entry.isdigit():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue  # gone, or somebody else's
        if any(part.startswith(wanted) for part in environment.split(b"\0") if part.startswith(MARK.encode())):
            found.append(int(entry))
    return found


def end_marked(mark: str) -> int:
    """Kill what still runs of a container, also what left its group; how many processes."""
    count = 0
    for _ in range(5):  # one that forks while it is looked for is found the next time
        pids = [pid for pid in marked([mark]) if pid != os.getpid()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        count += len(pids)
        if not pids:
            break
    return count
