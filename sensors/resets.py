"""When events that wait for others are dropped. Contract: sensors B.3.

Ticks are not messages and no timer runs: before an event is folded, what waits since before the latest tick is dropped,
by the time the broker stored both. So a backlog sees every tick, and a replay gives the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from events import cron
from events.durations import NANOSECONDS
from events.errors import UserError
from events.problems import Problems
from sensors.types import ConditionsReset

_SECOND = NANOSECONDS["s"]


class Resets:
    """The ticks of a trigger's `conditionsReset`; UserError when one is no schedule."""

    def __init__(self, specs: Sequence[ConditionsReset]) -> None:
        self._schedules = [_schedule(spec) for spec in specs]
        # The stretch without a tick that the last answer holds for: [since, until).
        self._since, self._until = 0, 0
        self._latest: int | None = None

    def latest(self, stored_ns: int) -> int | None:
        """The latest tick at or before a time, both in Unix nanoseconds; None when there was none."""
        if not self._since <= stored_ns < self._until:
            moment = datetime.fromtimestamp(stored_ns // _SECOND, UTC)
            self._latest = self._before(moment)
            self._since = self._latest or 0
            self._until = self._after(moment)
        return self._latest

    def _before(self, moment: datetime) -> int | None:
        # `previous` is strictly earlier, and a tick counts from its own second on.
        later = datetime.fromtimestamp(moment.timestamp() + 1, UTC)
        ticks = [tick for one in self._schedules if (tick := one.previous(later)) is not None]
        return max((int(tick.timestamp()) * _SECOND for tick in ticks), default=None)

    def _after(self, moment: datetime) -> int:
        ticks = [tick for one in self._schedules if (tick := one.next(moment)) is not None]
        return min((int(tick.timestamp()) * _SECOND for tick in ticks), default=1 << 63)

    def dropped(self, waiting_ns: int, stored_ns: int) -> bool:
        """Whether what was stored at `waiting_ns` no longer waits when an event stored at `stored_ns` comes."""
        latest = self.latest(stored_ns)
        return latest is not None and waiting_ns < latest


def _schedule(spec: ConditionsReset) -> cron.Schedule:
    if spec.by_time is None:
        raise UserError("required", path="byTime", cure="a cron schedule")
    return cron.parse(spec.by_time.cron, spec.by_time.timezone)


def validate(specs: Sequence[ConditionsReset], problems: Problems) -> None:
    """Contract D.15; paths are relative to the list."""
    for index, spec in enumerate(specs):
        here = problems.at(f"[{index}].byTime")
        if spec.by_time is None:
            here.error("", "required", "a cron schedule")
            continue
        try:
            schedule = cron.parse(spec.by_time.cron, spec.by_time.timezone)
        except UserError as error:
            here.error(error.path or "cron", error.message, error.cure)
            continue
        if not schedule.is_possible:
            here.warn("cron", f"{spec.by_time.cron!r} never comes")
