"""calendar: when a calendar source fires, resets' latest ticks, and the data of its events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, attempt, judge

from events import cron, rawjson
from eventsources.calendar_times import Times

NEVER = "never"
SHOWN = 5


def run(case: Case) -> Outcome:
    """Compare with upstream; impossible schedules and intervals are refused instead."""
    return judge(case, attempt(lambda: answer(case.input)), {"ES-3.2": flooding, "N12": lambda _case: Error()})


def flooding(case: Case) -> Any:
    """Impossible dates never come, as upstream; an interval that floods is refused."""
    return Error() if case.input["calendar"].get("interval") else AS_UPSTREAM


def answer(given: dict[str, Any]) -> Any:
    if given["op"] == "prev":
        schedule = cron.parse(given["cron"], given["timezone"], default=UTC)
        previous = schedule.previous(datetime.fromisoformat(given["start"]))
        return stamp(previous) if previous else Error("there never was one")
    entry = given["calendar"]
    times = Times(
        schedule=entry.get("schedule", ""),
        interval=entry.get("interval", ""),
        timezone=entry.get("timezone", ""),
        exclusions=entry.get("exclusionDates", ()),
        default=UTC,
    )
    if given["op"] == "payload":
        return rawjson.dumps(times.data(datetime.fromisoformat(given["time"]), entry.get("metadata"))).decode()
    return following(times, datetime.fromisoformat(given["start"]))


def following(times: Times, moment: datetime) -> list[str]:
    found: list[str] = []
    while len(found) < SHOWN:
        following = times.next(moment)
        if following is None:
            return [*found, NEVER]
        found.append(stamp(following))
        moment = following.astimezone(UTC)
    return found


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
