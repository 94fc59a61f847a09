"""The command `keryx` as a subprocess, what it says, and an HTTP service that its triggers call."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

COMMAND = Path(sys.executable).with_name("keryx")
Line = dict[str, Any]


async def until(condition: Callable[[], Any], seconds: float = 60, what: Callable[[], Any] = str) -> Any:
    """The first true value of `condition`; `what()` explains why there was none."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what()}"
        await asyncio.sleep(0.01)
    return value


class Keryx:
    """One command line, started once or several times; its output is kept in files."""

    def __init__(self, directory: Path, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.arguments = [str(argument) for argument in arguments]
        self._environ = dict(environ or {})
        self._out, self._err = directory / "stdout", directory / "stderr"
        for file in (self._out, self._err):
            file.touch()
        self._begin = 0
        self.process: subprocess.Popen[bytes] | None = None

    # ---- its life

    def start(self) -> Keryx:
        """Another life, with the same arguments."""
        assert not self.is_running
        self._begin = self._err.stat().st_size
        environ = {**os.environ, "LOG_LEVEL": "info", **self._environ}
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen([COMMAND, *self.arguments], stdout=out, stderr=err, env=environ)
        return self

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    async def ended(self, seconds: float = 60) -> int:
        """Its exit code."""
        assert self.process is not None
        await until(lambda: not self.is_running, seconds, lambda: self.err)
        return int(self.process.returncode)

    async def stop(self, seconds: float = 60) -> int:
        """SIGTERM, then its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds)

    def close(self) -> None:
        if self.is_running:
            self.kill()

    # ---- what it says

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        """All that it wrote to stderr, in this life."""
        with self._err.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode()

    @property
    def lines(self) -> list[Line]:
        """The log of this life."""
        found = []
        for text in self.err.splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(text))
        return found

    def said(self, text: str) -> list[Line]:
        return [line for line in self.lines if text in line["msg"]]

    @property
    def count(self) -> int:
        """Lines on stderr in all lives."""
        return len(self._err.read_bytes().splitlines())

    async def says(self, text: str, seconds: float = 60) -> Line:
        found = await until(
            lambda: self.said(text) or (not self.is_running and [{}]),
            seconds,
            lambda: f"{text!r} in\n{self.err}",
        )
        assert found[-1], f"ended without {text!r}:\n{self.err}"
        return dict(found[-1])

    # ---- what it serves

    async def health_port(self) -> int:
        return int((await self.says("Health and metrics are served"))["port"])

    async def ready(self, seconds: float = 60) -> Keryx:
        """Returns once /readyz says so."""
        port, deadline, said = await self.health_port(), time.monotonic() + seconds, ""
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline and self.is_running:
                with contextlib.suppress(OSError, aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        said = await answer.text()
                        if answer.status == 200:
                            return self
                await asyncio.sleep(0.01)
        raise AssertionError(f"not ready: {said}\n{self.err}")

    async def metrics(self) -> dict[str, float]:
        """Series with their labels -> value."""
        url = f"http://127.0.0.1:{await self.health_port()}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    async def decisions(self) -> dict[str, float]:
        """`outcome` or `outcome reason` -> how many."""
        found: dict[str, float] = {}
        for name, value in (await self.metrics()).items():
            if name.startswith("argo_events_decisions_total{"):
                labels = dict(part.split("=", 1) for part in name[name.index("{") + 1 : -1].split('",'))
                key = f"{labels['outcome']} {labels['reason']}".replace('"', "").strip()
                found[key] = found.get(key, 0) + value
        return found


@asynccontextmanager
async def keryx(directory: Path, *arguments: str | Path, **options: Any) -> AsyncIterator[Keryx]:
    """A running command, killed at the end."""
    command = Keryx(directory, *arguments, **options)
    command.start()
    try:
        yield command
    finally:
        command.close()


def run_to_end(*arguments: str | Path, seconds: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    environment = {**os.environ, **environ}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, env=environment, check=False
    )


# ---- objects


def pod_environment(bus_url: str) -> dict[str, str]:
    """What Argo Events' controllers tell the services, besides the object; any free port for health."""
    config = base64.b64encode(json.dumps({"jetstream": {"url": bus_url}}).encode()).decode()
    return {"EVENTBUS_CONFIG": config, "NAMESPACE": "default", "KERYX_METRICS_PORT": "0", "KERYX_GRACE": "5"}


def write(path: Path, *documents: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    fresh.replace(path)
    return path


def obj(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def webhook(port: int, name: str = "hooks", event: str = "posted", **more: Any) -> dict[str, Any]:
    spec = {"endpoint": f"/{event}", "port": str(port), "method": "POST", **more}
    return obj("EventSource", name, {"webhook": {event: spec}})


def dependency(name: str = "posted", source: str = "hooks", **more: Any) -> dict[str, Any]:
    return {"name": name, "eventSourceName": source, "eventName": name, **more}


def relay(url: str, *, at_least_once: bool, name: str = "relay", **more: Any) -> dict[str, Any]:
    """A sensor that hands `body.number` of each event on to a URL."""
    payload = [{"src": {"dependencyName": "posted", "dataKey": "body.number", "useRawData": True}, "dest": "number"}]
    trigger: dict[str, Any] = {
        "template": {"name": "tell", "http": {"url": url, "method": "POST", "payload": payload, "timeout": 60}},
        "retryStrategy": {"steps": 200, "duration": "100ms", "jitter": 0},
        **more,
    }
    if at_least_once:
        trigger["atLeastOnce"] = True
    else:
        del trigger["retryStrategy"]
    return obj("Sensor", name, {"dependencies": [dependency()], "triggers": [trigger]})


def exotic(url: str, **more: Any) -> dict[str, Any]:
    return obj("EventBus", "default", {"jetstreamExotic": {"url": url, **more}})


# ---- the other side


@dataclass
class Sink:
    """An HTTP service that records what it is told. `hold` keeps answers back, `status` is what they say."""

    port: int = 0
    status: int = 200
    seconds: float = 0.0
    hold: bool = False
    closes: bool = False
    bodies: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    answered: list[Any] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def numbers(self) -> list[int]:
        """`number` of each body, in the order they came."""
        return [body["number"] for body in self.bodies]

    def release(self) -> None:
        """Answer what is held, and what comes."""
        self.hold = False
        self.released.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
                body = json.loads(await reader.readexactly(length) or b"null")
                status = self.status  # whoever sees the body may change it for the next one
                self.bodies.append(body)
                self.times.append(time.monotonic())
                if self.hold:
                    await self.released.wait()
                if self.closes:
                    break
                await asyncio.sleep(self.seconds)
                writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)
                await writer.drain()
                self.answered.append(body)


@asynccontextmanager
async def http_sink(port: int = 0) -> AsyncIterator[Sink]:
    sink = Sink()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await sink.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the sink, not of the test
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Poster:
    """Posts `{"number": …}` and remembers what was acknowledged."""

    def __init__(self, session: aiohttp.ClientSession, port: int, path: str = "/posted") -> None:
        self._session, self.url = session, f"http://127.0.0.1:{port}{path}"
        self.accepted: list[int] = []
        self.refused: list[tuple[int, int]] = []
        self.times: list[float] = []

    async def post(self, number: int, seconds: float = 60) -> int:
        """The status; 0 when there was no answer."""
        try:
            async with self._session.post(
                self.url, json={"number": number}, timeout=aiohttp.ClientTimeout(seconds)
            ) as answer:
                await answer.read()
                status = answer.status
        except (OSError, aiohttp.ClientError, TimeoutError):
            status = 0
        if status == 200:
            self.accepted.append(number)
            self.times.append(time.monotonic())
        else:
            self.refused.append((number, status))
        return status

    async def post_until_accepted(self, number: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while await self.post(number) != 200:
            assert time.monotonic() < deadline, f"{number} was not accepted: {self.refused[-3:]}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def poster(port: int, path: str = "/posted") -> AsyncIterator[Poster]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        yield Poster(session, port, path)


@asynccontextmanager
async def load(posts: Poster, *, pause: float = 0.004, workers: int = 8, again: bool = True) -> AsyncIterator[None]:
    """Post 0, 1, 2 … until the end of the block; a refused number is tried again unless `again` is false."""
    numbers, stopping = itertools.count(), asyncio.Event()

    async def work() -> None:
        while not stopping.is_set():
            number = next(numbers)
            while await posts.post(number) != 200 and not stopping.is_set():
                await asyncio.sleep(0.03)
                if not again:
                    break
            await asyncio.sleep(pause * random.random() * 2)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
