"""Expressions: `{{=…}}`, of hooks, of retries, of outputs. Contract: workflows E.3.

The variables of a scope are dotted names; an expression sees them as nested maps, beside the functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from events.errors import FilterError, UserError
from events.expressions.expr import compile as compiled
from events.expressions.expr import nodes as tree
from events.expressions.expr import sprig
from events.expressions.expr.expression import Expression
from events.expressions.expr.functions import EXTRA
from events.expressions.expr.parser import parse
from events.expressions.expr.values import Function
from events.local.workflows.errors import WorkflowError

Scope = Mapping[str, Any]
LATE = ("item", "retries", "lastRetry", "workflow.status", "workflow.failures")
"""Names that get their value later than others: what refers to them is left alone until then."""
_PLACE = re.compile(r"^unexpected (?P<what>.*?) \(at (?P<line>\d+):(?P<column>\d+)\)", re.DOTALL)
_FETCH = re.compile(r"^cannot fetch (?P<name>.+) from nil$")
_ABSENT = object()


class SyntaxProblem(WorkflowError):
    """No expression at all; fatal wherever it stands."""


def environment(scope: Scope) -> dict[str, Any]:
    """Nested maps of dotted names; a name that others go deeper into gives way to them."""
    found: dict[str, Any] = {}
    for name in sorted(scope):
        value = scope[name]
        *path, last = name.split(".")
        inner = found
        for step in path:
            below = inner.get(step)
            if not isinstance(below, dict):
                below = inner[step] = {}
            inner = below
        if not isinstance(inner.get(last), dict):
            inner[last] = value
    found.update(EXTRA)
    found["sprig"] = sprig.functions()
    return found


def evaluate(text: str, variables: dict[str, Any]) -> Any:
    """The value in an environment; SyntaxProblem for no expression, WorkflowError when it has no value."""
    try:
        return _compiled(text).evaluate(variables)
    except FilterError as error:
        raise WorkflowError(_run_text(str(error), text)) from error


def decide(text: str, scope: Scope, *, is_named: bool = True) -> bool:
    """A condition; `is_named`: errors begin with the expression."""
    try:
        found = evaluate(text, environment(scope))
    except WorkflowError as error:
        if is_named:
            raise WorkflowError(f"unable to evaluate expression '{text}': {error.message}") from error
        raise
    if not isinstance(found, bool):
        raise WorkflowError(f"unable to cast expression result '{found}' to bool")
    return found


@lru_cache(maxsize=512)
def _compiled(text: str) -> Expression:
    try:
        return compiled(text)
    except UserError as error:
        if not _is_syntax(text):
            raise WorkflowError(error.message) from error
        raise SyntaxProblem(_syntax_text(error.message, text)) from error


def _is_syntax(text: str) -> bool:
    try:
        parse(text)
    except UserError:
        return True
    return False


def _syntax_text(message: str, text: str) -> str:
    """With the drawing that users of Argo know."""
    found = _PLACE.match(message)
    if not found:
        return message
    seen = "EOF" if found["what"] == "the end" else found["what"]
    line, column = int(found["line"]), int(found["column"])
    return f"unexpected token {seen} ({line}:{column})\n{_drawing(text, line, column)}"


def _drawing(text: str, line: int, column: int) -> str:
    return f" | {text.splitlines()[line - 1]}\n | {'.' * (column - 1)}^"


def _run_text(message: str, text: str) -> str:
    found = _FETCH.match(message)
    at = text.find(f".{found['name']}") + 1 if found else 0
    if not found or not at:
        return message
    return f"cannot fetch {found['name']} from <nil> (1:{at + 1})\n{_drawing(text, 1, at + 1)}"


def waits(text: str, scope: Scope) -> bool:
    """Whether it refers to a name of `LATE` that has no value yet. Never for what cannot be parsed."""
    return any(
        name.split(".")[0] == late.split(".")[0] and (name == late or name.startswith(f"{late}."))
        for name in names(text)
        for late in LATE
        if not any(key == late or key.startswith(f"{late}.") for key in scope)
    )


def names(text: str) -> set[str]:
    """The dotted names that an expression needs: not those left of `??`, not what comes after `?.`."""
    return set(_parsed_names(text))


@lru_cache(maxsize=512)
def _parsed_names(text: str) -> tuple[str, ...]:
    try:
        return tuple(_names(parse(text)))
    except UserError:
        return ()


def _names(node: tree.Node) -> Iterator[str]:
    if isinstance(node, tree.Binary) and node.operator == "??":
        yield from _names(node.right)
        return
    if isinstance(node, (tree.Identifier, tree.Member)):
        path = _path(node)
        if path:
            yield path
            return
    for child in node.children():
        yield from _names(child)


def _path(node: tree.Node) -> str:
    """`a.b` of a chain of members, empty for anything else."""
    if isinstance(node, tree.Identifier):
        return node.name
    if isinstance(node, tree.Member) and not node.optional:
        base = _path(node.node)
        if base and isinstance(node.property, tree.Constant) and isinstance(node.property.value, str):
            return f"{base}.{node.property.value}"
    return ""


def is_plain(value: Any) -> bool:
    """Whether a result can be written as JSON: no function and no time is."""
    return not isinstance(value, Function)
