"""`keryx run` as a user runs it: the walk-through, what it creates, credentials, buses, the end."""

from __future__ import annotations

import base64
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support.keryx import (
    Sink,
    dependency,
    exotic,
    http_sink,
    keryx,
    obj,
    poster,
    relay,
    run_to_end,
    until,
    webhook,
    write,
)
from support.kube_server import KubeServer
from support.nats_server import NatsServer
from support.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with http_sink() as sink:
        yield sink


@pytest.fixture
def port() -> int:
    return free_port()


def config_map_sensor(**source: Any) -> dict[str, Any]:
    """A sensor that creates a ConfigMap with `body.number`."""
    resource = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": "made-", "namespace": "default"},
        "data": {"number": ""},
    }
    k8s = {
        "operation": "create",
        "source": {"resource": resource},
        "parameters": [{"src": {"dependencyName": "posted", "dataKey": "body.number"}, "dest": "data.number"}],
    }
    trigger = {"template": {"name": "make", "k8s": k8s}, "atLeastOnce": True}
    return obj("Sensor", "maker", {"dependencies": [dependency()], "triggers": [trigger]})


# ---- what it does


async def test_the_walk_through_prints_its_endpoint_and_the_workflow_and_nothing_else(
    tmp_path: Path, port: int
) -> None:
    source = tmp_path / "in" / "walk.yaml"
    files = sorted((EXAMPLES / "tutorials" / "webhook-workflow").glob("*.yaml"))
    source.parent.mkdir()
    source.write_text("\n---\n".join(file.read_text() for file in files).replace("9100", str(port)))
    async with keryx(tmp_path, "run", source.parent, "--dry-run", "--data", tmp_path / "data") as run:
        listening = await run.says("Listening")
        assert listening["url"] == f"http://localhost:{port}/example"
        async with aiohttp.ClientSession() as session:
            for text in ("one", "two"):
                answer = await session.post(f"http://localhost:{port}/example", json={"message": text})
                assert (answer.status, await answer.text()) == (200, "success")
        await until(lambda: run.out.count("kind: Workflow") == 2)
        assert await run.stop() == 0
    documents = list(yaml.safe_load_all(run.out))
    assert [one["kind"] for one in documents] == ["Workflow", "Workflow"]
    said = [one["spec"]["arguments"]["parameters"][0]["value"] for one in documents]
    assert said == ["one", "two"]


async def test_objects_are_created_in_the_cluster_of_the_kubeconfig(tmp_path: Path, port: int) -> None:
    write(tmp_path / "in/all.yaml", webhook(port), config_map_sensor())
    async with KubeServer() as cluster, poster(port) as posts:
        config = cluster.kubeconfig(tmp_path / "config")
        async with keryx(tmp_path, "run", tmp_path / "in", "--kubeconfig", config, "--data", tmp_path / "data") as run:
            await run.says("Listening")
            assert await posts.post(7) == 200
            await until(lambda: any(line.startswith("POST") for line in cluster.lines), what=lambda: run.err)
            kind = await cluster.kube.resource("v1", "ConfigMap")
            made = (await cluster.kube.list(kind, namespace="default"))["items"]
            assert [one["data"]["number"] for one in made] == ["7"]


async def test_health_is_served_on_the_port_that_the_log_names(tmp_path: Path, port: int, sink: Sink) -> None:
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True))
    async with keryx(tmp_path, "run", tmp_path / "in", "--metrics-port", "0", "--data", tmp_path / "data") as run:
        await run.ready()
        metrics = await run.metrics()
        assert metrics['argo_events_bus_connected{bus="default/default"}'] == 1
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{await run.health_port()}/healthz")
            assert answer.status == 200
        assert await run.stop() == 0


async def test_secrets_of_the_folder_are_used_and_kept_from_others(tmp_path: Path, port: int, sink: Sink) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "door"},
        "data": {"token": base64.b64encode(b"let-me-in").decode()},
    }
    source = webhook(port, authSecret={"name": "door", "key": "token"})
    write(tmp_path / "in/all.yaml", source, relay(sink.url, at_least_once=True))
    write(tmp_path / "in/secret.yaml", secret)
    data = tmp_path / "data"
    async with keryx(tmp_path, "run", tmp_path / "in", "--data", data, "--watch") as run, poster(port) as posts:
        await run.says("Listening")
        assert await posts.post(1) == 401
        await _post(port, "let-me-in", 200)
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        kept = list((data / "credentials").rglob("*"))
        assert kept
        assert all(stat.S_IMODE(one.stat().st_mode) & 0o077 == 0 for one in kept)
        # A rotated secret is used without a restart.
        write(tmp_path / "in/secret.yaml", secret | {"data": {}, "stringData": {"token": "new"}})
        await run.says("Reloaded")
        await _post(port, "let-me-in", 401)
        await _post(port, "new", 200)
        assert "let-me-in" not in run.err
        assert await run.stop() == 0
    assert not (data / "credentials").exists()


async def _post(port: int, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        answer = await session.post(f"http://127.0.0.1:{port}/posted", json={"number": 1})
        assert answer.status == status


async def test_secrets_of_a_folder_of_credentials_are_used(tmp_path: Path, port: int, sink: Sink) -> None:
    source = webhook(port, authSecret={"name": "door", "key": "token"})
    write(tmp_path / "in/all.yaml", source, relay(sink.url, at_least_once=True))
    file = tmp_path / "mine/secrets/door/token"
    file.parent.mkdir(parents=True)
    file.write_text("let-me-in\n")
    async with keryx(
        tmp_path, "run", tmp_path / "in", "--credentials", tmp_path / "mine", "--data", tmp_path / "data"
    ) as run:
        await run.says("Listening")
        await _post(port, "let-me-in", 200)
        await _post(port, "other", 401)
    assert file.exists()


# ---- buses that are elsewhere


@pytest.mark.parametrize("with_password", [False, True])
async def test_a_bus_that_is_already_there(tmp_path: Path, port: int, sink: Sink, with_password: bool) -> None:
    users = 'authorization { users: [ { user: "me", password: "p:w@rd" } ] }'
    server = NatsServer(tmp_path / "nats", users if with_password else "")
    await server.start()
    documents = [webhook(port), relay(sink.url, at_least_once=True)]
    if with_password:
        auth = {"stringData": {"auth": "username: me\npassword: p:w@rd\n"}}
        documents.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bus"}, **auth})
        documents.append(exotic(server.url, accessSecret={"name": "bus", "key": "auth"}))
    else:
        documents.append(exotic(server.url))
    write(tmp_path / "in/all.yaml", *documents)
    try:
        async with keryx(tmp_path, "run", tmp_path / "in", "--data", tmp_path / "data") as run, poster(port) as posts:
            await run.says("Listening")
            assert await posts.post(1) == 200
            await until(lambda: sink.numbers == [1], what=lambda: run.err)
            assert not (tmp_path / "data/bus").exists()
            assert "p:w@rd" not in run.err
            assert await run.stop() == 0
    finally:
        server.kill()


async def test_a_bus_that_is_not_there_yet_is_waited_for(tmp_path: Path, port: int, sink: Sink) -> None:
    server = NatsServer(tmp_path / "nats")
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True), exotic(server.url))
    try:
        async with keryx(tmp_path, "run", tmp_path / "in", "--data", tmp_path / "data") as run, poster(port) as posts:
            await run.says("Listening")
            async with aiohttp.ClientSession() as session:
                answer = await session.post(posts.url, json={"number": 1})
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) >= 1
            await server.start()
            # Whatever is accepted from now on is acted on, also before the sensor has subscribed for the first time.
            await posts.post_until_accepted(2)
            await until(lambda: 2 in sink.numbers, what=lambda: run.err)
            assert run.count < 30
            assert await run.stop() == 0
    finally:
        server.kill()


async def test_it_ends_within_its_grace_while_the_bus_is_away(tmp_path: Path, port: int, sink: Sink) -> None:
    server = NatsServer(tmp_path / "nats")
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True), exotic(server.url))
    await server.start()
    async with (
        keryx(tmp_path, "run", tmp_path / "in", "--data", tmp_path / "data", "--grace", "3") as run,
        poster(port) as posts,
    ):
        await run.says("Listening")
        await posts.post_until_accepted(1)
        server.kill()
        await run.says("Lost the bus")
        run.signal(signal.SIGTERM)
        assert await run.ended(8) == 0


# ---- the end


async def test_a_second_signal_ends_it_at_once_and_leaves_no_secret(tmp_path: Path, port: int, sink: Sink) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True), secret)
    sink.hold = True
    async with keryx(tmp_path, "run", tmp_path / "in", "--data", tmp_path / "data") as run, poster(port) as posts:
        await run.says("Listening")
        await posts.post(1)
        await until(lambda: sink.bodies)
        run.signal(signal.SIGTERM)
        await run.says("Stopping")
        assert (tmp_path / "data/credentials").exists()
        run.signal(signal.SIGTERM)
        assert await run.ended(2) == 1
    assert not (tmp_path / "data/credentials").exists()


async def test_two_on_one_data_directory_do_not_meet(tmp_path: Path, sink: Sink) -> None:
    ports = free_port(), free_port()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    for number, one in enumerate(ports):
        write(tmp_path / f"in{number}/all.yaml", webhook(one), relay(sink.url, at_least_once=True), secret)
    data = tmp_path / "data"
    async with keryx(tmp_path / "first", "run", tmp_path / "in0", "--data", data) as run:
        await run.says("Listening")
        assert run.process is not None
        second = run_to_end("run", tmp_path / "in1", "--data", data)
        assert second.returncode == 2
        assert f"in use by another keryx (pid {run.process.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        assert (data / "credentials/secrets/s/k").exists()
        async with poster(ports[0]) as posts:
            assert await posts.post(1) == 200
        # Killed, it does not stand in the way of the next one, and its secrets do not stay.
        run.kill()
    async with keryx(tmp_path / "next", "run", tmp_path / "in1", "--data", data) as run:
        await run.says("Listening")
        assert await run.stop() == 0
    assert not (data / "credentials").exists()


async def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path, sink: Sink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True))
        result = run_to_end("run", tmp_path / "in", "--data", tmp_path / "data")
    assert result.returncode == 2
    said = f"all.yaml:9:7: EventSource/hooks: spec.webhook.posted.port: cannot listen on 127.0.0.1:{port}"
    assert said in result.stderr
    assert not (tmp_path / "data/bus").exists()


async def test_a_port_that_is_taken_later_is_tried_until_it_is_free(tmp_path: Path, port: int, sink: Sink) -> None:
    write(tmp_path / "in/all.yaml", webhook(port), relay(sink.url, at_least_once=True))
    async with keryx(tmp_path, "run", tmp_path / "in", "--data", tmp_path / "data", "--watch") as run:
        await run.says("Listening")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            second = taken.getsockname()[1]
            write(tmp_path / "in/more.yaml", webhook(second, "more"))
            await run.says("The event source ended; it is started again")
            async with poster(port) as posts:
                assert await posts.post(1) == 200
        async with poster(second) as posts:
            await posts.post_until_accepted(2)
