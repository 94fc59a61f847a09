"""The HTTPS side of admission: bodies in, reviews out. Contract: G.4 (415, 400, any path).

Bodies are bounded, reading and judging have a deadline, and so has the number of reviews at once: what comes on top
waits for its turn no longer than its own deadline. What cannot be checked in time is allowed, with a warning.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from events.app import verdicts
from events.app.admission.review import Answer, Request, Reviewer
from events.errors import UserError
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness

MAX_BODY = 3 * 2**20
"""What an API server sends at most: an object is limited to this."""
DEADLINE = 9.0
"""Less than the time that the API server waits (`timeoutSeconds`)."""
AT_ONCE = 8
_OPERATIONS = ("CREATE", "UPDATE", "DELETE")
VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


class Reviews:
    """Answers the requests of an API server and of probes."""

    def __init__(
        self,
        reviewer: Reviewer,
        metrics: Metrics,
        readiness: Readiness,
        log: Log,
        *,
        deadline: float = DEADLINE,
        max_body: int = MAX_BODY,
    ) -> None:
        self._reviewer, self._metrics, self._readiness, self._log = reviewer, metrics, readiness, log
        self._deadline, self._max_body = deadline, max_body
        self._turns = asyncio.Semaphore(AT_ONCE)

    def application(self) -> web.Application:
        """Probes, and reviews at any path."""
        application = web.Application(client_max_size=self._max_body)
        application.router.add_get("/healthz", self._healthy)
        application.router.add_get("/readyz", self._ready)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._readiness.reasons
        text = "".join(f"{name}: {reason}\n" for name, reason in sorted(reasons.items())) or "ok\n"
        return web.Response(text=text, status=503 if reasons else 200)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415, text="invalid Content-Type, want `application/json`\n")
        until = asyncio.get_running_loop().time() + self._deadline
        try:
            async with asyncio.timeout_at(until):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"the body has more than {self._max_body} bytes\n")
        except TimeoutError:
            return web.Response(status=408, text="the body did not come in time\n")
        try:
            version, parsed = _parse(body)
        except UserError as error:
            return web.Response(status=400, text=f"could not decode body: {error}\n")
        answer = await self._judge(parsed, until)
        kind = parsed.kind if parsed.kind in verdicts.BY_KIND else "other"
        operation = parsed.operation if parsed.operation in _OPERATIONS else "other"
        self._metrics.admission_reviews.labels(kind, operation, answer.outcome).inc()
        review = {"apiVersion": version, "kind": "AdmissionReview", "response": answer.wire(parsed.uid)}
        return web.json_response(body=orjson.dumps(review))

    async def _judge(self, request: Request, until: float) -> Answer:
        name = f"{request.namespace}/{request.name}"
        try:
            async with asyncio.timeout_at(until), self._turns:
                answer = await self._reviewer.review(request)
        except TimeoutError:
            self._log.warning("An object was allowed unchecked: no time", kind=request.kind, name=name)
            return Answer(warnings=[f"{request.kind} was not checked: the webhook was too busy"])
        except Exception as error:  # noqa: BLE001 - a defect of ours must not keep anybody from applying
            self._log.exception("An object was allowed unchecked", error, kind=request.kind, name=name)
            return Answer(warnings=[f"{request.kind} was not checked: the webhook failed ({type(error).__name__})"])
        if answer.denial:
            self._log.info("Denied", kind=request.kind, name=name, operation=request.operation, reason=answer.denial)
        return answer


def _parse(body: bytes) -> tuple[str, Request]:
    """The review's version and its request; UserError for anything else."""
    try:
        raw: Any = orjson.loads(body)
    except ValueError as error:
        raise UserError(f"not JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("kind") != "AdmissionReview" or raw.get("apiVersion") not in VERSIONS:
        raise UserError(f"not an AdmissionReview of {' or '.join(VERSIONS)}")
    return raw["apiVersion"], Request.parse(raw.get("request"))
