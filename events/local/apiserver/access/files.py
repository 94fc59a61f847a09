"""Files with secrets: readable by their owner alone, whole or not there at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

_PRIVATE_DIRECTORY = 0o700


def private_directory(path: Path) -> Path:
    """A directory of the owner alone, made when it is not there."""
    path.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
    return path


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, mode 0600; it survives a crash of the machine in its old or its new state."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path) -> bytes | None:
    """The content, None when there is no such file. A file that others may read is closed to them first."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        return path.read_bytes()
    except FileNotFoundError:
        return None
