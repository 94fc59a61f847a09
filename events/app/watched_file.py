"""A configuration file that is followed while it changes; what is wrong changes nothing. Contract: sensors F.2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from events.errors import UserError
from events.logs import Log
from events.threads import in_thread

T = TypeVar("T")

LOOK = 2.0
"""Seconds between two looks. By content: a mounted ConfigMap changes by swapping a link."""


class WatchedFile(Generic[T]):
    """What a file says: as last read well, or `default` while there is no file."""

    def __init__(self, path: Path, parse: Callable[[str], T], default: Callable[[], T], log: Log) -> None:
        self._path, self._parse, self._default, self._log = path, parse, default, log.bind(file=str(path))
        self._text = self._read()
        self.current: T = default() if self._text is None else parse(self._text)
        """The configuration. UserError from the constructor when the file that is there at the start is wrong."""
        if self._text is None:
            self._log.info("There is no configuration file: what is shipped holds")

    async def run(self, on_change: Callable[[], None], *, every: float = LOOK) -> None:
        """Follow the file until cancelled; `on_change` is called when something else holds."""
        failure = ""
        while True:
            await asyncio.sleep(every)
            try:
                text = await in_thread(self._read, "configuration")
            except UserError as error:
                if failure != str(error):
                    failure = str(error)
                    self._log.error("The configuration cannot be read; the last one still holds", reason=failure)
                continue
            failure = ""
            if text != self._text:
                self._text = text
                self._take(text, on_change)

    def _take(self, text: str | None, on_change: Callable[[], None]) -> None:
        try:
            made = self._default() if text is None else self._parse(text)
        except UserError as error:
            self._log.error("The configuration is wrong; the last one that was right still holds", reason=str(error))
            return
        if made != self.current:
            self.current = made
            self._log.info("The configuration changed")
            on_change()

    def _read(self) -> str | None:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot be read: {error}", path=str(self._path)) from error
