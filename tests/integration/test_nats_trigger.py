"""The nats trigger against a real nats-server on loopback. Contract: sensors D.7; X6, R19."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from nats.aio.client import Client
from support.nats_server import Line, NatsServer
from support.triggers import context, fire, firing, secret, value

from events.errors import ActionError, ParameterError
from sensors.triggers import nats as nats_trigger
from sensors.triggers.nats import NatsSpec, NatsTrigger


@asynccontextmanager
async def running(tmp_path: Path, config: str = "") -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", config)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running(tmp_path, "max_payload: 4096") as one:
        yield one


@asynccontextmanager
async def listening(url: str, **options: Any) -> AsyncIterator[list[tuple[str, bytes]]]:
    heard: list[tuple[str, bytes]] = []

    async def hear(message: Any) -> None:
        heard.append((message.subject, message.data))

    client: Client = await nats.connect(url, **options)
    try:
        await client.subscribe(">", cb=hear)
        await client.flush()
        yield heard
        await client.flush()
    finally:
        await client.close()


@asynccontextmanager
async def trigger(root: Path, url: str, **spec: Any) -> AsyncIterator[NatsTrigger]:
    given = {"url": url, "subject": "orders.made", "payload": [value("v", "name")]} | spec
    one = NatsTrigger(NatsSpec.parse(given), context(root))
    try:
        yield one
    finally:
        await one.aclose()


async def test_a_message_is_published(server: NatsServer, tmp_path: Path) -> None:
    async with listening(server.url) as heard, trigger(tmp_path, server.url) as one:
        await fire(one, firing({"v": "Ada"}))
        await fire(one, firing({"v": "Grace"}))
    assert heard == [("orders.made", b'{"name":"Ada"}'), ("orders.made", b'{"name":"Grace"}')]


async def test_parameters_choose_the_subject(server: NatsServer, tmp_path: Path) -> None:  # X6
    async with listening(server.url) as heard, trigger(tmp_path, server.url) as one:
        await fire(one, subject="orders.paid", payload=[])
    assert heard == [("orders.paid", b"")]


@pytest.mark.parametrize("subject", ["", "a b", "a..b", ".a", "a.", "a.*", ">", "a.>", "a\r\nPUB x 1\r\nx", "a\tb"])
async def test_what_is_no_subject_is_not_tried_again(server: NatsServer, tmp_path: Path, subject: str) -> None:
    async with listening(server.url) as heard, trigger(tmp_path, server.url) as one:
        with pytest.raises(ParameterError, match="is not a subject"):
            await fire(one, subject=subject)
    assert not heard


async def test_a_message_over_the_servers_limit_is_the_events_fault(server: NatsServer, tmp_path: Path) -> None:
    async with trigger(tmp_path, server.url) as one:
        with pytest.raises(ParameterError, match="the server takes 4096"):
            await fire(one, firing({"v": "x" * 5000}))
        await fire(one)


async def test_of_several_servers_one_is_enough(server: NatsServer, tmp_path: Path, unused_tcp_port: int) -> None:
    urls = f"nats://127.0.0.1:{unused_tcp_port}, {server.url}"
    # The client shuffles them: with several connections the one that is away is tried first by some.
    async with listening(server.url) as heard:
        for _ in range(8):
            async with trigger(tmp_path, urls) as one:
                await fire(one)
    assert len(heard) == 8


async def test_a_server_that_is_away_is_a_failed_attempt_and_used_when_it_is_back(
    server: NatsServer, tmp_path: Path
) -> None:
    async with trigger(tmp_path, server.url) as one:
        await fire(one)
        server.kill()
        for _ in range(2):
            with pytest.raises(ActionError, match=r"nats://127\.0\.0\.1"):
                await fire(one)
        await server.start()
        async with listening(server.url) as heard:
            await fire(one, firing({"v": "back"}))
        # What failed was not kept and sent later.
        assert heard == [("orders.made", b'{"name":"back"}')]


async def test_a_silent_line_holds_up_nobody(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R8
    monkeypatch.setattr(nats_trigger, "SECONDS", 1)
    line = Line(server.port)
    await line.mend()
    try:
        async with trigger(tmp_path, line.url) as one:
            await fire(one)
            line.silent = True
            started = asyncio.get_running_loop().time()
            with pytest.raises(ActionError, match="127"):
                await fire(one)
            assert asyncio.get_running_loop().time() - started < 20
            line.silent = False
            await fire(one)
    finally:
        await line.cut()


async def test_a_user_who_may_not_publish_there_is_told(tmp_path: Path) -> None:
    config = 'authorization { users = [{user: ada, password: "pa:ss", permissions: {publish: ["allowed"]}}] }'
    auth = {"basic": {"username": secret("user"), "password": secret("password")}}
    async with running(tmp_path, config) as server, trigger(tmp_path, server.url, auth=auth) as one:
        await fire(one, subject="allowed")
        with pytest.raises(ActionError, match=r"(?i)permissions violation"):
            await fire(one)
        await fire(one, subject="allowed")


@pytest.mark.parametrize(
    ("config", "auth", "message"),
    [
        ('authorization { token: "t0ken" }', {"token": secret("token")}, ""),
        ('authorization { token: "t0ken" }', {}, r"(?i)authorization"),
        ('authorization { token: "other" }', {"token": secret("token")}, r"(?i)authorization"),
        (
            'authorization { user: ada, password: "pa:ss" }',
            {"basic": {"username": secret("user"), "password": secret("password")}, "token": secret("nope")},
            "",
        ),
    ],
)
async def test_ways_to_log_in(tmp_path: Path, config: str, auth: Any, message: str) -> None:
    async with running(tmp_path, config) as server, trigger(tmp_path, server.url, auth=auth) as one:
        if message:
            with pytest.raises(ActionError, match=message):
                await fire(one)
        else:
            await fire(one)


async def test_an_nkey(tmp_path: Path) -> None:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    place = tmp_path / "secrets" / "creds"
    place.mkdir(parents=True)
    (place / "seed").write_bytes(seed + b"\n")
    config, auth = f"authorization {{ users = [{{nkey: {public}}}] }}", {"nkey": secret("seed")}
    async with running(tmp_path, config) as server, trigger(tmp_path, server.url, auth=auth) as one:
        await fire(one)


async def test_a_token_is_read_anew(tmp_path: Path) -> None:
    config = 'authorization { token: "t0ken" }'
    async with (
        running(tmp_path, config) as server,
        trigger(tmp_path, server.url, auth={"token": secret("token")}) as one,
    ):
        await fire(one)
        (tmp_path / "secrets/creds/token").write_text("wrong")
        with pytest.raises(ActionError, match=r"(?i)authorization"):
            await fire(one)


async def test_a_password_in_the_url_is_not_shown(tmp_path: Path, unused_tcp_port: int) -> None:
    async with trigger(tmp_path, f"nats://ada:s3cret@127.0.0.1:{unused_tcp_port}") as one:
        with pytest.raises(ActionError) as error:
            await fire(one)
    assert "s3cret" not in str(error.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", pem]
    subprocess.run([*new, *subject], check=True, capture_output=True)
    return pem, key


async def test_tls_is_verified(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    pem, key = certificate
    async with running(tmp_path, f'tls {{ cert_file: "{pem}", key_file: "{key}" }}') as server:
        around = tmp_path / "secrets" / "creds"
        around.mkdir(parents=True)
        (around / "ca").write_text(pem.read_text())
        tls = ssl.create_default_context(cafile=str(pem))
        async with listening(server.url, tls=tls) as heard:
            async with trigger(tmp_path, server.url, tls={"caCertSecret": secret("ca")}) as one:
                await fire(one)
            async with trigger(tmp_path, server.url, tls={"enabled": True}) as one:
                with pytest.raises(ActionError, match=r"(?i)certificate|tls"):
                    await fire(one)
        assert len(heard) == 1


async def test_a_server_without_tls_learns_no_password_of_who_asks_for_tls(tmp_path: Path) -> None:
    auth = {"basic": {"username": secret("user"), "password": secret("password")}}
    spec: dict[str, Any] = {"auth": auth, "tls": {"enabled": True}}
    config = 'authorization { user: ada, password: "pa:ss" }'
    async with running(tmp_path, config) as server, trigger(tmp_path, server.url, **spec) as one:
        with pytest.raises(ActionError, match="offers no TLS"):
            await fire(one)
