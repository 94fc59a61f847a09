"""`keryx port-forward` in this process, against the API server's side of it and a kubelet that leads to real ports."""

from __future__ import annotations

import asyncio
import copy
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from support.keryx import until
from support.pod_server import POD, pod_server
from support.stand_in_kubelet import StandInKubelet

from events.app.verbs import forwarding
from events.app.verbs.screen import Screen
from events.app.verbs.session import Session
from events.errors import ActionError, UserError
from events.kube import tunnel
from events.kube.api import KubeError
from events.kube.client import KubeClient, connect
from events.local.apiserver.pods.kubelet import Kubelets

BIG = 300_000


class Paper(Screen):
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        """Nothing waits."""

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@asynccontextmanager
async def served(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A port of this machine, behind which `answer` is."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await answer(reader, writer)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only when the other side has ended: half of the connection stays open."""
    said = await reader.read(-1)
    writer.write(said.upper())
    await writer.drain()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says more than anybody reads."""
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@asynccontextmanager
async def client(url: str, folder: Path) -> AsyncIterator[KubeClient]:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    api = await connect(str(folder / "config"))
    try:
        yield api
    finally:
        await api.aclose()


class Place:
    """A pod behind an API server, and what it takes to forward to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pod, self.kubelet, self.paper = folder, copy.deepcopy(POD), StandInKubelet(), Paper()
        self.pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 80}]

    @asynccontextmanager
    async def forward(self, *ports: str, word: str = "p") -> AsyncIterator[asyncio.Task[int]]:
        """The command, once it listens, or has ended."""
        kubelets = Kubelets()
        kubelets.register("here", self.kubelet)
        wanted = forwarding.Wanted(word, [forwarding.port(one) for one in ports], ("127.0.0.1",), 0.0)
        async with pod_server(kubelets, self.pod) as url, client(url, self.folder) as api:
            session = Session("default", screen=self.paper)
            session.api = api
            task = asyncio.create_task(forwarding.forward(session, wanted))
            await until(lambda: task.done() or len(self.local) == len(ports))
            yield task
            task.cancel()
            await asyncio.wait([task])

    @property
    def local(self) -> list[int]:
        """Our ports."""
        start = "Forwarding from 127.0.0.1:"
        return [int(line.removeprefix(start).split()[0]) for line in self.paper.lines if line.startswith(start)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def say(port: int, text: bytes) -> bytes:
    """Say it, end our half, and take the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        writer.write_eof()
        async with asyncio.timeout(60):
            return await reader.read(-1)
    finally:
        writer.close()


async def test_many_connections_at_once_each_with_its_two_halves(place: Place) -> None:
    async with served(shout) as port:
        place.kubelet.ports[80] = port
        async with place.forward(":http", word="pod/p"):
            texts = [b"%d" % number + b"a" * BIG for number in range(30)]
            answers = await asyncio.gather(*(say(place.local[0], text) for text in texts))
            assert answers == [text.upper() for text in texts]
    assert place.paper.lines.count(f"Handling connection for {place.local[0]}") == 30


async def test_one_that_does_not_read_holds_up_no_other(place: Place) -> None:
    async with served(flood) as floods, served(shout) as shouts:
        place.kubelet.ports |= {80: floods, 81: shouts}
        async with place.forward(":80", ":81"):
            _, writer = await asyncio.open_connection("127.0.0.1", place.local[0], limit=1)
            writer.write(b"say something")
            assert await say(place.local[1], b"hello") == b"HELLO"
            writer.transport.abort()
            assert await say(place.local[1], b"again") == b"AGAIN"
    assert not place.paper.has("keryx:"), "who went away need not be told"


async def test_a_port_nobody_listens_on_is_told_and_the_forward_stays(place: Place) -> None:
    async with served(shout) as port:
        place.kubelet.ports[80] = port
        async with place.forward(":80", ":81") as task:
            for _ in range(2):
                assert await say(place.local[1], b"hello") == b""
            told = "keryx: port 81: error forwarding port 81 to pod: nobody listens on port 81"
            await until(lambda: place.paper.lines.count(told) == 2, what=lambda: str(place.paper.lines))
            assert await say(place.local[0], b"hello") == b"HELLO"
            assert not task.done()


async def test_the_end_of_the_pod_is_told(place: Place) -> None:
    async with place.forward(":80") as task:
        place.pod["status"]["phase"] = "Succeeded"
        assert await say(place.local[0], b"hello") == b""
        assert await task == 1
        assert place.paper.lines[-2:] == [
            "keryx: the pod p has ended",
            "keryx: port 80: error forwarding port 80 to pod: nobody listens on port 80",
        ]


async def test_afterwards_nothing_listens(place: Place) -> None:
    async with place.forward(":80") as task:
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(ConnectionRefusedError):
            await say(place.local[0], b"hello")


async def test_what_cannot_begin_is_told(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        async with place.forward(f"{number}:80") as task:
            with pytest.raises(ActionError, match=rf"port {number} of 127.0.0.1 is in use \(take another"):
                await task
    async with place.forward(":nothing") as task:
        with pytest.raises(UserError, match=r"no port named 'nothing' \(its ports: http 80\)"):
            await task
    place.pod["status"]["phase"] = "Pending"
    async with place.forward(":80") as task:
        with pytest.raises(UserError, match=r"no pod of p runs \(p: Pending\)"):
            await task
    async with place.forward(":80", word="q") as task:
        with pytest.raises(KubeError):
            await task


async def test_a_server_that_tunnels_nothing_is_told(tmp_path: Path) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await answer.prepare(request)
        await answer.close()
        return answer

    async def refuse(_request: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "you may not"}
        return web.json_response(body, status=403)

    for handler, error in ((other, "Kubernetes 1.31 and later do"), (refuse, r"you may not \(403 Forbidden\)")):
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with client(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path) as api:
                with pytest.raises(KubeError, match=error):
                    async with tunnel.opened(api, "p", "default", 80):
                        pass
        finally:
            await runner.cleanup()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", (80, "80")),
        ("8080:80", (8080, "80")),
        (":80", (0, "80")),
        ("0:80", (0, "80")),
        ("8080:http", (8080, "http")),
        ("http", (0, "http")),
    ],
)
def test_ports_are_those_of_kubectl(text: str, found: tuple[int, str]) -> None:
    assert forwarding.port(text) == forwarding.Port(*found)


@pytest.mark.parametrize("text", ["", ":", "80:", "0", "70000", "80:70000", "x:80", "80:0", "70000:80"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no port"):
        forwarding.port(text)


def test_a_port_of_a_service_is_one_of_its_pods() -> None:
    ports = [{"port": 80, "name": "www", "targetPort": "http"}, {"port": 81, "targetPort": 8081}, {"port": 82}]
    service = {"spec": {"ports": ports}}
    assert [forwarding.target(service, one) for one in ("80", "www", "81", "82")] == ["http", "http", "8081", "82"]
    with pytest.raises(UserError, match=r"the Service has no port 83 \(its ports: 80, 81, 82\)"):
        forwarding.target(service, "83")


def test_the_errors_of_listening_say_what_to_do() -> None:
    one = forwarding.Port(80, "8080")
    assert "is in use (take another: 81:8080" in str(forwarding.taken("h", one, OSError(errno.EADDRINUSE, "x")))
    assert "may not be taken (" in str(forwarding.taken("h", one, OSError(errno.EACCES, "x")))
    assert "cannot do" in str(forwarding.taken("h", one, OSError(errno.EADDRNOTAVAIL, "cannot do")))
