"""A webhook of the API for tests: HTTPS on a free port of the loopback, with answers that the test sets."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.api_objects import Objects, thing

from events.local.apiserver.access import certificates
from events.local.apiserver.access.identity import User
from events.local.apiserver.access.rbac.index import Object
from events.local.apiserver.admission.request import Kind, Request, Resource
from events.local.apiserver.status import StatusError

USER = User("ann", groups=("staff",))
RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "*"}
Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse | dict[str, Any]]


class AdmissionServer:
    """What it was asked (`calls`), and what it answers by path (`answers`); a dict is the `response` of a review."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = certificates.Authority(directory, now)
        self._serving = certificates.Serving(authority, ["hook.test.svc"], now)
        self.bundle = base64.b64encode(authority.pem).decode()
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.queries: list[dict[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AdmissionServer]:
        application = web.Application()
        application.router.add_post("/{name}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._serving.context)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        review = json.loads(await request.text())
        name = request.match_info["name"]
        self.calls.append((name, review))
        self.queries.append(dict(request.query))
        answer = self.answers[name](review)
        if isinstance(answer, dict):
            whole = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"]}
            return web.json_response(whole | {"response": {"uid": review["request"]["uid"], **answer}})
        return answer if isinstance(answer, web.StreamResponse) else await answer


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A response that changes the object."""
    coded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": coded}


class Parameters:
    """Config maps are in namespaces; other kinds there are none."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def is_namespaced(self, _api_version: str, kind: str) -> bool | None:
        return True if kind == "ConfigMap" else None

    def parameters(self, _api_version: str, _kind: str, namespace: str) -> Iterable[Object]:
        return [it for it in self.objects if it["metadata"]["namespace"] == namespace]


class Services:
    """Every service is the webhook of the test."""

    def __init__(self, server: AdmissionServer) -> None:
        self.server = server

    async def resolve(self, _namespace: str, name: str, port: int) -> tuple[str, int]:
        if name != "hook":
            raise LookupError(f'service "{name}" not found')
        assert port == 8443
        return "127.0.0.1", self.server.port


def spaces() -> Objects:
    """A namespace `n` with its account, and one that goes."""
    kept = Objects()
    kept.put(thing("Namespace", "n", metadata={"labels": {"guard": "yes"}}, status={"phase": "Active"}))
    kept.put(thing("Namespace", "going", status={"phase": "Terminating"}))
    kept.put(thing("ServiceAccount", "default", "n"))
    return kept


def request(new: Object | None = None, operation: str = "CREATE", **more: Any) -> Request:
    """To make a config map in `n`, or what is said instead."""
    it = thing("ConfigMap", "a", "n", data={"k": "v"}) if new is None and operation != "DELETE" else new
    given = {"kind": Kind("", "v1", "ConfigMap"), "resource": Resource("", "v1", "configmaps"), "namespace": "n"}
    return Request(operation, USER, name="a", new=it, **given | more)


async def refusal(asked: Any) -> StatusError:
    """How something was refused."""
    with pytest.raises(StatusError) as refused:
        await asked
    return refused.value
