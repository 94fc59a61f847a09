"""webhook: what senders get back, and what is published, over a socket. The other HTTP sources are not here yet."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, NotCovered, Outcome, as_bytes, attempt, judge, recorded
from support.webhooks import World, world

from events.errors import Unavailable
from events.logs import Log
from events.problems import Problems
from eventsources import filters
from eventsources.registry import SOURCES
from eventsources.sources.webhook import WebhookSource
from eventsources.webhooks import canonical, is_form

OWN = "webhook/webhook-"
TEXT = "text/plain; charset=utf-8"


def run(case: Case) -> Outcome:
    """Compare with upstream: status, content type and body as sent, documents as JSON."""
    (key,) = (key for key in case.input["spec"] if key in SOURCES)
    if key != "webhook":
        raise NotCovered(f"event source {key}")
    return judge(case, answer(case), INTENTS, wanted=parsed(recorded(case)))


def answer(case: Case) -> Any:
    """The reply and the published documents, or why the object is refused."""
    (raw,) = case.input["spec"]["webhook"].values()
    spec = attempt(lambda: WebhookSource.Spec.parse(raw))
    if isinstance(spec, Error):
        return spec
    problems = Problems()
    WebhookSource.validate(spec, problems)
    filters.validate(spec, problems)
    if problems.errors:
        return Error("; ".join(map(str, problems.errors)))
    return asyncio.run(exchange(case.input, raw | {"port": "0"}))


async def exchange(given: dict[str, Any], spec: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as here:
            for secret, keys in (given.get("secrets") or {}).items():
                for key, value in keys.items():
                    here.secret(secret, key, value)
            if given.get("busDown"):
                here.bus.error = Unavailable("down")
            return await asked(here, given["request"], spec)


async def asked(here: World, request: dict[str, Any], spec: dict[str, Any]) -> Any:
    chosen = filters.compiled(WebhookSource.Spec.parse(spec))
    gate = chosen and filters.Gate(chosen, lambda _reason: None, Log("conformance"))
    async with here.listening(**spec):
        reply = await here.send(wire(request))
    said = {
        "status": reply.status,
        "body": reply.text,
        "contentType": reply.headers.get("content-type", ""),
        "published": [document(data) for data in here.bus.stored if gate is None or gate.passes(data)],
    }
    return said | ({"retry": True} if "retry-after" in reply.headers else {})


def wire(sent: dict[str, Any]) -> bytes:
    """The request as the corpus's README says, with nothing added."""
    body = base64.b64decode(sent["body_base64"]) if sent.get("body_base64") else sent.get("body", "").encode()
    body *= sent.get("bodyRepeat", 1)
    lines = [f"{sent['method']} {sent['target']} HTTP/1.1", "Host: hooks.example.com", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in sent["headers"]]
    if sent.get("chunked"):
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif body or sent["method"] in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def parsed(answer: Any) -> Any:
    """Upstream's answer, its documents as JSON."""
    if isinstance(answer, Error):
        return answer
    documents = [document(as_bytes(one)) for one in answer["published"]]
    return answer | {"body": answer["body"] or "", "published": documents}


def document(data: bytes) -> Any:
    """Published data as JSON; bytes that are no text stay distinguishable."""
    return json.loads(data.decode("utf-8", "surrogateescape"))


def text_answer(status: int, body: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "body": body, "contentType": TEXT, "published": []} | more


def bus_away(_case: Case) -> Any:
    """K1: the sender may try again."""
    return text_answer(503, "failed to record event", retry=True)


def too_large(_case: Case) -> Any:
    """K2: the status that says so, and the text once."""
    return text_answer(413, "http: request body too large")


def refused_or_too_large(case: Case) -> Any:
    """ES-2.5: an endpoint that never matches is refused with its object; a body over the limit as K2."""
    (spec,) = case.input["spec"]["webhook"].values()
    if not spec["endpoint"].startswith("/"):
        return Error()
    return too_large(case) if "too large" in recorded(case)["body"] else AS_UPSTREAM


def every_verb(case: Case) -> Any:
    """ES-3.1: PUT, PATCH and DELETE publish what POST does (DELETE without a body its query, like GET).

    And a form that names its charset is a form.
    """
    (spec,) = case.input["spec"]["webhook"].values()
    request = case.input["request"]
    verb = "GET" if request["method"] == "DELETE" and not request.get("body") else "POST"
    headers = [[name, value.partition(";")[0] if is_form(value) else value] for name, value in request["headers"]]
    alike = case.input | {"request": request | {"method": verb, "headers": headers}}
    plain = asyncio.run(exchange(alike, spec | {"method": verb, "port": "0"}))
    return plain | {"published": [document | {"header": sent_headers(request)} for document in plain["published"]]}


def sent_headers(request: dict[str, Any]) -> dict[str, list[str]]:
    """What a document says of the request's headers."""
    headers = {"Connection": ["close"]}
    if request.get("body") or request["method"] == "PUT":
        headers["Content-Length"] = [str(len(request.get("body", "").encode()))]
    for name, value in request["headers"]:
        headers.setdefault(canonical(name), []).append(value)
    return headers


INTENTS = {"K1": bus_away, "K2": too_large, "ES-2.5": refused_or_too_large, "ES-3.1": every_verb}
