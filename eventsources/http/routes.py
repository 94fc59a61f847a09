"""What happens to one request at one endpoint: token, body, the source's handler, the answer. Contract: eventsources 2.

An answer of 200 leaves only after the bus has stored the event; whatever gets in between is a refusal that the sender
can retry on. Departures from upstream, all for that reason: 503 with Retry-After for a bus that is away (500 there) and
for an endpoint that is being started again (400 there), 413 for a body over the limit (400 there).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from events.credentials import SecretRef
from events.errors import BusError, CredentialError, InvalidEvent, TooLarge, Unavailable
from eventsources.base import SourceContext
from eventsources.http.deadlines import Deadlines
from eventsources.webhooks import (
    MASK,
    SUCCESS,
    Answer,
    Handler,
    Refused,
    WebhookSpec,
    canonical,
    clean,
    compile_endpoint,
    endpoint_pattern,
)

BAD_REQUEST = Answer(400, "400 Bad Request", close=True)
NO_TOKEN = Answer(500, "Error loading auth token")
BAD_HEADER = Answer(401, "Invalid Authorization Header")
BAD_TOKEN = Answer(401, "Invalid Auth token")
TOO_LARGE = Answer(413, "http: request body too large", close=True)
TOO_LARGE_FOR_BUS = Answer(413, "event is larger than the bus accepts")
TOO_SLOW = Answer(408, "request body did not arrive in time", close=True)
DEFECT = Answer(500, "Internal Server Error")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Limits of the servers. Times in seconds."""

    address: str = ""
    """Where to listen; empty: all interfaces, IPv4 and IPv6."""
    bus_deadline: float = 10.0
    """A sender waits this long for the bus, then gets its 503."""
    read_timeout: float = 30.0
    """A body must be here after this long."""
    idle_timeout: float = 75.0
    """The headers of a request must be here this long after the connection's start or its last answer. Longer than
    the 60 s that proxies keep their connections, so that it is they who close them."""
    max_in_flight: int = 512
    """Requests of one endpoint at the same time; those beyond get a 503."""
    drain_timeout: float = 15.0
    """Requests that are running when a source or the process stops get this long."""


def later(text: str, *, close: bool = False) -> Answer:
    """A 503; senders are spread over the next seconds."""
    return Answer(503, text, close, headers=(("Retry-After", str(random.randint(1, 5))),))


class Names(dict[str, str]):
    """Header names as sent -> canonical. Bounded: senders choose them."""

    def __missing__(self, name: str) -> str:
        found = canonical(name)
        if len(self) < 1024:
            self[name] = found
        return found


class RunningRequest:
    """The Request of one HTTP request."""

    __slots__ = ("_headers", "_http", "_route", "is_emitted", "method", "query")

    def __init__(self, http: web.BaseRequest, query: str, route: Route) -> None:
        self._http, self._route = http, route
        self._headers: dict[str, list[str]] | None = None
        self.method, self.query = http.method, query
        self.is_emitted = False

    @property
    def headers(self) -> dict[str, list[str]]:
        if self._headers is None:
            self._headers = _header_map(self._http.headers, self._route.names)
        return self._headers

    def header(self, name: str) -> str:
        return self.headers.get(self._route.names[name], [""])[0]

    async def body(self) -> bytes:
        content, limit = self._http.content, self._route.spec.limit
        if (self._http.content_length or 0) > limit:
            raise Refused(TOO_LARGE)
        if content.is_eof():
            return _checked(content.read_nowait(), limit)
        try:
            async with asyncio.timeout(self._route.settings.read_timeout):
                await self._invite()
                return await self._read(limit)
        except TimeoutError as error:
            raise Refused(TOO_SLOW) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise Refused(BAD_REQUEST) from error  # broken chunks, or the sender is gone and will not read this

    async def _invite(self) -> None:
        """Tell a sender that waits for it to go on (`Expect: 100-continue`): it has passed the checks."""
        if self._http.headers.get("Expect", "").lower() == "100-continue" and self._http.transport is not None:
            self._http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _read(self, limit: int) -> bytes:
        parts, size = [], 0
        while part := await self._http.content.readany():
            size += len(part)
            if size > limit:
                raise Refused(TOO_LARGE)
            parts.append(part)
        return b"".join(parts)

    async def emit(self, data: bytes, *, id: str = "") -> None:
        route, self.is_emitted = self._route, True
        if not id and route.spec.id_header:
            id = _bounded(clean(self._http.headers.get(route.spec.id_header, "")))
        try:
            await route.deadlines.wait_for(route.context.emit(data, id=id))
        except TimeoutError as error:
            raise Unavailable(f"the bus did not confirm within {route.settings.bus_deadline:g} s") from error


def _bounded(id: str) -> str:
    """An id of a length that buses take; longer ones are as good by their hash."""
    return id if len(id) <= 256 else hashlib.sha256(id.encode()).hexdigest()


def _checked(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise Refused(TOO_LARGE)
    return body


def _header_map(headers: CIMultiDictProxy[str], names: Names) -> dict[str, list[str]]:
    """Contract 2.4, masked as in 2.2."""
    found: dict[str, list[str]] = {}
    for raw, value in headers.items():
        name = names[raw]
        if name in found:
            found[name].append(value)
        else:
            found[name] = [value]
    found.pop("Host", None)
    found.pop("Transfer-Encoding", None)
    if "Authorization" in found:
        found["Authorization"] = [MASK]
    return found


class Route:
    """One endpoint: who may send, and what is running."""

    def __init__(
        self, spec: WebhookSpec, context: SourceContext, handler: Handler, settings: HttpSettings, names: Names
    ) -> None:
        self.spec, self.context, self.settings, self.names = spec, context, settings, names
        self.pattern, self.matches = endpoint_pattern(spec.endpoint), compile_endpoint(spec.endpoint)
        self._handler = handler
        self.deadlines = Deadlines(settings.bus_deadline)
        self._active, self._running, self._failing = True, 0, ""
        self._idle = asyncio.Event()

    async def answer(self, http: web.BaseRequest, query: str) -> Answer:
        """Step by step as upstream: inactive, token, then the source."""
        if not self._active:
            return later("endpoint is inactive")
        if self.spec.auth_secret is not None and (refusal := self._unauthorized(self.spec.auth_secret, http)):
            return refusal
        if self._running >= self.settings.max_in_flight:
            return later("too many requests at the same time")
        self._running += 1
        try:
            return await self._handled(RunningRequest(http, query, self))
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _handled(self, request: RunningRequest) -> Answer:
        try:
            answer = await self._handler(request) or SUCCESS
        except Refused as refused:
            self.context.failed()
            return refused.answer
        except TooLarge:
            return TOO_LARGE_FOR_BUS
        except BusError:
            return later("failed to record event")
        except InvalidEvent as error:
            if not request.is_emitted:
                self.context.failed()
            return Answer(400, str(error))
        except Exception as error:  # noqa: BLE001  # a defect of one handler must not end the connection unanswered
            return self._defect(error)
        self._failing = ""
        return answer

    def _defect(self, error: Exception) -> Answer:
        """Reported once per kind until a request succeeds: senders repeat what failed."""
        kind = type(error).__name__
        if kind != self._failing:
            self._failing = kind
            self.context.log.exception("A request failed for a reason of ours.", error, endpoint=self.spec.endpoint)
        return DEFECT

    def _unauthorized(self, ref: SecretRef, http: web.BaseRequest) -> Answer | None:
        try:
            token = self.context.secrets.value(ref)
        except CredentialError:
            return NO_TOKEN
        given = http.headers.get("Authorization", "")
        if not given.startswith("Bearer "):
            return BAD_HEADER
        # Constant in time for tokens of one length; an empty secret admits nobody.
        same = hmac.compare_digest(given[7:].encode("utf-8", "surrogateescape"), token.encode())
        return None if same and token else BAD_TOKEN

    async def drain(self) -> None:
        """Take nothing new; wait, bounded, for what is running."""
        self._active = False
        if self._running:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), self.settings.drain_timeout)
            except TimeoutError:
                self.context.log.warning("Requests are still running.", endpoint=self.spec.endpoint, n=self._running)

    @property
    def event(self) -> str:
        """Whose it is, for messages."""
        return f"{self.context.source_name}/{self.context.event_name}"

    @property
    def is_active(self) -> bool:
        """Whether its source listens."""
        return self._active
