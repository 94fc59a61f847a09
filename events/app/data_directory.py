"""Where `keryx run` keeps its data: one process at a time, nothing readable by others, no secret left behind.

Secrets and config maps of the files are put there in the layout that pods have, for as long as the process runs:
what reads them (TLS above all) wants files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from eventbus.embedded_config import CannotStart
from events.errors import UserError

_PATIENCE = 1.0  # seconds for a holder that is just ending
Values = Mapping[tuple[str, str], Mapping[str, bytes]]
"""("secrets" | "config", name) -> key -> value."""


class DataDirectory:
    """The directory, locked as long as the `with` lasts. UserError when it cannot be used, or another process does."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.credentials = self.path / "credentials"
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock()
            self.forget()  # of a process that was killed
        except OSError as error:
            self._release()
            raise CannotStart.cannot_write(self.path, error) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.forget()
        self._release()

    def _lock(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
                    who = f"another keryx (pid {pid})" if pid else "another keryx"
                    cure = "stop that one first, or give --data another directory"
                    raise UserError(f"{self.path} is in use by {who}", cure=cure) from error
                time.sleep(0.05)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _release(self) -> None:
        """The lock belongs to the open file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def keep(self, values: Values) -> None:
        """Make the credentials `values`; what has not changed keeps its file. UserError when that cannot be written."""
        wanted = {
            self.credentials / kind / name / key: value
            for (kind, name), keys in values.items()
            for key, value in keys.items()
        }
        try:
            for path, value in wanted.items():
                if not path.is_file() or path.read_bytes() != value:
                    self._write(path, value)
            for path in [path for path in self.credentials.rglob("*") if path.is_file()]:
                if path not in wanted:
                    path.unlink()
        except OSError as error:
            raise CannotStart.cannot_write(self.path, error) from error

    def _write(self, path: Path, value: bytes) -> None:
        """Replace a file as a whole, readable by us alone."""
        for folder in (self.credentials, path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        fresh = self.credentials / ".new"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(value)
        fresh.replace(path)

    def forget(self) -> None:
        """Remove the credentials."""
        shutil.rmtree(self.credentials, ignore_errors=True)
