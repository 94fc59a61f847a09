"""A TCP relay that delays every chunk: a bus a network away. `python -m bench.delay TO SECONDS` prints its port."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop


class Pipe(asyncio.Protocol):
    """One direction: what comes is written to the other end later, in order."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.other: Pipe | None = None
        self.transport: asyncio.WriteTransport | None = None
        self.waiting: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        asyncio.get_running_loop().call_later(self.seconds, self._pass_on)

    def _pass_on(self) -> None:
        data = self.waiting.popleft()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Front(Pipe):
    """The side that clients connect to."""

    def __init__(self, seconds: float, to: int) -> None:
        super().__init__(seconds)
        self.to = to

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        _, back = await asyncio.get_running_loop().create_connection(lambda: Pipe(self.seconds), "127.0.0.1", self.to)
        self.other, back.other = back, self


async def serve(to: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(seconds, to), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
