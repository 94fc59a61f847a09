"""A connection to a port of a pod, through the API server: the client's side of `kubectl port-forward`.

Each connection has a websocket of its own, in which SPDY/3.1 carries two streams, data and errors, as Kubernetes 1.31
and later want it. So a connection whose reader is slow holds up no other, and one that breaks takes no other with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from events import spdy
from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeError, Resource
from events.kube.client import KubeClient

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
REPLY_SECONDS = 30.0
"""How long the other side may take to accept a stream."""
_POD = Resource("", "v1", "pods", "Pod", namespaced=True)
_ERROR, _DATA = 1, 3
"""The numbers of the two streams: a client's are odd."""
_PIECE = 32 * 1024
_MOST_ERROR = 64 * 1024


class Broken(ActionError):
    """The tunnel, or the connection at its end, broke; the message says what the other side said."""


class Tunnel:
    """One connection to one port, over one websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, port: int) -> None:
        self._socket, self._port = socket, port
        self._decoder, self._encoder = spdy.Decoder(), spdy.Encoder()
        self._accepted = {number: asyncio.Event() for number in (_ERROR, _DATA)}
        self._error = bytearray()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until the pod's side has ended; the end of ours is passed on. Raises Broken."""
        sending = asyncio.create_task(self._send(reader))
        receiving = asyncio.create_task(self._receive(writer))
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                sending.result()  # raises what broke it; else our side has ended, theirs may go on
            await receiving
        except (OSError, aiohttp.ClientError, TimeoutError, spdy.ProtocolError) as error:
            raise Broken(str(error) or type(error).__name__) from error
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
        if self._error:
            raise Broken(self._error.decode(errors="replace").strip())

    async def _send(self, reader: asyncio.StreamReader) -> None:
        """Open both streams, one after the other as servers expect it, then send what comes from our side."""
        await self._open(_ERROR, "error")
        await self._socket.send_bytes(spdy.data(_ERROR, b"", is_last=True))
        await self._open(_DATA, "data")
        try:
            while piece := await reader.read(_PIECE):
                await self._socket.send_bytes(spdy.data(_DATA, piece))
        except ConnectionResetError as error:
            raise Gone from error
        await self._socket.send_bytes(spdy.data(_DATA, b"", is_last=True))

    async def _open(self, number: int, kind: str) -> None:
        headers = {"streamtype": kind, "port": str(self._port), "requestid": "0"}
        await self._socket.send_bytes(self._encoder.syn_stream(number, headers))
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                await self._accepted[number].wait()
        except TimeoutError as error:
            raise Broken(f"the pod's node did not accept the connection within {REPLY_SECONDS:g} s") from error

    async def _receive(self, writer: asyncio.StreamWriter) -> None:
        """What comes, until both streams have ended."""
        is_open = {_ERROR, _DATA}
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            for frame in self._decoder.feed(message.data):
                await self._take(frame, writer, is_open)
            if not is_open:
                return
        if not self._error:
            raise Broken("the connection to the API server ended")

    async def _take(self, frame: spdy.Frame, writer: asyncio.StreamWriter, is_open: set[int]) -> None:
        if frame.kind == spdy.PING:
            await self._socket.send_bytes(spdy.ping(frame.number))
        elif frame.kind == spdy.SYN_REPLY and frame.stream in self._accepted:
            self._accepted[frame.stream].set()
        elif frame.kind in (spdy.RST_STREAM, spdy.GOAWAY):
            raise Broken(self._error.decode(errors="replace").strip() or "the pod's node refused the connection")
        elif frame.kind == 0 and frame.stream == _ERROR:
            self._error += frame.data[: _MOST_ERROR - len(self._error)]
        elif frame.kind == 0 and frame.stream == _DATA and frame.data:
            try:
                writer.write(frame.data)
                await writer.drain()
            except ConnectionError as error:
                raise Gone from error
        if frame.kind in (0, spdy.SYN_REPLY) and frame.is_last and frame.stream in is_open:
            is_open.remove(frame.stream)
            if frame.stream == _DATA and writer.can_write_eof():
                with contextlib.suppress(OSError):
                    writer.write_eof()


class Gone(Exception):
    """Who connected to us went away: nobody has to be told."""


@asynccontextmanager
async def opened(api: KubeClient, pod: str, namespace: str, port: int) -> AsyncGenerator[Tunnel, None]:
    """A tunnel to a port of a pod. KubeError when the server refuses, ActionError when it is away or too old."""
    where = f"{objects.path(_POD, namespace=namespace, name=pod)}/portforward"
    socket = await api.socket(where, PROTOCOL)
    try:
        if socket.protocol != PROTOCOL:
            raise KubeError(400, "", "the server forwards no ports over websockets: Kubernetes 1.31 and later do")
        yield Tunnel(socket, port)
    finally:
        await socket.close()
