"""The expressions of event-source filters: the language of expr-lang/expr 1.15. Contract: eventsources 1.9.

`compile(text)` reads, checks and compiles once; `evaluate` then takes a few microseconds. Where things are: lexer and
parser give `nodes`, `checker` refuses what can never work, `optimizer` folds, `compiler` makes closures of it;
`operators`, `builtins`, `strings`, `predicates`, `times`, `layouts` and `texts` are what they call; `filters` is the
use by event sources.
"""

from __future__ import annotations

from events.expressions.expr.expression import Expression, compile
from events.expressions.expr.filters import Filter, filter

__all__ = ["Expression", "Filter", "compile", "filter"]
