"""Boolean expressions over values of an event's data. Contract: sensors A.5.1, Appendix 3.

What is wrong with an expression is said when it is reached for an event, because one that passes before that point
decides without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from events import paths, rawjson
from events.errors import FilterError, InvalidPath, UserError
from events.event import Event
from events.expressions import govaluate
from events.paths import Document, Kind, Result
from events.problems import Problems
from sensors.filters.data import readable
from sensors.filters.verdict import PASSED, Verdict, combined, shown, undecided
from sensors.types import ExprFilter

REASON = "exprs"
_LITERALS = {Kind.TRUE: True, Kind.FALSE: False, Kind.NULL: None}


class ExprFilters:
    """The expressions of one dependency, combined by and (all of them) or or (any of them)."""

    def __init__(self, specs: Sequence[ExprFilter], *, is_either: bool) -> None:
        # Upstream skips what has no fields; validation refuses it.
        self._entries = tuple(_Entry(f"exprs[{i}]", spec) for i, spec in enumerate(specs) if spec.fields)
        self._is_either = is_either

    def check(self, event: Event) -> Verdict:
        """Whether the expressions are true of the data; an event without data passes."""
        if event.data is None:
            return PASSED
        document = readable(event) if self._entries else Document("")
        if document is None:
            return undecided(REASON, "the data is not JSON")
        nothing = "exprLogicalOperator is `or` and there is no expression that could pass"
        return combined(self._entries, document, REASON, is_either=self._is_either, nothing=nothing)


class _Entry:
    """One expression and where its variables come from."""

    def __init__(self, where: str, spec: ExprFilter) -> None:
        self._where = f"{where} {spec.expr.strip()}"
        self._error = ""
        self._fields: list[tuple[str, paths.Path]] = []
        self._evaluate: Callable[[dict[str, Any]], Any] = dict
        try:
            self._fields = [(field.name, paths.compile_path(field.path)) for field in spec.fields]
            self._evaluate = govaluate.compile(spec.expr).evaluate
        except (UserError, InvalidPath) as error:
            self._error = str(error)

    def difference(self, document: Document) -> str:
        """Nothing when it is true of a document, else what it is; FilterError when that cannot be said."""
        try:
            variables = {name: _value(path, document) for name, path in self._fields}
            if self._error:
                raise FilterError(self._error)
            result = self._evaluate(variables)
        except (FilterError, InvalidPath) as error:
            raise FilterError(f"{self._where}: {error}") from error
        if result is True:
            return ""
        given = ", ".join(f"{name} = {govaluate.shown(value)}" for name, value in variables.items())
        return f"{self._where}: {govaluate.shown(result)} with {given}"


def _value(path: paths.Path, document: Document) -> Any:
    found = document.get(path)
    if not found.exists:
        raise FilterError(f"there is no {path.text} in the data")
    return native(found)


def native(found: Result) -> Any:
    """A value as expressions have it: plain JSON, numbers as floats; FilterError when it cannot be read."""
    kind = found.kind
    if kind is Kind.NUMBER:
        return found.number
    if kind is Kind.STRING:
        return found.text
    if kind is Kind.JSON:
        try:
            return rawjson.first_wins(found.raw)
        except (ValueError, RecursionError) as error:
            raise FilterError(f"the value cannot be read: {error}") from error
    return _LITERALS[kind]


def validate(specs: Sequence[ExprFilter], problems: Problems) -> None:
    """Contract D.15, and expressions that cannot be evaluated."""
    for index, spec in enumerate(specs):
        here = problems.at(f"exprs[{index}]")
        if not spec.expr:
            here.error("expr", "required")
        if not spec.fields:
            here.error("fields", "required", "give a path and a name for each variable of the expression")
        for place, field in enumerate(spec.fields):
            _validate_field(field.path, field.name, here.at(f"fields[{place}]"))
        if spec.expr and spec.fields:
            _validate_expression(spec, here)


def _validate_field(path: str, name: str, problems: Problems) -> None:
    if not path:
        problems.error("path", "required")
    if not name:
        problems.error("name", "required")
    try:
        paths.compile_path(path)
    except InvalidPath as error:
        problems.error("path", str(error))


def _validate_expression(spec: ExprFilter, problems: Problems) -> None:
    try:
        expression = govaluate.compile(spec.expr)
    except UserError as error:
        problems.error("expr", error.message, error.cure)
        return
    known = {field.name for field in spec.fields}
    if unknown := [name for name in expression.names if name not in known]:
        problems.warn("expr", f"there is no field named {', '.join(unknown)}", "add it to fields, with its path")
    if expression.ignored:
        problems.warn("expr", f"{shown(expression.ignored)!r} has no effect", "is there an operator missing before it?")
