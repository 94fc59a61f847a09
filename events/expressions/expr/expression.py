"""Compiling and evaluating one expression."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from events.errors import FilterError, UserError
from events.expressions.expr.checker import check
from events.expressions.expr.compiler import Compiler
from events.expressions.expr.frame import Frame
from events.expressions.expr.optimizer import optimize
from events.expressions.expr.parser import parse


class Expression:
    """A compiled expression."""

    def __init__(self, text: str, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.text = text
        root = parse(text)
        check(text, root)
        compiler = Compiler(text)
        self._run = compiler.compile(optimize(text, root))
        self._variables = compiler.variables
        self._clock = clock

    def evaluate(self, environment: Mapping[str, Any]) -> Any:
        """The value in an environment; FilterError when there is none, or it would cost too much."""
        try:
            return self._run(Frame(environment, self._variables, self._clock))
        except RecursionError as error:
            raise FilterError("the data is nested too deeply for this expression") from error


def compile(text: str, *, clock: Callable[[], int] = time.time_ns) -> Expression:
    """Read an expression; UserError with the place and a cure. `clock` gives nanoseconds since 1970 to now()."""
    try:
        return Expression(text, clock=clock)
    except RecursionError as error:
        raise UserError("the expression is nested too deeply", cure="split it") from error
