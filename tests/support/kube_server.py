"""An API server on a real socket, its objects in a MemoryKube: what the client is tried against."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from aiohttp import web

from events.kube.api import KubeError, Resource
from events.kube.memory import MemoryKube


@dataclass
class Canned:
    """An answer given instead of the next one: to one request."""

    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def status_of(error: KubeError) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": error.status,
        "reason": error.reason,
        "message": error.message,
    }


class KubeServer:
    """`async with KubeServer() as server:`, then `server.kubeconfig(path)`."""

    def __init__(self, kube: MemoryKube | None = None) -> None:
        self.kube = kube or MemoryKube()
        self.requests: list[web.Request] = []
        self.canned: deque[Canned] = deque()
        self.tokens: set[str] | None = None
        self.paused = asyncio.Event()
        """Cleared: watches wait before they begin."""
        self.paused.set()
        self._watches: set[asyncio.Task[Any]] = set()
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1)
        self.url = ""

    async def __aenter__(self) -> KubeServer:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.kube.aclose()
        await self._runner.cleanup()

    def kubeconfig(self, path: Path, user: dict[str, Any] | None = None) -> str:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user or {}}],
        }
        path.write_text(yaml.safe_dump(config))
        return str(path)

    @property
    def lines(self) -> list[str]:
        """`GET /api/v1/pods?labelSelector=a` of every request."""
        return [f"{one.method} {one.path_qs}" for one in self.requests]

    def drop_watches(self) -> None:
        """Break off every watch in the middle."""
        for task in self._watches:
            task.cancel()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)  # type: ignore[arg-type]
        if self.canned:
            answer = self.canned.popleft()
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        try:
            if self.tokens is not None and request.headers.get("Authorization", "")[7:] not in self.tokens:
                raise KubeError(401, "Unauthorized", "Unauthorized")
            return await self._answer(request)
        except KubeError as error:
            return web.json_response(status_of(error), status=error.status)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")[1:]]
        group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
        version, rest = rest[0], rest[1:]
        kinds = [one for one in self.kube.resources if (one.group, one.version) == (group, version)]
        if not kinds:
            raise KubeError(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            return web.json_response(discovery(kinds))
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] != "status":
            namespace, rest = rest[1], rest[2:]
        resource = next((one for one in kinds if one.plural == rest[0]), None)
        if resource is None or (
            namespace is None and resource.namespaced and (len(rest) > 1 or request.method != "GET")
        ):
            raise KubeError(404, "NotFound", "the server could not find the requested resource")
        return await self._act(request, resource, namespace, rest[1] if len(rest) > 1 else None, rest[2:] == ["status"])

    async def _act(
        self, request: web.BaseRequest, resource: Resource, namespace: str | None, name: str | None, status: bool
    ) -> web.StreamResponse:
        query, method = dict(request.query), request.method
        body = json.loads(await request.read() or b"null")
        if method == "POST" and name is None:
            return web.json_response(await self.kube.create(body, namespace=namespace), status=201)
        if method == "GET" and name is None:
            selectors = {
                "label_selector": query.get("labelSelector", ""),
                "field_selector": query.get("fieldSelector", ""),
            }
            if query.get("watch") == "true":
                return await self._watch(request, resource, namespace, selectors)
            return web.json_response(await self.kube.list(resource, namespace=namespace, **selectors))
        assert name is not None
        if method == "GET":
            return web.json_response(await self.kube.get(resource, name, namespace=namespace))
        if method == "PUT":
            return web.json_response(await self.kube.replace(body, namespace=namespace, status=status))
        if method == "PATCH":
            options = {"content_type": request.content_type, "params": query, "status": status}
            return web.json_response(await self.kube.patch(resource, name, body, namespace=namespace, **options))
        assert method == "DELETE", method
        return web.json_response(await self.kube.delete(resource, name, namespace=namespace, options=body))

    async def _watch(
        self, request: web.BaseRequest, resource: Resource, namespace: str | None, selectors: dict[str, str]
    ) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        response = web.StreamResponse()
        await response.prepare(request)
        await self.paused.wait()
        query = request.query
        events = self.kube.watch(
            resource,
            namespace=namespace,
            resource_version=query.get("resourceVersion", ""),
            timeout_seconds=int(query["timeoutSeconds"]),
            **selectors,
        )
        try:
            async for event in events:
                text = json.dumps(event).encode() + b"\n"
                # In two pieces, as sockets like to do it.
                await response.write(text[:10])
                await response.write(text[10:])
        except ConnectionError:
            pass  # the client is gone
        except KubeError as error:
            await response.write(json.dumps({"type": "ERROR", "object": status_of(error)}).encode() + b"\n")
        return response


def discovery(kinds: list[Resource]) -> dict[str, Any]:
    rows = []
    for one in kinds:
        row = {"name": one.plural, "kind": one.kind, "namespaced": one.namespaced, "verbs": []}
        rows += [row, row | {"name": f"{one.plural}/status"}, row | {"name": f"{one.plural}/scale", "kind": "Scale"}]
    return {"kind": "APIResourceList", "groupVersion": kinds[0].api_version, "resources": rows}
