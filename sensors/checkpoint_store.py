"""Keeps the checkpoint of one trigger in the bus's state: slots, then head, by compare-and-set.

Every way a write can end is settled here: done, refused because somebody else owns the trigger (NotOwner), or unknown,
in which case it is read back and recognised by its write id. Called by `lines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from eventbus import subjects
from eventbus.base import Lease, State
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
)

T = TypeVar("T")


class CheckpointStore:
    """One owner's way to the checkpoint of one trigger. Raises NotOwner as soon as somebody else wrote."""

    def __init__(self, state: State, lease: Lease, sensor: str, trigger: str, *, uid: str = "") -> None:
        self._state, self._lease, self._uid = state, lease, uid
        self._prefix = subjects.key("sensor", sensor, trigger)
        self._revisions: dict[str, int] = {}
        self._slots: dict[str, SlotRef] = {}
        self.epoch = 0

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
        self._slots = head.slots
        for name, ref in head.slots.items():
            await self._load_slot(head, name, ref)
        return head.checkpoint

    async def _load_slot(self, head: Head, name: str, ref: SlotRef) -> None:
        """Fill in a pending event, when its slot holds the event that the head names."""
        for number in (0, 1):
            key = self._slot(name, number)
            entry = await self._patiently(self._state.get, key)
            self._revisions[key] = entry.revision if entry else 0
            if entry is None or number != ref.slot:
                continue
            sequence, stored_ns, event = decode_slot(entry.value)
            if (sequence, stored_ns) == (ref.sequence, ref.stored_ns):
                head.checkpoint.pending[name] = Pending(event, sequence, stored_ns, head.signatures[name])

    async def save(self, checkpoint: Checkpoint) -> None:
        """Returns once the checkpoint is durable; what is changed meanwhile is not part of it."""
        slots, writes = self._plan(checkpoint)
        write_id = new_write_id()
        head = encode_head(checkpoint, epoch=self.epoch, write_id=write_id, uid=self._uid, slots=slots)
        for key, value in writes:
            await self._write(key, value)
        await self._write(self._head, head)
        self._slots = slots

    def _plan(self, checkpoint: Checkpoint) -> tuple[dict[str, SlotRef], list[tuple[str, bytes]]]:
        """Which slot each pending event has, and the slots to write first."""
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
        return slots, writes

    async def _write(self, key: str, value: bytes) -> None:
        pauses = Endless(0.05, 2)
        while True:
            self._lease.require()
            try:
                if key not in self._revisions:
                    entry = await self._state.get(key)
                    self._revisions[key] = entry.revision if entry else 0
                self._revisions[key] = await self._state.update(key, value, self._revisions[key])
            except Conflict as error:
                if not await self._is_ours(key, value):
                    raise NotOwner(f"{key} was written by another owner") from error
            except Unknown:
                if await self._is_ours(key, value):
                    return
                await asyncio.sleep(pauses.next())
            except Unavailable:
                await asyncio.sleep(pauses.next())
            else:
                return

    async def _is_ours(self, key: str, value: bytes) -> bool:
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


def keep_only(checkpoint: Checkpoint, signatures: dict[str, str]) -> tuple[Checkpoint, list[tuple[str, Pending]]]:
    """The checkpoint without what waits for an edited dependency or one outside the conditions; and what that was."""
    dropped = [(name, one) for name, one in checkpoint.pending.items() if signatures.get(name) != one.signature]
    kept = {name: one for name, one in checkpoint.pending.items() if signatures.get(name) == one.signature}
    return replace(checkpoint, pending=kept), dropped
