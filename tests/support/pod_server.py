"""A server with one pod, for the endpoints below pods: as much of the API as `kubectl logs|exec|…` asks for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from events.local.apiserver.pods import handlers
from events.local.apiserver.pods.kubelet import Kubelets
from events.local.apiserver.status import StatusError

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u"},
    "spec": {"nodeName": "here", "containers": [{"name": "main"}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
_VERBS = ["create", "get", "list"]
_RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "v1",
    "resources": [
        {
            "name": "pods",
            "singularName": "pod",
            "namespaced": True,
            "kind": "Pod",
            "verbs": _VERBS,
            "shortNames": ["po"],
        }
    ],
}


@asynccontextmanager
async def pod_server(kubelets: Kubelets, pod: dict[str, Any] | None = None) -> AsyncIterator[str]:
    """Its URL."""
    shown = pod or POD

    @web.middleware
    async def refusing(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except StatusError as error:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {}, "code": error.code}
            status |= {"reason": error.reason, "message": error.message, "details": error.details or {}}
            return web.json_response(status, status=error.code)

    def endpoint(handle: Any) -> Any:
        async def called(request: web.Request) -> web.StreamResponse:
            return await handle(request, shown, kubelets)

        return called

    app = web.Application(middlewares=[refusing])
    base = "/api/v1/namespaces/default/pods/p"
    app.router.add_get("/api", _answer({"kind": "APIVersions", "versions": ["v1"]}))
    app.router.add_get("/apis", _answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}))
    app.router.add_get("/api/v1", _answer(_RESOURCES))
    app.router.add_get(base, _answer(shown))
    app.router.add_get(f"{base}/log", endpoint(handlers.log))
    for name, handle in [
        ("exec", handlers.execute),
        ("attach", handlers.attach),
        ("portforward", handlers.forward_ports),
    ]:
        app.router.add_route("*", f"{base}/{name}", endpoint(handle))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _answer(body: Any) -> Any:
    async def called(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(body), content_type="application/json")

    return called
