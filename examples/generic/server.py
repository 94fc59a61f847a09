"""A server of events: counts, at the pace that the object's `config` says.

    python examples/generic/server.py --port 50051 [--token SECRET] [--certificate cert.pem --key key.pem]

`config` is JSON such as {"every": 1.0, "greeting": "hello"}. In other languages, generate the service
from eventing.proto.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from eventsources.eventing import SERVICE, Event, EventSource


class Counter:
    """The service. It keeps its position: events go on where they stopped, whoever asks next."""

    def __init__(self, token: str) -> None:
        self._token, self._count = token, 0

    async def start(self, request: Any, context: Any) -> AsyncIterator[Any]:
        said = dict(context.invocation_metadata()).get("authorization", "")
        if self._token and not hmac.compare_digest(said.encode(), f"Bearer {self._token}".encode()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is wrong")
        try:
            config = json.loads(request.config)
            every, greeting = float(config["every"]), str(config["greeting"])
        except (ValueError, KeyError, TypeError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"config: {error!r}")
        while True:
            self._count += 1
            payload = json.dumps({"greeting": greeting, "count": self._count}).encode()
            yield Event(name=request.name, payload=payload)
            await asyncio.sleep(every)


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=50051)
    parser.add_argument("--token", default="", help="what clients must say")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    given = parser.parse_args()

    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(
        Counter(given.token).start, EventSource.FromString, Event.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"StartEventSource": method}),))
    address = f"localhost:{given.port}"
    if given.certificate:
        pair = (given.key.read_bytes(), given.certificate.read_bytes())
        port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port(address)
    await server.start()
    print(f"serving events on localhost:{port}", flush=True)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(main())
