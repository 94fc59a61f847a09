"""What only the client has: a kubeconfig, credentials, deadlines, a server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from support.kube_server import Canned, KubeServer, status_of

from events.errors import ActionError, UserError
from events.kube import kubeconfig
from events.kube.api import KubeError, Resource
from events.kube.client import KubeClient, connect

POD = Resource("", "v1", "pods", "Pod", namespaced=True)
WIDGET = Resource("nobody.io", "v1", "widgets", "Widget", namespaced=True)


@pytest.fixture
async def server() -> AsyncIterator[KubeServer]:
    async with KubeServer() as server:
        yield server


@pytest.fixture
async def client(server: KubeServer, tmp_path: Path) -> AsyncIterator[KubeClient]:
    client = await connect(server.kubeconfig(tmp_path / "config"))
    yield client
    await client.aclose()


def pod(name: str = "a") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {}}


# requests


async def test_requests_are_what_an_api_server_expects(server: KubeServer, client: KubeClient) -> None:
    await client.create(pod(), namespace="ns")
    await client.get(POD, "a", namespace="ns")
    await client.list(POD, label_selector="a in (b,c)")
    await client.delete(POD, "a", namespace="ns")
    assert server.lines == [
        "GET /api/v1",
        "POST /api/v1/namespaces/ns/pods",
        "GET /api/v1/namespaces/ns/pods/a",
        "GET /api/v1/pods?labelSelector=a+in+(b,c)",
        "DELETE /api/v1/namespaces/ns/pods/a",
    ]
    assert {request.headers["User-Agent"] for request in server.requests} == {"keryx"}


async def test_discovery_is_asked_once_for_many(server: KubeServer, client: KubeClient) -> None:
    await asyncio.gather(*(client.resource("v1", kind) for kind in ("Pod", "Node", "Pod", "Secret")))
    assert server.lines == ["GET /api/v1"]


async def test_a_kind_installed_later_is_found_but_not_asked_for_all_the_time(
    server: KubeServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        with pytest.raises(KubeError, match=r"no matches for kind 'Widget' in version 'nobody\.io/v1'"):
            await client.resource("nobody.io/v1", "Widget")
    assert server.lines == ["GET /apis/nobody.io/v1"]
    server.kube.register(WIDGET)
    monkeypatch.setattr("events.kube.client._REDISCOVER", 0.0)
    assert await client.resource("nobody.io/v1", "Widget") == WIDGET


async def test_a_group_version_that_is_none_is_not_asked_for(server: KubeServer, client: KubeClient) -> None:
    for api_version in ("a/b/c", "../v1", "a/..", "/"):
        with pytest.raises(KubeError, match="400"):
            await client.resource(api_version, "Pod")
    assert server.lines == []


# answers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Canned(403, json.dumps(status_of(KubeError(403, "Forbidden", "no"))).encode()), r"no \(403 Forbidden\)"),
        (Canned(502, b"<html>bad gateway"), r"<html>bad gateway \(502 Bad Gateway\)"),
        (Canned(500, b""), r"GET /api/v1/pods refused \(500"),
        (Canned(500, b"[]"), r"\(500"),
        (Canned(200, b"[]"), "is not an object"),
        (Canned(200, b"hello"), "is not JSON"),
        (Canned(307, b"", {"Location": "http://elsewhere.invalid/"}), r"\(307"),
    ],
)
async def test_an_answer_that_is_no_object_is_an_error(
    server: KubeServer, client: KubeClient, answer: Canned, error: str
) -> None:
    server.canned.append(answer)
    with pytest.raises(ActionError, match=error):
        await client.list(POD)


async def test_a_read_waits_as_long_as_the_server_asks(server: KubeServer, client: KubeClient) -> None:
    server.canned.extend([Canned(429, headers={"Retry-After": "0"}), Canned(503, headers={"Retry-After": "0"})])
    assert (await client.list(POD))["items"] == []
    assert len(server.lines) == 3


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"Retry-After": "soon"}, {}])
async def test_a_wait_that_is_too_long_or_unsaid_is_an_error(
    server: KubeServer, client: KubeClient, headers: dict[str, str]
) -> None:
    server.canned.append(Canned(429, headers=headers))
    with pytest.raises(KubeError, match="429"):
        await client.list(POD)
    assert len(server.lines) == 1


async def test_a_write_is_not_repeated_and_reads_are_not_for_ever(server: KubeServer, client: KubeClient) -> None:
    await client.resource("v1", "Pod")
    server.canned.extend([Canned(429, headers={"Retry-After": "0"})] * 9)
    with pytest.raises(KubeError, match="429"):
        await client.create(pod(), namespace="ns")
    assert len(server.lines) == 2
    with pytest.raises(KubeError, match="429"):
        await client.list(POD)
    assert len(server.lines) == 2 + 5


async def test_an_answer_without_end_is_cut_off(server: KubeServer, tmp_path: Path) -> None:
    client = KubeClient(server.kubeconfig(tmp_path / "config"), max_body=1000)
    server.canned.append(Canned(200, b"x" * 5000))
    with pytest.raises(ActionError, match="over 1000 bytes"):
        await client.list(POD)
    await client.aclose()


async def test_a_server_that_says_nothing_meets_the_deadline(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    server = KubeServer()
    server.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    client = await connect(server.kubeconfig(tmp_path / "config"), deadline=0.05)
    with pytest.raises(ActionError, match=rf"GET {server.url}/api/v1/pods: no answer within 0.05 s"):
        await client.list(POD)
    await client.aclose()
    await gone.wait()
    silent.close()
    await silent.wait_closed()


async def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    server = KubeServer()
    server.url = "http://127.0.0.1:1"
    client = await connect(server.kubeconfig(tmp_path / "config"))
    with pytest.raises(ActionError, match=r"GET http://127.0.0.1:1/api/v1/pods: no answer from the API server"):
        await client.list(POD)
    with pytest.raises(ActionError, match=r"\(watch\): no answer from the API server"):
        await anext(client.watch(POD))
    await client.aclose()


# watches


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n',
            "old .410 Exp",
        ),
        (b'{"type":"ERROR","object":null}\n', "without a Status"),
        (b'{"type":"ADDED"', "broke off in the middle"),
        (b"hello\n", "cannot be read"),
        (b"[]\n", "cannot be read"),
        (b'{"type":"ADDED"}\n', "cannot be read"),
    ],
)
async def test_a_watch_that_goes_wrong_is_an_error(
    server: KubeServer, client: KubeClient, body: bytes, error: str
) -> None:
    server.canned.append(Canned(200, b'\n{"type":"BOOKMARK","object":{}}\n' + body))
    events = client.watch(POD)
    assert await anext(events) == {"type": "BOOKMARK", "object": {}}
    with pytest.raises(ActionError, match=error):
        await anext(events)


async def test_a_refused_watch_is_an_error(server: KubeServer, client: KubeClient) -> None:
    server.canned.append(Canned(403, json.dumps(status_of(KubeError(403, "Forbidden", "no"))).encode()))
    with pytest.raises(KubeError, match="Forbidden"):
        await anext(client.watch(POD))


async def test_a_watch_event_without_end_is_cut_off(
    server: KubeServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("events.kube.client.MAX_WATCH_EVENT", 1000)
    server.canned.append(Canned(200, b"x" * 5000))
    with pytest.raises(ActionError, match="over 1000 bytes"):
        await anext(client.watch(POD))


async def test_an_abandoned_watch_lets_go_of_its_connection(server: KubeServer, client: KubeClient) -> None:
    await client.create(pod(), namespace="ns")
    events = client.watch(POD)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    link = await client._connection.link()
    assert not link.session.connector._acquired


# credentials


async def test_a_token_is_sent(server: KubeServer, tmp_path: Path) -> None:
    server.tokens = {"sesame"}
    client = await connect(server.kubeconfig(tmp_path / "config", {"token": "sesame"}))
    assert (await client.list(POD))["items"] == []
    await client.aclose()


async def test_a_refused_token_is_read_again_once(server: KubeServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    client = await connect(server.kubeconfig(tmp_path / "config", {"tokenFile": str(tmp_path / "token")}))
    server.tokens = {"old"}
    await client.list(POD)
    (tmp_path / "token").write_text("new")
    server.tokens = {"new"}
    await asyncio.gather(*(client.list(POD) for _ in range(5)))
    assert len(server.lines) == 1 + 5 + 5
    server.tokens = set()
    with pytest.raises(KubeError, match="401"):
        await client.list(POD)
    assert len(server.lines) == 12, "and not again at once"
    await client.aclose()


async def test_a_credential_plugin_is_run_again_when_its_token_is_refused(server: KubeServer, tmp_path: Path) -> None:
    script = tmp_path / "plugin"
    script.write_text(
        f'#!/bin/sh\necho run >>{tmp_path}/runs\necho \'{{"apiVersion":"client.authentication.k8s.io/v1",'
        f'"kind":"ExecCredential","status":{{"token":"\'$(cat {tmp_path}/now)\'"}}}}\'\n'
    )
    script.chmod(stat.S_IRWXU)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "args": []}}
    (tmp_path / "now").write_text("one")
    client = await connect(server.kubeconfig(tmp_path / "config", user))
    server.tokens = {"one"}
    await client.list(POD)
    await client.list(POD)
    (tmp_path / "now").write_text("two")
    server.tokens = {"two"}
    await client.list(POD)
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    await client.aclose()


async def test_credentials_that_cannot_be_renewed_are_worth_another_attempt(server: KubeServer, tmp_path: Path) -> None:
    file = tmp_path / "config"
    client = await connect(server.kubeconfig(file, {"token": "old"}))
    server.tokens = {"new"}
    file.unlink()
    with pytest.raises(ActionError, match=r"refused our credentials, new ones: .*no such file"):
        await client.list(POD)
    await client.aclose()


async def test_the_token_of_a_pod_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    (tmp_path / "ca.crt").write_text(Path(certifi.where()).read_text())
    monkeypatch.setattr(kubeconfig, "ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    client = await connect()
    link = await client._connection.link()
    assert link.server == "https://10.0.0.1:443"
    assert await link.headers() == {"authorization": "Bearer first"}
    token.write_text("second")
    assert await link.headers() == {"authorization": "Bearer first"}
    now = time.monotonic()
    monkeypatch.setattr(kubeconfig.time, "monotonic", lambda: now)
    now += 120
    assert await link.headers() == {"authorization": "Bearer second"}
    token.unlink()
    now += 120
    with pytest.raises(ActionError, match=r"no credentials for https://10\.0\.0\.1:443"):
        await link.headers()
    await client.aclose()


async def test_a_pod_without_an_account_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "ACCOUNT", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(UserError, match="service account of this pod: cannot be used: Service token file"):
        await connect()


async def test_a_watch_renews_credentials_too(server: KubeServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    client = await connect(server.kubeconfig(tmp_path / "config", {"tokenFile": str(tmp_path / "token")}))
    server.tokens = {"new"}
    (tmp_path / "token").write_text("new")
    await server.kube.create(pod(), namespace="ns")
    events = client.watch(POD)
    assert (await anext(events))["type"] == "ADDED"
    await events.aclose()  # type: ignore[attr-defined]
    await client.aclose()


# configuration


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "no such file"),
        ("a: [b", "cannot be used"),
        ("hello", "is not a usable kubeconfig"),
        ("{}", "Expected key current-context"),
        ("{current-context: x, contexts: [], clusters: [], users: []}", "Expected object with name x"),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c}}], users: [], "
            "clusters: [{name: c, cluster: {insecure-skip-tls-verify: true}}]}",
            "the cluster has no server",
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], users: [], clusters: []}",
            "Expected object with name c",
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: "
            "{server: 'https://h', certificate-authority: /nowhere.crt}}], users: [{name: u, user: {token: t}}]}",
            "/nowhere.crt",
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: "
            "{server: 'http://h'}}], users: [{name: u, user: {exec: {apiVersion: v1, command: /bin/false}}}]}",
            "credential plugin '/bin/false' gave no credentials",
        ),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, text: str | None, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with caplog.at_level(logging.CRITICAL), pytest.raises(UserError, match=error) as caught:
        await connect(str(file))
    assert str(file) in str(caught.value)


async def test_a_context_can_be_chosen(server: KubeServer, tmp_path: Path) -> None:
    file = server.kubeconfig(tmp_path / "config")
    client = await connect(file, context="here")
    assert (await client.list(POD))["items"] == []
    await client.aclose()
    with pytest.raises(UserError, match="Expected object with name there"):
        await connect(file, context="there")


async def test_no_configuration_at_all_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match="no Kubernetes API: not in a pod"):
        await connect()


async def test_a_closed_client_stays_closed(client: KubeClient) -> None:
    await client.aclose()
    with pytest.raises(ActionError, match="closed"):
        await client.list(POD)


async def test_a_client_that_was_never_used_can_be_closed() -> None:
    await KubeClient("/nowhere").aclose()
