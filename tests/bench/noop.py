"""A trigger that does nothing: what is left is the cost of everything around it."""

from __future__ import annotations

from sensors import base
from sensors.base import Firing, Result


class NoopSpec(base.Spec):
    """Nothing to say."""


class NoopTrigger(base.Trigger[NoopSpec]):
    """Counts its firings."""

    Spec = NoopSpec
    count = 0

    async def fetch(self) -> str:
        return "{}"

    async def execute(self, resource: str, firing: Firing) -> Result:
        NoopTrigger.count += 1
        return Result()
