"""CEL, the expression language of validation rules and match conditions: parsed, type-checked, compiled, bounded.

Our own, because a rule comes from whoever may write a definition and runs on every write: the library for Python cannot
be stopped inside an expression, takes 135 µs for one step of a macro, and knows no types. Here each step is counted
against a budget, and a field that a schema does not have is found before the rule is stored.

Path: `parsing` (text to Expression), `checking` (types), `compiling` (a function), called with variables and a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.cel import checking, compiling, parsing, types
from events.local.apiserver.cel.errors import CelError, CompileError, CostExceeded

__all__ = ["Budget", "CelError", "CompileError", "CostExceeded", "Program", "compile_expression", "types"]

Budget = compiling.Budget


@dataclass(frozen=True)
class Program:
    """A compiled expression."""

    source: str
    result: types.Type
    names: frozenset[str]
    run: Callable[[Mapping[str, Any], compiling.Budget], Any]
    expression: parsing.Expression


def compile_expression(source: str, variables: Mapping[str, types.Type]) -> Program:
    """Parse, check and compile; raises `CompileError`, whose text is a real server's (`ERROR: <input>:1:5: …`)."""
    expression = parsing.parse(source)
    checked = checking.Checker(source, variables)
    result = checked.type_of(expression)
    run = compiling.compiled(expression, checked)
    return Program(source, result, frozenset(checked.used), run, expression)
