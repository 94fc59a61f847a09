"""One of several leads: never two, and soon another when it dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.breaking_kube import BreakingKube, beside
from support.keryx import until

from events.errors import ActionError
from events.kube.api import Resource
from events.kube.election import Election, Lock, NotLeading, Times, identity
from events.logs import Log

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
USUAL = Times()
QUICK = Times(lease=1.5, renew=1.0, retry=0.2)


class Clock:
    """A candidate's own clock: it has nothing to do with anybody else's."""

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now


def candidate(kube: Any, space: str, name: str, clock: Clock, times: Times = USUAL) -> Lock:
    return Lock(kube, space, "leader", f"{name}_keryx_1", times=times, clock=clock)


async def lease(kube: BreakingKube, space: str) -> dict[str, Any]:
    found: dict[str, Any] = (await kube.kube.get(LEASES, "leader", namespace=space))["spec"]
    return found


async def test_the_first_leads_and_the_second_waits_whatever_their_clocks_say(kube: BreakingKube, space: str) -> None:
    early, late = Clock(5.0), Clock(1e9)
    a, b = candidate(kube, space, "a", early), candidate(kube, space, "b", late)
    assert await a.attempt()
    a.check()
    for _ in range(20):
        early.now += 2
        late.now += 2
        assert await a.attempt()
        assert not await b.attempt()
        with pytest.raises(NotLeading, match="a_keryx_1"):
            b.check()
    found = await lease(kube, space)
    assert (found["holderIdentity"], found["leaseDurationSeconds"], found["leaseTransitions"]) == ("a_keryx_1", 15, 0)


async def test_a_leader_that_vanishes_is_followed_within_15_seconds(kube: BreakingKube, space: str) -> None:
    clock = Clock(100.0)
    a, b = candidate(kube, space, "a", clock), candidate(kube, space, "b", clock)
    assert await a.attempt()
    renewed = clock.now
    clock.now += USUAL.retry  # the worst: b looked just before the last renewal, and next just before its next look
    while not await b.attempt():
        assert a.left > 0 or clock.now - renewed >= USUAL.renew
        clock.now += b.wait
    assert USUAL.renew < clock.now - renewed <= 15
    assert a.left < 0
    assert not await a.attempt()
    assert (await lease(kube, space))["leaseTransitions"] == 1


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.1])
async def test_never_two_at_once_with_clocks_that_run_differently(kube: BreakingKube, space: str, rate: float) -> None:
    mine, theirs = Clock(0.0), Clock(1000.0)
    a, b = candidate(kube, space, "a", mine), candidate(kube, space, "b", theirs)
    assert await a.attempt()
    for _ in range(100):
        mine.now += 0.25
        theirs.now += 0.25 * rate
        if await b.attempt():
            break
        assert b.left <= 0
    assert a.left <= 0, "the first was over before the second began"
    assert b.left > 0


async def test_a_leader_of_another_make_is_given_the_time_that_it_asks_for(kube: BreakingKube, space: str) -> None:
    clock = Clock(0.0)
    spec = {
        "holderIdentity": "controller-manager_1",
        "leaseDurationSeconds": 30,
        "renewTime": "2001-01-01T00:00:00.000000Z",
    }
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}, "spec": spec}
    await kube.kube.create(body, namespace=space)
    b = candidate(kube, space, "b", clock)
    assert not await b.attempt()
    clock.now = 29.9
    assert not await b.attempt()
    clock.now = 30.0
    assert await b.attempt()


async def test_what_is_given_up_is_taken_at_once(kube: BreakingKube, space: str) -> None:
    clock = Clock(0.0)
    a, b = candidate(kube, space, "a", clock), candidate(kube, space, "b", clock)
    assert await a.attempt()
    assert not await b.attempt()
    await a.release()
    with pytest.raises(NotLeading):
        a.check()
    assert await b.attempt()
    await a.release()
    assert (await lease(kube, space))["holderIdentity"] == "b_keryx_1", "not what is another's"


async def test_a_renewal_that_was_written_but_not_answered_is_ours(kube: BreakingKube, space: str) -> None:
    clock = Clock(0.0)
    a = candidate(kube, space, "a", clock)

    class Lost(BreakingKube):
        async def replace(self, obj: Any, **options: Any) -> Any:
            await super().replace(obj, **options)
            raise ActionError("the answer was lost")

    assert await a.attempt()
    unlucky = candidate(Lost(kube.kube), space, "a", clock)
    with pytest.raises(ActionError):
        await unlucky.attempt()
    assert await a.attempt()


async def test_of_two_that_write_at_once_one_wins(kube: BreakingKube, space: str) -> None:
    clock = Clock(0.0)
    many = [candidate(kube, space, f"c{number}", clock) for number in range(10)]
    assert sum(await asyncio.gather(*(one.attempt() for one in many))) == 1


# elections


class Replica:
    """One process of several; `leads` while its work runs."""

    def __init__(self, kube: BreakingKube, space: str, name: str, leaders: list[str]) -> None:
        self.kube, self.name, self.leaders = BreakingKube(kube.kube), name, leaders
        self.lock = Lock(self.kube, space, "leader", identity(name), times=QUICK)
        self.election = Election(self.lock, log=Log("test"))
        self.is_stalled = False

    async def work(self) -> None:
        self.lock.check()
        self.leaders.append(self.name)
        assert len(self.leaders) == 1, self.leaders
        try:
            await asyncio.Event().wait()
        finally:
            self.leaders.remove(self.name)

    async def run(self) -> None:
        await self.election.run(self.work)


async def test_a_leader_that_ends_gives_way_at_once_and_one_that_is_cut_off_in_time(
    kube: BreakingKube, space: str
) -> None:
    leaders: list[str] = []
    a, b, c = (Replica(kube, space, name, leaders) for name in "abc")
    async with beside(b.run()):
        await until(lambda: leaders == ["b"])
        async with beside(a.run()):
            await asyncio.sleep(0.5)
            assert leaders == ["b"]
            # b hears nothing more: it stops by itself before a begins.
            b.kube.away = ActionError("the network is gone")
            await until(lambda: leaders == [])
            await until(lambda: leaders == ["a"])
            b.kube.away = None
        async with beside(c.run()):
            await until(lambda: leaders and leaders[0] in "bc", 10)
    assert leaders == []


async def test_a_leader_whose_lease_is_taken_stops(kube: BreakingKube, space: str) -> None:
    leaders: list[str] = []
    a = Replica(kube, space, "a", leaders)
    async with beside(a.run()):
        await until(lambda: leaders)
        found = await kube.kube.get(LEASES, "leader", namespace=space)
        other = {"holderIdentity": "someone", "leaseDurationSeconds": 1, "renewTime": "2030-01-01T00:00:00.000000Z"}
        await kube.kube.replace(found | {"spec": found["spec"] | other})
        await until(lambda: not leaders)
        await until(lambda: leaders == ["a"])


async def test_the_errors_of_the_work_are_raised_and_the_lease_given_up(kube: BreakingKube, space: str) -> None:
    async def work() -> None:
        raise ZeroDivisionError

    told: list[bool] = []
    lock = Lock(kube, space, "leader", identity("a"), times=QUICK)
    with pytest.raises(ZeroDivisionError):
        await Election(lock, log=Log("test"), on_change=told.append).run(work)
    assert (await lease(kube, space))["holderIdentity"] == ""
    assert told == [True, False]


async def test_an_api_that_is_away_is_not_asked_in_a_hot_loop(kube: BreakingKube, space: str) -> None:
    kube.away = ActionError("refused")
    lock = Lock(kube, space, "leader", identity("a"), times=QUICK)
    async with beside(Election(lock, log=Log("test")).run(asyncio.Event().wait)):  # type: ignore[arg-type]
        await asyncio.sleep(1)
    assert kube.calls["resource"] <= 10
