"""Where the words of a command go: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys


class Screen:
    """Two streams that may not know every letter."""

    def line(self, text: str) -> None:
        """A line of the result."""
        sys.stdout.write(_shown(text, sys.stdout.encoding) + "\n")

    def text(self, text: str) -> None:
        """A piece of the result, as it is."""
        sys.stdout.write(_shown(text, sys.stdout.encoding))

    def raw(self, data: bytes) -> None:
        """Bytes of the result; logs may hold anything."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def flush(self) -> None:
        """Now, not when there is enough."""
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line for the person, not for the next program."""
        sys.stdout.flush()
        sys.stderr.write(_shown(text, sys.stderr.encoding) + "\n")
        sys.stderr.flush()


def _shown(text: str, encoding: str | None) -> str:
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)
