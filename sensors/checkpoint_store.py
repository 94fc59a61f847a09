"""Keeps the checkpoint of one trigger in the bus's state: slots, then head, by compare-and-set.

Every way a write can end is settled here: done, refused because somebody else owns the trigger (NotOwner), or unknown,
in which case it is read back and recognised by its write id. A save that was cancelled half-way is completed before the
next one: what it sent may still arrive. Called by `head_writer` and `trigger_runner`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from eventbus import subjects
from eventbus.base import Entry, Lease, State
from events.backoff import Endless
from events.errors import Conflict, NotOwner, Unavailable, Unknown
from sensors.checkpoint import (
    Checkpoint,
    Head,
    Pending,
    SlotRef,
    decode_head,
    decode_slot,
    encode_head,
    encode_slot,
    new_write_id,
    new_writer,
    writer_of,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Save:
    """One checkpoint as bytes: the slots to write first, then the head that names them."""

    slots: dict[str, SlotRef]
    writes: list[tuple[str, bytes]]
    head: bytes


class CheckpointStore:
    """One owner's way to the checkpoint of one trigger. Raises NotOwner as soon as somebody else wrote.

    `writer` names the process in its heads: one that it finds again was followed by no other.
    """

    def __init__(
        self, state: State, lease: Lease, sensor: str, trigger: str, *, uid: str = "", writer: str = ""
    ) -> None:
        self._state, self._lease, self._uid, self._writer = state, lease, uid, writer or new_writer()
        self._prefix = subjects.key("sensor", sensor, trigger)
        self._revisions: dict[str, int] = {}
        self._slots: dict[str, SlotRef] = {}
        self._unfinished: _Save | None = None
        self.epoch = 0
        self.is_own = False
        """After `load`: whether the head was written by this same writer."""
        self.has_died = False
        """After `load`: whether another owner left it without giving it up."""
        self.is_running = True
        """What heads say of us; False in the last one, when the trigger is given up."""
        self.lost: dict[str, SlotRef] = {}
        """After `load`: pending events whose slot has not what the head names, as a bus that lost data leaves it."""

    @property
    def _head(self) -> str:
        return f"{self._prefix}.head"

    def _slot(self, dependency: str, slot: int) -> str:
        return f"{self._prefix}.slot.{subjects.key_part(dependency)}.{slot}"

    async def load(self) -> Checkpoint | None:
        """The checkpoint that the last owner left, or None at the first start. `epoch` is then one above its own."""
        entry = await self._patiently(self._state.get, self._head)
        if entry is None:
            self._revisions[self._head] = 0
            self.epoch = 1
            return None
        head = decode_head(entry.value)
        self._revisions[self._head] = entry.revision
        self.epoch = head.epoch + 1
        self.is_own = writer_of(head.write_id) == self._writer
        self.has_died = head.is_running and not self.is_own
        self._slots = head.slots
        for name, ref in head.slots.items():
            await self._load_slot(head, name, ref)
        return head.checkpoint

    async def _load_slot(self, head: Head, name: str, ref: SlotRef) -> None:
        """Fill in a pending event from the slot that the head names."""
        entry = await self._patiently(self._state.get, self._slot(name, ref.slot))
        sequence, stored_ns, event = decode_slot(entry.value) if entry else (-1, 0, None)
        if event is not None and (sequence, stored_ns) == (ref.sequence, ref.stored_ns):
            head.checkpoint.pending[name] = Pending(event, sequence, stored_ns, head.signatures[name])
        else:
            self.lost[name] = ref

    async def save(self, checkpoint: Checkpoint) -> None:
        """Returns once the checkpoint is durable; what is changed meanwhile is not part of it."""
        if self._unfinished is not None:
            checkpoint = checkpoint.copy()
            await self._finish(self._unfinished)
        self._unfinished = self._plan(checkpoint)
        await self._finish(self._unfinished)

    def _plan(self, checkpoint: Checkpoint) -> _Save:
        """Which slot each pending event has; the slots to write, and the head."""
        slots: dict[str, SlotRef] = {}
        writes: list[tuple[str, bytes]] = []
        for name, waiting in checkpoint.pending.items():
            known = self._slots.get(name)
            if known is not None and (known.sequence, known.stored_ns) == (waiting.sequence, waiting.stored_ns):
                slots[name] = known
                continue
            slot = 1 - known.slot if known is not None else 0
            slots[name] = SlotRef(waiting.sequence, waiting.stored_ns, slot)
            writes.append((self._slot(name, slot), encode_slot(waiting)))
        write_id = new_write_id(self._writer)
        head = encode_head(
            checkpoint,
            epoch=self.epoch,
            write_id=write_id,
            uid=self._uid,
            slots=slots,
            is_running=self.is_running,
        )
        return _Save(slots, writes, head)

    async def _finish(self, save: _Save) -> None:
        for key, value in save.writes:
            await self._write_slot(key, value)
        if not await self._write(self._head, save.head):
            raise NotOwner(f"{self._head} was written by another owner")
        self._slots = save.slots
        self._unfinished = None

    async def _write_slot(self, key: str, value: bytes) -> None:
        """An owner whose time is over may have written a slot after we read it; whoever has the head goes on."""
        while True:
            if key not in self._revisions:
                entry = await self._patiently(self._state.get, key)
                # Checked after the slot was read: while the head is ours, nobody else names what is in that slot.
                await self._require_head()
                self._revisions[key] = entry.revision if entry else 0
            if await self._write(key, value):
                return
            del self._revisions[key]

    async def _require_head(self) -> None:
        entry = await self._patiently(self._state.get, self._head)
        if entry is not None and self._is_head(entry):
            self._revisions[self._head] = entry.revision
        elif (entry.revision if entry else 0) != self._revisions[self._head]:
            raise NotOwner(f"{self._head} was written by another owner")

    def _is_head(self, entry: Entry) -> bool:
        """Whether this is the head of the save under way, from an attempt whose answer never came."""
        return self._unfinished is not None and entry.value == self._unfinished.head

    async def _write(self, key: str, value: bytes) -> bool:
        """Whether the value is there now; False when somebody else wrote the key."""
        pauses = Endless(0.05, 2)
        while True:
            self._lease.require()
            try:
                self._revisions[key] = await self._state.update(key, value, self._revisions[key])
            except Conflict:
                return await self._is_there(key, value)
            except Unknown:
                if await self._is_there(key, value):
                    return True
                await asyncio.sleep(pauses.next())
            except Unavailable:
                await asyncio.sleep(pauses.next())
            else:
                return True

    async def _is_there(self, key: str, value: bytes) -> bool:
        """Whether a write without an answer happened. Values are never the same twice: a head has its write id."""
        entry = await self._patiently(self._state.get, key)
        if entry is not None and entry.value == value:
            self._revisions[key] = entry.revision
            return True
        return False

    async def _patiently(self, read: Callable[[str], Awaitable[T]], key: str) -> T:
        pauses = Endless(0.05, 2)
        while True:
            self._lease.require()
            try:
                return await read(key)
            except Unavailable:
                await asyncio.sleep(pauses.next())


def reader(namespace: str, sensor: str, trigger: str) -> str:
    """The name of a trigger's subscription."""
    return f"{namespace}/{sensor}/{trigger}"


async def remembered(state: State, sensor: str) -> dict[str, list[str]]:
    """Trigger -> keys of the state, for every trigger of a sensor that has any; the head's is the last."""
    prefix = f"{subjects.key('sensor', sensor)}."
    found: dict[str, list[str]] = {}
    for key in await state.keys(prefix):
        trigger, _, rest = key.removeprefix(prefix).partition(".")
        keys = found.setdefault(subjects.unescape(trigger), [])
        keys.insert(len(keys) if rest == "head" else 0, key)
    return found


def keep_only(checkpoint: Checkpoint, signatures: dict[str, str]) -> tuple[Checkpoint, list[tuple[str, Pending]]]:
    """The checkpoint without what waits for an edited dependency or one outside the conditions; and what that was."""
    dropped = [(name, one) for name, one in checkpoint.pending.items() if signatures.get(name) != one.signature]
    kept = {name: one for name, one in checkpoint.pending.items() if signatures.get(name) == one.signature}
    return replace(checkpoint, pending=kept), dropped
