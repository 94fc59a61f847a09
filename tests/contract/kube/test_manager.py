"""The controllers of one process, and of two: who works, what is told, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.api_server import ApiServer
from support.breaking_kube import BreakingKube
from support.keryx import Keryx, until

from eventbus import configuration
from events.app import crds
from events.app.manager import Manager, Options, Row, Surroundings
from events.app.watched_file import WatchedFile
from events.errors import UserError
from events.kube.api import KubeApi, KubeError
from events.kube.client import connect
from events.kube.controller import Controller, Key
from events.kube.election import NotLeading, Times
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.settings import Settings

QUICK = Times(lease=1.5, renew=1.0, retry=0.2)


@pytest.fixture
async def kube(api_server: ApiServer) -> AsyncIterator[BreakingKube]:
    """Our server alone: the manager makes its own clients."""
    client = await connect(str(api_server.kubeconfig))
    yield BreakingKube(client)
    await client.aclose()
    await asyncio.sleep(0.05)


class Copies:
    """A toy: each ConfigMap with the label `of: test` has a Secret of its name, which says who made it."""

    def __init__(self, shared: Surroundings, world: Replica) -> None:
        self.shared, self.world = shared, world
        self.maps = shared.informers.of("v1", "ConfigMap", label_selector="of=test")

    def watch(self, controller: Controller) -> None:
        controller.on(self.maps)

    async def reconcile(self, key: Key) -> None:
        found = self.maps.get(key.namespace, key.name)
        self.world.seen.append(key.name)
        if found is None:
            return
        await self.world.hold.wait()
        copy = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "stringData": {"by": self.world.name},
        }
        await self.shared.applier.apply(copy, None)
        self.shared.recorder.event(found, "Normal", "Copied", f"by {self.world.name}")


class Replica:
    """One process of the controller, as far as it can share a process with another."""

    def __init__(self, server: ApiServer, space: str, name: str, **options: Any) -> None:
        self.name, self.seen, self.hold = name, list[str](), asyncio.Event()
        self.hold.set()
        self.api: KubeApi | None = None
        self.process = Process(Metrics("1"), Log("test"), grace=2.0, metrics_port=None)
        settings = Settings(image="keryx:1", namespace=space, pod_name=name, kubeconfig=str(server.kubeconfig))
        usual: dict[str, Any] = {"health_port": 0, "namespaced": True, "times": QUICK}
        self.manager = Manager(self.rows(), Options(**usual | options), settings, self.process)

    def rows(self) -> Mapping[str, Row]:
        def row(shared: Surroundings) -> Copies:
            self.api = shared.api
            return Copies(shared, self)

        return {"copy-controller": row}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replica]:
        """Until it is told to stop."""
        task = asyncio.ensure_future(self.manager.run())
        try:
            await until(lambda: task.done() or not self.process.readiness.reasons)
            yield self
        finally:
            self.process.stopping.set()
            await asyncio.wait_for(task, 20)

    def leads(self) -> bool:
        return (
            'leader_election_master_status{name="argo-events-controller"} 1.0' in self.process.metrics.text().decode()
        )


async def create(kube: BreakingKube, space: str, name: str) -> None:
    metadata = {"name": name, "labels": {"of": "test"}}
    await kube.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, namespace=space)


async def copies(kube: BreakingKube, space: str) -> list[str]:
    found = await kube.kube.list(await kube.resource("v1", "Secret"), namespace=space)
    return [one["metadata"]["name"] for one in found["items"]]


async def has(kube: BreakingKube, space: str, *names: str) -> None:
    async with asyncio.timeout(60):
        while await copies(kube, space) != list(names):
            await asyncio.sleep(0.02)


async def test_one_of_two_works_and_the_other_takes_over_when_it_ends(
    api_server: ApiServer, kube: BreakingKube, space: str
) -> None:
    a, b = Replica(api_server, space, "a"), Replica(api_server, space, "b")
    async with b.running(), a.running():
        await until(lambda: a.leads() or b.leads())
        first, second = (a, b) if a.leads() else (b, a)
        await create(kube, space, "x")
        await has(kube, space, "x")
        assert second.seen == []
        assert second.api is not None
        with pytest.raises(NotLeading):
            await second.api.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "no"}}, namespace=space
            )
        first.process.stopping.set()
        await until(second.leads, 60)
        await create(kube, space, "y")
        await has(kube, space, "x", "y")
        assert sorted(set(second.seen)) == ["x", "y"]
    events = await kube.kube.list(await kube.resource("v1", "Event"), namespace=space)
    assert {one["reason"] for one in events["items"]} == {"Copied"}
    assert {one["source"]["component"] for one in events["items"]} == {"copy-controller"}


async def test_what_is_being_reconciled_at_the_end_is_finished(
    api_server: ApiServer, kube: BreakingKube, space: str
) -> None:
    a = Replica(api_server, space, "a", leader_election=False)
    async with a.running():
        a.hold.clear()
        await create(kube, space, "x")
        await until(lambda: a.seen)
        a.process.stopping.set()
        await asyncio.sleep(0.05)
        a.hold.set()
    assert await copies(kube, space) == ["x"]


async def test_only_the_managed_namespace_is_watched(api_server: ApiServer, kube: BreakingKube, space: str) -> None:
    a = Replica(api_server, space, "a", leader_election=False, managed_namespace="default")
    async with a.running():
        await create(kube, space, "x")
        await asyncio.sleep(0.3)
        assert "x" not in a.seen


async def test_it_is_not_ready_before_it_knows_the_cluster_and_says_why(
    api_server: ApiServer, kube: BreakingKube, space: str
) -> None:
    a = Replica(api_server, space, "a", leader_election=False)
    build = a.manager._build

    def unknown(api: KubeApi) -> Any:
        informers = build(api)
        informers.of("nobody.io/v1", "Thing")
        return informers

    a.manager._build = unknown  # type: ignore[method-assign]
    task = asyncio.ensure_future(a.manager.run())
    await until(lambda: "no matches for kind 'Thing'" in str(a.process.readiness.reasons))
    a.process.stopping.set()
    await task


async def test_requests_are_counted_by_code_and_method(api_server: ApiServer, kube: BreakingKube, space: str) -> None:
    a = Replica(api_server, space, "a")
    async with a.running():
        await until(a.leads)
        text = a.process.metrics.text().decode()
    host = api_server.url.removeprefix("https://")
    assert f'rest_client_requests_total{{code="201",host="{host}",method="POST"}} 1.0' in text
    assert f'rest_client_requests_total{{code="404",host="{host}",method="GET"}} 1.0' in text


# the command


def command(server: ApiServer, folder: Path, space: str, *arguments: str) -> Keryx:
    environ = {
        "ARGO_EVENTS_IMAGE": "keryx:1",
        "NAMESPACE": space,
        "POD_NAME": folder.name,
        "KUBECONFIG": str(server.kubeconfig),
    }
    ports = ("--metrics-port", "0", "--health-port", "0", "--namespaced")
    return Keryx(folder, "controller", *ports, *arguments, environ=environ)


async def test_the_command_serves_probes_and_metrics_and_ends_when_told(
    api_server: ApiServer, kube: BreakingKube, space: str, tmp_path: Path
) -> None:
    for definition in crds.definitions():
        with contextlib.suppress(KubeError):  # somebody brought them before
            await kube.kube.create(definition)
    config = tmp_path / "controller-config.yaml"
    config.write_text(configuration.text(configuration.shipped()))
    flags = ("--leader-election=true", "--kloglevel", "3", "--config-file", str(config))
    keryx = command(api_server, tmp_path / "a", space, *flags).start()
    try:
        await keryx.says("I'm the LEADER, starting ...")
        await keryx.ready()
        async with aiohttp.ClientSession() as session:
            for line in keryx.said("Health and metrics are served"):
                for path in ("healthz", "readyz", "metrics"):
                    async with session.get(f"http://127.0.0.1:{line['port']}/{path}") as answer:
                        assert answer.status == 200, path
        config.write_text("eventBus: {jetstream: {versions: []}}")
        await keryx.says("The configuration is wrong; the last one that was right still holds")
        config.write_text(configuration.text(configuration.shipped()).replace("168h", "24h"))
        await keryx.says("The configuration changed")
        assert await keryx.stop() == 0
    finally:
        keryx.close()


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--leader-election=maybe"], {}, "'maybe' is neither true nor false"),
        (["--metrics-port", "x"], {}, "'x' is no port"),
        (["--health-port", "0", "--metrics-port", "0"], {"ARGO_EVENTS_IMAGE": ""}, "ARGO_EVENTS_IMAGE: required"),
        (["--health-port", "0", "--metrics-port", "0"], {"KUBECONFIG": "/nowhere"}, "/nowhere"),
        (["--config-file", __file__], {}, "is not YAML"),
    ],
)
async def test_what_cannot_work_is_said_at_once(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    keryx = Keryx(tmp_path, "controller", *arguments, environ={"ARGO_EVENTS_IMAGE": "keryx:1"} | environ).start()
    assert await keryx.ended() == 2
    assert said in keryx.err
    assert "Traceback" not in keryx.err


# the configuration


def number(text: str) -> int:
    if not text.strip().isdigit():
        raise UserError(f"{text!r} is not a number")
    return int(text)


async def test_a_configuration_is_followed_and_what_is_wrong_changes_nothing(tmp_path: Path) -> None:
    path, changes = tmp_path / "config", list[int]()
    file = WatchedFile(path, number, lambda: 7, Log("test"))
    assert file.current == 7

    async def settled(text: str | bytes | None, expected: int) -> None:
        if text is None:
            path.unlink()
        elif isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        await asyncio.sleep(0.1)
        await until(lambda: file.current == expected)

    running = asyncio.ensure_future(file.run(lambda: changes.append(file.current), every=0.01))
    await settled("1", 1)
    await settled("wrong", 1)
    await settled(b"\xff", 1)
    await settled("2", 2)
    await settled("2 ", 2)
    await settled(None, 7)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert changes == [1, 2, 7]


def test_a_configuration_that_is_wrong_at_the_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("wrong")
    with pytest.raises(UserError, match="not a number"):
        WatchedFile(path, number, lambda: 7, Log("test"))
