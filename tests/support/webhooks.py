"""A webhook source on a free loopback port, with a bus made of a list; and HTTP written by hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from events.credentials import Credentials
from events.logs import Log
from eventsources import filters
from eventsources.base import Emit, SourceContext
from eventsources.http.routes import HttpSettings
from eventsources.http.server import HttpServers
from eventsources.sources.webhook import WebhookSource

SPEC = {"endpoint": "/hook", "port": "0", "method": "POST"}
QUICK = HttpSettings(address="127.0.0.1", drain_timeout=2.0)


class Bus:
    """What was stored; it can fail, and it can be held."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.ids: list[str] = []
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0
        self.changed = asyncio.Condition()

    async def emit(self, data: bytes, *, id: str = "") -> None:
        async with self.changed:
            self.waiting += 1
            self.changed.notify_all()
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        self.stored.append(data)
        self.ids.append(id)

    async def until_waiting(self, number: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.waiting == number)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class World:
    """One process's servers with their sources."""

    http: HttpServers
    bus: Bus
    secrets: Path
    port_text: str = "0"
    tls: ssl.SSLContext | None = None
    name: str = "ev"
    started: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.http.port(self.port_text)

    def context(self, name: str = "ev") -> SourceContext:
        unused = cast("Any", None)
        return SourceContext(
            namespace="ns",
            source_name="src",
            event_name=name,
            emit=self.bus.emit,
            state=unused,
            http=self.http,
            clock=unused,
            log=Log("test"),
            secrets=Credentials((self.secrets,)),
            kube=unused,
            started=lambda: self.started.append(name),
            failed=lambda: self.failed.append(name),
        )

    def _filtered(self, source: WebhookSource) -> Emit:
        """What the service puts before the bus."""
        chosen = filters.compiled(source.spec)
        gate = filters.Gate(chosen, lambda _: None, Log("test")) if chosen else None

        async def emit(data: bytes, *, id: str = "") -> None:
            if gate is None or gate.passes(data):
                await self.bus.emit(data, id=id)

        return emit

    @asynccontextmanager
    async def listening(self, name: str = "ev", **spec: Any) -> AsyncIterator[asyncio.Task[None]]:
        """A source that listens; what keeps it from doing so is raised here."""
        source = WebhookSource(WebhookSource.Spec.parse(SPEC | spec))
        ready = asyncio.Event()
        context = self.context(name)
        object.__setattr__(context, "started", ready.set)
        object.__setattr__(context, "emit", self._filtered(source))
        task = asyncio.create_task(source.listen(context))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def connect(self) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        return Connection(reader, writer)

    async def send(self, raw: bytes) -> Reply:
        """One request on one connection, which is closed after the answer."""
        async with await self.connect() as connection:
            return await connection.ask(raw)

    async def post(self, body: bytes = b"{}", target: str = "/hook", **headers: str) -> Reply:
        return await self.send(request("POST", target, body, **headers))

    def secret(self, name: str, key: str, value: str) -> None:
        path = self.secrets / "secrets" / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def ask(self, raw: bytes) -> Reply:
        self.writer.write(raw)
        return await self.answer(bodiless=raw.startswith(b"HEAD "))

    async def answer(self, *, bodiless: bool = False) -> Reply:
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if bodiless else int(headers.get("content-length", 0))
            return Reply(int(status.split()[1]), headers, await self.reader.readexactly(length))

    async def closed(self) -> bool:
        """Whether the server ends the connection."""
        async with asyncio.timeout(30):
            with suppress(ConnectionResetError):
                return await self.reader.read() == b""
            return True


def request(method: str, target: str, body: bytes = b"", *, version: str = "1.1", **headers: str) -> bytes:
    """A request; `content_type="…"` becomes `content-type: …`."""
    lines = [f"{method} {target} HTTP/{version}", "Host: hooks.example.com"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body and "transfer_encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@asynccontextmanager
async def world(secrets: Path, settings: HttpSettings = QUICK) -> AsyncIterator[World]:
    http = HttpServers(settings)
    try:
        yield World(http, Bus(), secrets)
    finally:
        await http.aclose()
