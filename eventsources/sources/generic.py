"""Events of a server of one's own, by gRPC. Contract: eventsources 3.31.

Ours: TLS is used unless `insecure` says no (upstream never connects then), with a CA and a client certificate where
they are given; the connection is watched by pings; events are held while the bus is away, which holds up the server.
The contract has neither acknowledgements nor a position: what the server sends to a process that dies is lost.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Any

from pydantic import Field

from events import rawjson
from events.credentials import SecretRef, TLSConfig
from events.errors import ActionError, CredentialError, InvalidEvent
from events.extras import extra
from events.problems import Problems
from eventsources.base import Source, SourceContext
from eventsources.fields import Message, require
from eventsources.holding import Holding
from eventsources.unusable import Unusable

_CONNECT_SECONDS = 15.0
_DRAIN_SECONDS = 3.0
"""At the end, for the event that is being stored."""
_LOOK_SECONDS = 5.0
"""Between two looks at the secrets."""
_MOST_BYTES = 16 * 1024 * 1024
"""Of one event."""
_OPTIONS = (
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.keepalive_time_ms", 300_000),  # a server may end connections that ping more often
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection, at once
)


class GenericSpec(Message):
    """Events of a gRPC server of your own. Contract: eventsources 3.31."""

    url: str = Field("", description="Address of the gRPC server: host:port.")
    config: str = Field("", description="Handed to the server as it is.")
    insecure: bool | None = Field(None, description="No TLS.")
    auth_secret: SecretRef | None = Field(None, description="Secret with a bearer token for the server.")
    tls: TLSConfig | None = Field(
        None, description="Not in Argo Events: CA and client certificate; the system's CA certificates when absent."
    )

    def check(self, problems: Problems) -> None:
        """Contract 3.31; of ours, what gRPC cannot do."""
        require(problems, url=self.url, config=self.config)
        if self.url.startswith(("http://", "https://")):
            problems.warn("url", f"{self.url!r} is no address of gRPC: it never connects", "write host:port")
        if self.insecure and self.auth_secret is not None:
            problems.warn("authSecret", "is sent without TLS: who listens has the token", "leave out insecure")
        if self.tls is None:
            return
        if self.insecure:
            problems.warn("tls", "is not used with insecure", "remove one of them")
        if self.tls.insecure_skip_verify:
            problems.error("tls.insecureSkipVerify", "gRPC always verifies", "give the CA in caCertSecret")
        elif problem := self.tls.problem():
            problems.error("tls", problem)


class GenericSource(Source[GenericSpec]):
    """One stream of one server."""

    Spec, event_type, active_passive = GenericSpec, "generic", True

    def __init__(self, spec: GenericSpec) -> None:
        super().__init__(spec)
        self._end = b',"metadata":%b}' % rawjson.dumps(spec.metadata) if spec.metadata else b"}"

    @classmethod
    def validate(cls, spec: GenericSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        with extra("grpc"):
            import grpc.aio
        while True:  # once per set of secrets
            try:
                await self._listen(context)
            except grpc.aio.AioRpcError as error:
                raise ActionError(f"generic: {self.spec.url}: {error.code().name}: {error.details()}") from error
            context.log.info("A secret is another one; the server is asked again, with it")

    async def _listen(self, context: SourceContext) -> None:
        """One connection; returns when a secret is another one."""
        secrets = self._secrets(context)
        channel = self._channel(secrets)
        watching = asyncio.create_task(self._watch(secrets, context))
        reading: asyncio.Task[None] | None = None
        try:
            stream = await self._open(channel, secrets, context)
            reading = asyncio.create_task(self._read(stream, context))
            context.started()
            await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            if reading is not None:
                stream.cancel()  # what has been read is still stored
                await asyncio.wait({reading}, timeout=_DRAIN_SECONDS)
                reading.cancel()
            await channel.close()
        if watching.done() and not watching.cancelled():
            return watching.result()
        if not reading.cancelled():
            reading.result()
        raise ActionError(f"generic: {self.spec.url}: the server has ended the stream")

    def _secrets(self, context: SourceContext) -> dict[str, str]:
        """The values of the secrets, by their use; CredentialError."""
        spec, tls = self.spec, self.spec.tls or TLSConfig()
        refs = {
            "token": spec.auth_secret,
            "ca": tls.ca_cert_secret,
            "certificate": tls.client_cert_secret,
            "key": tls.client_key_secret,
        }
        return {use: context.secrets.value(ref) for use, ref in refs.items() if ref is not None}

    def _channel(self, secrets: dict[str, str]) -> Any:
        import grpc.aio

        if self.spec.insecure:
            return grpc.aio.insecure_channel(self.spec.url, _OPTIONS)
        ca, key, certificate = (secrets.get(use, "").encode() or None for use in ("ca", "key", "certificate"))
        return grpc.aio.secure_channel(self.spec.url, grpc.ssl_channel_credentials(ca, key, certificate), _OPTIONS)

    async def _open(self, channel: Any, secrets: dict[str, str], context: SourceContext) -> Any:
        """The stream of events, once there is a connection; ActionError."""
        from eventsources.eventing import METHOD, Event, EventSource

        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await channel.channel_ready()
        except TimeoutError as error:
            raise ActionError(f"generic: {self.spec.url}: no connection within {_CONNECT_SECONDS:g} s") from error
        metadata = [("authorization", f"Bearer {secrets['token']}")] if "token" in secrets else []
        start = channel.unary_stream(METHOD, EventSource.SerializeToString, Event.FromString)
        return start(EventSource(name=context.event_name, config=self.spec.config.encode()), metadata=metadata)

    async def _read(self, stream: Any, context: SourceContext) -> None:
        """Hand on what the server sends, one by one, until it ends the stream."""
        holding, unusable = Holding(context), Unusable(context.log)
        async for event in stream:
            try:
                data = self._data(event.payload)
            except InvalidEvent as error:
                context.failed()
                unusable.found(event.name, error, "dropped")
            else:
                await holding.emit(data, "")

    def _data(self, payload: bytes) -> bytes:
        """The event's data; InvalidEvent for a body that should be JSON, and is not."""
        body = rawjson.compact(payload) if self.spec.json_body else b'"%b"' % base64.b64encode(payload)
        return b'{"body":%b%b' % (body, self._end)

    async def _watch(self, secrets: dict[str, str], context: SourceContext) -> None:
        """Returns when a secret is another one."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(CredentialError):  # one that is not there now is no reason to stop
                if self._secrets(context) != secrets:
                    return
