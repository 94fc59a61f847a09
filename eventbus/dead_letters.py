"""Dead letters: what a trigger could not handle, kept for a person to look at. Design section 5, Failures.

A letter is stored as one message per event, in its wire form, which fitted the bus once, and a small head, written
last: what has no head is not there. To redrive a letter is to publish an ordinary event, on a topic of its trigger
alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import orjson

from eventbus import subjects
from events.errors import BusError, InvalidEvent, KeryxError, UserError
from events.event import Event, decode, now_text, parse_time, published, to_wire

MAX_BYTES = 1 << 30
"""What the letters of a namespace may take; then the oldest are discarded."""
MAX_AGE_DAYS = 30
REDRIVE_SOURCE = "keryx-redrive"
"""The source of events that redrive a letter; no EventSource may have this name."""

_REDRIVE_TYPE = "redrive"
_FORMAT = 1
_DETAIL = 8192
"""Characters of an error's text that are kept."""
_ATTRIBUTE = 1024
"""Characters of an attribute that are kept of an event that outgrew the bus."""
_LONGEST_PART = 120
"""Characters of a name in a subject: the server takes 4 KiB of all."""

Kind = Literal["firing", "event"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """What is known of a letter besides its events."""

    id: str
    namespace: str
    sensor: str
    trigger: str
    reason: str
    """One word, to count and filter by."""
    detail: str = ""
    """The last error."""
    attempts: int = 0
    """How often the action was tried."""
    failed_at: datetime
    """UTC."""
    firing_id: str = ""
    redrives: int = 0
    """How often it has been sent again."""
    sequences: Mapping[str, int] = field(default_factory=dict)
    """Dependency -> place of its event in the stream."""
    kind: Kind = "firing"
    """`firing`: a complete set of events whose action failed, redriven with exactly these. `event`: one event that
    could not be handled; redriven it goes through the whole pipeline again."""
    is_cut: bool = False
    """An event had outgrown the bus and is kept without its data: it cannot be redriven."""


@dataclass(frozen=True, kw_only=True)
class Listed(Head):
    """A letter in a list: without its events."""

    dependencies: tuple[str, ...] = ()
    """Those whose events it has."""
    cursor: int = 0
    """Its place in the store: where the next page goes on after."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter(Head):
    """A letter with its events."""

    events: Mapping[str, Event] = field(default_factory=dict)
    """Dependency -> event; empty when the event could not be read."""
    raw: bytes | None = None
    """What was on the bus, when that is no CloudEvent."""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Those whose events it has."""
        return tuple(self.events)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters; empty is any."""

    sensor: str = ""
    trigger: str = ""
    reason: str = ""
    since: datetime | None = None

    def accepts(self, head: Head) -> bool:
        """Whether a letter is one of these."""
        return (
            self.sensor in ("", head.sensor)
            and self.trigger in ("", head.trigger)
            and self.reason in ("", head.reason)
            and (self.since is None or head.failed_at >= self.since)
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """How full the store is. `first` only grows: more than what was removed, and the oldest were discarded."""

    messages: int = 0
    """A letter is its events and one more."""
    bytes: int = 0
    max_bytes: int = MAX_BYTES
    first: int = 0
    """Place of the oldest message."""
    last: int = 0
    """Place of the newest there has been: what is added later has a greater cursor."""


class DeadLetters(Protocol):
    """The dead letters of a namespace. Every call: Unavailable when the bus is away."""

    async def add(self, letter: DeadLetter) -> None:
        """Returns when it is durable. An id that is there already stays as it is, whatever of it was written before."""
        ...

    async def page(self, where: Filter | None = None, *, limit: int = 100, after: int = 0) -> list[Listed]:
        """Up to `limit` letters in the order of adding, after this cursor. Fewer: there are no more."""
        ...

    async def get(self, identity: str) -> DeadLetter | None:
        """The letter with its events; None when it is not there, or no longer as a whole."""
        ...

    async def remove(self, identity: str) -> None:
        """Forget a letter, if it is there."""
        ...

    async def figures(self) -> Figures:
        """How full the store is, for gauges."""
        ...


# ---- redriving


def redrive_topic(sensor: str, trigger: str) -> tuple[str, str]:
    """(event source name, event name) on which a trigger is told to send a letter again."""
    return REDRIVE_SOURCE, f"{name_part(sensor)}=-{name_part(trigger)}"


def redrive_event(letter: Listed | DeadLetter) -> Event:
    """The event that redrives a letter; published twice it does so once. UserError when it cannot be redriven."""
    if reason := obstacle(letter):
        raise UserError(f"{letter.id} cannot be redriven: {reason}", cure="send the event again from where it came")
    source, name = redrive_topic(letter.sensor, letter.trigger)
    data = orjson.dumps({"letter": letter.id, "redrives": letter.redrives + 1})
    identity = f"{letter.id}.{letter.redrives + 1}"
    return published(source=source, subject=name, type=_REDRIVE_TYPE, data=data, id=identity)


def redriven(event: Event) -> tuple[str, int] | None:
    """Id of the letter that an event redrives, and which time this is; None when it is no such event."""
    if event.source != REDRIVE_SOURCE:
        return None
    try:
        data = event.tree()
        identity, redrives = data["letter"], data["redrives"]
    except (ValueError, KeyError, TypeError):
        return None
    is_valid = isinstance(identity, str) and redrives.__class__ is int and redrives > 0
    return (identity, redrives) if is_valid else None


def obstacle(letter: Listed | DeadLetter) -> str:
    """Why a letter cannot be redriven; empty when it can."""
    if letter.is_cut:
        return "an event outgrew the bus and was kept without its data"
    if not letter.dependencies:
        return "its event could not be read"
    missing = sorted(letter.sequences.keys() - set(letter.dependencies))
    return f"the event of {', '.join(missing)} was not on the bus any more" if missing else ""


def name_part(name: str) -> str:
    """A name as one token of a subject: escaped, or a digest where that would be long. Neither contains `=-`."""
    escaped = subjects.key_part(name)
    if len(escaped) <= _LONGEST_PART:
        return escaped
    return f"{hashlib.blake2b(name.encode('utf-8', 'replace'), digest_size=20).hexdigest()}=="


# ---- as messages


def encode(letter: DeadLetter, limit: int) -> tuple[bytes, list[bytes]]:
    """Head and bodies. A body of more than `limit` bytes loses its data."""
    bodies: list[bytes] = []
    events: dict[str, int] = {}
    is_cut = letter.is_cut
    seen: list[Event] = []
    for dependency, event in letter.events.items():
        if event not in seen:  # one event may serve several dependencies
            seen.append(event)
            body, has_lost = _body(event, limit)
            bodies.append(body)
            is_cut = is_cut or has_lost
        events[dependency] = seen.index(event)
    has_raw = letter.raw is not None and len(letter.raw) <= limit
    if has_raw and letter.raw is not None:
        bodies.append(letter.raw)
    longest = min(_DETAIL, limit // 8)
    head = {
        "format": _FORMAT,
        "id": letter.id,
        "namespace": letter.namespace,
        "sensor": letter.sensor,
        "trigger": letter.trigger,
        "kind": letter.kind,
        "reason": letter.reason,
        "detail": letter.detail if len(letter.detail) <= longest else f"{letter.detail[:longest]}…",
        "attempts": letter.attempts,
        "failedAt": now_text(letter.failed_at),
        "firingID": letter.firing_id,
        "redrives": letter.redrives,
        "sequences": dict(letter.sequences),
        "events": events,
        "raw": has_raw,
        "cut": is_cut or (letter.raw is not None and not has_raw),
        "bodies": len(bodies),
    }
    return orjson.dumps(_encodable(head)), bodies


def _body(event: Event, limit: int) -> tuple[bytes, bool]:
    """The wire form, and whether it lost its data."""
    try:
        wire = to_wire(event)
    except (KeryxError, ValueError, TypeError):  # a line must not stand still because of it
        wire = b""
    if wire and len(wire) <= limit:
        return wire, False
    named = {name: str(getattr(event, name))[:_ATTRIBUTE] for name in ("id", "source", "type", "subject")}
    return to_wire(Event(**_encodable(named), data=None, time=event.time)), True


def _encodable(value: Any) -> Any:
    """Without halves of surrogate pairs, which have no UTF-8; an error's text may have some."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return {_encodable(key): _encodable(item) for key, item in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True, slots=True)
class Envelope:
    """A head as it is stored: what it says, and which of its bodies is what."""

    listed: Listed
    events: Mapping[str, int]
    bodies: int
    has_raw: bool

    def open(self, bodies: Sequence[bytes]) -> DeadLetter:
        """The letter with its events. One that is no event any more makes it a letter without events."""
        raw = bodies[-1] if self.has_raw else None
        common = {name: getattr(self.listed, name) for name in Head.__dataclass_fields__}
        try:
            events = {dependency: decode(bodies[index]) for dependency, index in self.events.items()}
        except InvalidEvent:
            events, raw = {}, raw or bodies[0]
        return DeadLetter(**common, events=events, raw=raw)


def decode_head(data: bytes, cursor: int) -> Envelope:
    """A stored head; BusError when it is none of ours, or of a later version."""
    try:
        raw = orjson.loads(data)
        if raw["format"] != _FORMAT:
            raise BusError(f"a dead letter of format {raw['format']}: written by a later version")
        listed = Listed(
            id=raw["id"],
            namespace=raw["namespace"],
            sensor=raw["sensor"],
            trigger=raw["trigger"],
            reason=raw["reason"],
            detail=raw["detail"],
            attempts=int(raw["attempts"]),
            failed_at=parse_time(raw["failedAt"]),
            firing_id=raw["firingID"],
            redrives=int(raw["redrives"]),
            sequences=raw["sequences"],
            kind=raw["kind"],
            is_cut=bool(raw["cut"]),
            dependencies=tuple(raw["events"]),
            cursor=cursor,
        )
        return Envelope(listed, raw["events"], int(raw["bodies"]), bool(raw["raw"]))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidEvent) as error:
        raise BusError(f"the dead letter at {cursor} cannot be read: {error!r}") from error


def unreadable(identity: str, why: str, cursor: int) -> Listed:
    """What is listed in place of a head that cannot be read, so that it can be seen and discarded."""
    start = datetime.fromtimestamp(0, UTC)
    return Listed(
        id=identity,
        namespace="",
        sensor="",
        trigger="",
        reason="unreadable",
        detail=why,
        failed_at=start,
        cursor=cursor,
    )
