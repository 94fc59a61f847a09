"""Messages of NATS, outside the bus. Contract: sensors D.7.

A message counts as sent when the server has answered a ping that followed it (flaws X6, R19: upstream neither waits nor
uses a subject that parameters changed). A connection is never mended, only replaced, so that nothing which was reported
as failed is sent later by surprise.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from pydantic import Field

from events.credentials import NATSAuth, TLSConfig
from events.errors import ActionError, ParameterError
from events.extras import extra
from events.problems import Problems
from sensors import base, decoding, parameters, payloads
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

if TYPE_CHECKING:
    from nats.aio.client import Client

SECONDS = 10.0
"""Until the server has the message, with connecting."""
_CONNECT_SECONDS = 3
_PING_SECONDS = 20
# What is not one subject: wildcards as a part, empty parts, and what would end the line of the protocol.
_SUBJECT = re.compile(r"(?![*>](?:\.|$))[^\s.\x00-\x1f\x7f]+(?:\.(?![*>](?:\.|$))[^\s.\x00-\x1f\x7f]+)*")


class NatsSpec(base.Spec):
    """Publishes a message on a NATS subject. Contract: sensors D.7."""

    url: str = Field("", description="URL of the server, or several, separated by commas.")
    subject: str = Field("", description="Subject.")
    tls: TLSConfig | None = Field(None, description="TLS of the client.")
    auth: NATSAuth | None = Field(None, description="How to log in.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the message, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class NatsTrigger(base.Trigger[NatsSpec]):
    """One message per firing, on one connection."""

    Spec = NatsSpec
    checks_parameters: ClassVar[bool] = False

    def __init__(self, spec: NatsSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._payload = parameters.compile(spec.payload, "payload")
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._way = ""

    @classmethod
    def validate(cls, spec: NatsSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "url", "subject")
        payloads.validate(spec.payload, problems.at("payload"))
        payloads.validate_tls(spec.tls, problems.at("tls"))
        if spec.subject and not _SUBJECT.fullmatch(spec.subject):
            problems.warn("subject", f"{spec.subject!r} is not a subject to send to: every attempt fails")

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:
        spec, payload = self.spec, self._payload
        if resource != self._text:
            spec = decoding.read(NatsSpec, resource)
            payload = parameters.compile(spec.payload, "payload")
        if not _SUBJECT.fullmatch(spec.subject):
            raise ParameterError(f"{spec.subject!r} is not a subject to send to")
        try:
            async with asyncio.timeout(SECONDS):
                await self._send(spec, payload.payload(firing.events))
        except TimeoutError as error:
            raise ActionError(f"{_shown(spec.url)}: the server did not confirm within {SECONDS:g} s") from error
        return Result()

    async def _send(self, spec: NatsSpec, message: bytes) -> None:
        from nats.errors import Error

        client = await self._connected(spec)
        if len(message) > client.max_payload:
            raise ParameterError(f"the message has {len(message)} bytes, and the server takes {client.max_payload}")
        # One of several servers that was away while it connected is an error from before.
        is_sent, before = False, client.last_error
        try:
            await client.publish(spec.subject, message)
            await _confirmed(client)
            is_sent = client.last_error is before
        except (Error, OSError, RuntimeError) as error:
            raise ActionError(f"{_shown(spec.url)}: {error or type(error).__name__}") from error
        finally:
            if not is_sent:
                await self._close(client)
        if not is_sent:  # the server says so of a subject that this user may not use, beside the pong
            raise ActionError(f"{_shown(spec.url)}: {client.last_error}")

    async def _connected(self, spec: NatsSpec) -> Client:
        """The connection; another one when it is over, or leads elsewhere. ActionError when there is none to be had."""
        async with self._lock:
            options = self._options(spec)
            way = f"{spec.url} {spec.tls} {options}"
            if self._client is not None and (way != self._way or not self._client.is_connected):
                await self._close(self._client)
            if self._client is None:
                self._client, self._way = await self._open(spec, options), way
            return self._client

    def _options(self, spec: NatsSpec) -> dict[str, Any]:
        """How to log in, with the secrets as they are now; the first of `auth` counts."""
        auth, secrets = spec.auth or NATSAuth(), self.context.secrets
        if auth.basic is not None:
            user, password = auth.basic.username, auth.basic.password
            return {
                "user": secrets.value(user) if user else "",
                "password": secrets.value(password) if password else "",
            }
        if auth.token is not None:
            return {"token": secrets.value(auth.token)}
        if auth.nkey is not None:
            return {"nkeys_seed_str": secrets.value(auth.nkey)}
        return {"user_credentials": str(secrets.path(auth.credential))} if auth.credential is not None else {}

    async def _open(self, spec: NatsSpec, options: dict[str, Any]) -> Client:
        from nats.aio.client import Client
        from nats.errors import Error, NoServersError

        client, failures = Client(), []
        tls = self.context.secrets.tls(spec.tls) if spec.tls is not None else None

        def require_tls() -> None:
            # Before it is told who we are.
            if tls is not None and not client._server_info.get("tls_required"):
                raise Error("the server offers no TLS, which the trigger asks for")

        def guarded(value: str) -> Any:
            def get() -> str:
                require_tls()
                return value

            return get

        async def on_error(error: Exception) -> None:
            failures.append(error)

        login = {
            name: guarded(value) if name in ("user", "password", "token") else value for name, value in options.items()
        }
        try:
            with extra("nats"):
                await client.connect(
                    [url.strip() for url in spec.url.split(",")],
                    name=f"{self.context.sensor_name}/{self.context.trigger_name}",
                    allow_reconnect=False,
                    reconnect_time_wait=0,
                    max_reconnect_attempts=1,
                    connect_timeout=_CONNECT_SECONDS,
                    ping_interval=_PING_SECONDS,
                    error_cb=on_error,
                    tls=tls,
                    **login,
                )
            require_tls()
        except (Error, OSError, ValueError) as error:
            await self._close(client)
            why = failures[-1] if failures and isinstance(error, NoServersError) else error
            raise ActionError(f"{_shown(spec.url)}: {why or type(why).__name__}") from error
        except BaseException:
            await self._close(client)
            raise
        return client

    async def _close(self, client: Client) -> None:
        """Close a connection, whatever state it is in."""
        if client is self._client:
            self._client = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await client.close()

    async def aclose(self) -> None:
        if self._client is not None:
            await self._close(self._client)


async def _confirmed(client: Client) -> None:
    """Returns when the server has answered a ping; OSError when the connection ends first."""
    flushing = asyncio.ensure_future(client.flush(timeout=int(SECONDS)))
    # Its end is not told to who waits for an answer.
    reading: asyncio.Task[None] = client._reading_task
    try:
        await asyncio.wait({flushing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not flushing.done():
            raise OSError(str(client.last_error or "the connection was lost"))
        flushing.result()
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)


def _shown(url: str) -> str:
    """A URL for people, without a password."""
    return re.sub(r"//[^/@,]*@", "//", url)
