"""HTTP requests. Contract: sensors D.3.

Everything that does not depend on an event is compiled once; a spec that resource-level parameters have changed is read
and compiled again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pydantic import Field

from events.credentials import BasicAuth, Credentials, SecureHeader, TLSConfig
from events.errors import ActionError, ParameterError
from events.problems import Problems, did_you_mean
from sensors import base, decoding, parameters, payloads
from sensors.base import Firing, Result, TriggerContext
from sensors.parameters import Events
from sensors.types import TriggerParameter

if TYPE_CHECKING:
    from sensors.http_client import Request

METHODS = ("GET", "DELETE", "PATCH", "POST", "PUT")
_WITH_BODY = ("PATCH", "POST", "PUT")
_SECONDS = 60


class HttpSpec(base.Spec):
    """Sends an HTTP request. Contract: sensors D.3."""

    url: str = Field("", description="URL of the request.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the body, as JSON.")
    tls: TLSConfig | None = Field(None, description="TLS of the client; the system's CA certificates when absent.")
    method: str | None = Field(None, description="GET, DELETE, PATCH, POST (default) or PUT.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")
    timeout: int | None = Field(None, description="Seconds until there must be an answer. Default 60.")
    basic_auth: BasicAuth | None = Field(None, description="User name and password, both optional.")
    headers: dict[str, str] | None = Field(None, description="Headers.")
    secure_headers: list[SecureHeader] | None = Field(None, description="Headers from secrets or config maps.")
    dynamic_headers: list[TriggerParameter] | None = Field(
        None, description="Headers from events; `dest` is the header's name."
    )
    host: str | None = Field(None, description="Host header, when it is not the URL's host.")


class _Call:
    """A spec, compiled. UserError when it cannot be, ActionError when such a request cannot be sent."""

    def __init__(self, spec: HttpSpec) -> None:
        # aiohttp takes 150 ms to load: not for lint and controllers, which only need the spec.
        from sensors import http_client

        self._spec = spec
        self._payload = parameters.compile(spec.payload, "payload")
        self._dynamic = parameters.compile(spec.dynamic_headers, "dynamicHeaders")
        self._method = http_client.check_method(spec.method or "POST")
        self._url, authorization = http_client.parse_url(spec.url)
        self._headers = http_client.no_headers()
        if authorization:
            self._headers["Authorization"] = authorization
        for name, value in (spec.headers or {}).items():
            http_client.set_header(self._headers, name, value)
        self.seconds = spec.timeout if spec.timeout and spec.timeout > 0 else _SECONDS

    def request(self, events: Events, secrets: Credentials) -> Request:
        """The request for these events."""
        from sensors import http_client as client

        headers, spec = self._headers.copy(), self._spec
        for name, value in self._dynamic.values(events):
            try:
                client.set_header(headers, name, value)
            except ActionError as error:  # the event's fault: trying again would not help
                raise ParameterError(f"dynamicHeaders: {error}") from error
        for header in spec.secure_headers or ():
            client.set_header(headers, header.name, secrets.header(header))
        if spec.basic_auth is not None:
            user, password = spec.basic_auth.username, spec.basic_auth.password
            headers["Authorization"] = client.basic(
                secrets.value(user) if user else "", secrets.value(password) if password else ""
            )
        body = self._payload.payload(events)
        return client.Request(self._method, self._url, client.complete(headers), body, spec.host or "")

    async def send(self, request: Request, context: TriggerContext) -> Result:
        """Send it; ActionError when nothing came back."""
        from sensors import http_client

        tls = context.secrets.tls(self._spec.tls) if self._spec.tls is not None else None
        response = await http_client.send(context.http(), request, tls=tls, seconds=self.seconds)
        return Result(value=response.body.decode("utf-8", "replace"), status=response.status)


class HttpTrigger(base.Trigger[HttpSpec]):
    """One request per firing; any answer is a success unless `policy.status` says otherwise."""

    Spec = HttpSpec

    def __init__(self, spec: HttpSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._call: _Call | ActionError
        try:
            self._call = _Call(spec)
        except ActionError as error:  # a failure of each attempt, unless parameters put it right
            self._call = error

    @classmethod
    def validate(cls, spec: HttpSpec, problems: Problems) -> None:
        if not spec.url:
            problems.error("url", "required")
        elif not spec.url.lower().startswith(("http://", "https://")):
            problems.warn("url", f"{spec.url!r} is not an http or https URL", "write https://…")
        method = spec.method or "POST"
        if method not in METHODS:
            cure = did_you_mean(method.upper(), METHODS) or f"one of {', '.join(METHODS)}"
            problems.error("method", f"unknown method {method!r}", cure)
        if spec.payload is None and method in _WITH_BODY:
            problems.warn("payload", f"is absent: {method} is sent with an empty body")
        parameters.validate(spec.payload, problems.at("payload"), is_payload=True)
        payloads.validate_tls(spec.tls, problems.at("tls"))
        _validate_headers(spec, problems)

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:
        call = self._call if resource == self._text else _changed(resource)
        if isinstance(call, ActionError):
            raise call
        request = call.request(firing.events, self.context.secrets)
        if self.context.log.is_debug():
            self.context.log.debug("Making a http request...", request=str(request))
        return await call.send(request, self.context)


def _changed(resource: str) -> _Call:
    return _Call(decoding.read(HttpSpec, resource))


def _validate_headers(spec: HttpSpec, problems: Problems) -> None:
    for index, header in enumerate(spec.secure_headers or ()):
        here, source = problems.at(f"secureHeaders[{index}]"), header.value_from
        if not header.name:
            here.error("name", "required")
        if source is None or (source.secret_key_ref or source.config_map_key_ref) is None:
            here.error("valueFrom", "required", "give secretKeyRef or configMapKeyRef")
    dynamic = Problems()
    parameters.validate_unchecked(spec.dynamic_headers, dynamic)
    # A header has no operation: that one means nothing.
    problems.at("dynamicHeaders").extend(one for one in dynamic if not one.path.endswith(".operation"))
