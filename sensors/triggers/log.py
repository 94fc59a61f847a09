"""Events written to the log. Contract: sensors D.10."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Any

import orjson
from pydantic import Field

from events.event import Event
from events.problems import Problems
from sensors import base
from sensors.base import Firing, Result, TriggerContext

_TEXT_TYPES = ("application/json", "text/plain")


class LogSpec(base.Spec):
    """Logs the events. Contract: sensors D.10."""

    unused_parameters: Any = Field(None, alias="parameters", description="Not used; other kinds of trigger have them.")

    interval_seconds: int | None = Field(
        None, ge=0, description="Write the events of at most one firing in so many seconds; of each when absent."
    )


class LogTrigger(base.Trigger[LogSpec]):
    """One line for each event of a firing."""

    Spec = LogSpec

    def __init__(self, spec: LogSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._last = -math.inf

    @classmethod
    def validate(cls, spec: LogSpec, problems: Problems) -> None:
        if spec.unused_parameters is not None:
            problems.warn(
                "parameters", "has no effect: a log trigger has no parameters", "write them beside `template`"
            )

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:  # noqa: ARG002  # it has no parameters
        now = asyncio.get_running_loop().time()
        if now - self._last < (self.spec.interval_seconds or 0):
            return Result()
        self._last = now
        for dependency, event in firing.events.items():
            self.context.log.info(
                _message(event),
                dependencyName=dependency,
                eventContext=event.context(),
                triggerName=self.context.trigger_name,
                triggerType="Log",
                sensorName=self.context.sensor_name,
            )
        return Result()


def _message(event: Event) -> str:
    """The data as text when it is text, else as base64."""
    media_type = event.datacontenttype.partition(";")[0].strip().lower()
    return event.text() if media_type in _TEXT_TYPES else base64.b64encode(event.data or b"").decode()
