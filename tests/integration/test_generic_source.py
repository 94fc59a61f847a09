"""The generic source against the example server and servers of the test's own. Contract: eventsources 3.31."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.certificates import make_certificate
from support.event_sources import until
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from events.errors import ActionError, TooLarge, Unavailable
from events.problems import Problems
from eventsources.eventing import SERVICE, Event, EventSource
from eventsources.sources import generic
from eventsources.sources.generic import GenericSource, GenericSpec

EXAMPLE = Path(__file__).parents[2] / "examples/generic/server.py"
SECRETS = {"ca": {"name": "grpc", "key": "ca"}, "token": {"name": "grpc", "key": "token"}}
Behaviour = Callable[[Any, Any], AsyncIterator[Any]]


@asynccontextmanager
async def serving(behave: Behaviour, port: int = 0, pair: tuple[bytes, bytes] | None = None) -> AsyncIterator[int]:
    """A server of events; its port."""
    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(behave, EventSource.FromString, Event.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"StartEventSource": method}),))
    address = f"localhost:{port}"
    credentials = grpc.ssl_server_credentials([pair]) if pair else None
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


@asynccontextmanager
async def example(*arguments: str) -> AsyncIterator[str]:
    """The example server as a process; its address."""
    command = (sys.executable, str(EXAMPLE), "--port", "0", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield line.decode().split()[-1]
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def spec(address: str | int, **more: Any) -> dict[str, Any]:
    url = address if isinstance(address, str) else f"localhost:{address}"
    return {"url": url, "config": '{"every":0.02,"greeting":"hi"}', "insecure": True, **more}


async def end_of(source: Listening, seconds: float = 30) -> BaseException:
    await asyncio.wait({source.task}, timeout=seconds)
    assert source.task.done(), "it goes on"
    error = source.task.exception()
    assert error is not None
    return error


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_the_example_server(tmp_path: Path) -> None:
    async with example() as address, listening(GenericSource, spec(address, jsonBody=True), tmp_path) as source:
        found = await source.received(3)
    assert found[:3] == [{"body": {"greeting": "hi", "count": number}} for number in (1, 2, 3)]


async def test_the_example_server_refuses_a_wrong_config_and_a_wrong_token(tmp_path: Path) -> None:
    write_secret(tmp_path, "token", "wrong", "grpc")
    async with example("--token", "right") as address:
        async with listening(GenericSource, spec(address, authSecret=SECRETS["token"]), tmp_path) as source:
            assert "UNAUTHENTICATED" in str(await end_of(source))
        write_secret(tmp_path, "token", "right", "grpc")
        async with listening(GenericSource, spec(address, authSecret=SECRETS["token"]), tmp_path) as source:
            await source.received(1)
        wrong = spec(address, authSecret=SECRETS["token"], config="{}")
        async with listening(GenericSource, wrong, tmp_path) as source:
            assert "INVALID_ARGUMENT" in str(await end_of(source))


async def test_what_is_asked_and_what_becomes_of_the_answer(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        asked.append((request.name, request.config, dict(context.invocation_metadata()).get("authorization")))
        yield Event(name="a", payload=b'{ "n": 1.0, "t": "<" }')
        yield Event(name="a", payload=b"\xff")
        await forever()

    write_secret(tmp_path, "token", "t0ken\n", "grpc")
    more = {"config": "raw ö", "authSecret": SECRETS["token"], "metadata": {"k": "v"}}
    async with serving(behave) as port:
        async with listening(GenericSource, spec(port, **more), tmp_path) as source:
            await source.received(2)
        async with listening(GenericSource, spec(port, **more, jsonBody=True), tmp_path) as again:
            await until(lambda: again.failed)
    assert asked[0] == ("ev", "raw ö".encode(), "Bearer t0ken")
    assert [base64.b64decode(one["body"]) for one in source.data] == [b'{ "n": 1.0, "t": "<" }', b"\xff"]
    assert again.bus.stored == [b'{"body":{"n":1.0,"t":"\\u003c"},"metadata":{"k":"v"}}']
    assert [line for line in again.said if "cannot become an event" in line and "dropped" in line]


async def test_tls_is_used_unless_it_is_said_not_to_be(tmp_path: Path) -> None:
    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        yield Event(payload=b"x")
        await forever()

    key, certificate = make_certificate()
    write_secret(tmp_path, "ca", certificate.decode(), "grpc")
    async with serving(behave, pair=(key, certificate)) as port:
        tls = {"caCertSecret": SECRETS["ca"]}
        async with listening(GenericSource, spec(port, insecure=False, tls=tls), tmp_path) as source:
            await source.received(1)


async def test_a_certificate_that_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        yield Event(payload=b"x")

    monkeypatch.setattr(generic, "_CONNECT_SECONDS", 1.0)
    key, certificate = make_certificate()
    write_secret(tmp_path, "ca", make_certificate()[1].decode(), "grpc")
    async with serving(behave, pair=(key, certificate)) as port:
        more = {"insecure": False, "tls": {"caCertSecret": SECRETS["ca"]}}
        async with listening(GenericSource, spec(port, **more), tmp_path) as source:
            assert "no connection within 1 s" in str(await end_of(source))
    assert source.started == []


async def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generic, "_CONNECT_SECONDS", 0.5)
    async with listening(GenericSource, spec("localhost:1"), tmp_path) as source:
        assert isinstance(await end_of(source), ActionError)


async def test_a_server_that_ends_the_stream(tmp_path: Path) -> None:
    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        yield Event(payload=b"x")

    async with serving(behave) as port, listening(GenericSource, spec(port), tmp_path) as source:
        assert "has ended the stream" in str(await end_of(source))
    assert len(source.bus.stored) == 1


async def test_an_outage_of_the_bus_holds_up_the_server_and_loses_nothing(tmp_path: Path) -> None:
    sent = 0

    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        for sent in range(1, 2001):
            yield Event(payload=b"%06d" % sent + b"x" * 10_000)
        await forever()

    bus = Bus()
    bus.error = Unavailable("away")
    async with serving(behave) as port, listening(GenericSource, spec(port), tmp_path, bus=bus) as source:
        await until(lambda: [line for line in source.said if "The bus does not take events" in line])
        await asyncio.sleep(0.5)
        assert sent < 1500  # what gRPC buffers on both sides
        bus.error = None
        found = [base64.b64decode(one["body"])[:6] for one in await source.received(2000, 30)]
    assert found == [b"%06d" % number for number in range(1, 2001)]


async def test_what_the_bus_will_never_take_is_dropped_and_said(tmp_path: Path) -> None:
    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        yield Event(payload=b"large")
        await forever()

    bus = Bus()
    bus.error = TooLarge("too large")
    async with serving(behave) as port, listening(GenericSource, spec(port), tmp_path, bus=bus) as source:
        await until(lambda: [line for line in source.said if "cannot become an event" in line])


async def test_a_stop_stores_what_has_been_read(tmp_path: Path) -> None:
    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        yield Event(payload=b"x")
        await forever()

    bus = Bus()
    bus.open.clear()
    async with serving(behave) as port, listening(GenericSource, spec(port), tmp_path, bus=bus) as source:
        await bus.until_waiting(1)
        source.task.cancel()
        await asyncio.sleep(0.1)
        bus.open.set()
        await asyncio.wait({source.task}, timeout=30)
    assert len(bus.stored) == 1


async def test_a_secret_that_changes_is_used_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generic, "_LOOK_SECONDS", 0.05)
    tokens: list[str] = []

    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        tokens.append(dict(context.invocation_metadata())["authorization"])
        yield Event(payload=b"x")
        await forever()

    write_secret(tmp_path, "token", "one", "grpc")
    async with (
        serving(behave) as port,
        listening(GenericSource, spec(port, authSecret=SECRETS["token"]), tmp_path) as source,
    ):
        await source.received(1)
        write_secret(tmp_path, "token", "two", "grpc")
        await source.received(2)
    assert tokens == ["Bearer one", "Bearer two"]


def problems_of(**more: Any) -> list[str]:
    found = Problems()
    GenericSource.validate(GenericSpec.parse(spec("localhost:1", **more)), found)
    return [str(one) for one in found]


def test_validation() -> None:
    assert problems_of() == []
    assert "write host:port" in problems_of(url="https://localhost:1")[0]
    assert "gRPC always verifies" in problems_of(insecure=False, tls={"insecureSkipVerify": True})[0]
    assert "who listens has the token" in problems_of(authSecret=SECRETS["token"])[0]
    assert "is not used with insecure" in problems_of(tls={"enabled": True})[0]
