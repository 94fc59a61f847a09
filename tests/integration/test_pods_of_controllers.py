"""What our controllers make, started as real processes on a real nats-server: events flow."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import dependents
from support.breaking_kube import BreakingKube
from support.keryx import Sink, http_sink, poster, until
from support.nats_server import NatsServer, free_port
from support.pods import Pod, secret

from events.kube.memory import MemoryKube

USERS = 'authorization { users: [ {user: "old", password: "one"}, {user: "new", password: "two"} ] }\n'


class Cluster(dependents.World):
    """The controllers on an API in memory, and a kubelet for what they make."""

    def __init__(self, kube: BreakingKube, folder: Path) -> None:
        super().__init__(kube, "default")
        self.folder, self.pods = folder, list[Pod]()

    async def things(self) -> dict[tuple[str, str], Any]:
        found = [*await self.all("ConfigMap", "v1", ""), *await self.all("Secret", "v1", "")]
        return {(one["kind"], one["metadata"]["name"]): one for one in found}

    async def start(self, word: str) -> Pod:
        """A pod of the Deployment as it is now."""
        deployment = next(one for one in await self.all("Deployment") if f"-{word}-" in one["metadata"]["name"])
        pod = Pod(self.folder / f"{word}-{len(self.pods)}", deployment, await self.things())
        pod.keryx.start()
        self.pods.append(pod)
        return pod

    async def settled(self) -> None:
        """Returns once the controllers have made all there is to make."""

        async def both() -> bool:
            return len(await self.all("Deployment")) == 2

        await self.until(both, "two Deployments")
        await self.quiet(0.2)


@asynccontextmanager
async def cluster(folder: Path, url: str) -> AsyncIterator[Cluster]:
    made = Cluster(BreakingKube(MemoryKube()), folder)
    await made.kube.kube.create(secret("bus-user", auth="username: old\npassword: one\n"), namespace="default")
    await made.bus(config={"jetstream": {"url": url, "accessSecret": {"name": "bus-user", "key": "auth"}}})
    try:
        yield made
    finally:
        for pod in made.pods:
            pod.keryx.close()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", USERS)
    await server.start()
    yield server
    server.kill()


def tell(sink: Sink, name: str, **more: Any) -> dict[str, Any]:
    source = {"dependencyName": "d", "dataKey": "body.number", "useRawData": True}
    payload = [
        {"src": source, "dest": "number"},
        {"src": {"dependencyName": "d", "dataKey": "none", "value": name}, "dest": "by"},
    ]
    http = {"url": sink.url, "method": "POST", "payload": payload}
    return {"template": {"name": name, "http": http | more}, "atLeastOnce": True}


def numbers(sink: Sink, by: str) -> list[int]:
    return [body["number"] for body in sink.bodies if body["by"] == by]


async def test_what_the_controllers_make_runs(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with cluster(tmp_path, nats.url) as here, http_sink() as sink, poster(port) as posts:
        hook = {"endpoint": "/posted", "port": str(port), "method": "POST"}
        await here.source(webhook={"ev": hook, "bad": hook | {"endpoint": "nowhere"}})
        await here.sensor("one", tell(sink, "first"), tell(sink, "bad", url=""), loggingFields={"team": "blue"})
        async with here.controllers():
            await here.settled()
            source = await here.start("eventsource")
            await source.keryx.ready()
            # Before there is any pod of the Sensor: it was created, and that counts.
            await posts.post_until_accepted(1)
            old = await here.start("sensor")
            await old.keryx.ready()
            assert (await old.keryx.says("Sensor started."))["team"] == "blue"
            await until(lambda: numbers(sink, "first") == [1], 30, lambda: f"{sink.bodies} {old.keryx.err}")

            # An edit rolls the pods: the new one stands by until the old one has gone.
            here.now = here.now.replace(year=2099)  # its appearance lies ahead: what is there now is not for it
            await here.change("Sensor", "one", {"spec": {"triggers": [tell(sink, "first"), tell(sink, "second")]}})
            await here.quiet(0.2)
            new = await here.start("sensor")
            await new.keryx.ready()
            await posts.post_until_accepted(2)
            assert await old.keryx.stop() == 0
            await new.keryx.says("Sensor started.")
            await until(lambda: numbers(sink, "first") == [1, 2], 30, lambda: f"{sink.bodies} {new.keryx.err}")
            assert numbers(sink, "second") == []

            # A trigger that is removed is forgotten; another bus user is taken without a restart.
            await here.change("Sensor", "one", {"spec": {"triggers": [tell(sink, "first")]}})
            other = secret("bus-user", auth="username: new\npassword: two\n")["data"]
            await here.change("Secret", "bus-user", {"data": other}, "v1")
            await here.quiet(0.2)
            last = await here.start("sensor")
            await last.keryx.ready()
            assert await new.keryx.stop() == 0
            await last.keryx.says("Forgot a trigger", 30)
            source._things = await here.things()
            source.project()
            await source.keryx.says("Connected to the bus with new credentials", 60)
            await posts.post_until_accepted(3)
            await until(lambda: numbers(sink, "first") == [1, 2, 3], 30, lambda: f"{sink.bodies} {last.keryx.err}")
            assert await last.keryx.stop() == 0
            assert await source.keryx.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="workers share ports on Linux only")
async def test_a_large_object_with_workers_runs(tmp_path: Path, nats: NatsServer) -> None:
    port = free_port()
    async with cluster(tmp_path, nats.url) as here, http_sink() as sink, poster(port) as posts:
        hook = {"endpoint": "/posted", "port": str(port), "method": "POST"}
        large = {f"key-{number}": "x" * 1000 for number in range(600)}
        await here.source(webhook={"ev": hook, "other": hook | {"endpoint": "/other", "metadata": large}}, workers=2)
        await here.sensor("one", tell(sink, "first"))
        async with here.controllers():
            await here.settled()
            source, sensor = await here.start("eventsource"), await here.start("sensor")
            assert (source.root / "etc/keryx/object.json.gz").is_file()
            for pod in (source, sensor):
                await pod.keryx.ready(60)
            await posts.post_until_accepted(1)
            await until(lambda: numbers(sink, "first") == [1], 30, lambda: f"{sink.bodies} {sensor.keryx.err}")
            assert await source.keryx.stop(30) == 0
