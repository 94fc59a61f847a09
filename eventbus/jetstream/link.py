"""Link: one live connection to a nats-server, from its opening to its end.

It is never reconnected: what replaces it is another Link. So nothing that was written to a broken connection is sent
later by surprise, and everybody who waits for an answer learns of the break at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from eventbus.roles import inbox
from events.errors import TooLarge, Unavailable

NO_RESPONDERS = "503"
_CONNECT_SECONDS = 3
_PING_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server. `tls` None: none configured; TLS is used unverified where the server asks for it."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    tls: ssl.SSLContext | None = None


class Link:
    """Requests with answers, and subscriptions, on one connection."""

    def __init__(self, access: Access) -> None:
        self._client, self._access = Client(), access
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._prefix = ""
        self._last = 0
        self._error: Exception | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, access: Access, name: str) -> Link:
        """A connected link; Unavailable when the server cannot be reached or refuses us."""
        link = cls(access)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS * 2):
                await link._connect(name)
        except (OSError, NatsError, TimeoutError) as error:
            await _discard(link._client)
            why = link._error if link._error and isinstance(error, NoServersError) else error
            raise Unavailable(f"{access.url}: {_text(why)}") from error
        except BaseException:
            await _discard(link._client)
            raise
        return link

    async def _connect(self, name: str) -> None:
        client = self._client
        await client.connect(
            self._access.url,
            name=name,
            allow_reconnect=False,
            # One more attempt at once, then it gives up: pauses between attempts are `Connection`'s. Its own would
            # be 2 s, and for ever.
            reconnect_time_wait=0,
            max_reconnect_attempts=1,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=2,
            skip_subject_validation=True,  # `subjects` has checked every part
            inbox_prefix=inbox(self._access.user),
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            **_authentication(client, self._access),
        )
        _require_tls(client, self._access)
        # Not `closed_cb` alone: nats-py's own closing can fail half-way on a dead transport (uvloop raises RuntimeError
        # when it flushes what is pending), and then nobody would ever be told.
        client._reading_task.add_done_callback(self._on_read_to_the_end)
        self._prefix = f"{client.new_inbox()}."
        await client.subscribe(f"{self._prefix}*", cb=self._on_answer)

    async def _on_error(self, error: Exception) -> None:
        self._error = error

    async def _on_closed(self) -> None:
        self._fail()

    def _on_read_to_the_end(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled() and (error := reading.exception()) is not None and self._error is None:
            self._error = error if isinstance(error, Exception) else None
        self._fail()

    @property
    def access(self) -> Access:
        """With what it was opened."""
        return self._access

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._access.url

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, headers included."""
        return int(self._client.max_payload)

    async def request(self, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None = None) -> Msg:
        """The answer to a request; Unavailable when none came within `seconds` or the link broke."""
        self._last += 1
        token = str(self._last)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = answer
        # A quarter of the cost of `asyncio.timeout`, for every event.
        deadline = loop.call_later(seconds, self._on_silence, answer, seconds)
        try:
            await self._send(subject, payload, f"{self._prefix}{token}", headers)
            message = await answer
        finally:
            deadline.cancel()
            del self._waiting[token]
        if not message.data and message.headers and message.headers.get("Status") == NO_RESPONDERS:
            raise Unavailable(f"nobody answers on {subject}: JetStream or its stream is away")
        return message

    def _on_silence(self, answer: asyncio.Future[Msg], seconds: float) -> None:
        if not answer.done():
            answer.set_exception(Unavailable(f"no answer from {self._access.url} within {seconds:g} s"))

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Send without an answer; Unavailable when the link is broken."""
        await self._send(subject, payload, reply, None)

    async def subscribe(self, callback: Callable[[Msg], Awaitable[None]]) -> tuple[str, Subscription]:
        """An inbox of its own whose messages go to `callback`; its subject, and the subscription to end."""
        inbox = str(self._client.new_inbox())
        return inbox, await self._client.subscribe(inbox, cb=callback)

    async def _send(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None) -> None:
        if self.closed.done():
            raise Unavailable(f"{self._access.url}: connection lost")
        if len(payload) > self.max_payload:
            # The server closes the whole connection on a message over its limit.
            raise TooLarge(f"{len(payload)} bytes; {self._access.url} takes {self.max_payload}")
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except (OSError, NatsError, RuntimeError) as error:
            raise Unavailable(f"{self._access.url}: {_text(error)}") from error

    async def _on_answer(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject[len(self._prefix) :])
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _fail(self) -> None:
        """The connection is over: tell everybody who waits."""
        if self.closed.done():
            return
        text = f"{self._access.url}: connection lost{f' ({_text(self._error)})' if self._error else ''}"
        self.closed.set_result(text)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable(text))

    async def aclose(self) -> None:
        """End the connection."""
        self._fail()
        await _discard(self._client)


async def _discard(client: Client) -> None:
    """Close a client whatever state it is in."""
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (OSError, NatsError, RuntimeError, TimeoutError):
        pass
    finally:  # what it leaves when its closing failed or was cancelled half-way
        for subscription in client._subs.values():
            if (waiting := subscription._wait_for_msgs_task) is not None:
                waiting.cancel()
        if client._transport is not None:
            with contextlib.suppress(OSError, RuntimeError):
                client._transport.close()


def _authentication(client: Client, access: Access) -> dict[str, Any]:
    """Options for TLS and credentials. Credentials are not shown to a server that skips a configured TLS."""

    def guarded(value: str) -> Callable[[], str]:
        def get() -> str:
            _require_tls(client, access)
            return value

        return get

    options: dict[str, Any] = {"tls": access.tls or _unverified()}
    if access.token:
        options["token"] = guarded(access.token)
    elif access.user or access.tls is not None:
        options["user"], options["password"] = guarded(access.user), guarded(access.password)
    return options


def _require_tls(client: Client, access: Access) -> None:
    info = client._server_info
    if access.tls is not None and not info.get("tls_required"):
        raise NatsError("the server offers no TLS, which the bus configuration asks for")


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
