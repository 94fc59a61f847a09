"""Calls of webhooks over HTTPS: certificates are verified, time and answer are bounded, redirects are not followed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson
from aiohttp import abc

from events.local.apiserver.validation.causes import quoted

LONGEST_ANSWER = 12 * 1024 * 1024
"""Bytes of an answer that are read: an object, patched wholly, in base64."""
_MOST_CONTEXTS = 64
_AGENT = "kube-apiserver-admission"
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_EXPIRED = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})
_SAID: Mapping[int, str] = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallError(Exception):
    """The webhook could not be asked, or did not answer as it must; the message is the reason."""


class ServiceResolver(Protocol):
    """Where a service is."""

    async def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Host and port to connect to. Raises `LookupError` with a message."""


@dataclass(frozen=True)
class _Target:
    url: str
    server_name: str | None = None
    address: tuple[str, int] | None = None


class _Fixed(abc.AbstractResolver):
    """Gives one address, whatever the name: the certificate is still checked for the name of the service."""

    def __init__(self) -> None:
        self.addresses: dict[tuple[str, int], tuple[str, int]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        address, at = self.addresses.get((host, port), (host, port))
        found = await asyncio.get_running_loop().getaddrinfo(address, at, family=family, type=socket.SOCK_STREAM)
        return [
            abc.ResolveResult(hostname=host, host=str(one[4][0]), port=at, family=one[0], proto=one[2], flags=0)
            for one in found
        ]

    async def close(self) -> None:
        return None


class Caller:
    """Keeps connections and TLS contexts; `close` it."""

    def __init__(self, services: ServiceResolver | None = None) -> None:
        self._services = services
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._resolver = _Fixed()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, client: Mapping[str, Any], body: Mapping[str, Any], seconds: int) -> Any:
        """Send a body to a webhook (`client` is its `clientConfig`); the decoded answer. Raises `CallError`."""
        try:
            target = await self._target(client)
            context = self._context(client.get("caBundle") or "")
        except (LookupError, ValueError) as error:
            raise CallError(f"could not get REST client: {error}") from error
        try:
            async with asyncio.timeout(seconds):
                status, answer = await self._ask(target, context, orjson.dumps(body), seconds)
        except TimeoutError as error:
            raise _failed(target, seconds, "context deadline exceeded") from error
        except aiohttp.ClientConnectorDNSError as error:
            host = urllib.parse.urlsplit(target.url).hostname
            raise _failed(target, seconds, f"dial tcp: lookup {host}: no such host") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise _failed(target, seconds, _reason(error)) from error
        return _decoded(status, answer)

    async def _ask(self, target: _Target, context: ssl.SSLContext, body: bytes, seconds: int) -> tuple[int, bytes]:
        """Twice, when a connection that was kept turns out to be closed: the webhook has not answered then."""
        try:
            return await self._exchange(target, context, body, seconds)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await self._exchange(target, context, body, seconds)

    async def _exchange(self, target: _Target, context: ssl.SSLContext, body: bytes, seconds: int) -> tuple[int, bytes]:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._resolver, limit=100, use_dns_cache=False)
            headers = {"User-Agent": _AGENT, "Accept": "application/json, */*", "Content-Type": "application/json"}
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=False)
        async with self._session.post(
            target.url,
            params={"timeout": f"{seconds}s"},
            data=body,
            ssl=context,
            server_hostname=target.server_name,
            allow_redirects=False,
        ) as response:
            answer = bytearray()
            async for part in response.content.iter_chunked(64 * 1024):
                answer += part
                if len(answer) > LONGEST_ANSWER:
                    raise CallError(f"failed to call webhook: the answer is longer than {LONGEST_ANSWER} bytes")
            return response.status, bytes(answer)

    async def _target(self, client: Mapping[str, Any]) -> _Target:
        service = client.get("service")
        if not service:
            if not client.get("url"):
                raise LookupError("webhook configuration must have either service or URL")
            return _Target(str(client["url"]))
        if self._services is None:
            raise LookupError("services are not resolved here")
        namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
        host = f"{name}.{namespace}.svc"
        address = await self._services.resolve(namespace, name, port)
        self._resolver.addresses[host, port] = address
        path = urllib.parse.quote(service.get("path") or "", safe="/%")
        return _Target(f"https://{host}:{port}/{path.lstrip('/')}", host, address)

    def _context(self, bundle: str) -> ssl.SSLContext:
        """Trusts the bundle alone, or, without one, what the system trusts."""
        context = self._contexts.get(bundle)
        if context is None:
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.clear()
            try:
                authority = base64.b64decode(bundle).decode() if bundle else None
                context = ssl.create_default_context(cadata=authority)
            except (binascii.Error, ssl.SSLError, UnicodeDecodeError) as error:
                says = "unable to load root certificates: unable to parse bytes as PEM block"
                raise ValueError(says) from error
            self._contexts[bundle] = context
        return context


def _failed(target: _Target, seconds: int, why: str) -> CallError:
    return CallError(f"failed to call webhook: Post {quoted(f'{target.url}?timeout={seconds}s')}: {why}")


def _reason(error: BaseException) -> str:
    """What went wrong on the way, as clients of a real server know it."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_certificate(inner)}"
    if isinstance(inner, ssl.SSLError):
        return f"tls: {inner.reason or inner}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(inner, OSError) and inner.errno in _SYSTEM:
        place = getattr(error, "host", ""), getattr(error, "port", "")
        return f"dial tcp {place[0]}:{place[1]}: connect: {_SYSTEM[inner.errno]}"
    return str(inner) or type(inner).__name__


_SYSTEM = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ECONNRESET: "connection reset by peer",
}


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return "certificate signed by unknown authority"
    if error.verify_code in _EXPIRED:
        return "certificate has expired or is not yet valid"
    if error.verify_code in _OTHER_NAME:
        return "certificate is not valid for the name of the server"
    return error.verify_message


def _decoded(status: int, answer: bytes) -> Any:
    if not 200 <= status < 300:
        raise CallError(f"failed to call webhook: {_refused(status, answer)}")
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return answer.decode("utf-8", "replace")


def _refused(status: int, answer: bytes) -> str:
    """What an answer that is none says; some codes speak for themselves."""
    text = answer[:2048].decode("utf-8", "replace").strip() or "unknown"
    if status in (403, 406, 415):
        return text
    if status in _SAID:
        return _SAID[status]
    if status >= 500:
        return f"an error on the server ({quoted(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
