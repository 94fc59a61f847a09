"""Checkpoint: what a trigger knows after a certain event, as a value; and its form in the bus's state.

It is the result of `pipeline.fold` over all events up to `applied` and nothing later. The head is one small value,
written by compare-and-set; an event that waits for others is copied to one of two slots of its dependency, always the
one that the current head does not name: slot first, then head, so that a crash between them leaves the old pair whole.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson

from eventbus.base import Position
from events.errors import InvalidEvent, KeryxError
from events.event import Event, from_wire, to_wire

FORMAT = 1
RECENT = 512


class CorruptCheckpoint(KeryxError):
    """A head or slot that this version cannot read."""


def identity(event: Event) -> int:
    """64 bits that stand for (source, subject, id): the same event has the same."""
    text = f"{event.source}\0{event.subject}\0{event.id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class Recent:
    """The last 512 accepted events: identity -> sequence (0: in a stream that is gone)."""

    __slots__ = ("_seen",)

    def __init__(self, seen: OrderedDict[int, int] | None = None) -> None:
        self._seen = OrderedDict[int, int]() if seen is None else seen

    def add(self, event: int, sequence: int) -> None:
        """Remember an event; the oldest is forgotten."""
        self._seen[event] = sequence
        if len(self._seen) > RECENT:
            self._seen.popitem(last=False)

    def get(self, event: int) -> int | None:
        """Where the event was stored, or None when it is not among the last."""
        return self._seen.get(event)

    def forget_sequences(self) -> None:
        """Another stream: the sequences mean nothing there, the identities still do."""
        self._seen = OrderedDict.fromkeys(self._seen, 0)

    def copy(self) -> Recent:
        """An independent copy."""
        return Recent(self._seen.copy())

    def pack(self) -> bytes:
        """16 bytes an event, oldest first."""
        flat = [number for pair in self._seen.items() for number in pair]
        return struct.pack(f"<{len(flat)}Q", *flat)

    @classmethod
    def unpack(cls, data: bytes) -> Recent:
        """What `pack` gave."""
        flat = struct.unpack(f"<{len(data) // 8}Q", data)
        return cls(OrderedDict(zip(flat[::2], flat[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that waits for those of other dependencies."""

    event: Event
    sequence: int
    stored_ns: int
    signature: str
    """Of its dependency when it was accepted: an edit of that dependency drops it."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What a former reader had taken of a topic: all up to `sequence`, but for what is in `left`."""

    sequence: int
    left: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Sequence -> the dependencies that had taken that event all the same."""

    def has(self, sequence: int, dependency: str) -> bool:
        """Whether an event of the topic is done for a dependency."""
        return sequence <= self.sequence and (sequence not in self.left or dependency in self.left[sequence])


class Started(NamedTuple):
    """After a death: the event that is being handled, and how many owners in a row have begun it."""

    sequence: int
    lives: int


@dataclass(slots=True)
class Checkpoint:
    """State of one trigger after the event at `applied`. Changed only by `pipeline.fold` and by its line."""

    applied: Position
    pending: dict[str, Pending] = field(default_factory=dict)
    claims: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """At most once: id of a firing that was claimed and has no outcome yet -> dependency -> sequence."""
    recent: Recent = field(default_factory=Recent)
    finished: dict[str, int] = field(default_factory=dict)
    """At least once, overlapping: firings that ended before an earlier one has: id -> sequence above `applied`."""
    started: Started | None = None
    """Written before the event is touched, as long as a death may have been its doing."""
    floors: dict[tuple[str, str], Floor] = field(default_factory=dict)
    """(event source, event) -> what Argo Events' own sensor had done of it, until the position has passed it all."""
    pins: tuple[str, ...] = ()
    """What of that sensor the broker still keeps events for, to be dismissed."""

    def copy(self) -> Checkpoint:
        """An independent copy: to try something out, or to explain it."""
        return Checkpoint(
            self.applied,
            dict(self.pending),
            dict(self.claims),
            self.recent.copy(),
            dict(self.finished),
            self.started,
            self.floors,
            self.pins,
        )

    def is_done(self, sequence: int, topic: tuple[str, str], dependency: str) -> bool:
        """Whether Argo Events' own sensor has dealt with an event."""
        floor = self.floors.get(topic)
        return floor is not None and floor.has(sequence, dependency)

    def advance(self, position: Position) -> None:
        """Move to a later event, into another stream, or back in one that lost its tail."""
        applied = self.applied
        if position.stream_created == applied.stream_created:
            if position.sequence <= applied.sequence:
                # The numbers of what was lost are given again: an event that comes again is no replay, but a repeat.
                self.recent.forget_sequences()
                self.finished, self.floors = {}, {}
            else:
                if self.finished:
                    self.finished = {firing: at for firing, at in self.finished.items() if at > position.sequence}
                if self.floors and position.sequence > max(floor.sequence for floor in self.floors.values()):
                    self.floors = {}
        else:
            self.recent.forget_sequences()
            self.finished, self.floors = {}, {}
            # What waits is kept: it was accepted, and the bus that held it is gone.
            self.pending = {name: replace(waiting, sequence=0) for name, waiting in self.pending.items()}
        self.applied = position


class SlotRef(NamedTuple):
    """Which slot holds the pending event of a dependency, and which event that must be."""

    sequence: int
    stored_ns: int
    slot: int


@dataclass(slots=True)
class Head:
    """A head as it stands in the state."""

    checkpoint: Checkpoint
    """Without its pending events: they are in the slots."""
    epoch: int
    write_id: str
    uid: str
    slots: dict[str, SlotRef]
    signatures: dict[str, str]
    is_running: bool = False
    """Whether its owner had not given it up: found by a successor, it means that the owner died."""


def new_writer() -> str:
    """Names one who writes heads, in the ids of its writes."""
    return uuid.uuid4().hex


def new_write_id(writer: str) -> str:
    """Recognises our own write when its answer was lost."""
    return f"{writer}.{uuid.uuid4().hex[:16]}"


def writer_of(write_id: str) -> str:
    """Who made a write."""
    return write_id.partition(".")[0]


def encode_head(
    checkpoint: Checkpoint,
    *,
    epoch: int,
    write_id: str,
    uid: str,
    slots: dict[str, SlotRef],
    is_running: bool = True,
) -> bytes:
    """One line of JSON, then the packed recent events."""
    applied = checkpoint.applied
    line = orjson.dumps(
        {
            "format": FORMAT,
            "uid": uid,
            "epoch": epoch,
            "writeID": write_id,
            "streamCreated": applied.stream_created,
            "appliedSeq": applied.sequence,
            "appliedNs": applied.stored_ns,
            "pending": {name: [*slots[name], waiting.signature] for name, waiting in checkpoint.pending.items()},
            "claims": checkpoint.claims,
            "finished": checkpoint.finished,
            "started": None if checkpoint.started is None else [*checkpoint.started],
            "running": is_running,
            **_former(checkpoint),
        }
    )
    return b"%b\n%b" % (line, checkpoint.recent.pack())


def _former(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is in a head only for a while after Argo Events' own sensor."""
    members: dict[str, Any] = {}
    if checkpoint.floors:
        members["floors"] = [
            [*topic, floor.sequence, {str(at): sorted(names) for at, names in floor.left.items()}]
            for topic, floor in checkpoint.floors.items()
        ]
    if checkpoint.pins:
        members["pins"] = checkpoint.pins
    return members


def _floors(rows: list[Any]) -> dict[tuple[str, str], Floor]:
    return {
        (str(source), str(name)): Floor(
            int(sequence), {int(at): frozenset(map(str, names)) for at, names in left.items()}
        )
        for source, name, sequence, left in rows
    }


def decode_head(data: bytes) -> Head:
    """What `encode_head` gave, its pending events still to be read from their slots; CorruptCheckpoint otherwise."""
    line, _, packed = data.partition(b"\n")
    try:
        raw: dict[str, Any] = orjson.loads(line)
        if raw["format"] != FORMAT:
            raise CorruptCheckpoint(f"format {raw['format']} of the checkpoint is not known to this version")
        pending: dict[str, list[Any]] = raw["pending"]
        return Head(
            checkpoint=Checkpoint(
                applied=Position(str(raw["streamCreated"]), int(raw["appliedSeq"]), int(raw["appliedNs"])),
                claims={firing: _sequences(named) for firing, named in raw["claims"].items()},
                recent=Recent.unpack(packed),
                finished=_sequences(raw.get("finished") or {}),
                started=Started(*(int(part) for part in raw["started"])) if raw.get("started") else None,
                floors=_floors(raw.get("floors") or []),
                pins=tuple(str(pin) for pin in raw.get("pins") or ()),
            ),
            epoch=int(raw["epoch"]),
            write_id=str(raw["writeID"]),
            uid=str(raw["uid"]),
            slots={name: _slot_ref(row) for name, row in pending.items()},
            signatures={name: str(row[3]) for name, row in pending.items()},
            is_running=bool(raw.get("running")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise CorruptCheckpoint(f"the checkpoint cannot be read: {error!r}") from error


def _sequences(named: dict[str, Any]) -> dict[str, int]:
    return {str(name): int(sequence) for name, sequence in named.items()}


def _slot_ref(row: list[Any]) -> SlotRef:
    ref = SlotRef(*(int(part) for part in row[:3]))
    if ref.slot not in (0, 1):
        raise ValueError(f"there is no slot {ref.slot}")
    return ref


def encode_slot(waiting: Pending) -> bytes:
    """Sequence and time, which must match the head that names the slot, then the event."""
    return b"%d %d\n%b" % (waiting.sequence, waiting.stored_ns, to_wire(waiting.event))


def decode_slot(data: bytes) -> tuple[int, int, Event]:
    """(sequence, time, event) of a slot; CorruptCheckpoint when it is not one."""
    line, _, wire = data.partition(b"\n")
    try:
        sequence, stored_ns = (int(part) for part in line.split())
        return sequence, stored_ns, from_wire(wire)
    except (ValueError, InvalidEvent) as error:
        raise CorruptCheckpoint(f"a waiting event cannot be read: {error}") from error
