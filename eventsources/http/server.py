"""The HTTP servers of a process: one per port, shared by all its sources. Contract: eventsources 2; step 1 of the path.

A flat handler on aiohttp's low-level server: a dict lookup, the route, ready-made bytes back. HTTP/1.1 only, also over
TLS (upstream offers HTTP/2 there).
"""

from __future__ import annotations

import asyncio
import posixpath
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote, unquote_to_bytes

from aiohttp import HttpVersion11, web

from events.credentials import SecretRef
from events.errors import Unavailable, UserError
from eventsources.base import SourceContext
from eventsources.http import ports
from eventsources.http.certificates import Certificate
from eventsources.http.replies import Connections, Replies, Reply
from eventsources.http.routes import BAD_REQUEST, HttpSettings, Names, Route, later
from eventsources.webhooks import Answer, Handler, WebhookSpec, decode

OK = Answer(text="OK")
NOT_FOUND = Answer(404, "404 page not found\n")
_BAD_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
_TlsPair = tuple[SecretRef | None, SecretRef | None]


class _Port:
    """One listening port: its routes, and what is answered without one."""

    def __init__(
        self, settings: HttpSettings, replies: Replies, tls: _TlsPair, certificate: Certificate | None
    ) -> None:
        self.tls, self._certificate, self._replies = tls, certificate, replies
        self.routes: dict[str, Route] = {}
        self._literal: dict[str, Route | Answer] = {}
        self._templated: list[Route] = []
        self._connections = Connections(self._handle, settings)
        self._server: asyncio.Server | None = None
        self._is_closing = False

    async def listen(self, bound: socket.socket) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        if self._certificate is None:
            self._server = await loop.create_server(self._connections, sock=bound, backlog=1024)
        else:
            self._server = await loop.create_server(
                self._connections,
                sock=bound,
                backlog=1024,
                ssl=self._certificate.context,
                ssl_handshake_timeout=10.0,
                ssl_shutdown_timeout=1.0,
            )

    @property
    def number(self) -> int:
        """The port that was bound."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    def add(self, route: Route) -> None:
        """Have it answered; UserError when another event has its endpoint."""
        other = self.routes.get(route.pattern)
        if other is not None and other.is_active:
            raise UserError(
                f"{route.spec.endpoint} on port {route.spec.port} is taken by event {other.event}",
                path="endpoint",
                cure="give one of them another endpoint or port",
            )
        self.routes[route.pattern] = route
        self._rebuild()

    def remove(self, route: Route) -> None:
        """Forget it, unless it was replaced."""
        if self.routes.get(route.pattern) is route:
            del self.routes[route.pattern]
            self._rebuild()

    def _rebuild(self) -> None:
        literal = {route.spec.endpoint: route for route in self.routes.values() if route.matches is None}
        self._literal = {"/health": OK, **literal}
        self._templated = [route for route in self.routes.values() if route.matches is not None]

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        path, _, query = http.raw_path.partition("?")
        found = self._literal.get(path) or self._find(path, query)
        if self._is_closing:
            answer = later("shutting down", close=True)
        elif isinstance(found, Answer):
            answer = found
        else:
            answer = await found.answer(http, query)
        close = answer.close or not http.keep_alive or http.version != HttpVersion11
        data = self._replies.render(answer, close=close, bodiless=http.method == "HEAD")
        return Reply(data, keep_alive=not close)

    def _find(self, path: str, query: str) -> Route | Answer:
        """What is not literally in the table: encoded, absolute, unclean and templated paths."""
        if "://" in path and not path.startswith("/"):
            path = "/" + path.partition("://")[2].partition("/")[2]
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                return BAD_REQUEST
            path = decode(unquote_to_bytes(path))
        if (cleaned := _clean(path)) != path:
            location = quote(cleaned) + (f"?{query}" if query else "")
            return Answer(301, "", content_type="", headers=(("Location", location),))
        if found := self._literal.get(path):
            return found
        return next((route for route in self._templated if route.matches and route.matches(path)), NOT_FOUND)

    def refuse(self) -> None:
        """Accept no connection, and no request of those that are open."""
        self._is_closing = True
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """End what is left."""
        self.refuse()
        await self._connections.shutdown(0.2)  # nothing should be running any more
        if self._server is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1.0)


def _clean(path: str) -> str:
    """A path as upstream's router redirects to: no `//`, `.` and `..`; a slash at the end stays."""
    if "//" not in path and "/." not in path and path.startswith("/"):
        return path
    cleaned = "/" + posixpath.normpath(path).lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


class HttpServers:
    """HttpEndpoints on real sockets. `shared`: other processes like this one listen on the same ports."""

    def __init__(self, settings: HttpSettings | None = None, shared: ports.SharedPorts | None = None) -> None:
        self._settings, self._shared = settings or HttpSettings(), shared
        self._names, self._replies = Names(), Replies()
        self._ports: dict[str, _Port] = {}
        self._changing = asyncio.Lock()
        self._is_closed = False

    @asynccontextmanager
    async def route(self, spec: WebhookSpec, context: SourceContext, handler: Handler) -> AsyncIterator[None]:
        """See HttpEndpoints."""
        route = Route(spec, context, handler, self._settings, self._names)
        port = await self._join(route)
        restarts = False
        try:
            yield
        except Exception:
            # It failed and will be started again: until then its senders hear "later", not "never heard of it".
            restarts = True
            raise
        finally:
            try:
                await route.drain()
            finally:
                await self._leave(port, route, restarts=restarts)

    def port(self, configured: str) -> int:
        """The port that is bound for a configured one; they differ for `0`. 0 when there is none."""
        return self._ports[configured].number if configured in self._ports else 0

    async def _join(self, route: Route) -> _Port:
        """Add a route to its port, which is opened for the first."""
        spec = route.spec
        tls = (spec.server_cert_secret, spec.server_key_secret)
        if self._shared is not None:
            await self._shared.until_held(spec.port, route.event)
        async with self._changing:
            if self._is_closed:
                raise Unavailable("the HTTP servers are closed")
            port = self._ports.get(spec.port)
            if port is None:
                port = _Port(self._settings, self._replies, tls, _certificate(route))
                is_shared = self._shared is not None
                await port.listen(ports.bind(self._settings.address, spec.port, route.event, shared=is_shared))
                self._ports[spec.port] = port
            elif port.tls != tls:
                raise UserError(
                    f"port {spec.port} already serves {_scheme(port.tls)}, event {route.event} wants {_scheme(tls)}",
                    path="serverCertSecret",
                    cure="give all events of a port the same certificate, or this one another port",
                )
            port.add(route)
        return port

    async def _leave(self, port: _Port, route: Route, *, restarts: bool) -> None:
        """Take a route from its port, which is closed after the last."""
        if not restarts:
            port.remove(route)
        async with self._changing:
            if self._ports.get(route.spec.port) is port and not any(r.is_active for r in port.routes.values()):
                del self._ports[route.spec.port]
                await port.close()

    async def aclose(self) -> None:
        """Refuse what is new, answer what is running (bounded), close everything."""
        self._is_closed = True
        async with self._changing:
            open_ports = list(self._ports.values())
            self._ports.clear()
        for port in open_ports:
            port.refuse()
        await asyncio.gather(*(route.drain() for port in open_ports for route in port.routes.values()))
        await asyncio.gather(*(port.close() for port in open_ports))


def _certificate(route: Route) -> Certificate | None:
    spec, context = route.spec, route.context
    if spec.server_cert_secret is None and spec.server_key_secret is None:
        return None
    if spec.server_cert_secret is None or spec.server_key_secret is None:
        # Upstream serves plain HTTP here; somebody wanted encryption.
        raise UserError("serverCertSecret and serverKeySecret go together", path="serverCertSecret")
    return Certificate(context.secrets, spec.server_cert_secret, spec.server_key_secret, context.log)


def _scheme(tls: _TlsPair) -> str:
    return f"HTTPS with certificate {tls[0].name}/{tls[0].key}" if tls[0] else "plain HTTP"
