"""Dead letters in a stream of their own. Subjects: `<stream>.head.<sensor>.<trigger>.<id>`, `<stream>.event.<id>.<n>`.

The oldest messages are discarded first, and events are older than their head: a head remembers where its first event
is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from eventbus import dead_letters, subjects
from eventbus.dead_letters import DeadLetter, Envelope, Figures, Filter, Listed
from eventbus.jetstream import api
from eventbus.jetstream.link import Link
from events.durations import NANOSECONDS
from events.errors import BusError, Conflict, Unavailable

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_FIRST = "Keryx-First-Event"
_ANY = Filter()
_BATCH = 256
_SECONDS = 5.0
_INACTIVE = 30 * NANOSECONDS["s"]


class JetStreamDeadLetters:
    """The letters of one stream. `ensure` makes the stream when it is missing; `limit` is bytes of one message."""

    def __init__(
        self,
        stream: str,
        link: Callable[[], Awaitable[Link]],
        ensure: Callable[[Link], Awaitable[None]],
        limit: Callable[[], int],
    ) -> None:
        self._stream, self._link, self._ensure, self._limit = stream, link, ensure, limit

    def _heads(self, sensor: str = "", trigger: str = "", identity: str = "") -> str:
        parts = (dead_letters.name_part(name) if name else "*" for name in (sensor, trigger, identity))
        return ".".join((self._stream, "head", *parts))

    def _event(self, identity: str, place: int | str) -> str:
        return f"{self._stream}.event.{dead_letters.name_part(identity)}.{place}"

    async def add(self, letter: DeadLetter) -> None:
        head, bodies = dead_letters.encode(letter, self._limit())
        first = 0
        for place, body in enumerate(bodies):
            sequence = await self._store(self._event(letter.id, place), body)
            first = min(first, sequence) if place else sequence
        await self._store(self._heads(letter.sensor, letter.trigger, letter.id), head, {_FIRST: str(first)})

    async def _store(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Write a message that is not there yet; its sequence, also when it is."""
        try:
            return await self._write(subject, data, headers or {})
        except Unavailable:
            link = await self._link()  # waits for the next connection
            await self._ensure(link)  # it may have been deleted under a connection that lives on
            return await self._write(subject, data, headers or {})

    async def _write(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        link = await self._link()
        try:
            answer = await link.request(subject, data, _SECONDS, {_EXPECTED: "0", **headers})
            return int(api.answer(answer.data)["seq"])
        except Conflict:
            found = await self._last(subject)
            if found is None:  # removed since
                raise Unavailable(f"{subject} was written and removed at the same time") from None
            return int(found["seq"])

    async def page(self, where: Filter | None = None, *, limit: int = 100, after: int = 0) -> list[Listed]:
        where = where or _ANY
        link = await self._link()
        oldest = (await self._state(link)).get("first_seq", 0)
        found: list[Listed] = []
        heads = _scan(link, self._stream, self._heads(where.sensor, where.trigger), after)
        async with aclosing(heads):
            async for message in heads:
                if 0 < int((message.headers or {}).get(_FIRST, 0)) < oldest:
                    continue  # its events are discarded already
                listed = _listed(message)
                if where.accepts(listed):
                    found.append(listed)
                    if len(found) == limit:
                        break
        return found

    async def get(self, identity: str) -> DeadLetter | None:
        head = await self._last(self._heads(identity=identity))
        if head is None:
            return None
        envelope: Envelope = dead_letters.decode_head(_data(head), int(head["seq"]))
        bodies = []
        for place in range(envelope.bodies):
            body = await self._last(self._event(identity, place))
            if body is None:
                return None
            bodies.append(_data(body))
        return envelope.open(bodies)

    async def remove(self, identity: str) -> None:
        # The head first: events without a head are nothing, a head without events is a riddle.
        for subject in (self._heads(identity=identity), self._event(identity, "*")):
            await self._call("STREAM.PURGE", {"filter": subject})

    async def figures(self) -> Figures:
        link = await self._link()
        info = await self._info(link)
        if info is None:
            return Figures()
        state, config = info["state"], info["config"]
        return Figures(
            messages=int(state["messages"]),
            bytes=int(state["bytes"]),
            max_bytes=int(config["max_bytes"]),
            first=int(state["first_seq"]),
            last=int(state["last_seq"]),
        )

    async def _state(self, link: Link) -> dict[str, Any]:
        info = await self._info(link)
        return {} if info is None else info["state"]

    async def _info(self, link: Link) -> dict[str, Any] | None:
        return await _unless_missing(api.call(link, f"STREAM.INFO.{self._stream}", seconds=_SECONDS))

    async def _last(self, subject: str) -> dict[str, Any] | None:
        """The newest message of a subject, from the stream's leader."""
        got = await self._call("STREAM.MSG.GET", {"last_by_subj": subject})
        return None if got is None else got["message"]

    async def _call(self, verb: str, body: Any) -> dict[str, Any] | None:
        return await _unless_missing(api.call(await self._link(), f"{verb}.{self._stream}", body, seconds=_SECONDS))


async def _unless_missing(answer: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
    """None when there is no such message, or no stream: then there are no letters."""
    try:
        return await answer
    except api.ApiError as error:
        if error.code in (api.NO_MESSAGE, api.STREAM_NOT_FOUND):
            return None
        raise


def _data(message: dict[str, Any]) -> bytes:
    return base64.b64decode(message.get("data") or "")


def _tokens(message: Msg) -> list[str]:
    # $JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>, two more tokens with domains
    return str(message.reply).split(".")


def _listed(message: Msg) -> Listed:
    sequence = int(_tokens(message)[-4])
    try:
        return dead_letters.decode_head(message.data, sequence).listed
    except BusError as error:
        identity = subjects.unescape(message.subject.rpartition(".")[2])
        return dead_letters.unreadable(identity, str(error), sequence)


async def _scan(link: Link, stream: str, subject: str, after: int) -> AsyncGenerator[Msg, None]:
    """The messages of a subject after a sequence, as many as there are now. Over a consumer, as any server has it."""
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    name = uuid.uuid4().hex
    config = {
        "name": name,
        "ack_policy": "none",
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": after + 1,
        "filter_subject": subject,
        "inactive_threshold": _INACTIVE,
        "mem_storage": True,
        "num_replicas": 1,
    }
    body = {"stream_name": stream, "action": "create", "config": config}
    if await _unless_missing(api.call(link, f"CONSUMER.CREATE.{stream}.{name}", body)) is None:
        return
    inbox, subscription = await link.subscribe(arrived.put)
    pull = b'{"batch":%d,"no_wait":true}' % _BATCH
    try:
        while True:
            await link.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", pull, inbox)
            for _ in range(_BATCH):
                message = await _next(link, arrived)
                if message.headers and "Status" in message.headers and not message.data:
                    return  # no more. How many are pending is not exact while some are removed
                yield message
    finally:
        with contextlib.suppress(NatsError):
            await subscription.unsubscribe()
        with contextlib.suppress(Unavailable, api.ApiError):
            await api.call(link, f"CONSUMER.DELETE.{stream}.{name}")


async def _next(link: Link, arrived: asyncio.Queue[Msg]) -> Msg:
    try:
        async with asyncio.timeout(_SECONDS):
            return await arrived.get()
    except TimeoutError as error:
        raise Unavailable(f"{link.url} did not send what it has within {_SECONDS:g} s") from error
