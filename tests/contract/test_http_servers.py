"""The HTTP servers of a process, through the webhook source: many requests, shared ports, the end, TLS."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.ports import free_port
from support.webhooks import QUICK, SPEC, World, request, world

from events.errors import CredentialError, Unavailable, UserError
from eventsources.http.routes import HttpSettings
from eventsources.sources.webhook import WebhookSource


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as running:
        yield running


def settings(**changes: Any) -> HttpSettings:
    return replace(QUICK, **changes)


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_a_hundred_requests_of_one_endpoint_are_in_flight_together(here: World) -> None:
    here.bus.open.clear()
    async with here.listening():
        answers = [asyncio.create_task(here.post(b"%d" % n)) for n in range(100)]
        await here.bus.until_waiting(100)
        here.bus.open.set()
        assert {(await answer).status for answer in answers} == {200}
    assert sorted(json.loads(data)["body"] for data in here.bus.stored) == list(range(100))


async def test_requests_beyond_the_limit_are_told_to_come_later(tmp_path: Path) -> None:
    async with world(tmp_path, settings(max_in_flight=2)) as here, here.listening():
        here.bus.open.clear()
        running = [asyncio.create_task(here.post()) for _ in range(2)]
        await here.bus.until_waiting(2)
        refused = await here.post()
        assert (refused.status, refused.text) == (503, "too many requests at the same time")
        assert refused.headers["retry-after"]
        here.bus.open.set()
        assert [(await answer).status for answer in running] == [200, 200]
        assert (await here.post()).status == 200


async def test_a_connection_serves_many_requests(here: World) -> None:
    async with here.listening(), await here.connect() as connection:
        for _ in range(3):
            assert (await connection.ask(request("POST", "/hook", b"{}"))).status == 200
        connection.writer.write(request("POST", "/hook", b"1") + request("POST", "/hook", b"2"))
        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert (await connection.ask(request("POST", "/hook", b"{}", Connection="close"))).headers[
            "connection"
        ] == "close"
        assert await connection.closed()


async def test_http_1_0_gets_one_answer(here: World) -> None:
    async with here.listening(), await here.connect() as connection:
        reply = await connection.ask(request("POST", "/hook", b"{}", version="1.0", Connection="keep-alive"))
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await connection.closed()


async def test_headers_that_never_end_are_cut_off(tmp_path: Path) -> None:
    async with (
        world(tmp_path, settings(idle_timeout=0.2)) as here,
        here.listening(),
        await here.connect() as connection,
    ):
        closed = asyncio.create_task(connection.closed())
        connection.writer.write(b"POST /hook HTTP/1.1\r\n")
        while not closed.done():  # a byte now and then does not buy time
            connection.writer.write(b"x: y\r\n")
            await asyncio.wait({closed}, timeout=0.05)
        assert closed.result()


# --- ports ------------------------------------------------------------------------------------------------------------


async def test_events_share_a_port(here: World) -> None:
    async with here.listening("a", endpoint="/a"), here.listening("b", endpoint="/b", method="GET"):
        assert (await here.post(target="/a")).status == 200
        assert (await here.send(request("GET", "/b?x=1"))).status == 200
        assert (await here.post(target="/b")).status == 400
    assert here.port == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, {"method": "GET"}),  # the endpoint is the key; methods are checked behind it
        ({"endpoint": "/h/{a}"}, {"endpoint": "/h/{b}"}),
    ],
)
async def test_an_endpoint_belongs_to_one_event(here: World, first: dict[str, str], second: dict[str, str]) -> None:
    async with here.listening("one", **first):
        with pytest.raises(UserError, match="is taken by event src/one") as caught:
            async with here.listening("two", **second):
                pass
        assert caught.value.path == "endpoint"
        assert caught.value.cure
        assert (await here.post(target="/h/x" if first else "/hook")).status == 200


async def test_a_port_in_use_is_named_with_its_event(here: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(UserError, match=f"{port}, for event src/ev, is in use") as caught:
            async with here.listening(port=port):
                pass
    assert caught.value.path == "port"
    assert "choose another port" in caught.value.cure


async def test_ports_are_separate_and_free_again_afterwards(here: World) -> None:
    one, two = str(free_port()), str(free_port())
    async with here.listening("one", port=one):
        async with here.listening("two", port=two):
            assert {here.http.port(one), here.http.port(two)} == {int(one), int(two)}
        async with here.listening("three", port=two):
            assert here.http.port(two) == int(two)


async def test_all_interfaces_are_the_default(tmp_path: Path) -> None:
    async with world(tmp_path, HttpSettings()) as here, here.listening():
        assert (await here.post()).status == 200


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_source_that_stops_answers_what_is_running(here: World) -> None:
    here.bus.open.clear()
    async with here.listening("other", endpoint="/other"), here.listening() as source, await here.connect() as idle:
        running = asyncio.create_task(here.post())
        await here.bus.until_waiting(1)
        source.cancel()
        await asyncio.wait({source}, timeout=0.01)
        assert not source.done()
        late = await idle.ask(request("POST", "/hook", b"{}"))
        assert (late.status, late.text) == (503, "endpoint is inactive")
        here.bus.open.set()
        assert (await running).status == 200
        await asyncio.wait({source})
        assert (await idle.ask(request("POST", "/hook", b"{}"))).status == 404


async def test_a_source_that_failed_answers_503_until_it_is_back(here: World) -> None:
    spec = WebhookSource.Spec.parse(SPEC)
    async with here.listening("other", endpoint="/other"):
        with pytest.raises(ZeroDivisionError):
            async with here.http.route(spec, here.context(), WebhookSource(spec)._receive):  # type: ignore[arg-type]
                raise ZeroDivisionError
        reply = await here.post()
        assert (reply.status, reply.text) == (503, "endpoint is inactive")
        async with here.listening():
            assert (await here.post()).status == 200


async def test_closing_answers_what_is_running_and_refuses_the_rest(here: World) -> None:
    here.bus.open.clear()
    async with here.listening(), await here.connect() as idle:
        running, port = asyncio.create_task(here.post()), here.port
        await here.bus.until_waiting(1)
        closing = asyncio.create_task(here.http.aclose())
        await asyncio.wait({closing}, timeout=0.01)
        late = await idle.ask(request("POST", "/hook", b"{}"))
        assert (late.status, late.headers["connection"]) == (503, "close")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        here.bus.open.set()
        assert (await running).status == 200
        await closing
    with pytest.raises(Unavailable):
        async with here.listening():
            pass


async def test_closing_does_not_wait_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        world(tmp_path, settings(drain_timeout=0.1)) as here,
        here.listening(),
        await here.connect() as connection,
    ):
        here.bus.open.clear()
        connection.writer.write(request("POST", "/hook", b"{}"))
        await here.bus.until_waiting(1)
        async with asyncio.timeout(30):
            await here.http.aclose()
        assert await connection.closed()
    assert "Requests are still running." in caplog.text


# --- TLS --------------------------------------------------------------------------------------------------------------


TLS = {
    "serverCertSecret": {"name": "tls", "key": "tls.crt"},
    "serverKeySecret": {"name": "tls", "key": "tls.key"},
}


def certify(here: World, name: str) -> None:
    """A self-signed certificate in the secret, and a client that trusts nothing else."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = here.secrets / "secrets" / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj"
    files = ["-keyout", str(folder / "new.key"), "-out", str(folder / "new.crt")]
    more = [f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}", *files]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    (folder / "new.key").replace(folder / "tls.key")
    (folder / "new.crt").replace(folder / "tls.crt")
    here.tls = ssl.create_default_context(cafile=str(folder / "tls.crt"))


async def test_https(here: World) -> None:
    certify(here, "first")
    async with here.listening(**TLS):
        assert (await here.post()).status == 200
        here.tls = None
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await here.post()
    assert len(here.bus.stored) == 1


async def test_a_rotated_certificate_is_used_without_a_restart(
    here: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eventsources.http.certificates.CHECK_EVERY", 0.0)
    certify(here, "first")
    key = here.secrets / "secrets" / "tls" / "tls.key"
    async with here.listening(**TLS), await here.connect() as old:
        good, first = key.read_bytes(), here.tls
        key.write_text("half of a rotation")
        assert [(await here.post()).status for _ in range(2)] == [200, 200]  # with the old pair
        assert caplog.text.count("the old one stays") == 1
        key.write_bytes(good)
        certify(here, "second")
        assert (await here.post()).status == 200
        here.tls = first
        with pytest.raises(ssl.SSLCertVerificationError):
            await here.post()
        assert (await old.ask(request("POST", "/hook", b"{}"))).status == 200


@pytest.mark.parametrize("second", [{}, TLS | {"serverKeySecret": {"name": "tls", "key": "other"}}])
async def test_one_port_has_one_tls_configuration(here: World, second: dict[str, Any]) -> None:
    certify(here, "first")
    async with here.listening("one", **TLS), here.listening("two", endpoint="/two", **TLS):
        with pytest.raises(UserError, match=r"already serves HTTPS with certificate tls/tls\.crt") as caught:
            async with here.listening("three", endpoint="/three", **second):
                pass
    assert caught.value.path == "serverCertSecret"


async def test_half_a_pair_is_not_served_in_the_clear(here: World) -> None:
    with pytest.raises(UserError, match="go together"):
        async with here.listening(serverCertSecret=TLS["serverCertSecret"]):
            pass


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_a_certificate_that_cannot_be_read_is_an_error_of_the_event(here: World, content: str | None) -> None:
    if content:
        here.secret("tls", "tls.crt", content)
        here.secret("tls", "tls.key", content)
    with pytest.raises(CredentialError, match=r"tls\.crt"):
        async with here.listening(**TLS):
            pass
    assert here.port == 0
