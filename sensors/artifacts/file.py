"""A file of the pod as an artifact, read again when it has changed. Contract: sensors D.16."""

from __future__ import annotations

import asyncio
import os
import stat

from events import mounted
from events.errors import ActionError
from sensors.artifacts.locations import FileArtifact
from sensors.artifacts.reading import Refused, decoded, too_large

LIMIT = 3 * 1024 * 1024
"""Bytes; an API server takes no larger object."""

_Seen = tuple[int, int, int]


class FileReader:
    """One path; a change is seen by time, size and inode, so a file replaced by a rename is, too."""

    def __init__(self, location: FileArtifact) -> None:
        self._path = location.path or ""
        self._seen: _Seen | None = None
        self._text = ""

    async def read(self) -> str:
        """The text of the file."""
        if not self._path:
            raise Refused("file.path is empty")
        # In a thread: the path may be on a network.
        await asyncio.to_thread(self._refresh)
        return self._text

    def _refresh(self) -> None:
        name = f"file {self._path!r}"
        try:
            # Without O_NONBLOCK a pipe would wait for its writer.
            with open(os.open(mounted.where(self._path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise Refused(f"{name} is not a regular file")
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
                if seen == self._seen:
                    return
                content = file.read(LIMIT + 1)
        except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
            reason = error.strerror if isinstance(error, OSError) else error
            raise ActionError(f"{name} cannot be read: {reason}") from error
        if len(content) > LIMIT:
            raise too_large(name, LIMIT)
        self._text, self._seen = decoded(content, name), seen
