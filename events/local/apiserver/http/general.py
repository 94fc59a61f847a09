"""Paths that are no objects: health, version, discovery, documents, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from events.local.apiserver import discovery, openapi
from events.local.apiserver.access.tokens import Tokens
from events.local.apiserver.http import negotiation, responses
from events.local.apiserver.http.counts import Counts
from events.local.apiserver.objects import errors
from events.local.apiserver.resources import Resources

_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_PROBES = ("ping", "store")
_V2_TYPES = ("proto-openapi",)


class General:
    """Answers by path. `address` is `host:port` as clients reach the server."""

    def __init__(self, resources: Resources, tokens: Tokens, address: str, counts: Counts) -> None:
        self._resources, self._tokens, self._address, self._counts = resources, tokens, address, counts
        self._exact: Mapping[str, Callable[[web.BaseRequest], web.StreamResponse]] = {
            "/": self._paths,
            "/.well-known/openid-configuration": self._issuer,
            "/api": self._api,
            "/apis": self._apis,
            "/metrics": self._metrics,
            "/openapi/v2": self._openapi_v2,
            "/openapi/v3": self._openapi_index,
            "/openid/v1/jwks": self._keys,
            "/version": self._version,
        }

    def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """`path` is decoded and without a trailing slash. Raises StatusError."""
        parts = path.strip("/").split("/")
        is_health = f"/{parts[0]}" in _HEALTH
        handler = self._exact.get(path or "/")
        is_known = handler is not None or is_health or self._is_served(parts)
        if is_known and request.method not in ("GET", "HEAD"):
            error = responses.of_error(errors.method_not_allowed())
            error.headers["Content-Type"] = "text/plain; charset=utf-8"
            return error
        if handler is not None:
            return handler(request)
        if is_health:
            return self._health(request, parts)
        if parts[:2] == ["openapi", "v3"]:
            return self._document(parts[2:])
        return self._legacy(request, parts)

    def _is_served(self, parts: list[str]) -> bool:
        if parts[0] == "api":
            return len(parts) == 2
        return parts[0] == "apis" and len(parts) <= 3 and len(parts) > 1 and parts[1] in self._resources.groups()

    # -- discovery

    def _api(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._discovered(request, core=True)

    def _apis(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._discovered(request, core=False)

    def _discovered(self, request: web.BaseRequest, *, core: bool) -> web.StreamResponse:
        kind = discovery.negotiate(request.headers.get("Accept", ""))
        if kind == "legacy":
            if core:
                return self._legacy_object(request, discovery.api_versions(self._address))
            return self._legacy_object(request, discovery.groups(self._resources, self._address))
        it = discovery.aggregated(self._resources, core=core, version=kind)
        tag = f'"{discovery.etag(it)}"'
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = discovery.content_type(kind)
        return web.Response(body=orjson.dumps(it), headers=headers)

    def _legacy(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        if parts[0] == "api" and len(parts) == 2:
            found = discovery.resource_list(self._resources, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.group(self._resources, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = discovery.resource_list(self._resources, parts[1], parts[2])
        else:
            return responses.page_not_found()
        if found is not None:
            return self._legacy_object(request, found)
        if parts[0] == "api" or parts[1] in self._resources.groups():
            raise errors.no_such_path()
        return responses.page_not_found()

    def _legacy_object(self, request: web.BaseRequest, it: dict[str, object]) -> web.StreamResponse:
        return responses.of_object(it, negotiation.negotiated(request.headers.get("Accept", "")))

    # -- documents

    def _openapi_v2(self, request: web.BaseRequest) -> web.StreamResponse:
        if any(name in request.headers.get("Accept", "") for name in _V2_TYPES):
            return web.Response(body=openapi.V2_PROTOBUF, headers={"Content-Type": openapi.V2_CONTENT_TYPE})
        return web.Response(body=openapi.V2_JSON, content_type="application/json")

    def _openapi_index(self, _request: web.BaseRequest) -> web.StreamResponse:
        return responses.of_bytes(orjson.dumps(openapi.index(self._resources)))

    def _document(self, parts: list[str]) -> web.StreamResponse:
        found = None
        if len(parts) == 2 and parts[0] == "api":
            found = openapi.document(self._resources, "", parts[1])
        elif len(parts) == 3 and parts[0] == "apis":
            found = openapi.document(self._resources, parts[1], parts[2])
        return responses.of_bytes(found) if found is not None else responses.page_not_found()

    # -- the rest

    def _health(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        if len(parts) > 1:
            is_probe = len(parts) == 2 and parts[1] in _PROBES
            return responses.of_text("ok") if is_probe else responses.page_not_found()
        if "verbose" in request.query:
            lines = "".join(f"[+]{probe} ok\n" for probe in _PROBES)
            return responses.of_text(f"{lines}{parts[0]} check passed\n")
        return responses.of_text("ok")

    def _paths(self, _request: web.BaseRequest) -> web.StreamResponse:
        groups = self._resources.groups()
        paths = ["/api", "/api/v1", "/apis"]
        for group in sorted(name for name in groups if name):
            paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in groups[group])]
        return responses.of_bytes(orjson.dumps({"paths": sorted([*paths, *self._exact, *_HEALTH])}))

    def _metrics(self, _request: web.BaseRequest) -> web.StreamResponse:
        return responses.of_text(self._counts.text())

    def _version(self, _request: web.BaseRequest) -> web.StreamResponse:
        return responses.of_bytes(orjson.dumps(discovery.VERSION, option=orjson.OPT_INDENT_2))

    def _issuer(self, _request: web.BaseRequest) -> web.StreamResponse:
        uri = f"https://{self._address}/openid/v1/jwks"
        return responses.of_bytes(orjson.dumps(self._tokens.configuration(uri)))

    def _keys(self, _request: web.BaseRequest) -> web.StreamResponse:
        body = orjson.dumps(self._tokens.public_keys())
        return web.Response(body=body, content_type="application/jwk-set+json")
