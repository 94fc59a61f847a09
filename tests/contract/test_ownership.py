"""Ownership of a sensor or source: one suite for the bus's session and for a Kubernetes Lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.lives import LOG

from eventbus.base import Session
from eventbus.kubernetes_session import DEFAULTS, Candidate, KubernetesSession, LeaseTerm, asked_for, times
from eventbus.memory import MemoryBroker, MemoryBus
from events.errors import ActionError, NotOwner
from events.kube.api import KubeApi, Object, Resource
from events.kube.election import Lock, Times
from events.kube.memory import MemoryKube

FAST = Times(lease=1.0, renew=0.6, retry=0.1)
LEASE = "sensor-relay"


class Line(MemoryKube):
    """One process's way to a shared API, which can be cut: nothing is answered any more."""

    def __init__(self, api: KubeApi) -> None:
        super().__init__()
        self._api, self.is_cut = api, False

    async def _way(self) -> KubeApi:
        if self.is_cut:
            await asyncio.Event().wait()
        return self._api

    async def resource(self, api_version: str, kind: str) -> Resource:
        return await (await self._way()).resource(api_version, kind)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        return await (await self._way()).get(resource, name, namespace=namespace)

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        return await (await self._way()).create(obj, namespace=namespace)

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object:
        return await (await self._way()).replace(obj, namespace=namespace, status=status)


class ByLease:
    """Processes that share an API server."""

    takeover = 2.0

    def __init__(self) -> None:
        self.api = MemoryKube()
        self.lines: list[Line] = []

    async def session(self) -> Session:
        line = Line(self.api)
        self.lines.append(line)
        return KubernetesSession(lambda: line, Candidate("n", LEASE, f"pod-{len(self.lines)}"), LOG, times=FAST)

    def cut(self, number: int) -> None:
        self.lines[number].is_cut = True

    async def close(self) -> None:
        pass

    async def lease(self) -> Object:
        resource = await self.api.resource("coordination.k8s.io/v1", "Lease")
        found: Object = await self.api.get(resource, LEASE, namespace="n")
        return found


class ByBus:
    """Processes that share a bus."""

    takeover = 5.0

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.buses: list[MemoryBus] = []

    async def session(self) -> Session:
        self.buses.append(MemoryBus(self.broker))
        return await self.buses[-1].session()

    def cut(self, number: int) -> None:
        session: Any = self.buses[number]._session
        session._task.cancel()  # its renewals end

    async def close(self) -> None:
        for bus in self.buses:
            await bus.aclose()


@pytest.fixture(params=[ByBus, ByLease])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made = request.param()
    yield made
    await made.close()


async def test_it_is_exclusive_and_passes_on_when_released(world: Any) -> None:
    mine, theirs = await world.session(), await world.session()
    owned: list[str] = []
    stood_by = asyncio.Event()

    async def wait() -> None:
        async with theirs.own("sensor", stood_by.set) as lease:
            assert lease.held
            owned.append("theirs")

    async with asyncio.timeout(60):
        async with mine.own("sensor") as lease:
            lease.require()
            waiting = asyncio.create_task(wait())
            await stood_by.wait()
            assert owned == []
            assert lease.held
        await waiting
    assert owned == ["theirs"]


async def test_an_owner_that_cannot_renew_stops_before_another_begins(world: Any) -> None:
    mine, theirs = await world.session(), await world.session()
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        lease = await stack.enter_async_context(mine.own("sensor"))
        world.cut(0)
        async with theirs.own("sensor") as successor:
            assert successor.held
            assert not lease.held
            with pytest.raises(NotOwner):
                lease.require()
            if isinstance(world, ByLease):
                await lease.lost()


async def test_an_owner_that_stood_still_may_do_nothing_when_it_goes_on() -> None:
    """Nothing of it ran meanwhile, so nothing has told it yet."""
    now = 0.0
    api = MemoryKube()
    lock = Lock(api, "n", LEASE, "pod", times=FAST, clock=lambda: now)
    assert await lock.attempt()
    term = LeaseTerm(lock)
    term.require()
    now = 0.7
    assert not term.held
    with pytest.raises(NotOwner):
        term.require()


async def test_what_was_released_can_be_owned_again(world: Any) -> None:
    mine = await world.session()
    async with asyncio.timeout(60):
        for _ in range(3):
            async with mine.own("sensor") as lease:
                assert lease.held


async def test_two_parts_of_a_process_take_turns(world: Any) -> None:
    mine = await world.session()
    owners = 0

    async def own() -> None:
        nonlocal owners
        async with mine.own("sensor"):
            owners += 1
            assert owners == 1
            await asyncio.sleep(0)
            owners -= 1

    async with asyncio.timeout(60):
        await asyncio.gather(own(), own(), own())


# ---- the Lease alone


async def test_the_lease_is_as_argo_events_writes_it() -> None:
    world = ByLease()
    session = await world.session()
    async with session.own("sensor"):
        spec = (await world.lease())["spec"]
        assert spec["holderIdentity"].startswith("pod-1_")
        assert spec["leaseDurationSeconds"] == 1
        assert spec["leaseTransitions"] == 0
    assert (await world.lease())["spec"]["holderIdentity"] == ""


async def test_the_lease_of_another_program_is_respected_until_it_ends() -> None:
    world = ByLease()
    metadata = {"name": LEASE, "namespace": "n"}
    spec = {"holderIdentity": "their-pod", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}
    await world.api.create(
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    )
    stood_by = asyncio.Event()
    session = await world.session()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(60), session.own("sensor", stood_by.set) as lease:
        assert stood_by.is_set()
        assert loop.time() - begun >= 1
        assert lease.held


async def test_an_api_server_that_refuses_is_asked_again() -> None:
    class Refusing(MemoryKube):
        refusals = 3

        async def resource(self, api_version: str, kind: str) -> Resource:
            if self.refusals:
                self.refusals -= 1
                raise ActionError("connection refused")
            return await super().resource(api_version, kind)

    api = Refusing()
    session = KubernetesSession(lambda: api, Candidate("n", LEASE, "pod"), LOG, times=FAST)
    async with asyncio.timeout(60), session.own("sensor") as lease:
        assert lease.held


async def test_never_two_owners_whatever_is_cut_and_when() -> None:
    """Ten processes, the owner's line is cut again and again: no moment has two that may act."""
    world = ByLease()
    acting: dict[int, Any] = {}
    terms = 0

    async def live(number: int, session: Session) -> None:
        nonlocal terms
        while True:
            async with session.own("sensor") as lease:
                terms += 1
                acting[number] = lease
                world.lines[number].is_cut = terms % 2 == 0
                while lease.held:
                    assert sum(one.held for one in acting.values()) == 1
                    await asyncio.sleep(0.005)
                    if terms % 2:
                        break
            world.lines[number].is_cut = False

    sessions = [await world.session() for _ in range(6)]
    tasks = [asyncio.create_task(live(number, session)) for number, session in enumerate(sessions)]
    async with asyncio.timeout(100):
        while terms < 8:
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, DEFAULTS),
        (
            {
                "LEADER_ELECTION_LEASE_DURATION": "15s",
                "LEADER_ELECTION_RENEW_DEADLINE": "10s",
                "LEADER_ELECTION_RETRY_PERIOD": "500ms",
            },
            Times(15, 10, 0.5),
        ),
        ({"LEADER_ELECTION_LEASE_DURATION": "4500ms"}, Times(5, 2, 1)),
        ({"LEADER_ELECTION_LEASE_DURATION": "soon"}, DEFAULTS),
        ({"LEADER_ELECTION_RETRY_PERIOD": "-1s"}, DEFAULTS),
        ({"LEADER_ELECTION_RENEW_DEADLINE": "9s"}, DEFAULTS),
    ],
)
def test_durations_come_from_the_environment(given: dict[str, str], expected: Times) -> None:
    assert times(given, LOG) == expected


@pytest.mark.parametrize(("value", "is_asked"), [("k8s", True), ("K8S", True), ("", False), ("nats", False)])
def test_the_annotation_asks_for_it(value: str, is_asked: bool) -> None:
    assert asked_for(value) is is_asked
