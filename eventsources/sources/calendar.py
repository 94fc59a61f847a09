"""Points in time as events: a cron schedule or an interval. Contract: eventsources 3.2.

Ours: a slot is the scheduled time, not the one at which a timer fired. It is `eventTime`, and its id in UTC, so that
a slot that is published again (by a successor, after a crash, after a lost answer) is stored once. The last one is kept
in the bus's state, where upstream has a ConfigMap, which is read once. A slot that is due is held until the bus has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import Field

from events import durations, rawjson
from events.backoff import Endless
from events.errors import BusError, TooLarge, UserError
from events.event import now_text
from events.model import Model
from events.problems import Problems, did_you_mean
from eventsources.base import EventSourceFilter, Source, SourceContext, Spec
from eventsources.calendar_memory import LastSlot, former_slot
from eventsources.calendar_times import PREFIX, Times, Watch

MISSED = ("skip", "one", "all")
_DAY = timedelta(days=1)


class CatchUp(Model):
    """Whether slots that were missed are published later."""

    enabled: bool = Field(default=False, description="Publish what was missed while no source ran.")
    max_duration: str = Field("", description="Slots older than this are not made up for; a duration such as 24h.")


class ConfigMapPersistence(Model):
    """Where Argo Events kept the last event; here it is kept in the bus's state."""

    name: str = Field("", description="Name of the ConfigMap; read once, never written.")
    create_if_not_exist: bool = Field(default=False, description="Accepted for compatibility, not used.")


class Persistence(Model):
    """What is remembered beyond the life of the process."""

    catchup: CatchUp | None = Field(None, description="Making up for missed slots.")
    config_map: ConfigMapPersistence | None = Field(None, description="Where Argo Events kept the last event.")


class CalendarSpec(Spec):
    """When to publish an event. Contract: eventsources 3.2."""

    schedule: str = Field("", description="Cron schedule: minute, hour, day of month, month, day of week.")
    interval: str = Field("", description="Time between two events, such as 10s or 1h30m; not used with a schedule.")
    exclusion_dates: list[str] | None = Field(None, description="Days without events: EXDATE:20261224T000000Z[,…].")
    timezone: str = Field("", description="IANA name of the zone of the schedule; the process's zone when absent.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")
    persistence: Persistence | None = Field(None, description="Making up for missed slots after a restart.")
    filter: EventSourceFilter | None = Field(None, description="Which slots become events.")
    missed: str = Field(
        "",
        description="Not in Argo Events: what becomes of slots of a time when nothing ran: skip, one (the last of "
        "them) or all; when absent all with persistence.catchup.enabled, else skip. How old they may be: "
        "persistence.catchup.maxDuration.",
    )

    @property
    def treatment(self) -> str:
        """One of MISSED."""
        catchup = self.persistence.catchup if self.persistence else None
        return self.missed or ("all" if catchup is not None and catchup.enabled else "skip")

    @property
    def window(self) -> timedelta | None:
        """How far back missed slots are made up for: None is without limit, zero not at all. Or UserError."""
        catchup = self.persistence.catchup if self.persistence else None
        if self.treatment == "skip":
            return timedelta()
        if catchup is None or not catchup.max_duration:
            return None
        window = durations.delta(catchup.max_duration)
        if window < timedelta():
            raise UserError(f"{catchup.max_duration!r} is negative", cure="write a duration such as 24h")
        return window


class CalendarSource(Source[CalendarSpec]):
    """One entry: waits for the next slot, publishes it, remembers it."""

    Spec, event_type, active_passive = CalendarSpec, "calendar", True

    def __init__(self, spec: CalendarSpec, awake: Callable[[], float] = time.monotonic) -> None:
        """`awake` counts the seconds in which this machine did not sleep."""
        super().__init__(spec)
        self._times = Times(
            schedule=spec.schedule,
            interval=spec.interval,
            timezone=spec.timezone,
            exclusions=spec.exclusion_dates or (),
        )
        self._awake, self._window = awake, spec.window
        self._watch = Watch(self._window if spec.treatment == "all" else timedelta())
        self._done: datetime | None = None
        """The last slot that is over, or the time this began: also over a restart of `listen`."""
        self._published: datetime | None = None

    @classmethod
    def validate(cls, spec: CalendarSpec, problems: Problems) -> None:
        _check_times(spec, problems)
        _check_catch_up(spec, problems)

    async def listen(self, context: SourceContext) -> None:
        memory = LastSlot(context.state)
        self._done = await self._begin(memory, context)
        context.started()
        while True:
            self._look(context)
            found = self._times.next(self._watch.pass_over(self._done))
            if found is None:
                await self._wait_for_a_date(context)
                continue
            slot = found.astimezone(UTC)  # within one zone Python takes the two 02:30 of an autumn night for equal
            await context.clock.sleep_until(slot)
            self._look(context)
            await self._publish(slot, context)
            await self._persist(slot, context, partial(memory.write, slot))
            self._done = slot

    async def _begin(self, memory: LastSlot, context: SourceContext) -> datetime:
        """What the next slot comes after."""
        last = await memory.read()
        now = context.clock.now()
        self._look(context)
        if self._done is not None and (last is None or last <= self._done):
            return self._done  # we were interrupted, and nobody went on in our place
        if last is None and (last := await self._former(context)) is not None and last - now <= _DAY:
            await memory.write(last)
        if last is None:
            return now
        if last - now > _DAY:
            context.log.warning("The last event is in the future; it is ignored", last=now_text(last))
            return now
        begin = last if self._window is None else max(last, now - self._window)
        if begin < now and (first := self._times.next(begin)) is not None and first <= now:
            if self.spec.treatment == "one":
                begin = self._times.before_last(begin, now)
            context.log.info("Making up for what was missed", first=now_text(first), last=now_text(last))
        return begin

    async def _former(self, context: SourceContext) -> datetime | None:
        """When Argo Events published its last event, where that matters."""
        persistence = self.spec.persistence
        if persistence is None or persistence.config_map is None or self.spec.treatment == "skip":
            return None
        return await former_slot(persistence.config_map.name, context)

    async def _wait_for_a_date(self, context: SourceContext) -> None:
        """No slot within years, or ever: look again tomorrow."""
        now = context.clock.now()
        assert self._done is not None
        self._done = max(self._done, now)
        await context.clock.sleep_until(now + _DAY)

    def _look(self, context: SourceContext) -> None:
        if self._watch.look(context.clock.now(), self._awake()):
            context.log.info("The machine slept or its clock was set ahead; slots of that time are skipped but for one")

    async def _publish(self, slot: datetime, context: SourceContext) -> None:
        if slot == self._published:
            return
        data = rawjson.dumps(self._times.data(slot, self.spec.metadata))
        await self._persist(slot, context, partial(context.emit, data, id=now_text(slot)))
        self._published = slot

    async def _persist(self, slot: datetime, context: SourceContext, write: Callable[[], Awaitable[None]]) -> None:
        """Write until the bus has it."""
        pauses = Endless(0.1, 10)
        while True:
            try:
                await write()
            except TooLarge:
                raise
            except BusError as error:
                if not pauses.count:
                    context.log.warning(
                        "The bus does not take a slot; tried until it does", slot=now_text(slot), reason=error
                    )
                await asyncio.sleep(pauses.next())
                self._look(context)
            else:
                break
        if pauses.count:
            context.log.info("The bus has taken the slot", slot=now_text(slot), attempts=pauses.count + 1)


def _check_times(spec: CalendarSpec, problems: Problems) -> None:
    """Each field by itself, so that all that is wrong is said. As upstream, only missing times refuse the object."""
    try:
        if not Times(schedule=spec.schedule, interval=spec.interval).is_possible:
            problems.warn("schedule", "no such date ever comes: it never fires", "look at day of month and month")
    except UserError as error:
        problems.error(error.path, error.message, error.cure)
    checks: tuple[Callable[[], Times], ...] = (
        lambda: Times(interval="1s", timezone=spec.timezone),
        lambda: Times(interval="1s", exclusions=spec.exclusion_dates or ()),
    )
    for check in checks:
        try:
            check()
        except UserError as error:
            problems.warn(error.path, f"{error.message}: the source never starts", error.cure)
    if spec.schedule and spec.interval:
        problems.warn("interval", "is not used beside a schedule", "remove one of them")
    for index, item in enumerate(spec.exclusion_dates or ()):
        if not item.startswith(PREFIX):
            problems.warn(f"exclusionDates[{index}]", f"{item!r} excludes nothing", f"write {PREFIX}20261224T000000Z")


def _check_catch_up(spec: CalendarSpec, problems: Problems) -> None:
    if spec.treatment not in MISSED:
        cure = did_you_mean(spec.missed, MISSED) or f"one of {', '.join(MISSED)}"
        problems.error("missed", f"{spec.missed!r} is none", cure)
    catchup = spec.persistence.catchup if spec.persistence else None
    if spec.missed == "skip" and catchup is not None and catchup.enabled:
        problems.warn("persistence.catchup", "has no effect with missed: skip", "remove one of them")
    path = "persistence.catchup.maxDuration"
    try:
        if spec.window is None and spec.treatment == "all":
            message = "without it every slot since the last event is made up for, however many they are"
            problems.warn(path, message, "set it, such as 24h")
    except UserError as error:
        problems.warn(path, f"{error.message}: the source never starts", error.cure)
