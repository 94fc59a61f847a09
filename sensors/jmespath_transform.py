"""Step 7 with JMESPath, in this process: the expression's result becomes the event's data. Our own addition."""

from __future__ import annotations

from events.errors import EventError, TransformError
from events.event import Event
from events.expressions import jmes


class JmespathTransform:
    """One `transform.jmespath`; UserError when it does not compile."""

    def __init__(self, text: str) -> None:
        self._expression = jmes.compile(text)

    def apply(self, event: Event) -> Event:
        """The event with other data, unchanged when it has none; TransformError when there is no result."""
        if event.data is None:
            return event
        try:
            data = self._expression.search_json(event.tree(), len(event.data))
        except ValueError as error:
            raise TransformError("jmespath: the data is not JSON") from error
        except EventError as error:
            raise TransformError(str(error)) from error
        if data == b"null":
            raise TransformError("jmespath: nothing in the data matches: the result is null")
        return event.with_data(data)
