"""The filter of an event: which of its data are published (step 2). Contract: eventsources 1.9.

A source has one when its spec has a `filter` of this kind; minio, resource and storageGrid have filters of their own.
What is filtered out counts as success outside. Ours: it is counted, and an error is said once until it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from events.errors import FilterError, UserError
from events.expressions import expr
from events.logs import Log
from events.problems import Problems
from eventsources.base import EventSourceFilter, Spec

PATH = "filter.expression"
_QUIET_SECONDS = 60.0


def compiled(spec: Spec) -> expr.Filter | None:
    """The filter of a spec; None when it has none, UserError when it cannot be compiled."""
    found: Any = getattr(spec, "filter", None)
    if not isinstance(found, EventSourceFilter) or not (found.expression or found.needs_expression):
        return None
    try:
        return expr.filter(found.expression)
    except UserError as error:
        raise UserError(error.message, path=PATH, cure=error.cure) from error


def validate(spec: Spec, problems: Problems) -> None:
    """A filter that cannot be compiled, as a problem of the spec."""
    try:
        compiled(spec)
    except UserError as error:
        problems.error(error.path, error.message, error.cure)


class Gate:
    """The filter of a running event."""

    def __init__(
        self,
        chosen: expr.Filter,
        count: Callable[[str], None],
        log: Log,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`count` hears why an event was not published: `false` or `error`."""
        self._filter, self._count, self._log, self._now = chosen, count, log, now
        self._failing_until: float | None = None
        """Good and bad events may take turns: it fails until there was no bad one for a while."""

    def passes(self, data: bytes) -> bool:
        """Whether the event with this data is published."""
        try:
            passed = self._filter.passes(data)
        except FilterError as error:
            self._on_error(error)
            return False
        if self._failing_until is not None and self._now() > self._failing_until:
            self._failing_until = None
            self._log.info("The filter can be decided again")
        if not passed:
            self._count("false")
            self._log.debug("The event is not published", reason="the filter is false")
        return passed

    def _on_error(self, error: FilterError) -> None:
        self._count("error")
        if self._failing_until is None:
            text = "The filter cannot be decided; such events are not published"
            self._log.error(text, reason=str(error), field=PATH)
        else:
            self._log.debug("The event is not published", reason=str(error))
        self._failing_until = self._now() + _QUIET_SECONDS
