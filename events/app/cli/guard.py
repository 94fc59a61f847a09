"""What a user can cure is lines on stderr and an exit code, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import typer

from events.errors import BusError, UserError

FAILED = 1
USAGE = 2


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """A command that returns its exit code; a UserError is code 2, a bus that is away code 1."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            code = command(*args, **options)
        except (UserError, BusError) as error:
            print(f"keryx: {error}", file=sys.stderr)  # noqa: T201
            code = USAGE if isinstance(error, UserError) else FAILED
        raise typer.Exit(code)

    return run


def show(line: str) -> None:
    """Print a line that may hold what the terminal, or UTF-8, cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201


def note(line: str) -> None:
    """Print a line beside the output."""
    print(line, file=sys.stderr)  # noqa: T201
