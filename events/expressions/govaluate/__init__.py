"""The boolean language of `exprs` filters: govaluate v3 (contract sensors A.5.1, Appendix 3).

Compiled once, then a few calls for every event. Numbers are floats, nothing is converted, and no expression raises
anything but `FilterError`; length and nesting are limited.

    lexer.py       tokens, and which may follow which
    dates.py       strings that are dates, and so numbers
    parser.py      tokens to functions
    operators.py   what operators do
    values.py      equality, text and 64-bit integers as Go has them
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.expressions.govaluate import parser
from events.expressions.govaluate.values import shown

__all__ = ["Expression", "compile", "shown"]


class Expression:
    """One expression, compiled. `names` are its variables; `ignored` is text at its end that has no effect."""

    __slots__ = ("_run", "ignored", "names", "text")

    def __init__(self, text: str) -> None:
        """UserError when it is not an expression."""
        parsed = parser.Parser(text)
        self.text, self.names, self.ignored = text, parsed.names, parsed.ignored
        self._run = parsed.node.run

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value for these variables, plain JSON values; FilterError when there is none."""
        return self._run(variables)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile(text: str) -> Expression:
    """An expression to be used for every event; UserError when it is not one."""
    return Expression(text)
