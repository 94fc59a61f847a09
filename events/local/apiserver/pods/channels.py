"""Streams of a process over a websocket: `v4.channel.k8s.io` and `v5.channel.k8s.io`.

The first byte of a message is its channel. Version 5 adds a message that closes a channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from events.local.apiserver.pods.kubelet import ExecOptions, Streams
from events.local.apiserver.status import StatusError
from events.logs import Log

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
LOG = Log("apiserver")
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
LARGEST_MESSAGE = 4 * 1024 * 1024
_PIECE = 32 * 1024
_SETTLE_SECONDS = 0.05
"""kubectl (1.33 and before) throws away what arrives before it has made its streams, and does not tell when it has."""
_WAITING = 64
"""Messages of input that may wait for a process that does not read."""


class ChannelStreams:
    """One process's streams on one websocket."""

    def __init__(self, socket: web.WebSocketResponse, options: ExecOptions) -> None:
        self._socket, self._options = socket, options
        self._input: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue(_WAITING)
        self._has_ended = not options.stdin
        self._turn = asyncio.Lock()

    async def read_stdin(self) -> bytes:
        if self._has_ended:
            return b""
        data = await self._input.get()
        self._has_ended = not data
        return data

    async def write_stdout(self, data: bytes) -> None:
        if self._options.stdout:
            await self._write(STDOUT, data)

    async def write_stderr(self, data: bytes) -> None:
        if self._options.stderr:
            await self._write(STDERR, data)

    async def next_size(self) -> tuple[int, int]:
        return await self._sizes.get()

    async def greet(self) -> None:
        """Tell the client that the connection stands: an empty message on its first output, and nothing before it."""
        first = STDOUT if self._options.stdout else STDERR if self._options.stderr else ERROR
        async with self._turn:
            await asyncio.sleep(_SETTLE_SECONDS)
            await self._socket.send_bytes(bytes([first]))

    async def report(self, status: dict[str, Any]) -> None:
        """The last word: how the process ended."""
        await self._send(bytes([ERROR]) + json.dumps(status).encode())

    async def receive(self) -> None:
        """Take in what the client sends, until it goes away."""
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == STDIN and data:
                await self._input.put(data)
            elif channel == RESIZE:
                self._resize(data)
            elif channel == CLOSE and data[:1] == bytes([STDIN]):
                await self._input.put(b"")
        with contextlib.suppress(asyncio.QueueFull):
            self._input.put_nowait(b"")

    def _resize(self, data: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError, asyncio.QueueFull):
            size = json.loads(data)
            self._sizes.put_nowait((int(size["Width"]), int(size["Height"])))

    async def _write(self, channel: int, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            await self._send(bytes([channel]) + data[start : start + _PIECE])

    async def _send(self, data: bytes) -> None:
        async with self._turn:
            await self._socket.send_bytes(data)


async def serve(socket: web.WebSocketResponse, options: ExecOptions, run: Callable[[Streams], Awaitable[int]]) -> None:
    """Run a process on an open websocket and say how it ended. Cancels it when the client goes away first."""
    streams = ChannelStreams(socket, options)
    process = asyncio.ensure_future(run(streams))
    client = asyncio.ensure_future(streams.receive())
    try:
        await streams.greet()  # it has the first turn: the process begins meanwhile, and its output waits
        await asyncio.wait({process, client}, return_when=asyncio.FIRST_COMPLETED)
        if process.done():
            with contextlib.suppress(ConnectionError):
                await streams.report(_ended(process))
    finally:
        for task in (process, client):
            task.cancel()
        await asyncio.gather(process, client, return_exceptions=True)
        await socket.close()


def _ended(process: asyncio.Future[int]) -> dict[str, Any]:
    """The Status of a process that is done."""
    error = None if process.cancelled() else process.exception()
    if isinstance(error, StatusError):
        return _failure(error.reason, error.message, error.code)
    if error is not None or process.cancelled():
        LOG.exception("A process in a container ended in an error of its kubelet.", error or CancelledError())
        return _failure("InternalError", "the kubelet failed; its log says why", 500)
    code = process.result()
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    status = _failure("NonZeroExitCode", f"command terminated with non-zero exit code: exit status {code}")
    return status | {"details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}


def _failure(reason: str, message: str, code: int | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {"metadata": {}, "status": "Failure", "message": message, "reason": reason}
    return status | {"code": code} if code else status
