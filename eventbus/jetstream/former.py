"""Reads what Argo Events' own sensor left on JetStream: its durables, and its key-value bucket. Contract: sensors E.3.

Nothing of it is changed, so that its image can be swapped back. One thing is asked for as a reader would: events that
it never acknowledged. They are handed out first, are not acknowledged here either, and which they are is said nowhere
else: behind its floor a durable may have any number of events acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from eventbus import subjects
from eventbus.base import Position
from eventbus.former import Former, FormerPending, FormerReader, Taken, Topic
from eventbus.jetstream import api, streams
from eventbus.jetstream.consumers import nanoseconds_of
from eventbus.jetstream.link import Link
from eventbus.jetstream.state import JetStreamState
from events.durations import NANOSECONDS
from events.errors import InvalidEvent
from events.event import from_wire

QUIET_SECONDS = 5.0
"""For how long nobody must have pulled; on top of a durable's own ack_wait (30 s) when anything is unacknowledged."""
_LOOK_SECONDS = 0.5
_ACK_WAIT = 30.0
_MOST_ACK_WAIT = 300.0
_MOST_NAMES = 1000
_ASKED = 8  # at a time: they come whole
_BUCKET = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[-/_=.A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Durable:
    """A consumer of the former reader, as it is now."""

    name: str
    subject: str
    delivered: int
    floor: int
    unacked: int
    waiting: int
    ack_wait: float
    trace: str
    """Another one after each delivery, acknowledgement and sign of work under way."""


async def read(
    link: Link, reader: FormerReader, on_wait: Callable[[str], None], *, quiet: float = QUIET_SECONDS
) -> Former | None:
    """What there is for a trigger, once it has been left alone for `quiet` seconds; None when there is no durable."""
    return await _Reading(link, reader, on_wait, quiet).read()


async def dismiss(link: Link, name: str) -> None:
    """Delete a durable, if it is there."""
    try:
        await api.call(link, f"CONSUMER.DELETE.{subjects.STREAM}.{name}")
    except api.ApiError as error:
        if error.code not in (api.CONSUMER_NOT_FOUND, api.STREAM_NOT_FOUND):
            raise


class _Reading:
    """One look at what was left, from the first question to the last."""

    def __init__(self, link: Link, reader: FormerReader, on_wait: Callable[[str], None], quiet: float) -> None:
        self._link, self._reader, self._on_wait, self._quiet = link, reader, on_wait, quiet
        self._bucket = JetStreamState(reader.sensor, self._this_link)
        self._names: list[str] = []
        self._notes: list[str] = []

    async def _this_link(self) -> Link:
        return self._link

    async def read(self) -> Former | None:
        """All of it, from a reader that has ended."""
        reader = self._reader
        hashes = await self._hashes()
        known = dict.fromkeys(itertools.chain(reader.topics, hashes or ()))
        self._names = [
            subjects.upstream_consumer(reader.sensor, reader.trigger, dependency)
            for dependency in itertools.islice(known, _MOST_NAMES)
        ]
        if not await self._durables():
            return None
        durables = await self._until_idle()
        if not durables:
            return None
        self._notes.clear()
        hashes = await self._hashes()  # it may have started with another object meanwhile
        stream = await streams.state(self._link)
        taken = await self._taken(durables, stream)
        firsts = [await self._first(topic, one) for topic, one in taken.items()]
        after = min((first for first in firsts if first), default=stream.last + 1) - 1
        return Former(
            after=Position(stream.created, after, await self._stored_ns(after)),
            taken=taken,
            pending=await self._pending(stream.last),
            expression=await self._expression(),
            hashes=hashes,
            pins=tuple(durable.name for durable in durables) if stream.is_interest else (),
            notes=tuple(self._notes),
        )

    # ---- the durables

    async def _durables(self) -> list[_Durable]:
        found = [await self._durable(name) for name in dict.fromkeys(self._names)]
        return [one for one in found if one is not None]

    async def _durable(self, name: str) -> _Durable | None:
        try:
            info = await api.call(self._link, f"CONSUMER.INFO.{subjects.STREAM}.{name}")
        except api.ApiError as error:
            if error.code in (api.CONSUMER_NOT_FOUND, api.STREAM_NOT_FOUND):
                return None
            raise
        config, delivered, floor = info["config"], info["delivered"], info["ack_floor"]
        if config.get("deliver_subject") or config.get("ack_policy") != "explicit":
            return None  # nothing that Argo Events makes
        unacked = int(info.get("num_ack_pending", 0))
        parts = (info.get("created"), delivered, floor, unacked, info.get("num_redelivered"))
        return _Durable(
            name=name,
            subject=str(config.get("filter_subject") or ""),
            delivered=int(delivered["stream_seq"]),
            floor=int(floor["stream_seq"]),
            unacked=unacked,
            waiting=int(info.get("num_waiting", 0)),
            ack_wait=int(config.get("ack_wait") or 0) / NANOSECONDS["s"] or _ACK_WAIT,
            trace=orjson.dumps(parts).decode(),
        )

    async def _until_idle(self) -> list[_Durable]:
        """The durables, once nobody has touched them for long enough.

        A long action holds up its pulls, but its event is announced as in progress every half second, and that shows.
        """
        loop = asyncio.get_running_loop()
        since, said, traces, is_read = loop.time(), "", [""], False
        while durables := await self._durables():
            now, before, traces = loop.time(), traces, [durable.trace for durable in durables]
            if any(durable.waiting for durable in durables) or (before != [""] and before != traces):
                since, is_read = now, True
            unacked = [durable for durable in durables if durable.unacked]
            needed = self._quiet + max((min(one.ack_wait, _MOST_ACK_WAIT) for one in unacked), default=0.0)
            if now - since >= needed:
                break
            reason = "Argo Events' own sensor " + ("still reads" if is_read else "may still read")
            reason += f" for the trigger; it must have ended for {needed:g} s"
            if unacked:
                reason += ", since it left events unacknowledged"
            if reason != said:
                said = reason
                self._on_wait(reason)
            await asyncio.sleep(min(_LOOK_SECONDS, self._quiet / 4))
        return durables

    async def _taken(self, durables: list[_Durable], stream: streams.StreamState) -> dict[Topic, Taken]:
        """What was taken of each topic. Of two durables for one, the one that got further is the one in use."""
        taken = {}
        for topic in dict.fromkeys(self._reader.topics.values()):
            mine = [one for one in durables if one.subject == subjects.subject(*topic)]
            if mine:
                taken[topic] = await self._taken_by(max(mine, key=lambda one: one.delivered))
            else:
                taken[topic] = Taken(stream.last)  # its durable would begin with what is new, too
        return taken

    async def _taken_by(self, durable: _Durable) -> Taken:
        if not durable.unacked:
            return Taken(durable.delivered)
        left = await self._unacked(durable)
        if left is not None:
            return Taken(durable.delivered, left)
        text = f"which {durable.unacked} events of {durable.subject} were not acknowledged cannot be known; "
        self._notes.append(f"{text}all after {durable.floor} are done, some of them perhaps again")
        return Taken(durable.floor)

    async def _unacked(self, durable: _Durable) -> frozenset[int] | None:
        """Which of those delivered were never acknowledged, all overdue by now; None when the broker does not say."""
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        found, fresh = set[int](), list[Msg]()
        inbox, subscription = await self._link.subscribe(arrived.put)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._quiet):
                    while len(found) < durable.unacked and not fresh:
                        await self._ask(durable, inbox, arrived, found, fresh)
            for message in fresh:
                await self._link.publish(message.reply, b"-NAK")
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()
        if len(found) == durable.unacked:
            return frozenset(found)
        # What the stream has lost is not handed out, and no longer counted once that was noticed.
        now = await self._durable(durable.name)
        return frozenset(found) if now is not None and now.unacked - len(fresh) == len(found) else None

    async def _ask(
        self, durable: _Durable, inbox: str, arrived: asyncio.Queue[Msg], found: set[int], fresh: list[Msg]
    ) -> None:
        """Have some of them handed out, those that are overdue first; `fresh` takes what comes after them."""
        count = min(_ASKED, durable.unacked - len(found))
        pull = b'{"batch":%d,"no_wait":true}' % count
        await self._link.publish(f"$JS.API.CONSUMER.MSG.NEXT.{subjects.STREAM}.{durable.name}", pull, inbox)
        for _ in range(count):
            message = await arrived.get()
            if message.headers and "Status" in message.headers and not message.data:
                await asyncio.sleep(min(_LOOK_SECONDS, self._quiet / 4))
                return
            sequence = int(message.reply.split(".")[-4])
            if sequence <= durable.delivered:
                found.add(sequence)
            else:
                fresh.append(message)

    async def _first(self, topic: Topic, taken: Taken) -> int:
        """The first event of a topic that was left; 0 when there is none. An ack floor alone may be weeks behind."""
        if taken.left:
            return min(taken.left)
        message = await self._message({"seq": taken.sequence + 1, "next_by_subj": subjects.subject(*topic)})
        return int(message["seq"]) if message else 0

    async def _stored_ns(self, sequence: int) -> int:
        message = await self._message({"seq": sequence}) if sequence else None
        return nanoseconds_of(str(message["time"])) if message else 0

    async def _message(self, which: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            got: dict[str, Any] = await api.call(self._link, f"STREAM.MSG.GET.{subjects.STREAM}", which)
        except api.ApiError as error:
            if error.code == api.NO_MESSAGE:
                return None
            raise
        return dict(got["message"])

    # ---- the bucket

    async def _value(self, key: str) -> bytes | None:
        """A value of the bucket; None when it, or the whole bucket, is not there, or its removal is."""
        if not _BUCKET.fullmatch(self._reader.sensor) or not _KEY.fullmatch(key):
            return None  # the names of neither fit a bucket, so Argo Events could not keep it either
        try:
            entry = await self._bucket.get(key)
        except api.ApiError as error:
            if error.code in (api.STREAM_NOT_FOUND, api.NO_MESSAGE):
                return None
            raise
        return None if entry is None else entry.value

    async def _hashes(self) -> dict[str, int] | None:
        value = await self._value("Deps")
        if value is None:
            return None
        try:
            named = orjson.loads(value)
            if isinstance(named, dict) and all(type(one) is int for one in named.values()):
                return named
        except ValueError:
            pass
        self._notes.append("its list of dependencies (key Deps) cannot be read")
        return None

    async def _expression(self) -> str | None:
        value = await self._value(f"{self._reader.trigger}/Expression")
        return None if value is None else value.decode(errors="replace")

    async def _pending(self, last: int) -> dict[str, FormerPending]:
        pending = {}
        for dependency in self._reader.topics:
            key = f"{self._reader.trigger}/{dependency}"
            value = await self._value(key)
            if value is None:
                continue
            try:
                pending[dependency] = _waiting(value, last)
            except (ValueError, KeyError, TypeError, InvalidEvent) as error:
                self._notes.append(f"its waiting event (key {key}) cannot be read: {error!r}")
        return pending


def _waiting(value: bytes, last: int) -> FormerPending:
    raw = orjson.loads(value)
    sequence, event = int(raw["StreamSeq"]), from_wire(orjson.dumps(raw["Event"]))
    # Above `last` it is of a stream that is gone; the event is as good as ever.
    return FormerPending(event, sequence if 0 < sequence <= last else 0, nanoseconds_of(str(raw["Timestamp"])))
