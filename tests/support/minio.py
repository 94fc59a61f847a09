"""A stand-in for a MinIO server's stream of notifications, after its documentation: no MinIO server runs here.

Real HTTP, chunked; the signature is checked by an implementation of SigV4 of its own. It answers nothing but listening.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from aiohttp import web

KEYS = {"ada": "pass", "minioadmin": "minioadmin"}
_SKEW = timedelta(minutes=15)


def told(key: str, event: str = "s3:ObjectCreated:Put", bucket: str = "input", **about: Any) -> dict[str, Any]:
    """A record as MinIO writes it."""
    about = {"size": 1, "eTag": "e1", "contentType": "text/plain", "sequencer": "17A1"} | about
    return {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": "2026-11-21T10:00:00.123Z",
        "eventName": event,
        "userIdentity": {"principalId": "ada"},
        "requestParameters": {"principalId": "ada", "region": "", "sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "17A1B2", "x-minio-origin-endpoint": "http://127.0.0.1:9000"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "ada"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote_plus(key), **about},
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO (linux; amd64)"},
    }


@dataclass(eq=False)
class Listener:
    """One connection."""

    query: list[tuple[str, str]]
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


@dataclass
class Minio:
    """The server."""

    host: str = ""
    region: str = "us-east-1"
    buckets: set[str] = field(default_factory=lambda: {"input"})
    clock: timedelta = timedelta()
    """By how much its clock is ahead."""
    refusal: web.Response | None = None
    listeners: list[Listener] = field(default_factory=list)
    asked: int = 0
    pings: bool = True

    def tell(self, *records: dict[str, Any]) -> None:
        for record in records:
            self.say(json.dumps({"Records": [record]}).encode() + b"\n")

    def say(self, line: bytes) -> None:
        for listener in self.listeners:
            listener.lines.put_nowait(line)

    def cut(self) -> None:
        """End the connections there are."""
        for listener in self.listeners:
            listener.lines.put_nowait(None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.refusal is not None:
            text, status = self.refusal.text, self.refusal.status
            return web.Response(text=text, status=status, content_type="application/xml")
        if wrong := self._wrong(request):
            return wrong
        listener = Listener(parse_qsl(request.query_string, keep_blank_values=True))
        self.listeners.append(listener)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Server": "MinIO"})
        answer.enable_chunked_encoding()
        ping = float(dict(listener.query).get("ping", "0.5"))
        began = False
        try:
            while True:
                try:
                    async with asyncio.timeout(min(ping, 0.05) if self.pings else 3600):
                        line = await listener.lines.get()
                except TimeoutError:
                    line = b'{"Records":null}\n' if "ping" in dict(listener.query) else b" "
                if not began:
                    await answer.prepare(request)
                    began = True
                if line is None:
                    return answer
                await answer.write(line)
        finally:
            self.listeners.remove(listener)

    def _wrong(self, request: web.Request) -> web.Response | None:
        bucket = request.path.strip("/")
        if request.method != "GET" or not any(name == "events" for name, _ in parse_qsl(request.query_string)):
            return _error(501, "NotImplemented", "this stand-in only listens")
        if code := self._signature(request):
            more = f"<Region>{self.region}</Region>" if code == "AuthorizationHeaderMalformed" else ""
            return _error(400 if more else 403, code, "the signature is wrong", more)
        if bucket not in self.buckets:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        for name, value in parse_qsl(request.query_string):
            if name == "events" and not value.startswith(("s3:Object", "s3:Bucket")):
                return _error(400, "InvalidArgument", "A specified event is not supported for notifications.")
        return None

    def _signature(self, request: web.Request) -> str:
        """The code of what is wrong."""
        given = request.headers.get("Authorization", "")
        if not given.startswith("AWS4-HMAC-SHA256 "):
            return "AccessDenied"
        parts = dict(part.strip().split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256 ").split(","))
        key, day, region, service, _ = parts["Credential"].split("/")
        if key not in KEYS:
            return "InvalidAccessKeyId"
        if region != self.region:
            return "AuthorizationHeaderMalformed"
        stamp = request.headers["X-Amz-Date"]
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) + self.clock - sent) > _SKEW:
            return "RequestTimeTooSkewed"
        pairs = sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in parse_qsl(request.query_string, keep_blank_values=True)
        )
        names = parts["SignedHeaders"].split(";")
        canonical = "\n".join(
            (
                request.method,
                quote(request.path, safe="/-_.~"),
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{request.headers[name].strip()}" for name in names),
                "",
                parts["SignedHeaders"],
                request.headers["X-Amz-Content-SHA256"],
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, f"{day}/{region}/{service}/aws4_request", digest))
        signing = f"AWS4{KEYS[key]}".encode()
        for part in (day, region, service, "aws4_request"):
            signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
        wanted = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(wanted, parts["Signature"]) else "SignatureDoesNotMatch"


def _error(status: int, code: str, message: str, more: str = "") -> web.Response:
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>'
    return web.Response(text=text, status=status, content_type="application/xml")


@asynccontextmanager
async def minio(tls: ssl.SSLContext | None = None) -> AsyncIterator[Minio]:
    found = Minio()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    found.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        found.cut()
        with suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 5)
