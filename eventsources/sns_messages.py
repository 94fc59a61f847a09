"""Messages of SNS: read, and proven to be the service's. Contract: eventsources 3.7.

Nothing that a message names is visited but the certificate of its signature, and that only at AWS or at the configured
endpoint. Messages are not checked for their age: SNS itself may deliver late, and clocks differ.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from yarl import URL

from events.bounded import Bounded
from events.errors import ActionError, InvalidEvent, KeryxError, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

NOTIFICATION = "Notification"
SUBSCRIPTION = "SubscriptionConfirmation"
_MOST_CERTIFICATE_BYTES = 65 * 1024
_FETCH_SECONDS = 10.0
_KEPT = 64
_AWS = re.compile(r"sns\.[A-Za-z0-9-]{3,}\.amazonaws\.com(\.cn)?")
_NOTIFICATION_KEYS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION_KEYS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_FREE = ("Message", "Subject")
"""Text of the sender's own; what else is signed has one line, so that nothing can be moved from key to key."""


class Forged(KeryxError):
    """A message that is not proven to be the service's."""


def parse(body: bytes) -> dict[str, Any] | None:
    """The members of a message; None for `null`. InvalidEvent when it is no message.

    A key that is there twice is refused: what is verified would be one of them, and what sensors read the other.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=_members)
    except RecursionError as error:
        raise InvalidEvent("exceeded max depth") from error
    except ValueError as error:
        raise InvalidEvent(str(error)) from error
    if found is not None and not isinstance(found, dict):
        raise InvalidEvent("a message of SNS is a JSON object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is there twice")
    return members


def text(message: dict[str, Any], key: str) -> str:
    """A member that is text; empty when it is absent or something else."""
    value = message.get(key)
    return value if isinstance(value, str) else ""


class Places:
    """Which URLs a message may name: those of SNS at AWS, and those of the configured endpoint."""

    def __init__(self, endpoint: str) -> None:
        """UserError when the endpoint is no URL."""
        try:
            self._endpoint = URL(endpoint).origin() if endpoint else None
        except ValueError as error:
            raise UserError(f"{endpoint!r} is no URL", path="endpoint", cure="begin it with https://") from error

    def check(self, url: str, what: str) -> URL:
        """The URL; Forged when it is elsewhere."""
        try:
            found = URL(url)
            is_ours = self._endpoint is not None and found.origin() == self._endpoint
        except ValueError as error:
            raise Forged(f"{what} is no URL") from error
        is_aws = found.scheme == "https" and found.port == 443 and bool(_AWS.fullmatch(found.host or ""))
        if found.user is not None or not (is_ours or is_aws):
            raise Forged(f"{what} is neither at AWS nor at the configured endpoint")
        return found


class Signatures:
    """Verifies messages. Certificates are fetched once, one at a time."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._keys: Bounded[URL, RSAPublicKey] = Bounded(_KEPT, 1 << 20)
        self._fetching = asyncio.Lock()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(_FETCH_SECONDS), cookie_jar=aiohttp.DummyCookieJar(), trust_env=True
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def verify(self, message: dict[str, Any]) -> None:
        """Forged unless the signature is good; ActionError when the certificate cannot be had now."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        algorithms = {"1": hashes.SHA1, "2": hashes.SHA256}  # version 1 is what SNS signs with unless told otherwise
        algorithm = algorithms.get(text(message, "SignatureVersion"))
        if algorithm is None:
            raise Forged("SignatureVersion is neither 1 nor 2")
        signed = canonical(message)
        try:
            signature = base64.b64decode(text(message, "Signature"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Forged("Signature is not base64") from error
        url = self._places.check(text(message, "SigningCertURL"), "SigningCertURL")
        if url.query_string or url.fragment:  # else one certificate has any number of URLs, each kept and fetched
            raise Forged("SigningCertURL is not that of a certificate")
        key = await self._key(url)
        try:
            key.verify(signature, signed, PKCS1v15(), algorithm())
        except InvalidSignature as error:
            raise Forged("the signature is not that of the message") from error

    async def _key(self, url: URL) -> RSAPublicKey:
        if (known := self._keys.get(url)) is not None:
            return known
        async with self._fetching:
            if (known := self._keys.get(url)) is not None:
                return known
            key = _public_key(await self._fetch(url))
            self._keys.put(url, key, len(str(url)) + 512)
            return key

    async def _fetch(self, url: URL) -> bytes:
        assert self._http is not None
        try:
            async with self._http.get(url, allow_redirects=False) as answer:
                if answer.status >= 500 or answer.status == 429:
                    raise ActionError(f"the certificate cannot be fetched: {answer.status}")
                if answer.status != 200:
                    raise Forged(f"there is no certificate at SigningCertURL: {answer.status}")
                content = bytearray()
                async for part in answer.content.iter_any():
                    content += part
                    if len(content) > _MOST_CERTIFICATE_BYTES:
                        raise Forged("what is at SigningCertURL is too large for a certificate")
                return bytes(content)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ActionError(f"the certificate cannot be fetched: {type(error).__name__}: {error}") from error


def canonical(message: dict[str, Any]) -> bytes:
    """What is signed of a message; Forged when a part is missing or no text."""
    keys = _NOTIFICATION_KEYS if message.get("Type") == NOTIFICATION else _CONFIRMATION_KEYS
    parts = []
    for key in keys:
        value = message.get(key)
        if value is None and key == "Subject":
            continue
        if not isinstance(value, str):
            raise Forged(f"{key} is missing, or no text")
        if "\n" in value and key not in _FREE:
            raise Forged(f"{key} has several lines")
        parts.append(f"{key}\n{value}\n")
    return "".join(parts).encode("utf-8", "surrogatepass")


def _public_key(pem: bytes) -> RSAPublicKey:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        raise Forged("what is at SigningCertURL is no certificate") from error
    if not isinstance(key, RSAPublicKey):
        raise Forged("the certificate at SigningCertURL has no RSA key")
    return key
