"""Swapping Argo Events' own sensor for ours: waiting for its end, deaths of ours, what is missing, and the way back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.argo_sensor import ArgoSensor, in_progress
from support.lives import HEAD, Life, head, names, publish
from support.spine import FaultyState, OtherState, crash, dependency, until
from support.swaps import ORDERS, QUIET, A, B, World, acted, life, runs

from eventbus.former import FormerReader
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.streams import StreamConfig
from events.clients import Clients
from events.credentials import Credentials
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from sensors.decision import Outcome
from sensors.service import SensorService
from sensors.types import Sensor

TAKEN_OVER = "Taken over from Argo Events' own sensor"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.server.start()
    yield made
    await made.close()


@pytest.fixture
async def bus(world: World) -> JetStreamBus:
    return await world.bus()


# ---- while theirs still runs


async def test_nothing_is_done_while_theirs_still_pulls(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    working = asyncio.create_task(argo.work("orders"))
    ours = life(bus, argo)
    for number in range(10):
        await publish(bus, number)
        await asyncio.sleep(QUIET / 2)
    assert ours.runner._line is None
    assert argo.acted == names(range(10))
    assert "still reads" in ours.waits[-1]
    assert len(ours.waits) <= 3
    assert await (await bus.state("state")).get(HEAD) is None
    working.cancel()
    argo.kill()
    await asyncio.gather(working, return_exceptions=True)
    await publish(bus, 10)
    await until(lambda: ours.action.finished)
    assert set(argo.acted).isdisjoint(ours.action.started)
    assert ours.action.started[-1] == "10"
    await ours.stop()


async def test_a_long_action_of_theirs_is_waited_for_although_it_pulls_nothing(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS, ack_wait=0.5)
    await publish(bus, 0)
    message = await argo.take()
    working = asyncio.create_task(in_progress(message))
    ours = life(bus, argo)
    await asyncio.sleep(4 * (QUIET + 0.5))
    assert ours.runner._line is None
    assert "unacknowledged" in ours.waits[-1]
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await argo.handle(message)
    argo.kill()
    await runs(ours)
    await publish(bus, 1)
    await acted(ours, "1")
    assert argo.acted == ["0"]
    await ours.stop()


async def test_stopping_ends_the_wait(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    working = asyncio.create_task(argo.work("orders"))
    ours = life(bus, argo)
    await until(lambda: ours.waits)
    async with asyncio.timeout(30):
        await ours.stop()
    working.cancel()
    argo.kill()
    await asyncio.gather(working, return_exceptions=True)
    assert await (await bus.state("state")).get(HEAD) is None


async def test_the_bus_may_go_away_during_the_wait(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    await publish(bus, 0)
    argo.kill()
    ours = life(bus, argo)
    await until(lambda: ours.waits)
    world.server.kill()
    await asyncio.sleep(0.3)
    await world.server.start()
    await until(lambda: ours.action.finished, seconds=20)
    assert ours.action.started == ["0"]
    assert len(ours.waits) == 1, "said once"
    await ours.stop()


async def test_a_whole_sensor_says_what_it_waits_for(
    world: World, bus: JetStreamBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="argo-events")
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"))
    working = asyncio.create_task(argo.work("a", "b"))
    readiness, stopping = Readiness(), asyncio.Event()
    spec = {"dependencies": [A.wire(), B.wire()], "triggers": [{"template": {"name": "t", "log": {}}}]}
    model = Sensor.parse({"apiVersion": "v1", "kind": "Sensor", "metadata": {"name": "s"}, "spec": spec})
    clients, metrics = Clients(Credentials((Path("/nowhere"),))), Metrics()
    service = SensorService(model, bus, clients, metrics, readiness, Log("sensor"), namespace="ns", grace=5)
    running = asyncio.create_task(service.run(stopping))
    await until(lambda: "still reads" in readiness.reasons.get("sensor ns/s", ""))
    working.cancel()
    argo.kill()
    await asyncio.gather(working, return_exceptions=True)
    await until(lambda: not readiness.reasons)
    await publish(bus, "b0", name="b")
    await until(lambda: b'outcome="fired"' in metrics.text())
    stopping.set()
    await running
    said = [record.message for record in caplog.records if record.message in ("Waiting", TAKEN_OVER)]
    assert said[0] == "Waiting"
    assert said[-1] == TAKEN_OVER
    assert len(said) <= 4


# ---- deaths of ours


@pytest.mark.parametrize("at_least_once", [True, False])
@pytest.mark.parametrize(
    ("write", "fault"),
    [*((write, fault) for write in (1, 2, 3) for fault in ("before", "after")), (2, "lost"), (2, "unsent")],
)
async def test_a_death_of_ours_at_any_write_changes_nothing(
    world: World, bus: JetStreamBus, write: int, fault: str, at_least_once: bool
) -> None:
    """Write 1 is the slot of the event that waits, 2 the head, 3 the next one."""
    argo = await world.argo(A, B, expression="a && b")
    await publish(bus, "a0", name="a")
    await publish(bus, "b0", name="b")
    await argo.handle(await argo.take("a"))
    argo.kill()
    mortal = OtherState(bus, FaultyState(await bus.state("state"), {write: fault}))
    first = life(mortal, argo, at_least_once=at_least_once)
    if fault in ("before", "after"):
        await first.dead()
        first.task.exception()
    else:
        await until(lambda: first.action.finished)
        await crash(first.task)
    # What is claimed may have run; what was done and is not remembered is repeated.
    assert len(first.action.started) <= (write > 2 or fault in ("lost", "unsent"))
    second = life(await world.bus(), argo, at_least_once=at_least_once)
    await runs(second)
    await publish(bus, "a1", name="a")
    await publish(bus, "b1", name="b")
    await until(lambda: "a1+b1" in second.action.finished)
    together = first.action.started + second.action.started
    assert set(together) == {"a0+b0", "a1+b1"} or second.decisions.sequences(Outcome.FAILED, "interrupted") == [1, 2]
    if not at_least_once:
        assert len(together) == len(set(together))
    await second.stop()


# ---- what may be missing, or something else


async def test_without_anything_of_theirs_nothing_is_waited_for(bus: JetStreamBus) -> None:
    reader = FormerReader("s", "t", {"orders": ("hooks", "orders")})
    async with asyncio.timeout(QUIET):
        assert await bus.former(reader, pytest.fail) is None


async def test_a_bucket_that_is_not_there(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS, with_bucket=False)
    await publish(bus, 0, 1)
    await argo.handle(await argo.take())
    argo.kill()
    ours = life(bus, argo)
    await acted(ours, "1")
    await ours.stop()


GARBAGE = [
    b"",
    b"\x00\xff",
    b"null",
    b"7",
    b"{}",
    b'{"StreamSeq":"x"}',
    b'{"StreamSeq":1,"Timestamp":"2026-01-01T00:00:00Z","Event":null}',
    b'{"StreamSeq":1,"Timestamp":"2026-01-01T00:00:00Z","Event":{"id":"x"}}',
    b'{"StreamSeq":1,"Timestamp":"yesterday","Event":{"specversion":"1.0","id":"x","source":"h","type":"t"}}',
]


async def test_foreign_garbage_in_the_keys_is_said_and_otherwise_ignored(world: World, bus: JetStreamBus) -> None:
    specs = [dependency(f"d{number}", f"d{number % 2}") for number in range(len(GARBAGE))]
    argo = await world.argo(*specs)
    await publish(bus, "x0", name="d0")
    await argo.handle(await argo.take("d0"))
    for spec, value in zip(specs, GARBAGE, strict=True):
        await argo.bucket.put(f"t/{spec.name}", value)
    argo.kill()
    left = await bus.former(FormerReader("s", "t", argo.upstream.topics), lambda _reason: None)
    assert left is not None
    assert left.pending == {}
    assert [note.partition(" cannot")[0] for note in left.notes] == [
        f"its waiting event (key t/{spec.name})" for spec in specs
    ]
    ours = life(bus, argo)
    await publish(bus, "x1", name="d0")
    await publish(bus, "y1", name="d1")
    await until(lambda: ours.action.finished)
    assert {one.id for one in ours.action.firings[0].events.values()} == {"x1", "y1"}
    await ours.stop()


async def test_garbage_instead_of_the_hashes_is_no_proof_of_anything(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    for value in (b"", b"[]", b'{"a":"x"}', b'{"a":null}', b"\xff"):
        await argo.bucket.put("Deps", value)
        left = await bus.former(FormerReader("s", "t", argo.upstream.topics), lambda _reason: None)
        assert left is not None
        assert left.hashes is None
        assert left.notes == ("its list of dependencies (key Deps) cannot be read",)


async def test_an_event_of_a_stream_that_is_gone_waits_on(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    await publish(bus, "a0", name="a")
    await argo.handle(await argo.take("a"))
    value = json.loads((await argo.bucket.get("t/a")).value or b"")
    await argo.bucket.put("t/a", json.dumps(value | {"StreamSeq": 1000}).encode())
    argo.kill()
    ours = life(bus, argo)
    await publish(bus, "b0", name="b")
    await acted(ours, "a0+b0")
    await ours.stop()


@pytest.mark.parametrize(("sensor", "trigger"), [("a.b", "t"), ("*", ">"), ("s", "t *"), ("s", ">"), ("s", "")])
async def test_names_that_fit_no_bucket_ask_for_none(bus: JetStreamBus, sensor: str, trigger: str) -> None:
    reader = FormerReader(sensor, trigger, {"orders": ("hooks", "orders"), "*": ("hooks", "b")})
    assert await bus.former(reader, pytest.fail) is None


async def test_a_consumer_that_only_has_the_name_is_none_of_theirs(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    name = argo.durables()["default.hooks.orders"]
    await argo.stream.delete_consumer("default", name)
    await argo.stream.add_consumer("default", durable_name=name, deliver_subject="there", ack_policy="explicit")
    assert await bus.former(FormerReader("s", "t", argo.upstream.topics), pytest.fail) is None


async def test_when_the_broker_does_not_say_what_was_acknowledged_nothing_is_lost(
    world: World, bus: JetStreamBus
) -> None:
    """Its durable is paused: what was left is not handed out."""
    argo = await world.argo(ORDERS)
    await publish(bus, *range(4))
    taken = [await argo.take() for _ in range(3)]
    await argo.handle(taken[1])
    pause = json.dumps({"pause_until": "2100-01-01T00:00:00Z"}).encode()
    name = argo.durables()["default.hooks.orders"]
    await argo.client.request(f"$JS.API.CONSUMER.PAUSE.default.{name}", pause, timeout=5)
    argo.kill()
    left = await bus.former(FormerReader("s", "t", argo.upstream.topics), lambda _reason: None)
    assert left is not None
    assert "some of them perhaps again" in left.notes[0]
    ours = life(bus, argo)
    await acted(ours, *names(range(4)))
    await ours.stop()


# ---- a stream that keeps events only while somebody is interested


@pytest.fixture
async def interest(world: World) -> JetStreamBus:
    return await world.bus(stream=StreamConfig(retention="interest"))


async def messages(argo: ArgoSensor) -> int:
    return int((await argo.stream.stream_info("default")).state.messages)


async def test_on_an_interest_stream_their_durables_go_once_ours_stands(world: World, interest: JetStreamBus) -> None:
    argo = await world.argo(A, B, expression="a || b")
    await publish(interest, "a0", "a1", "a2", name="a")
    await publish(interest, "b0", name="b")
    await argo.handle(await argo.take("a"))
    await argo.take("a")
    argo.kill()
    ours = life(interest, argo)
    await acted(ours, "a1", "a2", "b0")
    assert await argo.existing() == []
    assert (await head(interest)).checkpoint.pins == ()
    other = await world.argo(dependency("else"), trigger="other")
    await publish(interest, "a3", name="a")
    await acted(ours, "a1", "a2", "b0", "a3")
    async with asyncio.timeout(30):
        while await messages(other):  # our acks are lazy
            await asyncio.sleep(0.05)
    await ours.stop()


@pytest.mark.parametrize("write", [1, 2])
@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_death_of_ours_leaves_no_durable_that_pins_events(
    world: World, interest: JetStreamBus, write: int, fault: str
) -> None:
    """Write 1 is the head that names them, 2 the one after their removal."""
    argo = await world.argo(ORDERS)
    await publish(interest, 0)
    argo.kill()
    mortal = OtherState(interest, FaultyState(await interest.state("state"), {write: fault}))
    first = life(mortal, argo)
    await first.dead()
    first.task.exception()
    assert bool(await argo.existing()) == (write == 1)
    second = life(await world.bus(), argo)
    await acted(second, "0")
    assert await argo.existing() == []
    await second.stop()


async def test_an_ordinary_stop_leaves_what_nobody_has_taken_yet(interest: JetStreamBus) -> None:
    """A roll-out: between two pods nobody reads, and such a stream keeps only what somebody will."""
    first = Life(interest, at_least_once=True, holding=True)
    await runs(first)
    await publish(interest, 0, 1, 2)
    await until(lambda: "0" in first.action.running)
    stopping = asyncio.create_task(first.stop())
    await asyncio.sleep(0.05)
    first.action.finish("0")
    await stopping
    await publish(interest, 3)
    second = Life(interest, at_least_once=True)
    await acted(second, "1", "2", "3")
    await second.stop()


async def test_on_a_stream_with_limits_their_durables_stay(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(A, B)
    argo.kill()
    ours = life(bus, argo)
    await runs(ours)
    assert len(await argo.existing()) == 2
    await ours.stop()


# ---- back, and forth again


async def test_back_to_theirs_repeats_what_came_since_and_forth_again_needs_our_state_removed(
    world: World, bus: JetStreamBus
) -> None:
    """What docs/taking-over.md says of a swap back."""
    argo = await world.argo(ORDERS)
    await publish(bus, 0, 1)
    await argo.handle(await argo.take())
    argo.kill()
    ours = life(bus, argo)
    await acted(ours, "1")
    await ours.stop()
    back = await world.argo(ORDERS)
    await publish(bus, 2)
    await back.handle(await back.take())
    await back.handle(await back.take())
    assert back.acted == ["1", "2"]
    back.kill()
    await (await bus.state("state")).purge(HEAD)
    again = life(bus, argo)
    await runs(again)
    await publish(bus, 3)
    await acted(again, "3")
    await again.stop()


async def test_a_trigger_with_a_checkpoint_of_ours_does_not_look_back(world: World, bus: JetStreamBus) -> None:
    argo = await world.argo(ORDERS)
    first = Life(bus, at_least_once=True)
    await runs(first)
    await first.stop()
    working = asyncio.create_task(argo.work("orders"))
    second = life(bus, argo)
    await runs(second)
    assert second.waits == []
    await second.stop()
    working.cancel()
    argo.kill()
    await asyncio.gather(working, return_exceptions=True)
