"""`when`: whether a step or task runs. Contract: workflows F.3. The language is that of sensors' `exprs` filters,
with unquoted words as strings."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from events.errors import FilterError, UserError
from events.expressions import govaluate
from events.local.workflows import gotexts
from events.local.workflows.errors import WorkflowError

_HINT = ' (hint: try wrapping the affected expression in quotes ("))'
_OPERATOR = re.compile(r"unknown operator (\S+) ")
_FOLLOWS = re.compile(r"(.*) cannot stand after (.*) \(at", re.DOTALL)
_NUMBER = re.compile(r"(.+) wants (numbers|bools).*, not (.*)", re.DOTALL)
_NUMERIC = re.compile(r"[0-9.]+|0x[0-9a-fA-F]+")


def decide(text: str) -> bool:
    """Whether it holds; WorkflowError when it gives no boolean. An empty one holds."""
    if not text:
        return True
    try:
        expression = _compiled(text)
    except UserError as error:
        raise WorkflowError(f"Invalid 'when' expression '{text}': {_parse_text(error.message)}") from error
    try:
        found = expression.evaluate({name: name for name in expression.names})
    except FilterError as error:
        raise WorkflowError(f"Failed to evaluate 'when' expresion '{text}': {_run_text(str(error))}") from error
    if not isinstance(found, bool):
        raise WorkflowError(f"Expected boolean evaluation for '{text}'. Got {_shown(found)}")
    return found


@lru_cache(maxsize=512)
def _compiled(text: str) -> govaluate.Expression:
    return govaluate.compile(text)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else gotexts.dumps(value)


def _parse_text(message: str) -> str:
    if found := _OPERATOR.match(message):
        return f"Invalid token: '{found[1]}'{_HINT}"
    if found := _FOLLOWS.match(message):
        return f"Cannot transition token types from {_token(found[2])} to {_token(found[1])}"
    return message


def _token(shown: str) -> str:
    if shown.startswith("'"):
        return f"STRING [{shown[1:-1]}]"
    return f"NUMERIC [{shown}]" if _NUMERIC.fullmatch(shown) else f"VARIABLE [{shown}]"


def _run_text(message: str) -> str:
    found = _NUMBER.fullmatch(message)
    if not found:
        return message
    kind = ("modifier", "a number") if found[2] == "numbers" else ("logical operator", "a bool")
    value = found[3][1:-1] if found[3].startswith("'") else found[3]
    return f"Value '{value}' cannot be used with the {kind[0]} '{found[1]}', it is not {kind[1]}"
