"""AWS clients. boto3 blocks, so each call runs in a thread of its own; the one importer of boto3.

A call is made once: whether it is made again is its caller's to say. Its deadline holds for the caller; the thread ends
with botocore's own timeouts, and, being a daemon, keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from events.errors import ActionError
from events.extras import extra
from events.threads import in_thread

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_CONNECTIONS = 64
_SESSION_NAME = "keryx"
_TOO_MANY = 429
_OVERLOADED = re.compile("Throttl|OverLimit|SlowDown|TooManyRequests|LimitExceeded|RequestTimeout")


@dataclass(frozen=True, slots=True)
class Access:
    """Which service, where, and as whom: with these keys, in this role, or as the process's environment says."""

    service: str
    region: str
    access_key: str = ""
    secret_key: str = ""
    role: str = ""
    endpoint: str = ""
    """URL of a server that is not AWS's own."""
    session_token: str = ""
    """Of temporary keys."""
    roots: str = ""
    """File with the CA certificates (PEM) to trust; empty: the system's."""


class Refused(ActionError):
    """An answer that says no. `status` is that of the HTTP answer, `code` the service's word for it."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def is_passing(error: ActionError) -> bool:
    """Whether the same call may succeed a moment later: there was no answer, or the service is overloaded."""
    if not isinstance(error, Refused):
        return True
    return error.status >= 500 or error.status == _TOO_MANY or bool(_OVERLOADED.search(error.code))


class Client:
    """One boto3 client, made at the first call; safe for calls that overlap."""

    def __init__(self, access: Access, seconds: float) -> None:
        """`seconds`: how long a call may wait for the next bytes of its answer."""
        self._access, self._seconds = access, seconds
        self._client: Any = None
        self._lock = threading.Lock()

    async def run(self, act: Callable[[Any], T], *, seconds: float) -> T:
        """What `act` makes of the boto3 client, in a thread; ActionError when that takes more than `seconds`.

        Refused for an answer that says no, ActionError for no answer, MissingExtra without boto3.
        """
        try:
            async with asyncio.timeout(seconds):
                return await in_thread(lambda: self._act(act), "aws")
        except TimeoutError as error:
            raise ActionError(f"{self._access.service}: no answer within {seconds:g} s") from error

    def _act(self, act: Callable[[Any], T]) -> T:
        with extra("aws"):
            from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
            from botocore.parsers import ResponseParserError
        try:
            with self._lock:
                if self._client is None:
                    self._client = _make(self._access, self._seconds)
            return act(self._client)
        except ClientError as error:
            details, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            raise Refused(str(error), meta.get("HTTPStatusCode", 0), str(details.get("Code", ""))) from error
        except (BotoCoreError, HTTPClientError, ResponseParserError, OSError, ValueError) as error:
            raise ActionError(f"{self._access.service}: {error}") from error


class Latest:
    """The client of an access that may change, as when keys are rotated: the last one, while it is the same."""

    def __init__(self, seconds: float) -> None:
        """`seconds` as of `Client`."""
        self._seconds = seconds
        self._access: Access | None = None
        self._client: Client | None = None

    def of(self, access: Access) -> Client:
        """The client with this access."""
        if self._client is None or access != self._access:
            self._access, self._client = access, Client(access, self._seconds)
        return self._client


async def signed(access: Access, url: str, *, seconds: float) -> dict[str, str]:
    """The headers of a GET that boto3 has no call for, signed as S3 wants it (SigV4); ActionError, MissingExtra.

    In a thread: the environment's credentials may have to be fetched.
    """
    try:
        async with asyncio.timeout(seconds):
            return await in_thread(lambda: _sign(access, url), "aws")
    except TimeoutError as error:
        raise ActionError(f"{access.service}: no credentials within {seconds:g} s") from error


def _sign(access: Access, url: str) -> dict[str, str]:
    with extra("aws"):
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError, ClientError
    try:
        if access.access_key and not access.role:
            found: Any = Credentials(access.access_key, access.secret_key, access.session_token or None)
        else:
            found = _session(access).get_credentials()
    except (BotoCoreError, ClientError) as error:
        raise ActionError(f"{access.service}: {error}") from error
    if found is None:
        raise ActionError(f"{access.service}: Unable to locate credentials")
    request = AWSRequest(method="GET", url=url)
    try:
        S3SigV4Auth(found.get_frozen_credentials(), "s3", access.region).add_auth(request)
    except (BotoCoreError, ClientError) as error:
        raise ActionError(f"{access.service}: {error}") from error
    return dict(request.headers.items())


def _session(access: Access) -> Any:
    import boto3

    return _in_role(access) if access.role else boto3.session.Session(region_name=access.region)


def _make(access: Access, seconds: float) -> Any:
    """A boto3 client; nothing is sent yet."""
    from botocore.config import Config

    return _session(access).client(
        access.service,
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        aws_session_token=access.session_token or None,
        endpoint_url=access.endpoint or None,
        verify=access.roots or None,
        config=Config(
            connect_timeout=min(_CONNECT_SECONDS, seconds),
            read_timeout=seconds,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path" if access.endpoint else "auto"},
            # Not every server that speaks S3 knows the checksums that AWS added.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _in_role(access: Access) -> Any:
    """A session in the role, whose credentials are fetched anew before they end."""
    import boto3
    import botocore.session
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    own = botocore.session.get_session()
    own.set_config_variable("region", access.region)
    source = own.get_credentials()
    if source is None:
        raise NoCredentialsError
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=own.create_client,
        source_credentials=source,
        role_arn=access.role,
        extra_args={"RoleSessionName": _SESSION_NAME},
    )
    session = botocore.session.get_session()
    # As botocore's own provider of `role_arn` profiles does it; there is no public way.
    session._credentials = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
    return boto3.session.Session(botocore_session=session, region_name=access.region)
