"""Google Cloud Pub/Sub: who we are, and what is asked about a subscription. Contract: eventsources 3.9.

The SDK blocks, so each call runs in a thread of its own. A call is made once; its deadline holds for its caller. The
environment's PUBSUB_EMULATOR_HOST is the SDK's own: with it there are no credentials and no rights.
"""

from __future__ import annotations

import json
import logging
import os
from asyncio import timeout
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from events.errors import ActionError, CredentialError, KeryxError, UserError
from events.extras import extra
from events.threads import in_thread

T = TypeVar("T")

DELETED_TOPIC = "_deleted-topic_"
"""What a subscription says of its topic once that is gone."""
_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
"""gRPC waits some seconds for streams that it opens again; nobody else has to."""
_CONSUME = "pubsub.subscriptions.consume"
_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_PASSING = frozenset(("ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE"))
_LOGGERS = ("google.api_core.bidi", "google.cloud.pubsub_v1", "grpc._channel")
"""Tracebacks of what is reported to us as well."""
_KEY_CURE = "the secret holds the JSON key of a service account"


class Refused(ActionError):
    """An answer that says no; `code` is gRPC's name for it, such as NOT_FOUND."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def is_passing(error: KeryxError) -> bool:
    """Whether the same call may succeed a moment later: no answer, overload, throttling."""
    return isinstance(error, ActionError) and (not isinstance(error, Refused) or error.code in _PASSING)


def is_emulated() -> bool:
    """Whether the environment names an emulator."""
    return bool(os.environ.get("PUBSUB_EMULATOR_HOST"))


@dataclass(frozen=True, slots=True)
class Access:
    """As whom, and where."""

    key: str = ""
    """JSON key of a service account; empty: as the machine says, such as workload identity."""
    endpoint: str = ""
    """Host and port of a server that is not the global one."""


class Subscriber:
    """The SDK's client, made at the first call; safe for calls that overlap."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._client: Any = None
        self._credentials: Any = None
        self._project = ""

    async def open(self) -> None:
        """Make the client; nothing is sent to Pub/Sub yet. CredentialError, MissingExtra."""
        await self._call(self._open)

    async def project(self) -> str:
        """The project of the machine, or else the one of the key; UserError when neither is known."""
        if not self._project:
            self._project = await self._call(self._find_project)
        return self._project

    async def authenticate(self) -> None:
        """Have a token, where one is fetched: the stream takes a refusal for a bad connection, and tries for ever."""
        await self._call(self._refresh)

    async def exists(self, subscription: str) -> bool:
        """Whether it is there and may be read: asked as a right, as reading its description is another right."""
        try:
            if is_emulated():
                await self.topic(subscription)
                return True
            wanted = {"resource": subscription, "permissions": [_CONSUME]}
            answer = await self._ask("test_iam_permissions", request=wanted)
        except Refused as error:
            if error.code == "NOT_FOUND":
                return False
            raise
        if _CONSUME not in answer.permissions:
            raise Refused(f"pubsub: {_CONSUME} is not permitted on {subscription}", "PERMISSION_DENIED")
        return True

    async def topic(self, subscription: str) -> str:
        """The topic of a subscription; Refused with NOT_FOUND when there is no subscription."""
        return str((await self._ask("get_subscription", subscription=subscription)).topic)

    async def create(self, subscription: str, topic: str) -> None:
        """Create it, and the topic where there is none; settings are Pub/Sub's own."""
        try:
            await self._ask("create_subscription", name=subscription, topic=topic)
        except Refused as error:
            if error.code != "NOT_FOUND":
                raise
            await self._ask("create_topic", name=topic)
            await self._ask("create_subscription", name=subscription, topic=topic)

    async def delete(self, subscription: str) -> None:
        """Delete it, with all that waits there."""
        await self._ask("delete_subscription", subscription=subscription)

    def subscribe(self, subscription: str, receive: Callable[[Any], None], scheduler: Any, limit: Any) -> Any:
        """Begin to pull: the SDK's future of the end. `receive` is called in a thread of the SDK's."""
        from google.cloud.pubsub_v1.types import FlowControl

        return self._client.subscribe(
            subscription,
            receive,
            flow_control=FlowControl(**limit),
            scheduler=scheduler,
            await_callbacks_on_shutdown=True,
        )

    async def close(self) -> None:
        """Close the connection; no call after that."""
        if self._client is not None:
            with suppress(KeryxError, TimeoutError):
                async with timeout(_CLOSE_SECONDS):
                    await in_thread(lambda: _translated(self._client.close), "pubsub close")

    async def _ask(self, method: str, **arguments: Any) -> Any:
        """One call of the API, without the SDK's own retries."""
        if method != "create_topic":
            return await self._call(lambda: getattr(self._client, method)(**arguments, retry=None, timeout=_SECONDS))
        return await self._call(lambda: self._create_topic(**arguments))

    def _create_topic(self, name: str) -> None:
        """Topics belong to the publisher's half of the API; somebody else may have been faster."""
        from google.api_core.exceptions import AlreadyExists
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        transport = PublisherGrpcTransport(channel=self._client.transport.grpc_channel)
        with suppress(AlreadyExists):
            PublisherClient(transport=transport).create_topic(name=name, retry=None, timeout=_SECONDS)

    async def _call(self, act: Callable[[], T]) -> T:
        try:
            async with timeout(_SECONDS + 1):
                return await in_thread(lambda: _translated(act), "pubsub call")
        except TimeoutError as error:
            raise ActionError(f"pubsub: no answer within {_SECONDS:g} s") from error

    def _open(self) -> None:
        from google.cloud.pubsub_v1 import SubscriberClient

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        options: dict[str, Any] = {}
        if not is_emulated():
            self._credentials = options["credentials"] = self._find_credentials()
        if self.access.endpoint:
            options["client_options"] = {"api_endpoint": self.access.endpoint}
        self._client = SubscriberClient(**options)

    def _find_credentials(self) -> Any:
        if not self.access.key:
            import google.auth

            found, self._project = google.auth.default(scopes=_SCOPES)
            return found
        from google.oauth2 import service_account

        return service_account.Credentials.from_service_account_info(_parse_key(self.access.key), scopes=_SCOPES)

    def _find_project(self) -> str:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        found = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        if not found and not is_emulated():
            with suppress(DefaultCredentialsError):
                found = google.auth.default()[1] or ""
        found = found or getattr(self._credentials, "project_id", None) or ""
        if not found:
            raise UserError("the machine does not say in which project it is", path="projectID", cure="name one")
        return found

    def _refresh(self) -> None:
        from google.auth.transport.requests import Request
        from google.oauth2 import service_account

        # With a service account's key each token is signed here: nobody is asked for one.
        if self._credentials is None or isinstance(self._credentials, service_account.Credentials):
            return
        if not self._credentials.valid:
            self._credentials.refresh(Request())


def _parse_key(text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError as error:
        raise CredentialError(f"pubsub: credentialSecret is not JSON; {_KEY_CURE}") from error
    if not isinstance(info, dict) or info.get("type") != "service_account":
        kind = info.get("type") if isinstance(info, dict) else type(info).__name__
        raise CredentialError(f"pubsub: credentialSecret is of type {kind!r}; {_KEY_CURE}")
    return info


def _translated(act: Callable[[], T]) -> T:
    """What `act` returns; errors of the SDK as ours."""
    with extra("gcp"):
        import google.cloud.pubsub_v1  # noqa: F401 - missing here, it is named with its extra
    try:
        return act()
    except KeryxError:
        raise
    except Exception as error:
        raise translate(error) from error


def translate(error: BaseException) -> BaseException:
    """An error of the SDK as one of ours; what is none of its errors as it is."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError

    if isinstance(error, GoogleAPICallError):
        code = getattr(error.grpc_status_code, "name", "") or str(error.code)
        return Refused(f"pubsub: {code}: {error.message}", code)
    if isinstance(error, TransportError | RetryError):
        return ActionError(f"pubsub: {error}")
    if isinstance(error, RefreshError) and error.retryable:
        return ActionError(f"pubsub: no token: {error}")
    if isinstance(error, DefaultCredentialsError):
        return CredentialError("pubsub: the machine has no Google credentials; set credentialSecret")
    if isinstance(error, GoogleAuthError | ValueError):  # the SDK's word for a key that cannot be read
        return CredentialError(f"pubsub: credentials: {error}")
    return error
