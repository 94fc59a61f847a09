"""The resource source against an API server on a socket: each change once, over outages, 410 and restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.event_sources import Member, events, until
from support.kube_server import Canned, KubeServer

from eventbus.memory import MemoryBroker
from events.errors import Unavailable
from events.kube.api import Resource
from events.kube.client import connect
from eventsources.service import EventRunner
from eventsources.sources.resource import ResourceSource, ResourceSpec

POD = Resource("", "v1", "pods", "Pod", namespaced=True)
ALL = {"version": "v1", "resource": "pods", "eventTypes": ["ADD", "UPDATE", "DELETE"]}


def pod(name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns"} | fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}} | fields


class Cluster:
    """An API server, a bus, and a source between them."""

    def __init__(self, server: KubeServer, root: Path) -> None:
        self.server, self.kube, self.broker = server, server.kube, MemoryBroker()
        self._root = root
        self.member = Member(self.broker)

    @asynccontextmanager
    async def running(self, **fields: Any) -> AsyncIterator[None]:
        """Another life of the source."""
        member = self.member = Member(self.broker)
        client = await connect(self.server.kubeconfig(self._root / "config"))
        member.shared.clients.kube = lambda: client  # type: ignore[method-assign]
        source = ResourceSource(ResourceSpec.parse(ALL | fields))
        task = asyncio.create_task(EventRunner(source, "resource", "ev", "src", member.shared).run())
        try:
            await until(lambda: member.number("event_service_running_total", None) == 1)
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await client.aclose()

    @property
    def data(self) -> list[dict[str, Any]]:
        return [orjson.loads(event.data or b"") for event in events(self.broker)]

    @property
    def seen(self) -> list[str]:
        """`ADD a`, and of an update its number: `UPDATE a 2`."""
        found = [
            (one["type"], one["body"]["metadata"]["name"], one["body"].get("spec", {}).get("n")) for one in self.data
        ]
        return [" ".join(str(part) for part in one if part is not None) for one in found]

    async def see(self, *wanted: str) -> None:
        """Returns once these are stored; a moment later there must not be more."""
        try:
            await until(lambda: len(self.seen) >= len(wanted))
        except TimeoutError:
            pytest.fail(f"{self.seen} instead of {wanted}")
        await asyncio.sleep(0.1)
        assert sorted(self.seen) == sorted(wanted)

    async def set(self, name: str, n: int) -> None:
        obj = await self.kube.get(POD, name, namespace="ns")
        await self.kube.replace(obj | {"spec": {"n": n}})

    async def add(self, *names: str) -> None:
        for name in names:
            await self.kube.create(pod(name))

    async def remove(self, name: str) -> None:
        await self.kube.delete(POD, name, namespace="ns")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with KubeServer() as server:
        yield Cluster(server, tmp_path)


async def test_what_is_there_comes_changes_and_goes(cluster: Cluster) -> None:
    await cluster.add("a")
    async with cluster.running(metadata={"purpose": "test"}):
        await cluster.see("ADD a")
        await cluster.add("b")
        await cluster.set("b", 1)
        await cluster.remove("a")
        await cluster.see("ADD a", "ADD b", "UPDATE b 1", "DELETE a")
    first, _, update, gone = cluster.data
    assert first | {"body": 0} == {
        "type": "ADD",
        "body": 0,
        "oldBody": None,
        "group": "",
        "version": "v1",
        "resource": "pods",
        "metadata": {"purpose": "test"},
    }
    assert (first["body"]["kind"], first["body"]["apiVersion"]) == ("Pod", "v1")
    assert (update["oldBody"]["spec"], update["body"]["spec"]) == ({}, {"n": 1})
    assert gone["oldBody"] is None
    assert (
        events(cluster.broker)[0].id
        == f"{first['body']['metadata']['uid']}.{first['body']['metadata']['resourceVersion']}"
    )


async def test_a_restart_repeats_nothing_and_goes_on(cluster: Cluster) -> None:
    await cluster.add("a", "b", "c")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b", "ADD c")
    cluster.broker.ids.clear()  # the bus's own window is over
    await cluster.set("a", 1)
    await cluster.set("a", 2)
    await cluster.remove("b")
    await cluster.add("d")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b", "ADD c", "UPDATE a 1", "UPDATE a 2", "DELETE b", "ADD d")
        await cluster.set("c", 1)
        await until(lambda: "UPDATE c 1" in cluster.seen)
    assert cluster.data[-1]["oldBody"]["metadata"]["name"] == "c"


async def test_a_restart_after_the_server_has_forgotten(cluster: Cluster) -> None:
    await cluster.add("a", "b", "c")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b", "ADD c")
    cluster.broker.ids.clear()
    await cluster.set("a", 1)
    await cluster.set("a", 2)
    await cluster.remove("b")
    await cluster.add("d")
    cluster.kube.forget()
    wanted = ["ADD a", "ADD b", "ADD c", "UPDATE a 2", "DELETE b", "ADD d"]
    async with cluster.running():
        await cluster.see(*wanted)
    body = next(one["body"] for one in cluster.data if one["type"] == "DELETE")
    assert body == {"apiVersion": "v1", "kind": "Pod", "metadata": body["metadata"]}
    assert body["metadata"].keys() == {"name", "namespace", "uid", "resourceVersion"}
    cluster.broker.ids.clear()
    async with cluster.running():
        await cluster.see(*wanted)


async def test_a_watch_that_is_too_old_while_it_runs(cluster: Cluster) -> None:
    """The whole object as it was last seen is the body of a deletion that was missed."""
    await cluster.add("a", "b")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b")
        cluster.server.paused.clear()  # no watch is answered
        cluster.server.drop_watches()
        await cluster.set("a", 1)
        await cluster.remove("b")
        cluster.kube.forget()
        cluster.server.paused.set()
        await cluster.see("ADD a", "ADD b", "UPDATE a 1", "DELETE b")
    body = next(one["body"] for one in cluster.data if one["type"] == "DELETE")
    assert body["spec"] == {}


async def test_another_cluster_at_the_same_address(cluster: Cluster) -> None:
    await cluster.add("a", "b", "c")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b", "ADD c")
    fresh = type(cluster.kube)()
    cluster.server.kube = cluster.kube = fresh
    await cluster.add("a")
    async with cluster.running():
        await cluster.see("ADD a", "ADD b", "ADD c", "ADD a", "DELETE a", "DELETE b", "DELETE c")
        await cluster.set("a", 7)
        await until(lambda: "UPDATE a 7" in cluster.seen)


async def test_the_filters(cluster: Cluster) -> None:
    chosen = {
        "prefix": "web-",
        "labels": [
            {"key": "team", "operation": "in", "value": "a,b"},
            {"key": "size", "operation": "gt", "value": "3"},
            {"key": "skip", "operation": "!"},
        ],
        "fields": [
            {"key": "spec.on", "value": "^true$"},
            {"key": "spec.replicas", "operation": "==", "value": "^[0-9]+$"},
            {"key": "spec.phase", "operation": "!=", "value": "Fail"},
        ],
        "createdBy": "2199-01-01T00:00:00Z",
    }
    good = {"on": True, "replicas": 3, "phase": "Running"}
    labels = {"team": "b", "size": "10"}
    async with cluster.running(filter=chosen, namespace="ns"):
        rows = [
            ("web-yes", labels, good, "ns"),
            ("api", labels, good, "ns"),
            ("web-other-team", labels | {"team": "c"}, good, "ns"),
            ("web-small", labels | {"size": "3"}, good, "ns"),
            ("web-skipped", labels | {"skip": ""}, good, "ns"),
            ("web-off", labels, good | {"on": False}, "ns"),
            ("web-failed", labels, good | {"phase": "Failed"}, "ns"),
            ("web-missing", labels, {"on": True, "replicas": 1}, "ns"),
            ("web-elsewhere", labels, good, "other"),
            ("web-last", labels, good, "ns"),
        ]
        for name, with_labels, spec, namespace in rows:
            await cluster.kube.create(pod(name, metadata={"labels": with_labels, "namespace": namespace}, spec=spec))
        await cluster.see("ADD web-yes", "ADD web-last")


async def test_only_the_wanted_types_and_what_comes_after_the_start(cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setattr("events.kube.memory._now", lambda: "2020-01-01T00:00:00Z")
    await cluster.add("old")
    monkeypatch.undo()
    chosen = {"eventTypes": ["ADD", "UPDATE"], "filter": {"afterStart": True}}
    async with cluster.running(**chosen):
        await cluster.add("new")
        await cluster.set("old", 1)
        await cluster.remove("new")
        await cluster.see("ADD new", "UPDATE old 1")
    await cluster.add("between")
    cluster.kube.forget()
    async with cluster.running(**chosen):
        await cluster.see("ADD new", "UPDATE old 1", "ADD between")


async def test_a_server_that_refuses_is_asked_until_it_answers(cluster: Cluster) -> None:
    cluster.server.canned.extend(Canned(403) for _ in range(2))
    async with cluster.running():
        await cluster.add("a")
        await cluster.see("ADD a")
        cluster.server.canned.extend(Canned(500) for _ in range(2))
        cluster.server.drop_watches()
        await cluster.add("b")
        await cluster.see("ADD a", "ADD b")


async def test_while_the_bus_is_away_changes_are_held(cluster: Cluster) -> None:
    async with cluster.running():

        async def refuse(*_: Any, **__: Any) -> Any:
            raise Unavailable("away")

        cluster.member.bus.publish = refuse  # type: ignore[method-assign]
        await cluster.add("a", "b")
        await asyncio.sleep(0.1)
        del cluster.member.bus.publish
        await cluster.see("ADD a", "ADD b")


@pytest.mark.parametrize("draw", range(3))
async def test_many_lives_miss_and_repeat_nothing(cluster: Cluster, draw: int, rounds: int) -> None:
    """The source ends at any moment, watches break, the server forgets. What is said again has its old id."""
    chance, numbers = random.Random(draw), dict[str, int]()

    async def work() -> None:
        for step in range(1, 200 * rounds):
            name = f"p{chance.randrange(12)}"
            if name not in numbers:
                await cluster.add(name)
                numbers[name] = 0
            elif chance.random() < 0.2:
                del numbers[name]
                await cluster.remove(name)
            else:
                numbers[name] = step
                await cluster.set(name, step)
            if chance.random() < 0.05:
                cluster.kube.forget()
                cluster.server.drop_watches()
            await asyncio.sleep(chance.random() * 0.004)

    working = asyncio.create_task(work())
    while not working.done():
        async with cluster.running():
            await asyncio.sleep(chance.random() * 0.15)
    await working
    async with cluster.running():
        await asyncio.sleep(0.3)
    latest: dict[str, dict[str, Any]] = {}
    for one in cluster.data:
        latest[one["body"]["metadata"]["name"]] = one
    there = {name: one["body"]["spec"].get("n", 0) for name, one in latest.items() if one["type"] != "DELETE"}
    assert there == numbers
    changes = [
        (one["type"], one["body"]["metadata"]["uid"], one["body"]["metadata"]["resourceVersion"])
        for one in cluster.data
        if one["type"] != "DELETE"
    ] + [("DELETE", one["body"]["metadata"]["uid"]) for one in cluster.data if one["type"] == "DELETE"]
    assert len(changes) == len(set(changes))
