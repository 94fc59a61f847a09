"""A proxy behind which one HTTPS host is the test's own: `sns.<region>.amazonaws.com`, say, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from support.certificates import make_certificate


@dataclass
class TlsProxy:
    """What it was asked for."""

    url: str = ""
    roots: str = ""
    """File with the certificate that clients are to trust."""
    fetched: list[str] = field(default_factory=list)
    """Paths at the host."""
    refused: list[str] = field(default_factory=list)
    """Other hosts that were asked for."""

    @property
    def environ(self) -> dict[str, str]:
        """What makes a process use it."""
        return {
            "HTTPS_PROXY": self.url,
            "https_proxy": self.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "SSL_CERT_FILE": self.roots,
        }


@asynccontextmanager
async def tls_proxy(host: str, behind: str, directory: Path, **headers: str) -> AsyncIterator[TlsProxy]:
    """Forwards what is for `host` to `behind`, a URL, as plain HTTP with these headers."""
    found = TlsProxy(roots=str(directory / "roots.pem"))

    async def forward(request: web.Request) -> web.Response:
        found.fetched.append(request.path)
        url = f"{behind}{request.path_qs}"
        async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": host, **headers}) as answer:
            return web.Response(body=await answer.read(), status=answer.status)

    app = web.Application()
    app.router.add_get("/{path:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_context(host, directory)).start()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        if asked != f"{host}:443":
            found.refused.append(asked)
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pipe(reader, to_writer), _pipe(to_reader, writer))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        await runner.cleanup()


def _context(host: str, directory: Path) -> ssl.SSLContext:
    key, certificate = make_certificate(host)
    (directory / "key.pem").write_bytes(key)
    (directory / "roots.pem").write_bytes(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "roots.pem", directory / "key.pem")
    return context


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
