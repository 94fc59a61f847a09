"""Step 8. Which events of a dependency a trigger gets to see. Contract: sensors A.5.

exprs.py     boolean expressions over values of the event's data
data.py      values of the event's data compared with lists of values
context.py   attributes of the event
time.py      time of day
script.py    a Lua script over the data, the only kind that must be awaited: it runs in a worker
jmespath.py  an expression over the data, of our own
verdict.py   what all of them answer
"""

from __future__ import annotations

from typing import Protocol

from events.event import Event
from events.problems import Problems
from events.scripting.pool import Scripts
from sensors.filters import context, data, exprs, jmespath, script, time
from sensors.filters.verdict import PASSED, Verdict, refused, undecided
from sensors.types import EventDependency, EventDependencyFilter

__all__ = ["Filter", "Verdict", "compile", "validate"]

OPERATORS = ("", "and", "or")
_NOT_YET = "is not in this version of Keryx"


class Kind(Protocol):
    """All filters of one kind, combined by their own operator."""

    def check(self, event: Event) -> Verdict:
        """Whether the event passes."""


class Filter:
    """The filters of one dependency, compiled once."""

    def __init__(self, kinds: tuple[Kind, ...], *, is_either: bool, script: script.ScriptFilter | None = None) -> None:
        self._kinds, self._is_either, self._script = kinds, is_either, script

    async def decide(self, event: Event) -> Verdict:
        """Whether the event passes, else why not."""
        if self._script is None:
            return self.accepts(event)
        if not self._kinds:
            return await self._script.check(event)
        others = self.accepts(event)
        if others.passed if self._is_either else others.is_error:
            return others
        last = await self._script.check(event)
        if self._is_either:
            return last if last.passed else _both(others, last)
        return last if last.is_error or others.passed else others

    def accepts(self, event: Event) -> Verdict:
        """What all kinds but the script say."""
        return self._either(event) if self._is_either else self._all(event)

    def _all(self, event: Event) -> Verdict:
        """As upstream, a refusal lets the other kinds speak: one that cannot be decided is the better reason."""
        first = PASSED
        for kind in self._kinds:
            verdict = kind.check(event)
            if verdict.is_error:
                return verdict
            if first.passed:
                first = verdict
        return first

    def _either(self, event: Event) -> Verdict:
        """One kind that passes is enough, whatever the others say: an error counts as false for its own kind only."""
        refusals = []
        for kind in self._kinds:
            verdict = kind.check(event)
            if verdict.passed:
                return PASSED
            refusals.append(verdict)
        if not refusals:
            return refused("none", "filtersLogicalOperator is `or` and there is no filter that could pass")
        return _both(*refusals)


def _both(*refusals: Verdict) -> Verdict:
    """Several refusals as one: undecided if any is."""
    detail = "; ".join(verdict.detail for verdict in refusals)
    error = next((verdict for verdict in refusals if verdict.is_error), None)
    return undecided(error.reason, detail) if error else refused(refusals[0].reason, detail)


class _Missing:
    """A kind of filter that cannot be decided, in this version or here."""

    def __init__(self, reason: str, why: str = _NOT_YET) -> None:
        self._verdict = undecided(reason, f"{reason}: {why}")

    def check(self, _event: Event) -> Verdict:
        return self._verdict


def compile(dependency: EventDependency, scripts: Scripts | None = None) -> Filter:
    """The filter of a dependency. Never fails: what cannot be decided says so for each event, as upstream."""
    filters = dependency.filters
    if filters is None:
        return Filter((), is_either=False)
    scripted = None
    if filters.script and scripts is not None:
        place = f"dependency {dependency.name}: filters.script"
        scripted = script.ScriptFilter(filters.script, scripts, place)
    kinds = tuple(_kinds(filters, has_scripts=scripts is not None))
    return Filter(kinds, is_either=dependency.filters_logical_operator == "or", script=scripted)


def _kinds(filters: EventDependencyFilter, *, has_scripts: bool) -> list[Kind]:
    kinds: list[Kind] = []
    if filters.exprs is not None:
        kinds.append(exprs.ExprFilters(filters.exprs, is_either=filters.expr_logical_operator == "or"))
    if filters.data is not None:
        kinds.append(data.DataFilters(filters.data, is_either=filters.data_logical_operator == "or"))
    if filters.context is not None:
        kinds.append(context.ContextFilter(filters.context))
    if filters.time is not None:
        kinds.append(time.TimeFilter(filters.time))
    if filters.script and not has_scripts:
        kinds.append(_Missing("script", "there is nothing here to run it"))
    if filters.jmespath:
        kinds.append(jmespath.JmespathFilter(filters.jmespath))
    return kinds


def validate(dependency: EventDependency, problems: Problems) -> None:
    """The rows on filters of contract D.15; paths are relative to the dependency."""
    _check_operator(dependency.filters_logical_operator, "filtersLogicalOperator", problems)
    if dependency.filters is not None:
        _validate_kinds(dependency.filters, problems.at("filters"))


def _validate_kinds(filters: EventDependencyFilter, problems: Problems) -> None:
    _check_operator(filters.expr_logical_operator, "exprLogicalOperator", problems)
    _check_operator(filters.data_logical_operator, "dataLogicalOperator", problems)
    exprs.validate(filters.exprs or [], problems)
    data.validate(filters.data or [], problems)
    if filters.context is not None:
        context.validate(filters.context, problems.at("context"))
    if filters.time is not None:
        time.validate(filters.time, problems.at("time"))
    if filters.script:
        script.validate(filters.script, problems.at("script"))
    if filters.jmespath:
        jmespath.validate(filters.jmespath, problems.at("jmespath"))


def _check_operator(operator: str | None, path: str, problems: Problems) -> None:
    if (operator or "") not in OPERATORS:
        problems.error(path, f"unknown logical operator {operator!r}", "write and, or or; lower case")
