"""One nats-server per directory: an exclusive lock that keryx takes and its server inherits. Called by `embedded.py`.

Two servers on one directory both start, both ack, and corrupt it. The lock belongs to the open file, so it is held as
long as either of the two lives. If it is held, the server's pid file and the pid of its keryx (`server.json`) tell by
whom: a live keryx is named in an error, a server whose keryx is gone is ended. Do not fork a process that outlives
keryx without closing its files (multiprocessing's "fork"): it would hold the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from eventbus.embedded_config import CannotStart, Files, Server

log = logging.getLogger("keryx.eventbus")

_PATIENCE = 1.0  # seconds for a holder that is just starting or just ending
_GRACE = 5.0  # seconds an orphan has to end by itself


@dataclass(slots=True)
class DirectoryLock:
    """The lock, held; `fd` is what the server inherits."""

    fd: int

    def release(self, *, server_is_gone: bool) -> None:
        """Let go of our half; of the whole lock when the server is gone, whoever else may have inherited the file."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            if server_is_gone:
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


async def acquire(files: Files) -> DirectoryLock:
    """Lock the directory, ending an orphaned server first; CannotStart when a live process holds it."""
    try:
        fd = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart.cannot_write(files.directory, error) from error
    try:
        await _wait_for(fd, files)
    except BaseException:
        os.close(fd)
        raise
    return DirectoryLock(fd)


async def _wait_for(fd: int, files: Files) -> None:
    if await _locked_within(fd, 0, files):
        return
    orphan = _orphan(files)
    if orphan is None and await _locked_within(fd, _PATIENCE, files):
        return
    orphan = orphan or _orphan(files)
    if orphan is None:
        raise _held(files)
    log.warning("nats-server %d of %s has outlived its keryx: ending it", orphan, files.directory)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if orphan != _orphan(files):
            break
        try:
            os.kill(orphan, number)
        except ProcessLookupError:
            break
        except PermissionError as error:
            cure = f"end it as its owner (kill {orphan}), or use another directory"
            raise CannotStart(
                f"{files.directory} is in use by nats-server {orphan} of another user", cure=cure
            ) from error
        if await _locked_within(fd, _GRACE, files):
            return
    if not await _locked_within(fd, _PATIENCE, files):
        raise _held(files)


async def _locked_within(fd: int, seconds: float, files: Files) -> bool:
    """Whether the lock became ours in this time. A live holder that is known ends the wait."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() >= deadline:
                return False
            if _has_live_keryx(files):
                raise _held(files) from None
        except OSError as error:
            cure = "use a directory on a local file system"
            raise CannotStart(f"{files.lock} cannot be locked: {error.strerror}", cure=cure) from error
        else:
            return True
        await asyncio.sleep(0.02)


def _held(files: Files) -> CannotStart:
    keryx = files.read().keryx
    if keryx == os.getpid():
        return CannotStart(f"{files.directory} is already in use by this process", cure="use another directory")
    if keryx and _process(keryx):
        cure = "stop that one first, or use another directory"
        return CannotStart(f"{files.directory} is in use by another keryx (pid {keryx})", cure=cure)
    cure = f"find it with `fuser {files.lock}`, on every machine and in every container that mounts the directory"
    return CannotStart(f"{files.directory} is in use by a process that cannot be seen from here", cure=cure)


def running(files: Files) -> Server | None:
    """The server that a live keryx keeps on this directory now; None while it has none."""
    return files.read() if _has_live_keryx(files) else None


def _has_live_keryx(files: Files) -> bool:
    server, keryx = _server(files), files.read().keryx
    return server is not None and server[1] == keryx


def _orphan(files: Files) -> int | None:
    """The pid of a server of this directory whose parent is not the keryx that started it."""
    server = _server(files)
    return server[0] if server and server[1] != files.read().keryx else None


def _server(files: Files) -> tuple[int, int] | None:
    """Pid and parent of the live server of this directory; a recycled pid is seen by its command line."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(files.pid.read_text())
        process = _process(pid)
        if process and process[1].endswith(f" -c {files.config}"):
            return pid, process[0]
    return None


def _process(pid: int) -> tuple[int, str] | None:
    """Parent and command line of a live process; nothing for one that is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            # The command's name, in parentheses, may contain anything: what counts comes after the last one.
            state, parent, *_ = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return None
        return None if state in "ZX" else (int(parent), os.fsdecode(command.rstrip(b"\0").replace(b"\0", b" ")))
    # Without /proc (macOS) ps is part of the system; it runs only when the lock is held.
    found = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "ppid=,state=,command=", "-p", str(pid)], capture_output=True, check=False
    )
    parent, state, command_line = [*os.fsdecode(found.stdout).strip().split(maxsplit=2), "", "", ""][:3]
    return (int(parent), command_line) if parent and not state.startswith("Z") else None
