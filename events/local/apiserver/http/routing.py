"""From a request to its handler: who asks, what for, whether it is served, and what becomes of a refusal."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Mapping

from aiohttp import web

from events.local.apiserver.access.front import Entered, Front
from events.local.apiserver.http import negotiation, responses
from events.local.apiserver.http.call import Call, too_large
from events.local.apiserver.http.counts import Counts
from events.local.apiserver.http.general import General
from events.local.apiserver.http.objects import Handler, Objects
from events.local.apiserver.http.special import Special
from events.local.apiserver.objects import errors
from events.local.apiserver.objects.bodies import LARGEST
from events.local.apiserver.resources import SCALE, STATUS, Resource, Resources
from events.local.apiserver.status import StatusError
from events.logs import Log

_ON_SUBRESOURCES = {STATUS: ("get", "update", "patch"), SCALE: ("get", "update", "patch"), "finalize": ("update",)}
_WITH_NAME = frozenset({"get", "update", "patch", "delete"})
_ANY = frozenset({"create", "get"})
"""Verbs of subresources that do something: websockets come as GET or POST."""
_SLASHES = re.compile("//+")
_METHODS = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_FORM = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Router:
    """Serves every request of one server."""

    def __init__(
        self,
        front: Front,
        resources: Resources,
        general: General,
        objects: Objects,
        special: Special,
        counts: Counts,
        log: Log,
    ) -> None:
        self._front, self._resources = front, resources
        self._general, self._objects, self._special = general, objects, special
        self._counts, self._log = counts, log

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Never raises but for a client that goes away."""
        response = await self._answered(request)
        if not response.prepared:
            response.headers["Server"] = "keryx"  # not which libraries
            if request.body_exists and not request.content.is_eof():
                response.force_close()  # the rest of the body is on its way: nothing else can use this connection
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        try:
            return await self._serve(request)
        except _NoPage:
            return responses.page_not_found()
        except StatusError as error:
            return responses.of_error(error, negotiation.error_form(accept))
        except (ConnectionError, web.HTTPException):
            raise
        except RecursionError:
            return responses.of_error(errors.bad_request("the object is nested too deeply; flatten it"))
        except Exception as error:  # noqa: BLE001  # a request must not end a server
            self._log.exception("a request failed", error, method=request.method, path=request.path)
            return responses.of_error(errors.internal(f"{type(error).__name__}; see the server's log"))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if "//" in request.rel_url.raw_path:
            return _redirected(request)
        query = _query(request.rel_url.raw_query_string)
        entered = self._enter(request, path, {key: values[0] for key, values in query.items()})
        if not entered.wanted.is_resource:
            return self._general.answer(request, path.rstrip("/"))
        resource = self._resource(entered)
        if request.method not in _METHODS:
            raise errors.method_not_allowed()
        handler = self._handler(resource, entered, request.path)
        body = await self._body(request)
        call = Call(request, entered, resource, query, body)
        if resource.deprecation:
            call.warnings.append(resource.deprecation)
        try:
            response = await handler(call)
        except StatusError as error:
            response = responses.of_error(error, negotiation.error_form(call.accept))
        self._counts.answered(call.verb, resource.plural, call.subresource, response.status)
        if not response.prepared:
            responses.warn(response, call.warnings)
            response.headers["Cache-Control"] = "no-cache, private"
        return response

    def _enter(self, request: web.BaseRequest, path: str, query: Mapping[str, str]) -> Entered:
        transport = request.transport
        peer = transport.get_extra_info("peercert") if transport is not None else None
        return self._front.enter(request.method, path, query, request.headers.items(), peer, time.time())

    def _resource(self, entered: Entered) -> Resource:
        wanted = entered.wanted
        resource = self._resources.find(wanted.group, wanted.version, wanted.resource)
        if resource is not None:
            return resource
        if wanted.group and not self._resources.is_builtin(wanted.group):
            raise _NoPage
        raise errors.no_such_path()

    def _handler(self, resource: Resource, entered: Entered, path: str) -> Handler:
        wanted = entered.wanted
        if not resource.namespaced and wanted.namespace and resource.plural != "namespaces":
            raise _NoPage if resource.is_custom else errors.no_such_path()
        if wanted.subresource:
            return self._of_subresource(resource, entered, path)
        has_place = not resource.namespaced or bool(wanted.namespace)
        if not resource.storage:
            handler = self._special.questions(resource)
            if wanted.name or handler is None or not has_place:
                raise errors.no_such_path()
            if wanted.verb != "create":
                raise errors.method_not_allowed()
            return handler
        verb = wanted.verb
        if wanted.name and verb in _WITH_NAME and not has_place:
            raise errors.no_such_path()
        if verb not in resource.verbs or verb not in self._objects.verbs:
            raise errors.method_not_allowed()
        if (verb == "create" and (wanted.name or not has_place)) or (verb in ("update", "patch") and not wanted.name):
            raise errors.method_not_allowed()
        if verb == "deletecollection" and not has_place:
            raise errors.method_not_allowed()
        return self._objects.verbs[verb]

    def _of_subresource(self, resource: Resource, entered: Entered, path: str) -> Handler:
        wanted = entered.wanted
        if not wanted.name or _is_deeper(path, wanted.subresource):
            raise errors.no_such_path()
        if wanted.subresource not in resource.subresources:
            if resource.is_custom and wanted.subresource in (STATUS, SCALE):
                raise errors.not_found(resource, wanted.name)
            raise errors.no_such_path()
        verbs = _ON_SUBRESOURCES.get(wanted.subresource)
        if verbs is not None:
            if wanted.verb not in verbs:
                raise errors.method_not_allowed()
            return self._objects.verbs[wanted.verb]
        handler = self._special.subresources.get((resource.plural, wanted.subresource))
        if handler is None:
            says = f"{resource.qualified}/{wanted.subresource} is not served by this API server"
            raise StatusError(501, "NotImplemented", says)
        if wanted.verb not in _ANY:
            raise errors.method_not_allowed()
        return handler

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Raises StatusError 413 before it has read more than is allowed."""
        if request.method not in _FORM or not request.body_exists:
            return b""
        if (request.content_length or 0) > LARGEST:
            raise too_large(LARGEST)
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > LARGEST:
                raise too_large(LARGEST)
        return bytes(body)


def _query(text: str) -> dict[str, list[str]]:
    """The parameters; those with a semicolon are not read, as a real server does not."""
    kept = "&".join(pair for pair in text.split("&") if ";" not in pair) if ";" in text else text
    return urllib.parse.parse_qs(kept, keep_blank_values=True)


class _NoPage(Exception):
    """No such group: the answer is plain text."""


def _is_deeper(path: str, subresource: str) -> bool:
    return path.rstrip("/").rpartition("/")[2] != subresource


def _redirected(request: web.BaseRequest) -> web.StreamResponse:
    """To the path with single slashes."""
    raw = request.rel_url
    where = _SLASHES.sub("/", raw.raw_path) + (f"?{raw.raw_query_string}" if raw.raw_query_string else "")
    text = f'<a href="{where}">Temporary Redirect</a>.\n\n' if request.method in ("GET", "HEAD") else ""
    return web.Response(status=307, text=text, content_type="text/html", charset="utf-8", headers={"Location": where})
