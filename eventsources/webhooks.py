"""HTTP as sources see it: the fields that all of them share, a request, an answer. Contract: eventsources 2.

A source that listens for HTTP gives its `WebhookSpec` and a handler to `context.http.route(...)` and turns requests
into `await request.emit(data)`; `eventsources.http_server` owns ports, TLS, tokens, limits and answers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from pydantic import Field

from events import rawjson, regexes
from events.credentials import SecretRef
from events.errors import KeryxError, UserError
from events.model import Model
from events.problems import Problems

if TYPE_CHECKING:
    from eventsources.base import SourceContext

MAX_PAYLOAD = 1 << 20
MASK = "*** Masked Auth Secret ***"
TEXT = "text/plain; charset=utf-8"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORM = "application/x-www-form-urlencoded"


class WebhookSpec(Model):
    """Where a source listens, and who may send. Contract: eventsources 2.1; `idHeader` is ours."""

    endpoint: str = Field(description="Path, such as /orders; {x} stands for any one segment, {x:regex} for a match.")
    method: str = Field("", description="HTTP verb in upper case; only the webhook source looks at it.")
    port: str = Field(description="Port to listen on, as text; sources of one process may share it.")
    url: str | None = Field(None, description="Our base URL seen from outside, where the source registers a hook.")
    server_cert_secret: SecretRef | None = Field(None, description="Certificate chain (PEM): serve HTTPS.")
    server_key_secret: SecretRef | None = Field(None, description="Key of the certificate (PEM).")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")
    auth_secret: SecretRef | None = Field(None, description="Bearer token that senders must present.")
    max_payload_size: int | None = Field(None, description="Largest body in bytes; 1048576 when absent.")
    id_header: str = Field(
        "",
        description="Not in Argo Events: request header with the sender's own id of a delivery. It becomes the id of "
        "the event, and what is sent again with the same id is stored once.",
    )

    @property
    def limit(self) -> int:
        """The largest body in bytes."""
        return MAX_PAYLOAD if self.max_payload_size is None else self.max_payload_size

    @property
    def callback(self) -> str:
        """The URL to register with a sender: `url` and `endpoint`, with one slash between them."""
        endpoint = self.endpoint if self.endpoint.startswith("/") else f"/{self.endpoint}"
        return f"{(self.url or '').rstrip('/')}{endpoint}"

    def check(self, problems: Problems) -> None:
        """What the types cannot say, with paths relative to this object."""
        self._check_address(problems)
        if (self.server_cert_secret is None) != (self.server_key_secret is None):
            missing = "serverKeySecret" if self.server_key_secret is None else "serverCertSecret"
            problems.error(missing, "serverCertSecret and serverKeySecret go together", "set both, or neither")
        refs = {
            "serverCertSecret": self.server_cert_secret,
            "serverKeySecret": self.server_key_secret,
            "authSecret": self.auth_secret,
        }
        for name, ref in refs.items():
            if ref is not None and not (ref.name and ref.key):
                problems.warn(name, "needs the name of a Secret and a key in it: the source never starts")
        if self.limit <= 0:
            problems.warn("maxPayloadSize", f"{self.limit} is no size: every body is refused", "a number of bytes")
        if self.id_header and not _TOKEN.fullmatch(self.id_header):
            problems.error("idHeader", f"{self.id_header!r} cannot be the name of a header")

    def _check_address(self, problems: Problems) -> None:
        if not self.endpoint.startswith("/"):
            cure = f"write /{self.endpoint}" if self.endpoint else "a path such as /orders"
            problems.error("endpoint", "must start with a slash" if self.endpoint else "must not be empty", cure)
        try:
            compile_endpoint(self.endpoint)
        except UserError as error:
            problems.error("endpoint", error.message)
        # 0, any free port, is for programs that can ask which one it became: nobody could be told this URL.
        cure = "a number from 1 to 65535, in quotes"
        if not re.fullmatch("[+-]?[0-9]{1,18}", self.port):
            problems.error("port", f"{self.port!r} is not a port", cure)
        elif not 1 <= int(self.port) <= 65535:
            problems.warn("port", f"{self.port!r} cannot be listened on: the source never starts", cure)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender gets back."""

    status: int = 200
    text: str = "success"
    close: bool = False
    """Whether the connection cannot be used further."""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


SUCCESS = Answer()


class Refused(KeryxError):
    """This request becomes no event; its sender gets `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


class Request(Protocol):
    """One request that may become an event. Its sender has shown the token, where one is asked for."""

    @property
    def method(self) -> str:
        """The verb as sent."""
        ...

    @property
    def query(self) -> str:
        """What follows the `?`, undecoded."""
        ...

    @property
    def headers(self) -> dict[str, list[str]]:
        """Canonical name -> values, as the event's data has them (contract 2.4); the Authorization is masked."""
        ...

    def header(self, name: str) -> str:
        """The first value of a header, given in any case; empty when absent. The Authorization is masked."""
        ...

    async def body(self) -> bytes:
        """The whole body as sent, also when it is compressed; Refused when it is too large or does not arrive."""
        ...

    async def emit(self, data: bytes, *, id: str = "") -> None:
        """Publish, within the server's deadline; Unavailable after it. `id` defaults to the `idHeader`'s value."""
        ...


Handler = Callable[[Request], Awaitable[Answer | None]]
"""Answers a request; None is `success`. It may raise Refused and whatever `emit` raises."""


class HttpEndpoints(Protocol):
    """The HTTP servers of a process, shared by all its sources."""

    def route(self, spec: WebhookSpec, context: SourceContext, handler: Handler) -> AbstractAsyncContextManager[None]:
        """Have `handler` answer what is sent to the spec's port and endpoint, until exit; then drain.

        UserError when the port is in use, the endpoint is taken, or the port has another TLS configuration;
        CredentialError when the certificate cannot be read.
        """
        ...


def compile_endpoint(endpoint: str) -> Callable[[str], object] | None:
    """Whether a path matches an endpoint with variables; None for a literal one. UserError when its braces are wrong.

    RE2, as upstream's router: linear in time, whatever the author of the object writes.
    """
    if "{" not in endpoint and "}" not in endpoint:
        return None
    try:
        fullmatch = regexes.compile(endpoint_pattern(endpoint)).fullmatch
    except ValueError as error:
        raise UserError(f"{endpoint!r} has a variable with an invalid pattern: {error}") from error
    return lambda path: fullmatch(path.encode("utf-8", "surrogateescape"))


def endpoint_pattern(endpoint: str) -> str:
    """An endpoint as a pattern, without the names of its variables: equal for endpoints that match the same."""
    return "".join(_pieces(endpoint))


def _pieces(endpoint: str) -> Iterable[str]:
    """The parts of an endpoint as patterns; braces nest, as in `{id:[0-9]{3}}`."""
    depth, start = 0, 0
    for at, char in enumerate(endpoint):
        if char == "{":
            if depth == 0:
                yield regexes.escape(endpoint[start:at])
                start = at + 1
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                name, colon, pattern = endpoint[start:at].partition(":")
                if not name or (colon and not pattern):
                    raise UserError(f"{endpoint!r} has a variable without a name or pattern")
                yield f"(?:{pattern or '[^/]+'})"
                start = at + 1
        if depth < 0:
            break
    if depth:
        raise UserError(f"{endpoint!r} has unbalanced braces")
    yield regexes.escape(endpoint[start:])


def canonical(name: str) -> str:
    """A header name as Go writes it: `x-github-EVENT` -> `X-Github-Event`; names that are no tokens stay."""
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def is_form(content_type: str) -> bool:
    """Whether a body is form fields. Parameters may follow (`; charset=utf-8`), which upstream takes for JSON."""
    return content_type == _FORM or content_type.partition(";")[0].strip().lower() == _FORM


_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)


def parse_form(text: str) -> tuple[dict[str, list[str]], str]:
    """Fields `name -> values` of a query or form, and the first error; pairs with one are left out, as in Go."""
    fields: dict[str, list[str]] = {}
    problem = ""
    for pair in text.split("&"):
        if not pair:
            continue
        if ";" in pair:
            problem = problem or "invalid semicolon separator in query"
        elif found := _BAD_ESCAPE.search(pair):
            problem = problem or f'invalid URL escape "{clean(found[0])}"'
        else:
            name, _, value = pair.partition("=")
            fields.setdefault(_unescape(name), []).append(_unescape(value))
    return fields, problem


def _unescape(text: str) -> str:
    if "%" in text or "+" in text:
        return decode(unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")))
    return clean(text)


_UNDECODED = re.compile("[\ud800-\udfff]")


def decode(raw: bytes) -> str:
    """UTF-8, with U+FFFD for every byte that is none, as in Go."""
    return clean(raw.decode("utf-8", "surrogateescape"))


def clean(text: str) -> str:
    """Text with U+FFFD for the bytes that could not be decoded."""
    return text if text.isascii() else _UNDECODED.sub("\ufffd", text)


def document(headers: bytes, body: bytes, metadata: bytes, *, key: bytes = b"header") -> bytes:
    """The data of an HTTP source's event, from JSON parts; no metadata, no key."""
    if metadata:
        return b'{"%b":%b,"body":%b,"metadata":%b}' % (key, headers, body, metadata)
    return b'{"%b":%b,"body":%b}' % (key, headers, body)


def header_json(headers: dict[str, list[str]]) -> bytes:
    """A header map as JSON; bytes that are not UTF-8 become U+FFFD."""
    try:
        return rawjson.dumps(headers)
    except TypeError:
        return rawjson.dumps({clean(name): [clean(value) for value in values] for name, values in headers.items()})
