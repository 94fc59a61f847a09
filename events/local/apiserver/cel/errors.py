"""What can go wrong with an expression."""

from __future__ import annotations


class CelError(Exception):
    """An evaluation failed; the message is a real server's."""


class CostExceeded(CelError):
    """The evaluation took more steps than it may."""


class CompileError(Exception):
    """The expression is none, or does not fit its variables; the message shows where."""

    def __init__(self, source: str, offset: int, message: str) -> None:
        before = source[:offset]
        line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1)
        shown = source.split("\n")[line - 1]
        super().__init__(f"ERROR: <input>:{line}:{column + 1}: {message}\n | {shown}\n | {'.' * column}^")
