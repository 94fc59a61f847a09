"""The controllers die after any write, meet a server that fails, and have many objects: it ends as it should."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import dependents
from support.api_server import ApiServer
from support.breaking_kube import BreakingKube
from support.dependents import API, HOOK, World, sensor_spec, trigger

from events.errors import ActionError
from events.kube.client import connect
from events.kube.memory import MemoryKube


class Dies(BreakingKube):
    """After so many writes nothing is heard of it any more."""

    left = 10**9

    def _enter(self, verb: str) -> None:
        super()._enter(verb)
        if verb in ("create", "replace", "patch", "delete"):
            self.left -= 1
        if self.left < 0:
            raise ActionError("dead")


async def test_a_controller_may_die_between_any_two_writes() -> None:
    kube = Dies(MemoryKube())
    async with dependents.world(kube) as world:
        await world.bus()
        await world.sensor()
        await world.source(service={"ports": [{"port": 80}]})
        for lives in itertools.count(1):
            kube.left = lives
            async with world.controllers():
                await asyncio.sleep(0.05)
                is_dead = kube.left < 0
            if not is_dead and lives > 5:
                break
            assert lives < 60
        kube.left = 10**9
        async with world.controllers():
            await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")
            await world.quiet(0.1)
        assert len(await world.all("Deployment")) == len(await world.all("ConfigMap", "v1")) == 2
        assert len(await world.all("Service", "v1")) == 1


@asynccontextmanager
async def failing_server(folder: Path) -> AsyncIterator[World]:
    server = ApiServer(folder, "--faults", "7")
    await server.start()
    client = await connect(str(server.kubeconfig))
    kube = BreakingKube(client)
    try:
        await patiently(lambda: dependents.define(client))
        name = "chaos"
        await patiently(lambda: client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        yield World(kube, name)
    finally:
        await client.aclose()
        server.process.close()


async def patiently(act: Any) -> Any:
    """Until it is done: an answer may be lost after it was."""
    for _ in range(100):
        try:
            return await act()
        except ActionError as error:
            status, reason = getattr(error, "status", 0), getattr(error, "reason", "")
            if reason in ("AlreadyExists", "NotFound"):
                return None
            if status not in (0, 408, 409, 429, 500, 503):
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("the server never does it")


async def test_on_a_server_that_fails_at_random_all_objects_converge(tmp_path: Path) -> None:
    dice = random.Random(3)
    async with failing_server(tmp_path) as world:
        await patiently(world.bus)
        await patiently(world.bus)
        there: dict[tuple[str, str], int] = {}
        async with world.controllers():
            for number in range(120):
                kind = dice.choice(("Sensor", "EventSource"))
                name = f"{kind.lower()}-{dice.randrange(12)}"
                await one_change(world, dice, there, kind, name, number)
            await converged(world, there)
        # Whoever comes later finds nothing to do.
        writes = world.kube.writes
        async with world.controllers():
            await world.quiet(0.5)
        assert world.kube.writes == writes


async def one_change(
    world: World, dice: random.Random, there: dict[tuple[str, str], int], kind: str, name: str, number: int
) -> None:
    spec: Any = {"webhook": {"ev": HOOK | {"endpoint": f"/{number}"}}}
    if dice.random() < 0.5:
        spec["service"] = {"ports": [{"port": 80 + number}]}
    if kind == "Sensor":
        spec = sensor_spec(trigger("t", url=f"http://x/{number}"))
    if (kind, name) not in there:
        await patiently(lambda: world.put(kind, name, spec))
        there[kind, name] = number
    elif dice.random() < 0.3:
        await patiently(lambda: world.delete(kind, name))
        del there[kind, name]
    else:
        change = spec if kind == "Sensor" else {"service": None} | spec
        await patiently(lambda: world.change(kind, name, {"spec": change}))
        there[kind, name] = number


async def converged(world: World, there: dict[tuple[str, str], int]) -> None:
    """Each object has one Deployment with what it says last; nothing else is there."""

    async def so() -> bool:
        try:
            deployments, maps = await world.all("Deployment"), await world.all("ConfigMap", "v1")
            objects = [*await world.all("Sensor", API, ""), *await world.all("EventSource", API, "")]
        except ActionError:
            return False
        owners = sorted(one["metadata"]["ownerReferences"][0]["uid"] for one in deployments)
        if owners != sorted(one["metadata"]["uid"] for one in objects) or len(maps) != len(deployments):
            return False
        texts = {one["metadata"]["ownerReferences"][0]["name"]: one["data"]["object.json"] for one in maps}
        if not all(f"/{number}" in texts.get(name, "") for (_, name), number in there.items()):
            return False
        return all("conditions" in (one.get("status") or {}) for one in objects)

    await world.until(so, "all as it is to be", 90)
    await world.quiet(0.5)


@pytest.mark.parametrize("count", [300])
async def test_many_objects_take_few_requests_each(count: int) -> None:
    kube = BreakingKube(MemoryKube())
    kube.kube._log = type(kube.kube._log)(maxlen=100_000)  # type: ignore[attr-defined]  # what watches may lag behind
    async with dependents.world(kube) as world:
        await world.bus()
        for number in range(count):
            await world.sensor(f"sensor-{number}")
            await world.source(f"source-{number}")
        began = time.perf_counter()
        async with world.controllers():

            async def all_there() -> bool:
                return len(await world.all("Deployment")) == 2 * count

            await world.until(all_there, f"{2 * count} Deployments", 100)
            await world.quiet(0.5)
            took = time.perf_counter() - began
        requests = {verb: calls for verb, calls in kube.calls.items() if verb != "resource"}
        # ConfigMap, Deployment, status, and two Events; a look at the Sensor's ConfigMap.
        assert sum(requests.values()) <= 2 * count * 8 + 50, (requests, took)
        before = sum(kube.calls.values())
        async with world.controllers():
            await world.quiet(0.5)
        assert sum(kube.calls.values()) - before < 60
