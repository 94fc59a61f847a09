"""MinIO's stream of bucket notifications: one signed GET that never ends, a line for each. Contract: eventsources 3.6.

What happens while nobody listens is told to nobody: that is the protocol. Whoever cannot afford it uses a queue, or
looks for it afterwards (`on_connected`).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from events import aws
from events.backoff import Endless
from events.errors import ActionError, InvalidEvent, UserError
from eventsources.base import SourceContext
from eventsources.unusable import Unusable

Raw = dict[str, Any]

_PING_SECONDS = 2
"""The server is asked to say that often that it is there; its answer begins with the first time."""
_SILENT_SECONDS = 20.0
"""Longer than several pings: then nobody is there any more."""
_CONNECT_SECONDS = 10.0
_SIGN_SECONDS = 15.0
_LINE_BYTES = 4 << 20
_TRIES = 5
"""In a row, of what may succeed a moment later; then it is the source's failure."""
_LANES, _LANE_LENGTH = 16, 256
_FLUSH_SECONDS = 3.0
_QUIET_SECONDS = 60.0
_REGION = re.compile(rb"<Region>([\w-]{1,64})</Region>")
_CODE, _MESSAGE = re.compile(rb"<Code>(.{1,200}?)</Code>"), re.compile(rb"<Message>(.{1,500}?)</Message>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is listened to: the server's part of a filter."""

    bucket: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def url(self, endpoint: str) -> str:
        """Where it is asked for."""
        pairs = [("events", event) for event in self.events]
        pairs += [("ping", str(_PING_SECONDS)), ("prefix", self.prefix), ("suffix", self.suffix)]
        query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in pairs)
        return f"{endpoint.rstrip('/')}/{quote(self.bucket, safe='-_.~')}?{query}"


def trusting(roots: Path | None) -> ssl.SSLContext:
    """TLS that trusts the certificates in a file alone, or the system's; UserError for what is no certificate."""
    try:
        return ssl.create_default_context(cafile=roots)
    except ssl.SSLError as error:
        raise UserError(f"{roots} has no certificates: {error}", path="caCertificate", cure="PEM") from error


class Stream:
    """Connections to one server, one after another."""

    def __init__(
        self,
        selection: Selection,
        access: Callable[[], aws.Access],
        context: SourceContext,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        """`access` is asked before each connection; `on_connected` is called once what happens is told again."""
        self._selection, self._access, self._context, self._tls = selection, access, context, tls
        self._on_connected = on_connected
        self._unusable = Unusable(context.log)
        self._region = ""
        """What the server said of itself."""
        self._was_there: float | None = None
        self._said, self._cuts = float("-inf"), 0

    async def run(self, handle: Callable[[list[Raw]], Awaitable[None]]) -> None:
        """Hand on the records of each line, for ever; none: the server is there.

        ActionError when it will not have us, or is gone; UserError when it knows no such stream.
        """
        pauses = Endless(0.5, 10)
        while True:
            try:
                async with aclosing(self._records()) as lines:
                    async for records in lines:
                        pauses.reset()
                        await handle(records)
                error: ActionError = ActionError(f"{self._selection.bucket}: the stream of notifications ended")
            except ActionError as failure:
                if not aws.is_passing(failure):
                    raise
                error = failure
            self._note_cut(error)
            if pauses.count >= _TRIES:
                raise error
            await asyncio.sleep(pauses.next())

    def _note_cut(self, error: ActionError) -> None:
        """Say it once a minute at most: some proxies end every stream after so long."""
        if self._was_there is None:
            return
        self._was_there, self._cuts = None, self._cuts + 1
        if time.monotonic() - self._said >= _QUIET_SECONDS:
            self._said = time.monotonic()
            text = (
                "The stream of notifications broke off; the server does not tell what happens until it is there again"
            )
            self._context.log.warning(text, reason=error, times=self._cuts)
            self._cuts = 0

    async def _records(self) -> AsyncGenerator[list[Raw]]:
        """The records of each line; none: the server is there."""
        async with self._connected() as answer:
            self._was_there = time.monotonic()
            self._context.started()
            self._on_connected()
            rest = b""
            try:
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) > _LINE_BYTES:
                        raise ActionError(f"{self._selection.bucket}: a notification of more than {_LINE_BYTES} bytes")
                    for line in lines:
                        yield self._read(line)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                raise ActionError(
                    f"{self._selection.bucket}: the stream of notifications broke off: {reason}"
                ) from error

    def unusable(self, error: InvalidEvent) -> None:
        """Something in the stream is no notification: it is dropped, counted, and said."""
        self._context.failed()
        self._unusable.found("", error, "dropped")

    def _read(self, line: bytes) -> list[Raw]:
        text = line.strip()
        if not text:
            return []
        try:
            document = orjson.loads(text)
            records = document["Records"]
            if records is not None and not isinstance(records, list):
                raise TypeError("Records")
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            if text.startswith(b"<"):
                what = (
                    f"{self._access().endpoint} lists the bucket instead of telling what happens: it is no MinIO server"
                )
                raise UserError(what, cure="use s3 with mode: sqs or mode: poll") from error
            self.unusable(InvalidEvent(f"it is no notification: {error}"))
            return []
        return records or []

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that has begun; aws.Refused for one that says no, ActionError for none."""
        access = self._access()
        if self._region:
            access = replace(access, region=self._region)
        url = self._selection.url(access.endpoint)
        headers = await aws.signed(access, url, seconds=_SIGN_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._tls() if self._tls else True)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=True) as session:
            try:
                answer = await session.get(URL(url, encoded=True), headers=headers, allow_redirects=False)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                raise ActionError(f"{access.endpoint}: cannot listen to {self._selection.bucket}: {reason}") from error
            async with answer:
                if answer.status != 200:
                    raise await self._refused(answer, access.region)
                yield answer

    async def _refused(self, answer: aiohttp.ClientResponse, region: str) -> ActionError:
        try:
            said = await answer.content.read(4096)
        except (aiohttp.ClientError, OSError, TimeoutError):
            said = b""
        code, message = (
            found[1].decode("utf-8", "replace") if (found := one.search(said)) else "" for one in (_CODE, _MESSAGE)
        )
        other = _REGION.search(said)
        if code == "AuthorizationHeaderMalformed" and other and other[1].decode() != region:
            self._region = other[1].decode()
            return ActionError(f"{self._selection.bucket}: its region is {self._region}")
        what = ": ".join(part for part in (code, message) if part) or "no reason is given"
        text = f"cannot listen to {self._selection.bucket}: {answer.status} {what}"
        return aws.Refused(text, answer.status, code)


class Lanes:
    """Work on what the stream brings, many at once, in order for each object; bounded, then the stream waits."""

    def __init__(self, work: Callable[[Any], Awaitable[None]]) -> None:
        self._work = work
        self._lanes: Sequence[asyncio.Queue[Any]] = [asyncio.Queue(_LANE_LENGTH) for _ in range(_LANES)]

    async def put(self, key: str, item: Any) -> None:
        """Items of one `key` are worked on one after another."""
        await self._lanes[zlib.crc32(key.encode()) % _LANES].put(item)

    async def drained(self) -> None:
        """Returns once nothing is left."""
        for lane in self._lanes:
            await lane.join()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Working until the end of the block; what was put before it is finished, at a stop within a deadline."""
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self._run(lane)) for lane in self._lanes]
            try:
                yield
            except asyncio.CancelledError:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FLUSH_SECONDS):
                        await self.drained()
                raise
            except BaseException:
                await self.drained()  # what was read is told by nobody again, however long the bus is away
                raise
            finally:
                for worker in workers:
                    worker.cancel()

    async def _run(self, lane: asyncio.Queue[Any]) -> None:
        while True:
            item = await lane.get()
            try:
                await self._work(item)
            finally:
                lane.task_done()
