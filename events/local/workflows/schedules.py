"""When a CronWorkflow is due. Contract: workflows L."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from events import cron, durations
from events.errors import UserError
from events.local.workflows.errors import WorkflowError


@dataclass(frozen=True)
class Every:
    """`@every 90s`: counted from the time asked with, in whole seconds."""

    delay: timedelta

    def next(self, after: datetime) -> datetime | None:
        return after.replace(microsecond=0) + self.delay


Schedule = cron.Schedule | Every


def parse(text: str, timezone: str = "") -> Schedule:
    """One schedule; WorkflowError when it is none."""
    prefix, fields = "", text.strip()
    if fields.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, fields = fields.partition(" ")
        prefix, fields = f"{prefix} ", fields.strip()
    if not fields:
        raise WorkflowError("empty spec string")
    if fields.startswith("@every "):
        try:
            seconds = durations.seconds(fields.removeprefix("@every ").strip())
        except UserError as error:
            raise WorkflowError(f"failed to parse duration {fields}: {error.message}") from error
        return Every(timedelta(seconds=max(1, math.floor(seconds))))
    if fields.startswith("@") and fields not in cron.DESCRIPTORS:
        raise WorkflowError(f"unrecognized descriptor: {fields}")
    try:
        return cron.parse(prefix + cron.DESCRIPTORS.get(fields, fields), timezone or None)
    except UserError as error:
        raise WorkflowError(error.message) from error


def parse_all(schedules: Sequence[str], timezone: str = "") -> list[Schedule]:
    """All schedules of a CronWorkflow."""
    if timezone:
        try:
            cron.zone_named(timezone)
        except UserError as error:
            raise WorkflowError(f"provided bad location {timezone}: {error.message}") from error
    return [parse(one, timezone) for one in schedules]


def upcoming(schedules: Sequence[Schedule], after: datetime) -> datetime | None:
    """The next time that any of them is due, in UTC."""
    found = [moment.astimezone(UTC) for one in schedules if (moment := one.next(after)) is not None]
    return min(found, default=None)


def run_name(cron_workflow: str, due: datetime) -> str:
    """The name of the Workflow made for a run."""
    return f"{cron_workflow}-{int(due.timestamp())}"
