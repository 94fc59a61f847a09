"""The Leases that the built-in controllers hold: which, since when, and what happens when somebody else has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.keryx import until

from events.app.local.leases import Leases, runs_controller
from events.kube import election
from events.kube.memory import MemoryKube
from events.logs import Log

Object = dict[str, Any]
TIMES = election.Times(0.9, 0.6, 0.05)


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str, home: str, **container: Any) -> Object:
    spec = {"template": {"spec": {"containers": [{"name": "main", "image": "keryx", **container}]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": home}, "spec": spec}


async def holder(api: MemoryKube, home: str) -> str | None:
    resource = await api.resource("coordination.k8s.io/v1", "Lease")
    found = (await api.list(resource, namespace=home))["items"]
    return found[0]["spec"].get("holderIdentity") if found else None


async def held(api: MemoryKube, home: str, who: str | None) -> None:
    async with asyncio.timeout(60):
        while await holder(api, home) != who:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(api: MemoryKube) -> AsyncIterator[Leases]:
    leases = Leases(api, Log("test"), times=TIMES)
    task = asyncio.create_task(leases.run())
    try:
        async with asyncio.timeout(60):
            await leases.synced()
        yield leases
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_asked_and_nothing_is_written_without_the_namespace_of_installations() -> None:
    api = MemoryKube()
    await api.create(namespace("default"))
    async with following(api) as leases:
        assert leases.left > 60
        leases.check()
        assert await leases.attempt()
        assert await holder(api, "default") is None


async def test_the_lease_of_the_namespace_is_taken_when_that_appears() -> None:
    api = MemoryKube()
    async with following(api) as leases:
        await api.create(namespace("argo-events"))
        await held(api, "argo-events", "keryx-up")
        await until(lambda: leases.left <= TIMES.renew)
        leases.check()


async def test_a_controller_that_is_installed_elsewhere_stands_by_too() -> None:
    api = MemoryKube()
    await api.create(namespace("mine"))
    await api.create(namespace("yours"))
    async with following(api):
        await api.create(deployment("web", "yours", command=["serve"]))
        await api.create(deployment("controller-manager", "mine", args=["controller", "--namespaced"]))
        await held(api, "mine", "keryx-up")
        assert await holder(api, "yours") is None


async def test_who_else_holds_a_lease_works_and_ours_stand_by_until_he_ends() -> None:
    api = MemoryKube()
    await api.create(namespace("argo-events"))
    other = election.Lock(api, "argo-events", election.NAME, "another_controller", times=TIMES)
    assert await other.attempt()
    async with following(api) as leases:
        await until(lambda: leases.left <= 0)
        assert leases.holder == "another_controller"
        with pytest.raises(election.NotLeading, match="holder: another_controller"):
            leases.check()
        assert not await leases.attempt()
        await other.release()
        assert await leases.attempt()
        leases.check()


async def test_after_a_crash_nobody_waits_for_himself() -> None:
    api = MemoryKube()
    await api.create(namespace("argo-events"))
    for _ in range(2):  # the first one never gives it up
        async with following(api) as leases:
            await until(lambda leases=leases: leases.left <= TIMES.renew)
            leases.check()


async def test_a_namespace_that_goes_takes_its_lease_along() -> None:
    api = MemoryKube()
    await api.create(namespace("argo-events"))
    async with following(api) as leases:
        await until(lambda: leases.left <= TIMES.renew)
        await api.delete(await api.resource("v1", "Namespace"), "argo-events")
        await until(lambda: leases.left > 60)
        leases.check()


async def test_given_up_it_is_free_at_once() -> None:
    api = MemoryKube()
    await api.create(namespace("argo-events"))
    async with following(api) as leases:
        await until(lambda: leases.left <= TIMES.renew)
        await leases.release()
        assert await holder(api, "argo-events") == ""


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"args": ["controller"]}, True),
        ({"command": ["argo-events", "controller"]}, True),
        ({"args": ["sensor-service"]}, False),
        ({}, False),
    ],
)
def test_a_controller_is_known_by_its_command(container: Object, expected: bool) -> None:
    assert runs_controller(deployment("d", "n", **container)) is expected
