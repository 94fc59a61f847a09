"""The controllers under a server that refuses, delays and cuts at random, killed at random themselves: all converges.

A minute in `make test`, ten with `--soak`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from pathlib import Path

import pytest
from support.controller_world import SENSOR, Replica, Storm, World, sensor, source, world
from support.keryx import until
from support.workload_player import late

OBJECTS = 200
MINUTE = 60.0
CALLS = 60
"""Requests for each object and minute that are no hot loop, while each is changed about twice a minute and 9 % fail."""


async def _killed_at_random(made: World, seed: int) -> int:
    """Until cancelled, one of the replicas dies now and then, and comes again."""
    chance, count = random.Random(seed), 0
    try:
        while True:
            await asyncio.sleep(chance.uniform(5, 15))
            victim = chance.choice(made.replicas)
            await victim.look()
            victim.kill()
            count += 1
            await asyncio.sleep(chance.uniform(0, 5))
            victim.keryx.start()
    except asyncio.CancelledError:
        return count


async def _looked_at(made: World) -> None:
    while True:
        for one in made.replicas:
            await one.look()
        await asyncio.sleep(0.5)


@pytest.mark.timeout(1800)
async def test_everything_converges_though_the_server_fails_and_the_controller_dies(
    tmp_path: Path, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = 7
    async with world(tmp_path, "--faults", str(seed), lateness=late(2.0)) as made:
        storm = Storm(made, seed, OBJECTS)
        await storm.fill()
        for name in ("a", "b"):
            made.replica(name).keryx.start()
        begun = time.monotonic()
        killing = asyncio.create_task(_killed_at_random(made, seed))
        looking = asyncio.create_task(_looked_at(made))
        await storm.blow(MINUTE * rounds)
        killing.cancel()
        kills = await killing
        for one in made.replicas:
            if not one.keryx.is_running:
                one.keryx.start()
        seconds = await made.converge(600)
        minutes = (time.monotonic() - begun) / 60
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        quiet = await _writes_while_quiet(made)
        for one in made.replicas:
            await one.look()
            assert await one.stop() == 0
        made.check_terms()
        asked = sum(sum(one.asked.values()) for one in made.replicas)
        each = asked / OBJECTS / minutes
        with capsys.disabled():
            print(
                f"\n{OBJECTS} objects, {dict(storm.done)} in {minutes:.1f} min, {kills} kills: converged after "
                f"{seconds:.1f} s; {asked} requests, {each:.1f} for each object and minute; {quiet} writes while quiet"
            )
        assert each < CALLS
        assert quiet == 0, "a hot loop"
        defects = [line for one in made.replicas for line in one.defects]
        assert not defects, defects[:3]


async def _writes_while_quiet(made: World) -> int:
    """Writes of the controllers in ten seconds in which nothing changes: the first without any, of two minutes. Before,
    Kubernetes Events still wait, and what a fault had stopped is tried again. The Lease, by PUT, is not counted.
    """

    async def writes() -> int:
        for one in made.replicas:
            await one.look()
        return sum(one.written for one in made.replicas)

    async def within(seconds: float) -> int:
        before = await writes()
        await asyncio.sleep(seconds)
        return await writes() - before

    for _ in range(11):
        if await within(10) == 0:
            return 0
    return await within(10)


async def test_a_leader_that_is_killed_is_followed_within_15_seconds(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        first: Replica = made.replica("a")
        first.keryx.start()
        await first.keryx.says("I'm the LEADER")
        second = made.replica("b")
        second.keryx.start()
        await second.keryx.says("Not the LEADER, stand by ...")
        await asyncio.sleep(4)  # into the rhythm of both
        first.kill()
        begun = time.monotonic()
        await second.keryx.says("I'm the LEADER", 25)
        seconds = time.monotonic() - begun
        print(f"\nfollowed after {seconds:.1f} s")
        assert seconds <= 15
        made.check_terms()


@pytest.mark.timeout(1200)
async def test_many_objects_are_brought_by_one_controller_and_a_malformed_one_harms_no_other(
    tmp_path: Path, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 100 * rounds  # 1,000 of each kind with --soak
    async with world(tmp_path) as made:
        bad = sensor("malformed")
        bad["spec"]["triggers"][0]["template"]["conditions"] = "(("
        await made.create(bad)
        for first in range(0, count, 50):
            names = [f"o{number}" for number in range(first, first + 50)]
            await asyncio.gather(*(made.create(make(name)) for make in (sensor, source) for name in names))
        replica = made.replica("a")
        begun = time.monotonic()
        replica.keryx.start()
        await until(lambda: len(made.player.informers["Deployment"]) >= 2 * count, 600, made.logs)
        deployed = time.monotonic() - begun
        while len(said := await made.problems()) > 3:
            assert time.monotonic() - begun < 900, said[:5]
            await asyncio.sleep(1)
        converged = time.monotonic() - begun
        assert {text.split(" ", 2)[1] for text in said} == {"malformed"}
        malformed = await made.api.get(SENSOR, "malformed", namespace=made.space)
        told = {one["type"]: one for one in malformed["status"]["conditions"]}
        assert "conditions" in told["TriggersProvided"]["message"]
        quiet = await _writes_while_quiet(made)
        usage = replica.usage()
        await replica.stop()
        asked = sum(replica.asked.values())
        with capsys.disabled():
            print(
                f"\n{count} Sensors and {count} EventSources: all Deployments after {deployed:.1f} s, converged after "
                f"{converged:.1f} s; {usage}; {asked} requests {dict(replica.asked)}; {quiet} writes while quiet"
            )
        assert quiet == 0
        assert asked < 2 * count * 12


@pytest.mark.timeout(300)
async def test_a_leader_that_stood_still_writes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        names = [f"o{number}" for number in range(20)]
        for name in names:
            await made.create(sensor(name))
        frozen, other = made.replica("a"), made.replica("b")
        frozen.keryx.start()
        await frozen.keryx.says("I'm the LEADER")
        await made.converge(300)
        other.keryx.start()
        await other.keryx.says("Not the LEADER, stand by ...")
        before = (await frozen.look()) and frozen.written
        frozen.keryx.signal(signal.SIGSTOP)
        for name in names:
            await made.change(SENSOR, name, {"spec": sensor(name, "/changed")["spec"]})
        await other.keryx.says("I'm the LEADER", 25)
        frozen.keryx.signal(signal.SIGCONT)
        await frozen.keryx.says("Not the LEADER any more, stopping")
        await made.converge(300)
        await frozen.look()
        assert frozen.written == before
        await other.look()
        assert other.written >= 2 * len(names)
        assert [await one.stop() for one in made.replicas] == [0, 0]
