"""One request of a trigger, sent as Go's HTTP client would. Contract: sensors D.3.

Redirects are followed with Go's rules for methods, bodies and headers, nothing is added that the author did not ask for
but a `User-Agent`, and what comes back is read within bounds and always let go of. aiohttp is imported here only.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
import ssl
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from urllib.parse import quote, unquote, urljoin

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from events.errors import ActionError

MAX_REQUESTS = 10
KEPT = 64 * 1024
"""Bytes of an answer that are kept for the log."""
DRAINED = 256 * 1024
"""Bytes that are read so that the connection can be used again; after more it is closed."""
_BODY_SECONDS = 5.0

_REDIRECTS = (301, 302, 303, 307, 308)
_KEEP_METHOD = (307, 308)
# What the client adds by itself, and Go's does not.
_SKIPPED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_OWN = ("Host", "Content-Length", "Transfer-Encoding", "Trailer")
_SENSITIVE = ("Authorization", "Www-Authenticate", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate")
_OF_BODY = ("Content-Encoding", "Content-Language", "Content-Location", "Content-Type")
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
Headers = CIMultiDict[str]
# aiohttp warns about larger bodies that are given as bytes.
_LARGE = 1 << 20

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_URL = re.compile(r"(https?)://(?:([^/?#]*)@)?([^/?#@]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_PATH_SAFE = "%/:@!$&'()*+,;=~[]"
_QUERY_SAFE = "%/:@!$&'()*+,;=~[]?\"<>\\^`{|}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `host` overrides the Host header."""

    method: str
    url: URL
    headers: Headers
    body: bytes = b""
    host: str = ""

    def __str__(self) -> str:
        # The query may hold a token.
        return f"{self.method} {self.url.with_query(None)}"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back in the end: the status, and the beginning of the body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """A whole answer. `name` is the request, for people; `url` is where redirects led."""

    name: str
    url: str
    status: int
    body: bytes
    is_cut: bool
    """The body is longer than the limit."""
    etag: str = ""
    encoding: str = ""
    retry_after: str = ""


def check_method(method: str) -> str:
    """The method; ActionError when it cannot be sent."""
    if not _TOKEN.fullmatch(method):
        raise ActionError(f"{method!r} is not an HTTP method")
    return method


def parse_url(text: str) -> tuple[URL, str]:
    """A URL, spelled as it came, and the value of an Authorization header its user name asks for; ActionError."""
    found = _URL.fullmatch(text)
    if found is None or not found[3] or _CONTROL.search(text):
        raise ActionError(f"{text!r} is not an http or https URL")
    scheme, user, host, path, query = found.groups()
    if _BAD_ESCAPE.search(path):
        raise ActionError(f"{text!r} has a % that is not followed by two hexadecimal digits")
    try:
        host = host if host.isascii() else URL(f"http://{host}").raw_authority
        path = quote(path or "/", safe=_PATH_SAFE)
        url = URL(f"{scheme.lower()}://{host}{path}{quote(query or '', safe=_QUERY_SAFE)}", encoded=True)
        url.port  # noqa: B018  # refuses what is not a number
    except ValueError as error:
        raise ActionError(f"{text!r} is not a URL: {error}") from error
    return url, basic(*map(unquote, user.partition(":")[::2])) if user else ""


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def no_headers() -> Headers:
    """Headers to add to; names differ by more than their case."""
    return CIMultiDict()


def set_header(headers: Headers, name: str, value: str) -> None:
    """Set a header in place of one of the same name; ActionError when it cannot be sent.

    What belongs to the connection is left to the client, as Go does.
    """
    if not _TOKEN.fullmatch(name):
        raise ActionError(f"{name!r} is not the name of a header")
    if _CONTROL.search(value):
        raise ActionError(f"header {name}: the value has a line break or another control character")
    headers.popall(name, None)
    headers[name] = value.strip(" \t")


def complete(headers: Headers) -> Headers:
    """The headers without those of the connection, with a `User-Agent`."""
    for name in _OWN:
        headers.popall(name, None)
    headers.setdefault("User-Agent", _user_agent())
    return headers


@cache
def _user_agent() -> str:
    return f"keryx/{metadata.version('keryx')}"


async def send(
    session: aiohttp.ClientSession, request: Request, *, tls: ssl.SSLContext | None, seconds: float
) -> Response:
    """The final answer; ActionError when there is none within `seconds`.

    An answer counts when its head is there: a body that stalls or breaks off changes nothing about it.
    """
    try:
        async with asyncio.timeout(seconds):
            response = await _follow(session, request, tls)
    except TimeoutError as error:
        raise ActionError(f"{request}: no answer within {seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ActionError(f"{request}: {error or type(error).__name__}") from error
    try:
        return Response(response.status, await _beginning(response))
    finally:
        response.release()


async def fetch(
    session: aiohttp.ClientSession, request: Request, *, tls: ssl.SSLContext | None, seconds: float, limit: int
) -> Document:
    """The final answer with its whole body, up to `limit` bytes; ActionError when it is not there within `seconds`."""
    response: aiohttp.ClientResponse | None = None
    try:
        async with asyncio.timeout(seconds):
            response = await _follow(session, request, tls)
            body, is_cut = await _all_of(response, limit)
    except TimeoutError as error:
        raise ActionError(f"{request}: no complete answer within {seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ActionError(f"{request}: {error or type(error).__name__}") from error
    finally:
        if response is not None:
            response.release()
    headers = response.headers
    etag, encoding = headers.get("ETag", ""), headers.get("Content-Encoding", "").lower()
    retry_after = headers.get("Retry-After", "")
    return Document(str(request), str(response.url), response.status, body, is_cut, etag, encoding, retry_after)


async def _all_of(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """A body and whether it is longer than `limit`; the connection of a longer one is closed."""
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            response.close()
            return b"", True
    return b"".join(parts), False


async def _follow(
    session: aiohttp.ClientSession, request: Request, tls: ssl.SSLContext | None
) -> aiohttp.ClientResponse:
    first = request
    for _ in range(MAX_REQUESTS):
        response = await _once(session, request, tls)
        location = response.headers.get("Location") if response.status in _REDIRECTS else None
        if not location:
            return response
        try:
            await _beginning(response)
        finally:
            response.release()
        request = redirected(first, request, response.status, location)
    raise ActionError(f"{first}: stopped after {MAX_REQUESTS} redirects")


async def _once(session: aiohttp.ClientSession, request: Request, tls: ssl.SSLContext | None) -> aiohttp.ClientResponse:
    headers = request.headers
    if request.host:
        headers = headers.copy()
        headers["Host"] = request.host
    body = request.body
    return await session.request(
        request.method,
        request.url,
        data=io.BytesIO(body) if len(body) > _LARGE else body or None,
        headers=headers,
        skip_auto_headers=_SKIPPED,
        allow_redirects=False,
        auto_decompress=False,
        ssl=tls or True,
        timeout=_NO_TIMEOUT,
    )


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body; the rest is read too when it is not much, else the connection is closed."""
    content = response.content
    if content.is_eof():  # usual: it came together with the head
        return content.read_nowait(-1)[:KEPT]
    parts, size = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in content.iter_any():
                parts.append(chunk[: max(0, KEPT - size)])
                size += len(chunk)
                if size > DRAINED:
                    response.close()
                    break
    except (aiohttp.ClientError, OSError):
        response.close()
    return b"".join(parts)


def redirected(first: Request, last: Request, status: int, location: str) -> Request:
    """The request that follows a redirect (Go: net/http, `Client.do`); ActionError when there is none."""
    url, _ = parse_url(urljoin(str(last.url), location))
    keeps = status in _KEEP_METHOD
    method = last.method if keeps or last.method in ("GET", "HEAD") else "GET"
    body = last.body if keeps else b""
    headers = last.headers.copy()
    if not _is_within(url.host or "", first.url.host or ""):
        _drop(headers, _SENSITIVE)
    if not keeps:
        _drop(headers, _OF_BODY)
    if "Referer" not in first.headers:
        _drop(headers, ("Referer",))
        if not (last.url.scheme == "https" and url.scheme == "http"):
            headers["Referer"] = str(last.url)
    # A Host of the author's own outlives relative redirects only.
    host = last.host if not URL(location, encoded=True).absolute else ""
    return replace(last, method=method, url=url, headers=headers, body=body, host=host)


def _is_within(host: str, parent: str) -> bool:
    return host == parent or (host.endswith(f".{parent}") and not parent.replace(".", "").isdigit())


def _drop(headers: Headers, names: tuple[str, ...]) -> None:
    for name in names:
        headers.popall(name, None)
