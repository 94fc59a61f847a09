"""The consumers of one subscription on the broker: where one starts, making it, and deleting those it replaces.

One at a time is in use. What it replaces must go: on a stream that keeps events only while somebody is interested, a
left-over would pin them.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime
from typing import Any

from eventbus import subjects
from eventbus.base import Position, Start
from eventbus.jetstream import api, streams
from eventbus.jetstream.link import Link
from events.durations import NANOSECONDS
from events.event import parse_time, utc_text

_ACK_WAIT = 3600 * NANOSECONDS["s"]
_INACTIVE = 3600 * NANOSECONDS["s"]
_ABANDONED = 7 * 24 * 3600 * NANOSECONDS["s"]
"""On a stream of interest, what nobody has taken yet is thrown away with its last consumer: kept while its reader may
come back, and not for ever, since a Sensor that is deleted tells nobody.
"""
# A separator that no escaped name contains: `=` there is followed by two hexadecimal digits.
_SEPARATOR = "=-"


class Consumers:
    """Makes and deletes the consumers of one subscription and epoch."""

    def __init__(self, name: str, epoch: int, filter_subjects: list[str]) -> None:
        self._prefix, self._epoch, self._subjects = f"{subjects.key_part(name)}{_SEPARATOR}", epoch, filter_subjects
        # The random part: a bus that lost its state begins with epoch 1 again.
        self._token, self._count = uuid.uuid4().hex[:6], 0
        self._obsolete: set[str] = set()
        self._has_swept = False

    def next_name(self) -> str:
        """The name of the next consumer. It is obsolete, and will be deleted, until `use` says otherwise."""
        self._count += 1
        name = f"{self._prefix}{self._epoch}{_SEPARATOR}{self._token}{_SEPARATOR}{self._count}"
        self._obsolete.add(name)
        return name

    async def create(self, link: Link, name: str, start: dict[str, Any], *, is_interest: bool) -> dict[str, Any]:
        """Make a consumer; what the broker says of it."""
        kept = {"durable_name": name} if is_interest else {}
        config = {
            "name": name,
            "ack_policy": "all",
            "ack_wait": _ACK_WAIT,
            "max_ack_pending": -1,  # acks are lazy: the default stalls after 1000
            "replay_policy": "instant",
            "inactive_threshold": _ABANDONED if is_interest else _INACTIVE,
            "filter_subjects": self._subjects,
            **kept,
            **start,
        }
        body = {"stream_name": subjects.STREAM, "action": "create", "config": config}
        return await api.call(link, f"CONSUMER.CREATE.{subjects.STREAM}.{name}", body)

    async def use(self, link: Link, name: str) -> None:
        """`name` serves from now on: delete the others of ours, and once those of earlier epochs and lives."""
        self._obsolete.discard(name)
        if not self._has_swept:
            await self.sweep(link, name)
            self._has_swept = True
        for former in sorted(self._obsolete):
            await self.delete(link, former)
            self._obsolete.discard(former)

    async def sweep(self, link: Link, name: str) -> None:
        """Delete all of this subscription, of this epoch and earlier ones, but `name`: one that was made by a request
        whose answer was lost would pin events that nobody reads.
        """
        for left_over in sorted(await self._left_overs(link) - {name}):
            await self.delete(link, left_over)

    def retire(self, name: str) -> None:
        """`name` serves no longer."""
        self._obsolete.add(name)

    async def delete(self, link: Link, name: str) -> None:
        """Delete a consumer, if it is there."""
        with contextlib.suppress(api.ApiError):
            await api.call(link, f"CONSUMER.DELETE.{subjects.STREAM}.{name}")

    async def _left_overs(self, link: Link) -> set[str]:
        """Consumers of this subscription of this epoch or a lower one."""
        found: set[str] = set()
        offset = 0
        while True:
            page = await api.call(link, f"CONSUMER.NAMES.{subjects.STREAM}", {"offset": offset})
            names = page.get("consumers") or []
            found.update(name for name in names if self._is_left_over(name))
            offset += len(names)
            if not names or offset >= int(page.get("total", 0)):
                return found

    def _is_left_over(self, name: str) -> bool:
        epoch = name.removeprefix(self._prefix).partition(_SEPARATOR)[0] if name.startswith(self._prefix) else ""
        return epoch.isdigit() and int(epoch) <= self._epoch


async def lost_tail(link: Link, stream: streams.StreamState, after: Position) -> bool:
    """Whether the stream no longer has, at its sequence, the event that was received there."""
    if not after.stored_ns:
        return False
    if stream.last < after.sequence:
        return True
    if after.sequence < stream.first:
        return False  # expired, as it should
    try:
        got = await api.call(link, f"STREAM.MSG.GET.{subjects.STREAM}", {"seq": after.sequence})
    except api.ApiError as error:
        if error.code == api.NO_MESSAGE:
            return False
        raise
    return nanoseconds_of(str(got["message"]["time"])) != after.stored_ns


def at_time(stored_ns: int) -> dict[str, Any]:
    """Start with the first event stored at this time or later."""
    return {"deliver_policy": "by_start_time", "opt_start_time": _rfc3339(stored_ns)}


def after_sequence(sequence: int) -> dict[str, Any]:
    """Start with the event after this one."""
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence + 1}


def first_position(start: Start, stream: streams.StreamState) -> Position:
    """What a subscription without a position starts after."""
    return Position(stream.created, stream.last if start is Start.NEW else 0)


def nanoseconds(moment: datetime) -> int:
    """Unix nanoseconds of a time."""
    return int(moment.timestamp()) * NANOSECONDS["s"] + moment.microsecond * NANOSECONDS["us"]


def nanoseconds_of(text: str) -> int:
    """Unix nanoseconds of the broker's RFC 3339 text."""
    text = utc_text(text)
    fraction = text[:-1].partition(".")[2].ljust(9, "0")
    return int(parse_time(f"{text[:19]}Z").timestamp()) * NANOSECONDS["s"] + int(fraction or 0)


def _rfc3339(stored_ns: int) -> str:
    seconds, rest = divmod(stored_ns, NANOSECONDS["s"])
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
