"""A JMESPath expression that must be true. Our own addition, evaluated after all kinds that Argo Events has."""

from __future__ import annotations

from events.errors import EventError, UserError
from events.event import Event
from events.expressions import jmes
from events.problems import Problems
from sensors.filters.verdict import PASSED, Verdict, refused, shown, undecided

REASON = "jmespath"


class JmespathFilter:
    """Passes when the result is exactly true; an event without data passes, as with all filters on data."""

    def __init__(self, text: str) -> None:
        self._expression: jmes.Expression | None = None
        self._error = ""
        try:
            self._expression = jmes.compile(text)
        except UserError as error:  # said for each event, as for the other kinds
            self._error = str(error)

    def check(self, event: Event) -> Verdict:
        """Whether the expression is true of the data."""
        if event.data is None:
            return PASSED
        if self._expression is None:
            return undecided(REASON, self._error)
        try:
            result = self._expression.search(event.tree(), len(event.data))
        except ValueError:
            return undecided(REASON, "the data is not JSON")
        except EventError as error:
            return undecided(REASON, str(error))
        return PASSED if result is True else refused(REASON, f"jmespath gives {shown(repr(result))}, not true")


def validate(text: str, problems: Problems) -> None:
    """An expression that compiles, at the place that `problems` stands for."""
    try:
        jmes.compile(text)
    except UserError as error:
        problems.error("", error.message, error.cure)
