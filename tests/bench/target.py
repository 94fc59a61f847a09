"""An HTTP service that says yes. `python -m bench.target` prints its port."""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop


class Yes(asyncio.Protocol):
    """Counts on requests that come whole, or in order."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.seen = cast("asyncio.WriteTransport", transport), b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while (end := self.seen.find(b"\r\n\r\n")) >= 0:
            head = self.seen[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.seen) < end + 4 + length:
                return
            self.seen = self.seen[end + 4 + length :]
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Yes, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
