"""Log, exec, attach and port-forward over real sockets, with a kubelet that runs processes of this machine."""

from __future__ import annotations

import asyncio
import copy
import json
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pod_server import POD, pod_server
from support.stand_in_kubelet import StandInKubelet

from events import spdy
from events.local.apiserver.pods import forwarding
from events.local.apiserver.pods.kubelet import Kubelets

PATH = "/api/v1/namespaces/default/pods/p"
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


def serving(kubelet: StandInKubelet) -> Kubelets:
    kubelets = Kubelets()
    kubelets.register("here", kubelet)
    return kubelets


@pytest.fixture
def kubelet() -> StandInKubelet:
    return StandInKubelet(log_lines=[b"one\n", b"two\n", b"three\n"])


@pytest.fixture
async def url(kubelet: StandInKubelet) -> AsyncIterator[str]:
    async with pod_server(serving(kubelet)) as found:
        yield found + PATH


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def eventually(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


# Logs


async def test_a_log_is_plain_text(url: str, client: aiohttp.ClientSession, kubelet: StandInKubelet) -> None:
    async with client.get(f"{url}/log?tailLines=2&timestamps=true&sinceSeconds=60") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert await answer.text() == "two\nthree\n"
    (asked,) = kubelet.asked
    assert (asked.container, asked.tail_lines, asked.timestamps, asked.follow) == ("main", 2, True, False)
    assert asked.since is not None


async def test_a_followed_log_goes_on_until_its_reader_leaves(
    url: str, client: aiohttp.ClientSession, kubelet: StandInKubelet
) -> None:
    async with client.get(f"{url}/log?follow=1") as answer:
        lines = [await answer.content.readline() for _ in range(5)]
    assert lines == [b"one\n", b"two\n", b"three\n", b"more\n", b"more\n"]
    await eventually(lambda: kubelet.running == 0)


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("container=x", 400, "container x is not valid for pod p"),
        ("previous=true", 400, 'previous terminated container "main" in pod "p" not found'),
        (
            "tailLines=-1",
            422,
            'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
        ),
        ("limitBytes=0", 422, 'PodLogOptions "p" is invalid: limitBytes: Invalid value: 0: must be greater than 0'),
        ("sinceSeconds=0", 422, 'PodLogOptions "p" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0'),
        ("follow=maybe", 400, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ("tailLines=many", 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ("sinceTime=yesterday", 400, 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse it'),
    ],
)
async def test_a_log_that_cannot_be_is_refused(
    url: str, client: aiohttp.ClientSession, query: str, code: int, text: str
) -> None:
    async with client.get(f"{url}/log?{query}") as answer:
        body = await answer.json()
    assert (answer.status, body["message"]) == (code, text)


async def test_one_of_several_containers_must_be_named(client: aiohttp.ClientSession, kubelet: StandInKubelet) -> None:
    pod = copy.deepcopy(POD)
    pod["spec"]["containers"] = [{"name": "a"}, {"name": "b"}]
    pod["spec"]["initContainers"] = [{"name": "i"}]
    async with pod_server(serving(kubelet), pod) as url, client.get(f"{url}{PATH}/log") as answer:
        text = "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        assert (await answer.json())["message"] == text


async def test_a_pod_without_a_node_has_no_log_and_cannot_run_anything(client: aiohttp.ClientSession) -> None:
    pod = copy.deepcopy(POD)
    del pod["spec"]["nodeName"]
    async with pod_server(Kubelets(), pod) as url:
        async with client.get(f"{url}{PATH}/log") as answer:
            assert answer.status == 204
        async with client.get(f"{url}{PATH}/exec?command=ls&stdout=1") as answer:
            assert (await answer.json())["message"] == "pod p does not have a host assigned"


async def test_a_node_without_a_kubelet_is_said(client: aiohttp.ClientSession) -> None:
    async with pod_server(Kubelets()) as url, client.get(f"{url}{PATH}/log") as answer:
        assert answer.status == 503
        assert 'no kubelet serves the node "here"' in (await answer.json())["message"]


# Exec and attach


async def run(
    client: aiohttp.ClientSession, url: str, query: str, *sent: bytes, protocol: str = V5
) -> tuple[dict[int, bytes], dict[str, Any]]:
    """Everything that came, by channel, and the last word."""
    found: dict[int, bytes] = {}
    async with client.ws_connect(f"{url}?{query}", protocols=[protocol]) as socket:
        assert socket.protocol == protocol
        for message in sent:
            await socket.send_bytes(message)
        async for message in socket:
            found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found, json.loads(found.pop(3, b"{}"))


@pytest.mark.parametrize("protocol", [V4, V5])
async def test_a_command_runs_and_says_how_it_ended(url: str, client: aiohttp.ClientSession, protocol: str) -> None:
    query = "command=sh&command=-c&command=echo+out%3Becho+err+%3E%262%3Bexit+3&stdout=1&stderr=1"
    found, status = await run(client, f"{url}/exec", query, protocol=protocol)
    assert found == {1: b"out\n", 2: b"err\n"}
    assert status == {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: exit status 3",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }


async def test_input_ends_when_its_channel_is_closed(url: str, client: aiohttp.ClientSession) -> None:
    big = b"x" * 300_000
    sent = [b"\x00" + big[start : start + 30_000] for start in range(0, len(big), 30_000)]
    found, status = await run(client, f"{url}/exec", "command=cat&stdin=1&stdout=1", *sent, b"\xff\x00")
    assert found[1] == big
    assert status == {"metadata": {}, "status": "Success"}


async def test_the_terminals_size_arrives(url: str, client: aiohttp.ClientSession, kubelet: StandInKubelet) -> None:
    resizes = [b"\x04" + json.dumps({"Width": 80, "Height": 24}).encode(), b"\x04nonsense", b"\x04[]"]
    await run(client, f"{url}/exec", "command=sleep&command=0.3&tty=1&stdout=1&stdin=1", *resizes)
    assert kubelet.sizes == [(80, 24)]


async def test_a_process_ends_with_its_client(url: str, client: aiohttp.ClientSession, kubelet: StandInKubelet) -> None:
    async with client.ws_connect(f"{url}/exec?command=sleep&command=60&stdout=1", protocols=[V5]):
        await eventually(lambda: kubelet.running == 1)
    await eventually(lambda: kubelet.running == 0)


async def test_output_waits_for_a_client_that_does_not_read(url: str, client: aiohttp.ClientSession) -> None:
    query = "command=head&command=-c&command=20000000&command=/dev/zero&stdout=1"
    async with client.ws_connect(f"{url}/exec?{query}", protocols=[V5], max_msg_size=0) as socket:
        await asyncio.sleep(0.3)
        size = 0
        async for message in socket:
            size += len(message.data) - 1 if message.data[0] == 1 else 0
    assert size == 20_000_000


async def test_what_the_kubelet_refuses_comes_on_the_error_channel(url: str, client: aiohttp.ClientSession) -> None:
    _, status = await run(client, f"{url}/exec", "command=/no/such/program&stdout=1")
    assert (status["status"], status["reason"]) == ("Failure", "InternalError")
    assert "cannot start /no/such/program" in status["message"]


async def test_an_attach_joins_the_containers_process(url: str, client: aiohttp.ClientSession) -> None:
    found, status = await run(client, f"{url}/attach", "stdin=1&stdout=1", b"\x00hello", b"\xff\x00")
    assert found[1] == b"attached\nHELLO"
    assert status["status"] == "Success"


@pytest.mark.parametrize(
    ("query", "headers", "code", "text"),
    [
        ("command=ls&stdout=1", {}, 400, "Upgrade request required"),
        ("command=ls&stdout=1", {"Upgrade": "SPDY/3.1", "Connection": "Upgrade"}, 400, "Upgrade request required"),
        ("command=ls&stdout=1", {"Upgrade": "websocket"}, 403, "unable to upgrade"),
        ("command=ls", {}, 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("stdout=1", {}, 400, "you must specify at least one argument"),
        ("command=ls&stdout=1&container=x", {}, 400, "container x is not valid for pod p"),
    ],
)
async def test_an_exec_that_cannot_be_is_refused(
    url: str, client: aiohttp.ClientSession, query: str, headers: dict[str, str], code: int, text: str
) -> None:
    async with client.get(f"{url}/exec?{query}", headers=headers) as answer:
        assert answer.status == code
        assert text in (await answer.json())["message"]


async def test_nothing_runs_in_a_pod_that_is_done(client: aiohttp.ClientSession, kubelet: StandInKubelet) -> None:
    pod = {**POD, "status": {"phase": "Succeeded"}}
    async with pod_server(serving(kubelet), pod) as url, client.get(f"{url}{PATH}/exec?command=ls&stdout=1") as answer:
        text = "cannot exec into a container in a completed pod; current phase is Succeeded"
        assert (await answer.json())["message"] == text


# Port-forward


@pytest.fixture
async def echo(kubelet: StandInKubelet) -> AsyncIterator[int]:
    """A server that sends back in capitals, and ends when its client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    kubelet.ports[80] = server.sockets[0].getsockname()[1]
    yield 80
    server.close()
    await server.wait_closed()


class SpdyClient:
    """The client's side of a tunnel, as `kubectl port-forward` uses it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._encoder, self._decoder = socket, spdy.Encoder(), spdy.Decoder()
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.replied: list[spdy.Frame] = []

    async def send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def open(self, number: int, kind: str, port: int, request: str) -> None:
        headers = {"streamtype": kind, "port": str(port), "requestid": request}
        await self.send(self._encoder.syn_stream(number, headers, is_last=kind == "error"))

    async def connect(self, number: int, port: int) -> None:
        await self.open(number, "error", port, str(number))
        await self.open(number + 2, "data", port, str(number))

    async def read_until(self, *streams: int) -> None:
        async with asyncio.timeout(30):
            while not self.ended >= set(streams):
                message = await self._socket.receive_bytes()
                for frame in self._decoder.feed(message):
                    if frame.kind:
                        self.replied.append(frame)
                        continue
                    self.received[frame.stream] = self.received.get(frame.stream, b"") + frame.data
                    if frame.is_last:
                        self.ended.add(frame.stream)


async def tunnel(client: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    socket = await client.ws_connect(f"{url}/portforward", protocols=[forwarding.TUNNEL], max_msg_size=0)
    assert socket.protocol == forwarding.TUNNEL
    return socket


async def test_connections_are_tunnelled_side_by_side(url: str, client: aiohttp.ClientSession, echo: int) -> None:
    async with await tunnel(client, url) as socket:
        peer = SpdyClient(socket)
        for number in (1, 5, 9):
            await peer.connect(number, echo)
            await peer.send(spdy.data(number + 2, b"hello %d" % number))
        big = b"z" * 1_000_000
        for start in range(0, len(big), 32_768):
            await peer.send(spdy.data(3, big[start : start + 32_768]))
        for number in (1, 5, 9):
            await peer.send(spdy.data(number + 2, b"", is_last=True))
        await peer.read_until(3, 7, 11, 1, 5, 9)
        assert peer.received[3] == b"HELLO 1" + big.upper()
        assert (peer.received[7], peer.received[11]) == (b"HELLO 5", b"HELLO 9")
        assert peer.received[1] == b""
        assert {frame.stream for frame in peer.replied if frame.kind == spdy.SYN_REPLY} == {1, 3, 5, 7, 9, 11}


async def test_a_port_nobody_listens_on_is_an_error_of_that_connection_alone(
    url: str, client: aiohttp.ClientSession, echo: int
) -> None:
    async with await tunnel(client, url) as socket:
        peer = SpdyClient(socket)
        await peer.connect(1, 81)
        await peer.read_until(1, 3)
        assert peer.received[1] == b"error forwarding port 81 to pod: nobody listens on port 81"
        await peer.connect(5, echo)
        await peer.send(spdy.data(7, b"still", is_last=True))
        await peer.read_until(7)
        assert peer.received[7] == b"STILL"


async def test_a_ping_is_answered_and_a_strange_stream_refused(url: str, client: aiohttp.ClientSession) -> None:
    async with await tunnel(client, url) as socket:
        peer = SpdyClient(socket)
        await peer.send(spdy.ping(7))
        await peer.open(1, "other", 80, "1")
        decoder = spdy.Decoder()
        frames: list[spdy.Frame] = []
        while len(frames) < 2:
            frames += decoder.feed(await socket.receive_bytes())
        assert [(frame.kind, frame.number or frame.stream) for frame in frames] == [
            (spdy.PING, 7),
            (spdy.RST_STREAM, 1),
        ]


async def test_connections_are_bounded(
    url: str, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "MOST_CONNECTIONS", 2)
    async with await tunnel(client, url) as socket:
        peer = SpdyClient(socket)
        for number in range(1, 11, 2):
            await peer.open(number, "data", 80, str(number))
        decoder, frames = spdy.Decoder(), []
        while len(frames) < 5:
            frames += decoder.feed(await socket.receive_bytes())
        assert [frame.kind for frame in frames] == [spdy.SYN_REPLY] * 4 + [spdy.RST_STREAM]


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n" * 10, b"\x80\x02\x00\x01" + b"\x00" * 20, b"\x00\x00\x00\x01\x00\xff\xff\xff"]
)
async def test_noise_ends_the_tunnel_and_nothing_else(url: str, client: aiohttp.ClientSession, noise: bytes) -> None:
    async with await tunnel(client, url) as socket:
        await socket.send_bytes(noise)
        async with asyncio.timeout(30):
            frames = spdy.Decoder().feed(await socket.receive_bytes())
            assert [frame.kind for frame in frames] == [spdy.GOAWAY]
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    async with client.get(f"{url}/log") as answer:
        assert answer.status == 200


async def test_a_client_that_leaves_takes_its_connections_along(
    url: str, client: aiohttp.ClientSession, kubelet: StandInKubelet
) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        kubelet.ports[90] = server.sockets[0].getsockname()[1]
        async with await tunnel(client, url) as socket:
            await SpdyClient(socket).connect(1, 90)
            await eventually(lambda: 90 in kubelet.asked)
        async with asyncio.timeout(30):
            await gone.wait()


async def test_the_older_channels_forward_too(url: str, client: aiohttp.ClientSession, echo: int) -> None:
    found: dict[int, bytes] = {}
    async with client.ws_connect(f"{url}/portforward?ports={echo},81", protocols=[V4]) as socket:
        await socket.send_bytes(b"\x00hello")
        while b"HELLO" not in found.get(0, b"") or b"nobody" not in found.get(3, b""):
            message = await asyncio.wait_for(socket.receive_bytes(), 30)
            found[message[0]] = found.get(message[0], b"") + message[1:]
    assert found == {
        0: struct.pack("<H", 80) + b"HELLO",
        1: struct.pack("<H", 80),
        2: struct.pack("<H", 81),
        3: struct.pack("<H", 81) + b"error forwarding port 81 to pod: nobody listens on port 81",
    }


@pytest.mark.parametrize("query", ["", "ports=0", "ports=70000", "ports=x", "ports=" + ",".join(["80"] * 51)])
async def test_ports_that_are_none_are_refused(url: str, client: aiohttp.ClientSession, query: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect(f"{url}/portforward?{query}", protocols=[V4])
    assert caught.value.status == 400


# The codec alone


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 50))
def test_frames_come_out_of_pieces_as_they_went_in(payloads: list[bytes], size: int) -> None:
    encoder, decoder = spdy.Encoder(), spdy.Decoder()
    wire, wanted = b"", []
    for number, payload in enumerate(payloads):
        headers = {"streamtype": "data", "port": str(number), "x": payload.hex()}
        wire += encoder.syn_stream(2 * number + 1, headers) + spdy.data(2 * number + 1, payload, is_last=True)
        wanted += [tuple(headers.items()), payload]
    frames = [frame for start in range(0, len(wire), size) for frame in decoder.feed(wire[start : start + size])]
    assert [frame.headers if frame.kind else frame.data for frame in frames] == wanted


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_a_protocol_error_or_waits_for_more(noise: bytes) -> None:
    with suppress(spdy.ProtocolError):
        assert all(len(frame.data) <= len(noise) for frame in spdy.Decoder().feed(noise))


def test_the_dictionary_is_the_specifications() -> None:
    assert (len(spdy.dictionary()), zlib.adler32(spdy.dictionary())) == (1423, 0xE3C6A7C2)


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    bomb = spdy.Encoder().syn_stream(1, {"x": "y" * 10_000_000})
    with pytest.raises(spdy.ProtocolError, match="headers too large"):
        spdy.Decoder().feed(bomb)
