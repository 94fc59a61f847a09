"""Our controller as processes against our API server: objects that come, change and go; who led; what it asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from support.api_server import ApiServer
from support.keryx import Keryx, until
from support.workload_player import Lateness, Player, at_once

from events.app import crds
from events.errors import ActionError
from events.kube import conditions, patches
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.kube.client import KubeClient, connect

GROUP = "argoproj.io/v1alpha1"
SENSOR = Resource("argoproj.io", "v1alpha1", "sensors", "Sensor", namespaced=True)
SOURCE = Resource("argoproj.io", "v1alpha1", "eventsources", "EventSource", namespaced=True)
BUS = Resource("argoproj.io", "v1alpha1", "eventbus", "EventBus", namespaced=True)
STATEFUL_SET = Resource("apps", "v1", "statefulsets", "StatefulSet", namespaced=True)
SERVICE = Resource("", "v1", "services", "Service", namespaced=True)
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Its result, whatever the server has to refuse it for; None for what was done already, or is gone."""
    while True:
        try:
            return await call()
        except KubeError as error:
            if error.reason == "AlreadyExists" or error.status == 404:
                return None
            if error.status in (400, 403, 422):
                raise
        except ActionError:
            pass
        await asyncio.sleep(0.02)


def bus(name: str = "default") -> Object:
    spec = {"jetstreamExotic": {"url": "nats://127.0.0.1:4222"}}
    return {"apiVersion": GROUP, "kind": "EventBus", "metadata": {"name": name}, "spec": spec}


def own_bus(name: str, text: str = "") -> Object:
    """A bus with servers of its own; `text` makes it another one."""
    spec = {"jetstream": {"version": "latest", "metadata": {"annotations": {"changed": text}}}}
    return {"apiVersion": GROUP, "kind": "EventBus", "metadata": {"name": name}, "spec": spec}


def sensor(name: str, url: str = "http://127.0.0.1:9/") -> Object:
    dependency = {"name": "d", "eventSourceName": "source", "eventName": "e"}
    trigger = {"template": {"name": "t", "http": {"url": url, "method": "POST"}}}
    spec = {"dependencies": [dependency], "triggers": [trigger]}
    return {"apiVersion": GROUP, "kind": "Sensor", "metadata": {"name": name}, "spec": spec}


def source(name: str, url: str = "/e") -> Object:
    webhook = {"e": {"port": "12000", "endpoint": url, "method": "POST"}}
    spec = {"service": {"ports": [{"port": 12000, "targetPort": 12000}]}, "webhook": webhook}
    return {"apiVersion": GROUP, "kind": "EventSource", "metadata": {"name": name}, "spec": spec}


class Replica:
    """One controller process after another, of one name."""

    def __init__(self, server: ApiServer, folder: Path, namespace: str, *arguments: str) -> None:
        environ = {
            "ARGO_EVENTS_IMAGE": "keryx:1",
            "NAMESPACE": namespace,
            "POD_NAME": folder.name,
            "KUBECONFIG": str(server.kubeconfig),
        }
        ports = ("--metrics-port", "0", "--health-port", "0")
        self.keryx = Keryx(folder, "controller", *ports, *arguments, environ=environ)
        self.terms: list[tuple[float, float]] = []
        """When it led, by the clock of all."""
        self.asked: Counter[str] = Counter()
        self._life: Counter[str] = Counter()
        self.defects: list[Any] = []

    def _account(self) -> None:
        """What this life left behind."""
        end = time.time()
        begun = None
        for line in self.keryx.lines:
            moment = datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()
            if "I'm the LEADER" in line["msg"]:
                begun = moment
            elif begun and "Not the LEADER any more" in line["msg"]:
                self.terms.append((begun, moment))
                begun = None
            if "defect" in line["msg"] or "stacktrace" in line:
                self.defects.append(line)
        if begun:
            self.terms.append((begun, end))
        self.asked.update(self._life)
        self._life.clear()

    def kill(self) -> None:
        self.keryx.kill()
        self._account()

    async def stop(self) -> int:
        code = await self.keryx.stop(30)
        self._account()
        return code

    @property
    def written(self) -> int:
        """Writes of this life, at the last look; renewals of the Lease, by PUT, are none."""
        return sum(count for what, count in self._life.items() if what.split()[0] in ("PATCH", "POST", "DELETE"))

    def usage(self) -> str:
        """Memory and processor time of this life."""
        assert self.keryx.process is not None
        folder = Path("/proc", str(self.keryx.process.pid))
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        ticks = sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:13]))
        megabytes = {name: int(status[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")}
        return f"RSS {megabytes['VmRSS']} MiB (most {megabytes['VmHWM']}), CPU {ticks / os.sysconf('SC_CLK_TCK'):.1f} s"

    async def look(self) -> dict[str, float]:
        """Its metrics, if it answers; how often it asked is kept."""
        if not self.keryx.is_running or not (said := self.keryx.said("Health and metrics are served")):
            return {}
        try:
            url = f"http://127.0.0.1:{said[0]['port']}/metrics"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                text = await answer.text()
        except (OSError, aiohttp.ClientError):
            return {}
        found: dict[str, float] = {}
        self._life.clear()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                found[f"{one.name}{sorted(one.labels.items())}"] = one.value
                if one.name == "rest_client_requests_total":
                    self._life[f"{one.labels['method']} {one.labels['code']}"] += int(one.value)
        return found


class World:
    """The server, its clients, the replicas and the player."""

    def __init__(self, server: ApiServer, api: KubeClient, player: Player, folder: Path) -> None:
        self.server, self.api, self.player, self.folder = server, api, player, folder
        self.space = "work"
        self.replicas: list[Replica] = []

    def replica(self, name: str, *arguments: str) -> Replica:
        made = Replica(self.server, self.folder / name, self.space, *arguments)
        self.replicas.append(made)
        return made

    async def create(self, obj: Object) -> None:
        await insist(lambda: self.api.create(obj, namespace=self.space))

    async def change(self, resource: Resource, name: str, body: Object) -> None:
        await insist(lambda: self.api.patch(resource, name, body, content_type=patches.MERGE, namespace=self.space))

    async def delete(self, resource: Resource, name: str) -> None:
        await insist(lambda: self.api.delete(resource, name, namespace=self.space))

    async def all(self, resource: Resource) -> list[Object]:
        found = await insist(lambda: self.api.list(resource, namespace=self.space))
        return list(found["items"])

    async def problems(self) -> list[str]:
        """What has not converged: each object ready, with exactly what is its, and that of its present self."""
        objects = {one["metadata"]["uid"]: one for kind in (SENSOR, SOURCE, BUS) for one in await self.all(kind)}
        said = [
            f"{_named(one)} is not ready: {conditions.all_of(one)}" for one in objects.values() if not _is_current(one)
        ]
        for resource in (DEPLOYMENT, STATEFUL_SET, SERVICE, CONFIG_MAP):
            owned: Counter[str] = Counter()
            for one in await self.all(resource):
                owner = (one["metadata"].get("ownerReferences") or [{}])[0].get("uid")
                if owner is not None and owner not in objects:
                    said.append(f"{resource.kind} {one['metadata']['name']} is of nobody")
                owned[owner] += 1
                if owner in objects and resource is CONFIG_MAP:
                    said += _not_carried(one, objects[owner])
            for uid, one in objects.items():
                if owned[uid] != (wanted := int(resource in _children(one))):
                    said.append(f"{_named(one)} has {owned[uid]} of {resource.kind}, not {wanted}")
        return said

    async def converge(self, seconds: float) -> float:
        """Seconds until nothing is wrong any more."""
        begun = time.monotonic()
        while said := await self.problems():
            assert time.monotonic() - begun < seconds, f"{len(said)} have not converged: {said[:5]}\n{self.logs()}"
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    def logs(self) -> str:
        return "\n".join(f"--- {one.keryx.arguments}\n{one.keryx.err[-3000:]}" for one in self.replicas)

    def check_terms(self) -> None:
        """One leader at a time."""
        terms = sorted(term for one in self.replicas for term in one.terms)
        for (_, end), (begin, _) in itertools.pairwise(terms):
            assert begin >= end - 0.05, f"two led at once: {terms}"


def _named(obj: Object) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"


def _children(obj: Object) -> tuple[Resource, ...]:
    """What there is to be one of for an object."""
    if obj["kind"] == "EventBus":
        return (STATEFUL_SET, SERVICE, CONFIG_MAP) if "jetstream" in obj["spec"] else ()
    return (DEPLOYMENT, CONFIG_MAP, SERVICE) if obj["kind"] == "EventSource" else (DEPLOYMENT, CONFIG_MAP)


def _is_current(obj: Object) -> bool:
    generation = obj["metadata"]["generation"]
    seen = all(one.get("observedGeneration") == generation for one in conditions.all_of(obj))
    return conditions.ready(obj) and seen


def _not_carried(config_map: Object, obj: Object) -> list[str]:
    import json

    text = (config_map.get("data") or {}).get("object.json")
    if text is None or json.loads(text)["spec"] == obj["spec"]:
        return []
    return [f"{_named(obj)} is carried as it was"]


@asynccontextmanager
async def world(
    folder: Path, *arguments: str, lateness: Lateness = at_once, patience: float = 30
) -> AsyncIterator[World]:
    """A server with our definitions, a namespace and a bus; a player; everything is stopped at the end."""
    server = await ApiServer(folder / "server", *arguments).start()
    api = await connect(str(server.kubeconfig))
    made: World | None = None
    try:
        for definition in crds.definitions():
            await insist(lambda one=definition: api.create(one))  # type: ignore[misc]
        for resource in (SENSOR, SOURCE, BUS):
            await _served(api, resource)
        async with Player(api, lateness=lateness).playing() as player:
            made = World(server, api, player, folder)
            home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.space}}
            await insist(lambda: api.create(home))
            await made.create(bus())
            yield made
    finally:
        for one in made.replicas if made else []:
            one.keryx.close()
        await api.aclose()
        with contextlib.suppress(Exception):
            await server.stop()


async def _served(api: KubeApi, resource: Resource) -> None:
    """Returns once the server knows the kind."""
    for _ in range(600):
        with contextlib.suppress(ActionError):
            await api.list(resource)
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{resource.plural} are not served")


class Storm:
    """Objects created, changed and deleted at random, from a seed."""

    def __init__(self, world: World, seed: int, count: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.names = [f"o{number}" for number in range(count // 2)]
        self.there: set[tuple[str, str]] = set()
        self.done: Counter[str] = Counter()

    async def fill(self) -> None:
        """All of them, to begin with."""
        for name in self.names:
            await self.world.create(sensor(name))
            await self.world.create(source(name))
            self.there |= {("Sensor", name), ("EventSource", name)}

    async def step(self) -> None:
        kind, make, resource = self.random.choices(
            (("Sensor", sensor, SENSOR), ("EventSource", source, SOURCE), ("EventBus", own_bus, BUS)), (45, 45, 10)
        )[0]
        name = self.random.choice(self.names if kind != "EventBus" else self.names[:4])
        text = f"/{self.random.randrange(10**9)}"
        if (kind, name) not in self.there:
            await self.world.create(make(name, text))
            self.there.add((kind, name))
            self.done["created"] += 1
        elif self.random.random() < 0.3:
            await self.world.delete(resource, name)
            self.there.discard((kind, name))
            self.done["deleted"] += 1
        else:
            await self.world.change(resource, name, {"spec": make(name, text)["spec"]})
            self.done["changed"] += 1

    async def blow(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.step()
            await asyncio.sleep(self.random.uniform(0, 0.1))


__all__ = [
    "BUS",
    "SENSOR",
    "SOURCE",
    "Replica",
    "Storm",
    "World",
    "bus",
    "insist",
    "sensor",
    "source",
    "until",
    "world",
]
