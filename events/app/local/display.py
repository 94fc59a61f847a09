"""What `keryx up` shows on a terminal: the parts as they come, one block when it is ready, then what happens.

Off a terminal it shows nothing of this: there the log says it all, in lines for machines.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from events.app.local.steps import Row
from events.version import VERSION

_DOTS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_SIGNS = {"there": ("✓", "+"), "wrong": ("✗", "!"), "note": ("!", "!"), "dash": ("–", "-")}
_NAMES = {"program": f"keryx {VERSION}"}
WIDTH = 16


class Display:
    """Writes to one stream; what is under way stands on the last line, which is written again and again."""

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty() and environ.get("TERM") != "dumb"
        self._has_colours = self._is_terminal and not environ.get("NO_COLOR")
        encoding = (getattr(self._stream, "encoding", None) or "ascii").lower().replace("-", "")
        self._is_plain = not encoding.startswith("utf")
        self._shown: set[str] = set()
        self._current = ""
        self._rows: Sequence[Row] = ()
        self._begun: dict[str, float] = {}

    def line(self, text: str = "") -> None:
        """A line for good, above what is under way."""
        self._write(f"{self._clear()}{text}\n{self._current}")

    def styled(self, text: str, *styles: str) -> str:
        """As the terminal may show it."""
        if not self._has_colours:
            return text
        return f"\x1b[{';'.join(_CODES[one] for one in styles)}m{text}\x1b[0m"

    def sign(self, name: str) -> str:
        """A sign that the stream can show."""
        return _SIGNS[name][self._is_plain]

    # ---- parts

    def parts(self, rows: Sequence[Row]) -> None:
        """The parts as they are now: those that are there, each once, and below them those that are not."""
        self._rows = rows
        for name, seconds, detail in rows:
            if seconds is None:
                self._begun.setdefault(name, time.monotonic())
                continue
            if name in self._shown:
                continue
            self._shown.add(name)
            mark = self.styled(self.sign("there"), "green")
            shown = f"{_NAMES.get(name, name):<{WIDTH}}{seconds:5.1f} s"
            self.line(f"  {mark} {shown}{'   ' + self.styled(detail, 'dim') if detail else ''}".rstrip())
        self.turn()

    def turn(self) -> None:
        """Draw the line of what is under way anew; called now and then, so that it lives."""
        waiting = [name for name, seconds, _ in self._rows if seconds is None]
        if not self._is_terminal:
            return
        if not waiting:
            self._draw("")
            return
        now = time.monotonic()
        dot = "*" if self._is_plain else _DOTS[int(now * 10) % len(_DOTS)]
        longest = max(now - self._begun.get(name, now) for name in waiting)
        text = f"  {dot} {', '.join(waiting)} {longest:.1f} s"
        self._draw(text[: shutil.get_terminal_size().columns - 1])

    def end(self) -> None:
        """Nothing is under way any more, however it ended."""
        self._rows = ()
        self._draw("")

    def _draw(self, text: str) -> None:
        if text != self._current:
            self._write(f"{self._clear()}{text}")
            self._current = text

    def _clear(self) -> str:
        return "\r\x1b[K" if self._current else ""

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()

    # ---- ready

    def ready(
        self, *, seconds: float, url: str, data: Path, kubeconfig: Path, notes: Sequence[str], pid: int = 0
    ) -> None:
        """The block that says where it is and what can be done now."""
        strong = f"ready in {seconds:.1f} s" + (f" (pid {pid})" if pid else "")
        self.line()
        self.line(self.styled(strong, "bold", "green"))
        for note in notes:
            self.line(f"  {self.styled(self.sign('note'), 'yellow')} {note}")
        rows = [
            ("server", url),
            ("data", str(data)),
            ("for kubectl", self.styled(f"export KUBECONFIG={kubeconfig}", "bold")),
            ("walk-through", "kubectl create namespace argo-events"),
            ("", "kubectl apply -n argo-events -f examples/walkthrough/"),
            ("", "curl -H 'Content-Type: application/json' -d '{\"message\":\"hello\"}' localhost:9100/example"),
            ("look", "keryx status; kubectl get eb,es,sn,wf,pods -A; keryx wf list -A"),
            ("stop", "keryx down" if pid else "Ctrl-C; everything goes on at the next start"),
        ]
        for name, value in rows:
            self.line(f"  {name:<14}{value}")
        self.line()


class Handler(logging.Handler):
    """Shows warnings and errors of the log between the lines of a display."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """One line: the time, what it is, and its fields."""
        is_error = record.levelno >= logging.ERROR
        mark = self._display.styled(
            self._display.sign("wrong" if is_error else "note"), "red" if is_error else "yellow"
        )
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{moment} {mark} {record.getMessage()}"
        self._display.line(f"{text}  {self._display.styled(fields, 'dim')}" if fields else text)
