"""Probes of the node that ask the health service of gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from events.local.kubelet import probes


class Health:
    """Answers for each service what `states` says."""

    def __init__(self) -> None:
        self.states = {b"": 1, b"ill": 2}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            name = request[2 : 2 + request[1]] if len(request) > 1 else b""
            if name not in self.states:
                await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return bytes([8, self.states[name]])

        return grpc.unary_unary_rpc_method_handler(check)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Health(),))  # type: ignore[arg-type]  # keeps its contract
    number = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield number
    await server.stop(None)


async def look(port: int, **spec: Any) -> tuple[bool, str]:
    async def run(_: list[str], __: float) -> tuple[int, str]:
        raise AssertionError("no command")

    return await probes.look({"grpc": {"port": port, **spec}}, {}, "127.0.0.1", run, 20)


async def test_a_service_that_serves_passes_and_others_say_why_not(port: int) -> None:
    assert await look(port) == (True, "")
    assert await look(port, service="ill") == (False, 'service unhealthy (responded with "NOT_SERVING")')
    assert await look(port, service="unknown") == (False, "NOT_FOUND: unknown service")
    assert await look(port, service="x" * 200) == (False, "the name of a service has at most 127 bytes")


async def test_nobody_there_fails_with_the_reason() -> None:
    passed, why = await look(1)
    assert not passed
    assert why.startswith("UNAVAILABLE: ")
