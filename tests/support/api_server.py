"""The local API server as a process of its own, and an HTTP client of its administrator."""

from __future__ import annotations

import base64
import contextlib
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from support.keryx import Keryx, until


class ApiServer:
    """`keryx apiserver` on a data directory; may be killed and started again (on another port)."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self.data = directory / "data"
        self.process = Keryx(directory, "apiserver", "--data", self.data, "--kubeconfig", self.kubeconfig, *arguments)

    async def start(self) -> Self:
        """Ready when its kubeconfig is there."""
        self.kubeconfig.unlink(missing_ok=True)
        self.process.start()
        await until(self.kubeconfig.exists, 30, lambda: self.process.err)
        return self

    def kill(self) -> None:
        """As a power cut."""
        self.process.kill()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        return await self.process.stop()

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text())
        return found

    @property
    def url(self) -> str:
        return str(self.config["clusters"][0]["cluster"]["server"])

    def context(self, *, is_admin: bool = True) -> ssl.SSLContext:
        """TLS that trusts the server, with the administrator's certificate or without any."""
        config = self.config
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        if is_admin:
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder, name) for name in ("crt", "key")]
                for file, key in zip(files, ("client-certificate-data", "client-key-data"), strict=True):
                    file.write_bytes(base64.b64decode(user[key]))
                context.load_cert_chain(*files)
        return context

    @asynccontextmanager
    async def client(self, *, is_admin: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
        """A session whose paths are the server's."""
        connector = aiohttp.TCPConnector(ssl=self.context(is_admin=is_admin), limit=0)
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[ApiServer]:
    """A server for many tests, each with an event loop of its own."""
    server = ApiServer(directory)
    server.process.start()
    try:
        end = time.monotonic() + 60
        while not server.kubeconfig.exists():
            assert time.monotonic() < end, server.process.err
            assert server.process.is_running, server.process.err
            time.sleep(0.05)
        yield server
    finally:
        server.process.close()


@asynccontextmanager
async def running(directory: Path, *arguments: str) -> AsyncIterator[ApiServer]:
    """A server for the time of a test."""
    server = await ApiServer(directory, *arguments).start()
    try:
        yield server
    finally:
        with contextlib.suppress(Exception):
            await server.stop()
