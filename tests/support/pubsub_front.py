"""What stands before the Pub/Sub emulator as Google's own servers do: TLS, signed tokens, rights, and bad days.

The emulator knows no credentials and no rights. Everything else passes through it, byte by byte.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from support.certificates import key_pem, make_certificate

_STREAMED = "StreamingPull"


@functools.cache
def server_certificate() -> tuple[bytes, bytes, str]:
    """Key and certificate of `localhost`, and the file that gRPC of this process is told to trust from now on."""
    key, pem = make_certificate()
    path = Path(tempfile.mkdtemp(prefix="keryx-test-")) / "roots.pem"
    path.write_bytes(pem)
    os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(path)
    return key, pem, str(path)


class ServiceAccount:
    """An account with one key; `json` is what its owner downloads."""

    def __init__(self, name: str, project: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.public = key.public_key()
        self.id = f"key-{name}"
        self.json = json.dumps(
            {
                "type": "service_account",
                "project_id": project,
                "private_key_id": self.id,
                "private_key": key_pem(key).decode(),
                "client_email": f"{name}@{project}.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": "https://127.0.0.1:1/never",
            }
        )


class Front(grpc.GenericRpcHandler):
    """`keys` are accepted; `refusals` by method: a code and a message, instead of an answer."""

    def __init__(self, emulator: str) -> None:
        self._emulator, self._channel = emulator, grpc.aio.insecure_channel(emulator)
        self.port = 0
        self.keys: dict[str, Any] = {}
        self.tokens: set[str] = set()
        self.refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.may_consume = True
        self.counts: Counter[str] = Counter()
        self.users: set[str] = set()
        self.is_open = False
        """Neither TLS nor credentials, and streams that end with their clients."""
        self._streams: set[asyncio.Task[Any]] = set()

    @property
    def endpoint(self) -> str:
        return f"localhost:{self.port}"

    def accept(self, *accounts: ServiceAccount) -> None:
        """These, and no others."""
        self.keys = {account.id: account.public for account in accounts}

    def refuse(self, method: str, code: grpc.StatusCode, message: str = "no") -> None:
        self.refusals[method] = (code, message)

    def cut(self) -> None:
        """End every stream as a server does that goes away."""
        for stream in list(self._streams):
            stream.cancel()

    async def close(self) -> None:
        await self._channel.close()

    def service(self, details: Any) -> Any:
        path, name = details.method, details.method.rpartition("/")[2]
        if name == _STREAMED:
            return grpc.stream_stream_rpc_method_handler(functools.partial(self._stream, path))
        return grpc.unary_unary_rpc_method_handler(functools.partial(self._call, path, name))

    async def _pull(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A stream made of single pulls: the emulator hands messages to streams long after their clients have died."""
        from google.pubsub_v1 import types

        first = types.StreamingPullRequest.deserialize(await anext(requests))
        most = min(first.max_outstanding_messages or 100, 100)
        wanted = types.PullRequest(subscription=first.subscription, max_messages=most)
        pull = self._channel.unary_unary("/google.pubsub.v1.Subscriber/Pull")
        while True:
            try:
                answer = await pull(types.PullRequest.serialize(wanted), timeout=2)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                continue
            found = types.PullResponse.deserialize(answer).received_messages
            yield bytes(types.StreamingPullResponse.serialize(types.StreamingPullResponse(received_messages=found)))

    async def _admit(self, name: str, context: Any) -> None:
        self.counts[name] += 1
        if self.is_open:
            return
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            try:
                key = jwt.get_unverified_header(token)["kid"]
                said = jwt.decode(token, self.keys[key], algorithms=["RS256"], options={"verify_aud": False})
            except (jwt.PyJWTError, KeyError):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")
            self.users.add(said["iss"])
        if name in self.refusals:
            from google.rpc import status_pb2

            code, message = self.refusals[name]
            # Google's servers say it twice, and the SDK reads acknowledgements' refusals here only.
            status = status_pb2.Status(code=code.value[0], message=message).SerializeToString()
            await context.abort(code, message, (("grpc-status-details-bin", status),))

    async def _call(self, path: str, name: str, request: bytes, context: Any) -> bytes:
        await self._admit(name, context)
        try:
            if name == "TestIamPermissions":
                return await self._rights(request, context)
            return bytes(await self._channel.unary_unary(path)(request, timeout=10))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
            raise

    async def _rights(self, request: bytes, context: Any) -> bytes:
        """As Google's servers answer it: a subscription that is not there is NOT_FOUND."""
        from google.iam.v1 import iam_policy_pb2
        from google.pubsub_v1 import types

        asked = iam_policy_pb2.TestIamPermissionsRequest.FromString(request)
        wanted = types.GetSubscriptionRequest(subscription=asked.resource)
        get = self._channel.unary_unary("/google.pubsub.v1.Subscriber/GetSubscription")
        await get(types.GetSubscriptionRequest.serialize(wanted), timeout=10)
        granted = list(asked.permissions) if self.may_consume else []
        return bytes(iam_policy_pb2.TestIamPermissionsResponse(permissions=granted).SerializeToString())

    async def _stream(self, path: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await self._admit(_STREAMED, context)
        if self.is_open:
            async for answered in self._pull(requests):
                yield answered
            return
        # A connection of its own, as the end of a stream is the end of its connection here.
        own = grpc.aio.insecure_channel(self._emulator, [("grpc.use_local_subchannel_pool", 1)])
        inner = own.stream_stream(path)(requests)
        answers: asyncio.Queue[bytes | Exception] = asyncio.Queue()

        async def pump() -> None:
            try:
                async for answer in inner:
                    await answers.put(bytes(answer))
                await answers.put(EOFError())
            except grpc.aio.AioRpcError as error:
                await answers.put(error)

        task = asyncio.create_task(pump())
        task.add_done_callback(lambda ended: answers.put_nowait(ConnectionError()) if ended.cancelled() else None)
        self._streams.add(task)
        try:
            while isinstance(answer := await answers.get(), bytes):
                yield answer
        finally:
            self._streams.discard(task)
            task.cancel()
            inner.cancel()
            await own.close()
        if isinstance(answer, grpc.aio.AioRpcError):
            await context.abort(answer.code(), answer.details() or "")
        elif isinstance(answer, ConnectionError):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")


@asynccontextmanager
async def front(emulator: str, *, is_open: bool = False) -> AsyncIterator[Front]:
    """A front on a free port of `localhost`."""
    found, server = Front(emulator), grpc.aio.server()
    found.is_open = is_open
    server.add_generic_rpc_handlers((found,))
    if is_open:
        found.port = server.add_insecure_port("localhost:0")
    else:
        key, certificate, _ = server_certificate()
        found.port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
    await server.start()
    try:
        yield found
    finally:
        with suppress(asyncio.CancelledError):
            await server.stop(0.2)
        await found.close()
