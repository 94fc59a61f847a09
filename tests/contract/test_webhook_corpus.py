"""The recorded cases `webhook/webhook-*`: what upstream answered and published, byte for byte, and where we depart."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.webhooks import World, world

from events.errors import Unavailable
from events.problems import Problems
from eventsources.sources.webhook import WebhookSource

CORPUS = Path(__file__).parents[3] / "shared" / "conformance" / "webhook.jsonl"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"recorded cases of upstream are not here: {CORPUS}")

TOO_LARGE = (413, "http: request body too large")
AWAY = (503, "failed to record event")
REFUSED = "refused at validation"
DEPARTURES: dict[str, tuple[tuple[int, str] | str, str]] = {
    "limit-over": (TOO_LARGE, "413, said once (2.5)"),
    "limit-default": (TOO_LARGE, "413, said once (2.5)"),
    "limit-form-ignored": (TOO_LARGE, "the limit holds for every content type (issue)"),
    "limit-negative": (REFUSED, "a limit that refuses every body"),
    "busdown": (AWAY, "503 with Retry-After: the sender shall try again (K1)"),
    "busdown-get": (AWAY, "503 with Retry-After: the sender shall try again (K1)"),
    "form-badescape": ((500, 'invalid URL escape "%zz"'), "said once (3.1)"),
    "form-semicolon": ((500, "invalid semicolon separator in query"), "said once (3.1)"),
    "form-charset": ((200, "success"), "a form with a charset is a form (3.1)"),
    "put-config": ((200, "success"), "PUT works (3.1)"),
    "patch-config": ((200, "success"), "PATCH works (3.1)"),
    "delete-config": ((200, "success"), "DELETE works (3.1)"),
    "empty-method": (REFUSED, "matches no request (2.5)"),
    "noslash-endpoint": (REFUSED, "never matches (2.5)"),
}


def cases() -> list[Any]:
    if not CORPUS.exists():
        return []
    rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    prefix = "webhook/webhook-"
    return [pytest.param(row, id=row["id"].removeprefix(prefix)) for row in rows if row["id"].startswith(prefix)]


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


@pytest.mark.parametrize("case", cases())
async def test_answers_and_publishes_as_upstream(case: dict[str, Any], tmp_path: Path) -> None:
    name, given = case["id"].removeprefix("webhook/webhook-"), case["input"]
    spec = given["spec"]["webhook"]["ev"] | {"port": "0"}
    departure, _reason = DEPARTURES.get(name, (None, ""))
    if departure == REFUSED:
        problems = Problems()
        WebhookSource.validate(WebhookSource.Spec.parse(spec | {"port": "12000"}), problems)
        assert problems.errors
        return
    async with world(tmp_path) as here:
        for secret, keys in given.get("secrets", {}).items():
            for key, value in keys.items():
                here.secret(secret, key, value)
        if given.get("busDown"):
            here.bus.error = Unavailable("down")
        await compare(here, spec, given, case["expect"]["value"], departure)


async def compare(
    here: World, spec: dict[str, Any], given: dict[str, Any], expected: dict[str, Any], departure: Any
) -> None:
    async with here.listening(**spec):
        reply = await here.send(wire(given["request"]))
    status, text = departure or (expected["status"], expected["body"] or "")
    assert (reply.status, reply.text) == (status, text)
    assert reply.headers.get("content-type", "") == expected["contentType"]
    if departure is None:
        published = [
            base64.b64decode(p["base64"]) if isinstance(p, dict) else p.encode() for p in expected["published"]
        ]
        assert here.bus.stored == published
    else:
        assert len(here.bus.stored) == (status == 200)
    assert ("retry-after" in reply.headers) == (status == 503)
