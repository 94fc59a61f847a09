"""What lies in the data directory of `keryx up`, and who runs on it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from events.app.local import layout
from events.errors import UserError
from events.local.kubelet import processes

LEAST_BYTES = 64 * 2**20
"""Of free disk, to start."""
_LONGEST_LOG = 10 * 2**20
_OURS = ("apiserver", "node", "volumes", "workflows", "credentials")
_FILES = (
    "kubeconfig",
    "admin.kubeconfig",
    "port",
    "runtime",
    "definitions.json",
    "state.json",
    layout.FILE,
    "up.log",
    "up.log.1",
)


@dataclass(frozen=True)
class State:
    """Who runs. `start` tells its pid from a later one; `is_ready` once everything is there."""

    pid: int
    start: str
    url: str = ""
    since: str = ""
    is_ready: bool = False
    steps: Any = ()
    """Rows of `Steps`."""
    notes: Any = ()
    """Texts for a person."""
    metrics: str = ""
    """Where the numbers of its controllers, and of workflows, are served."""

    @property
    def is_alive(self) -> bool:
        """Whether that very process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not self.start or processes.start_time(self.pid) == self.start


@dataclass(frozen=True)
class Place:
    """One data directory."""

    data: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.data / "kubeconfig"

    @property
    def log(self) -> Path:
        """Of one that runs in the background, or shows something better on its terminal."""
        return self.data / "up.log"

    @property
    def definitions(self) -> Path:
        """Which definitions were written, and how they were then."""
        return self.data / "definitions.json"

    def check(self) -> None:
        """Ready to be used. Raises UserError: somebody else's, made by another version, read-only, a full disk."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            owner = self.data.stat().st_uid
            if owner != os.geteuid():
                cure = "give --data a directory of your own"
                raise UserError(f"{self.data} belongs to {_name(owner)}, and you are {_name(os.geteuid())}", cure=cure)
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self.data).free
            if free < LEAST_BYTES:
                cure = f"free at least {LEAST_BYTES >> 20} MiB"
                raise UserError(f"the disk of {self.data} is full: {free >> 20} MiB are left", cure=cure)
            layout.check(self.data)
            self._turn_log()
        except OSError as error:
            raise UserError(
                f"{self.data} cannot be written: {error.strerror}", cure="give --data another one"
            ) from error

    def _turn_log(self) -> None:
        """Make the log that of the last time when it has become long."""
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LONGEST_LOG:
                self.log.replace(self.log.with_suffix(".log.1"))

    # ---- who runs

    def write(self, state: State) -> None:
        """As it is now. Raises UserError."""
        fresh = self.data / "state.new"
        try:
            fresh.write_text(json.dumps(asdict(state)))
            fresh.replace(self.data / "state.json")
        except OSError as error:
            raise UserError(f"{fresh} cannot be written: {error.strerror}") from error

    def state(self) -> State | None:
        """Who runs; None when nobody does, whatever a former one left behind."""
        try:
            found = State(**json.loads((self.data / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if self.is_locked and found.is_alive else None

    @property
    def is_locked(self) -> bool:
        """Whether a process holds the directory."""
        try:
            handle = os.open(self.data / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def clear(self) -> None:
        """Nobody runs any more."""
        (self.data / "state.json").unlink(missing_ok=True)

    # ---- the port

    def port(self) -> int:
        """That of the last time, 0 when there was none: kubeconfigs that were handed out stay good."""
        try:
            return int((self.data / "port").read_text())
        except (OSError, ValueError):
            return 0

    def keep_port(self, url: str) -> None:
        """For the next time."""
        (self.data / "port").write_text(url.rpartition(":")[2])

    # ---- what ran containers

    def keep_runtime(self, name: str) -> None:
        """For who ends what a killed one left behind."""
        (self.data / "runtime").write_text(name)

    def runtime(self) -> str:
        """Of the last time; empty for processes."""
        try:
            return (self.data / "runtime").read_text()
        except OSError:
            return ""

    def remove(self) -> None:
        """Everything that `keryx up` made there, and nothing else."""
        for name in _OURS:
            shutil.rmtree(self.data / name, ignore_errors=True)
        for name in (*_FILES, "lock"):
            (self.data / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.data.rmdir()


def _name(uid: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
