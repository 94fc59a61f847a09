"""A web server that records requests as they came over the wire and answers what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Target:
    """`answer(request)` gives the bytes of an answer, or None for never."""

    host: str = ""
    answer: Callable[[Received], bytes | None] = lambda _request: OK
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]
                request = Received(method, target, headers, b"")
                request.body = await reader.readexactly(int(request.header("content-length") or 0))
                self.received.append(request)
                answer = self.answer(request)
                if answer is None:
                    await reader.read()
                    break
                writer.write(answer)
                await writer.drain()
                if b"Content-Length" not in answer:
                    break
        writer.close()


def redirect(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def status(code: int, body: str = "") -> bytes:
    return f"HTTP/1.1 {code} Status\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@asynccontextmanager
async def http_target() -> AsyncIterator[Target]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield target
        server.close()
