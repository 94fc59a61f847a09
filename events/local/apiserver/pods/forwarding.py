"""Port-forward: SPDY inside a websocket (`SPDY/3.1+portforward.k8s.io`), and the older websocket channels."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from events import spdy
from events.local.apiserver.pods import options
from events.local.apiserver.pods.kubelet import Connection
from events.local.apiserver.status import StatusError

TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = "v4.channel.k8s.io"
LARGEST_MESSAGE = 4 * 1024 * 1024
MOST_CONNECTIONS = 500
"""Connections one client may have open through one request."""
PARTNER_SECONDS = 30
"""How long the first stream of a connection waits for the second."""
_PIECE = 32 * 1024
_WAITING = 64

Connect = Callable[[int], Awaitable[Connection]]
Write = Callable[[bytes], Awaitable[None]]


@dataclass
class _Stream:
    """One stream: what came from the client, in order; empty is its end."""

    number: int
    kind: str
    port: str
    request: str
    incoming: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    is_open: bool = True


class Tunnel:
    """All connections of one `kubectl port-forward`: a stream of data and one of errors for each."""

    def __init__(self, write: Write, connect: Connect) -> None:
        self._write_raw, self._connect = write, connect
        self._decoder, self._encoder = spdy.Decoder(), spdy.Encoder()
        self._streams: dict[int, _Stream] = {}
        self._waiting: dict[str, asyncio.Future[_Stream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        """Serve until the client goes away."""
        try:
            async for message in messages:
                for frame in self._decoder.feed(message):
                    await self._take(frame)
        except spdy.ProtocolError:
            await self._write(spdy.goaway(max(self._streams, default=0), 1))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, data: bytes) -> None:
        async with self._turn:
            await self._write_raw(data)

    async def _take(self, frame: spdy.Frame) -> None:
        if frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.kind == spdy.PING:
            await self._write(spdy.ping(frame.number))
        elif frame.kind == spdy.RST_STREAM:
            await self._end(frame.stream)
        elif frame.kind == 0 and frame.stream in self._streams:
            if frame.data:
                await self._streams[frame.stream].incoming.put(frame.data)
            if frame.is_last:
                await self._end(frame.stream)

    async def _end(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None and stream.is_open:
            stream.is_open = False
            await stream.incoming.put(b"")

    async def _open(self, frame: spdy.Frame) -> None:
        headers = dict(frame.headers)
        kind, request = headers.get("streamtype", ""), headers.get("requestid", "")
        is_known = kind in ("data", "error") and frame.stream not in self._streams and frame.stream % 2
        if not is_known or len(self._streams) >= 2 * MOST_CONNECTIONS:
            await self._write(spdy.rst_stream(frame.stream, spdy.REFUSED_STREAM))
            return
        stream = _Stream(frame.stream, kind, headers.get("port", ""), request)
        self._streams[frame.stream] = stream
        async with self._turn:  # replies are compressed in the order they are sent
            await self._write_raw(self._encoder.syn_reply(frame.stream))
        if frame.is_last:
            await self._end(frame.stream)
        partner = self._waiting.pop(request, None)
        if partner is not None and not partner.done():
            partner.set_result(stream)
            return
        self._waiting[request] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._serve(stream, self._waiting[request]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, first: _Stream, partner: asyncio.Future[_Stream]) -> None:
        pair = [first]
        try:
            async with asyncio.timeout(PARTNER_SECONDS):
                pair.append(await partner)
            by_kind = {stream.kind: stream for stream in pair}
            if len(by_kind) == 2:
                await self._forward(by_kind["data"], by_kind["error"])
        except TimeoutError:
            self._waiting.pop(first.request, None)
        except ConnectionError:
            pass  # the client has gone
        finally:
            for stream in pair:
                self._streams.pop(stream.number, None)

    async def _forward(self, data: _Stream, error: _Stream) -> None:
        text = ""
        try:
            await _join(await self._connect(options.port(data.port)), data.incoming.get, self._writer(data))
        except (OSError, StatusError) as failure:
            text = f"error forwarding port {data.port[:20]} to pod: {failure}"
        if text:
            await self._write(spdy.data(error.number, text.encode()))
        for stream in (error, data):
            await self._write(spdy.data(stream.number, b"", is_last=True))

    def _writer(self, stream: _Stream) -> Write:
        async def write(piece: bytes) -> None:
            if piece:
                await self._write(spdy.data(stream.number, piece))

        return write


async def _join(connection: Connection, read: Callable[[], Awaitable[bytes]], write: Write) -> None:
    """Carry bytes both ways until the pod's side ends; the client's end is passed on."""
    reader, writer = connection

    async def to_pod() -> None:
        while piece := await read():
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    sending = asyncio.create_task(to_pod())
    try:
        while piece := await reader.read(_PIECE):
            await write(piece)
    finally:
        sending.cancel()
        writer.close()  # before anything is waited for: this may be the end of the task
        await asyncio.gather(sending, return_exceptions=True)
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def serve_tunnel(socket: web.WebSocketResponse, connect: Connect) -> None:
    """`SPDY/3.1+portforward.k8s.io` on an open websocket."""
    try:
        await Tunnel(socket.send_bytes, connect).run(_binary(socket))
    finally:
        await socket.close()


async def serve_channels(socket: web.WebSocketResponse, ports: list[int], connect: Connect) -> None:
    """`v4.channel.k8s.io`: for each port a channel of data and one of errors; each starts with its port."""
    incoming = [asyncio.Queue[bytes](_WAITING) for _ in ports]
    turn = asyncio.Lock()

    async def send(channel: int, piece: bytes) -> None:
        async with turn:
            await socket.send_bytes(bytes([channel]) + piece)

    async def forward(place: int, port: int) -> None:
        for channel in (2 * place, 2 * place + 1):
            await send(channel, struct.pack("<H", port))
        try:
            await _join(await connect(port), incoming[place].get, lambda piece: send(2 * place, piece))
        except (OSError, StatusError) as failure:
            with contextlib.suppress(ConnectionError):
                await send(2 * place + 1, f"error forwarding port {port} to pod: {failure}".encode())

    async def receive() -> None:
        async for message in _binary(socket):
            place, is_error = divmod(message[0], 2)
            if not is_error and place < len(ports) and message[1:]:
                await incoming[place].put(message[1:])

    forwards = [asyncio.create_task(forward(place, port)) for place, port in enumerate(ports)]
    client = asyncio.create_task(receive())
    try:
        left: set[asyncio.Task[None]] = set(forwards)
        while left and not client.done():
            _, left = await asyncio.wait({*left, client}, return_when=asyncio.FIRST_COMPLETED)
            left.discard(client)
    finally:
        for task in (client, *forwards):
            task.cancel()
        await asyncio.gather(client, *forwards, return_exceptions=True)
        await socket.close()


async def _binary(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data:
            yield message.data
