"""Step 7. How a dependency changes an event's data before its filters see it. Contract: sensors A.6.

`jq` and `script` run in a worker process (events/scripting), so a program that never ends stops nobody but its own
events. `jmespath` is an addition of ours. Of several the first one counts.
"""

from __future__ import annotations

from typing import Protocol

from events.errors import EventError, TransformError, UserError
from events.event import Event
from events.expressions import jmes
from events.problems import Problems
from events.scripting.pool import Program, Scripts, check
from sensors.types import EventDependency, EventDependencyTransformer

_KINDS = ("jq", "script", "jmespath")


class Transform(Protocol):
    """A compiled transformation."""

    async def apply(self, event: Event) -> Event:
        """The event with its new data, as JSON; one without data is returned unchanged. TransformError says why not."""


class ScriptTransform:
    """A jq program or a Lua script."""

    def __init__(self, program: Program[bytes]) -> None:
        self._program = program

    async def apply(self, event: Event) -> Event:
        """The event with what the program makes of its data."""
        return event if event.data is None else event.with_data(await self._program.run(event.data))


class JmespathTransform:
    """A JMESPath expression, run in this process; its result, whatever it is but null, becomes the data."""

    def __init__(self, text: str) -> None:
        self._expression: jmes.Expression | None = None
        self._error = ""
        try:
            self._expression = jmes.compile(text)
        except UserError as error:  # said for each event, as for the other languages
            self._error = f"transform.jmespath: {error}"

    async def apply(self, event: Event) -> Event:
        """The event with what the expression makes of its data."""
        if event.data is None:
            return event
        if self._expression is None:
            raise TransformError(self._error)
        try:
            data = self._expression.search_json(event.tree(), len(event.data))
        except EventError as error:
            raise TransformError(f"transform.{error}") from error
        except ValueError as error:
            raise TransformError("transform.jmespath: the data is not JSON") from error
        if data == b"null":
            raise TransformError("transform.jmespath: nothing in the data matches: the result is null")
        return event.with_data(data)


class _Nowhere:
    """A program where there is no worker to run it."""

    async def apply(self, event: Event) -> Event:
        if event.data is None:
            return event
        raise TransformError("transform: there is nothing here to run the program")


def compile(dependency: EventDependency, scripts: Scripts | None) -> Transform | None:
    """The transformation of a dependency, if it has one. Never fails: what does not compile says so for each event."""
    spec = dependency.transform
    if spec is None or not given(spec):
        return None
    if spec.jq or spec.script:
        if scripts is None:
            return _Nowhere()
        place = f"dependency {dependency.name}: transform"
        return ScriptTransform(
            scripts.jq(spec.jq, f"{place}.jq") if spec.jq else scripts.lua(spec.script or "", f"{place}.script")
        )
    return JmespathTransform(spec.jmespath or "")


def given(spec: EventDependencyTransformer) -> list[str]:
    """Which languages it is written in; the first one counts."""
    return [kind for kind in _KINDS if getattr(spec, kind)]


def validate(spec: EventDependencyTransformer, problems: Problems) -> None:
    """Programs that compile, and only one of them; paths are relative to the transformation."""
    kinds = given(spec)
    for ignored in kinds[1:]:
        problems.warn(ignored, f"has no effect: there is {kinds[0]}, too", "keep one of them")
    if spec.jq and (message := check("jq", spec.jq)):
        problems.error("jq", message)
    if spec.script and (message := check("lua", spec.script)):
        problems.error("script", message, "scripts are Lua 5.1")
    if spec.jmespath:
        try:
            jmes.compile(spec.jmespath)
        except UserError as error:
            problems.error("jmespath", error.message, error.cure)
