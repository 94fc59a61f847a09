"""A whole sensor service over the bus in memory: ownership, take-over, outages, edits, readiness."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.spine import LOG, Decisions, FakeAction, dependency, event, until

from eventbus.base import Start
from eventbus.memory import MemoryBroker, MemoryBus
from events.clients import Clients
from events.credentials import Credentials
from events.errors import NotOwner
from events.metrics import Metrics
from events.process import Readiness
from sensors import types
from sensors.base import Firing, TriggerContext
from sensors.decision import Outcome
from sensors.firing import Action
from sensors.service import SensorService

ONCE, MOST = "least", "most"
PART = "sensor ns/s"


def trigger(name: str, conditions: str = "", **more: Any) -> dict[str, Any]:
    template = {"name": name, "log": {}, **({"conditions": conditions} if conditions else {})}
    return {"template": template, "atLeastOnce": name == ONCE, **more}


def sensor(triggers: list[dict[str, Any]] | None = None, *dependencies: types.EventDependency) -> types.Sensor:
    specs = [one.wire() for one in dependencies or (dependency("orders"),)]
    spec = {"dependencies": specs, "triggers": [trigger(ONCE), trigger(MOST)] if triggers is None else triggers}
    return types.Sensor.parse(
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "s"}, "spec": spec},
        lenient=True,  # as a service reads what is stored
    )


class Pod:
    """One process with the sensor; its actions and decisions are ours to see."""

    def __init__(self, bus: MemoryBus, model: types.Sensor | None = None, *, grace: float = 10, **action: Any) -> None:
        self.bus, self.readiness, self.stopping = bus, Readiness(), asyncio.Event()
        clients = Clients(Credentials((Path("/nowhere"),)))
        self.service = SensorService(
            model or sensor(),
            bus,
            clients,
            Metrics(),
            self.readiness,
            LOG,
            namespace="ns",
            grace=grace,
            since=Start.FIRST,
        )
        self.actions: dict[str, FakeAction] = {}
        self.decisions: dict[str, Decisions] = {}
        for one in self.service._runners:
            name = one.plan.name
            self.actions[name], self.decisions[name] = FakeAction(**action), Decisions()
            one.plan = replace(one.plan, action=self.actions[name], recorder=self.decisions[name])  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.service.run(self.stopping))

    @property
    def is_ready(self) -> bool:
        return not self.readiness.reasons

    def started(self, name: str) -> list[str]:
        return self.actions[name].started

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), 15)
        await self.bus.aclose()


class World:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.pods: list[Pod] = []
        self.writer = MemoryBus(self.broker)

    def pod(self, model: types.Sensor | None = None, **options: Any) -> Pod:
        self.pods.append(Pod(MemoryBus(self.broker), model, **options))
        return self.pods[-1]

    async def publish(self, *ids: int | str, name: str = "orders", data: bytes = b"{}") -> None:
        for one in ids:
            await self.writer.publish(event(one, name=name, data=data))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for pod in made.pods:
        pod.task.cancel()
        await asyncio.gather(pod.task, return_exceptions=True)
        await pod.bus.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_standby_is_ready_and_takes_over_at_once_when_the_owner_stops(world: World) -> None:
    first = world.pod()
    assert not first.is_ready
    await until(lambda: first.is_ready)
    second = world.pod()
    await until(lambda: second.is_ready)
    await world.publish(0, 1)
    await until(lambda: len(first.started(ONCE)) == len(first.started(MOST)) == 2)
    began = now()
    await first.stop()
    await world.publish(2)
    await until(lambda: second.started(ONCE) == second.started(MOST) == ["2"])
    assert now() - began < 2
    assert first.actions[ONCE].closed == first.actions[MOST].closed == 1


async def test_a_standby_takes_over_within_5_s_and_no_event_is_acted_on_by_both(world: World) -> None:
    """The owner is cut off while it acts; later its bus is back, and it stands by."""
    first = world.pod()
    await until(lambda: first.is_ready)
    second = world.pod()
    await until(lambda: second.is_ready)
    for number in range(50):
        await world.publish(number)
    await until(lambda: "49" in first.started(ONCE) and "49" in first.started(MOST))
    await asyncio.sleep(0)
    cut = now()
    first.bus.cut()
    await world.publish(*range(50, 100))
    await until(lambda: "99" in second.started(ONCE) and "99" in second.started(MOST))
    assert now() - cut < 5
    first.bus.mend()
    await world.publish(*range(100, 150))
    await until(lambda: "149" in second.started(ONCE) and "149" in second.started(MOST))
    assert not {str(number) for number in range(50, 150)} & {*first.started(MOST), *first.started(ONCE)}
    started = Counter(first.started(MOST) + second.started(MOST))
    interrupted = second.decisions[MOST].sequences(Outcome.FAILED, "interrupted")
    assert set(started.values()) == {1}
    assert set(started) | {str(one - 1) for one in interrupted} == {str(number) for number in range(150)}
    assert set(first.started(ONCE) + second.started(ONCE)) == {str(number) for number in range(150)}
    assert first.is_ready
    assert second.is_ready


async def test_a_bus_that_is_away_repeats_loses_and_interrupts_nothing(world: World) -> None:
    """Longer than a lease, without a successor: while idle, while acting, while waiting for a permit."""
    idle, acting, limited = world.pod(), world.pod(_named("b"), holding=True), world.pod(_named("c"), permits=1)
    pods = [idle, acting, limited]
    await until(lambda: all(pod.is_ready for pod in pods))
    await world.publish(0, 1)
    await until(lambda: len(idle.started(ONCE)) == len(idle.started(MOST)) == 2)
    await until(lambda: acting.actions[ONCE].running and len(acting.actions[MOST].running) == 2)
    await until(lambda: limited.started(ONCE) == limited.started(MOST) == ["0"])
    for pod in pods:
        pod.bus.cut()
    await until(lambda: not any(pod.service._runners[0]._task is None for pod in pods))
    await asyncio.wait([asyncio.create_task(_lost(pod)) for pod in pods], timeout=8)
    for pod in pods:
        assert pod.is_ready  # an outage says nothing about the pod
        for action in pod.actions.values():
            action.permit(10) if pod is limited else None
            action.finish_all()
    await world.publish(2)
    assert limited.started(ONCE) == limited.started(MOST) == ["0"]
    acting.actions[ONCE].holding = acting.actions[MOST].holding = False
    for pod in pods:
        pod.bus.mend()
    for pod in pods:
        for name in (ONCE, MOST):
            await until(lambda pod=pod, name=name: len(pod.actions[name].finished) == 3)
            assert pod.started(name) == ["0", "1", "2"]
            await until(lambda pod=pod, name=name: len(pod.decisions[name]) == 3)
            assert pod.decisions[name].final() == {(one, "fired"): 1 for one in "012"}


def _named(name: str) -> types.Sensor:
    model = sensor()
    return model.model_copy(update={"metadata": model.metadata.model_copy(update={"name": name})})


async def _lost(pod: Pod) -> None:
    session = await pod.bus.session()
    while session.alive:
        await asyncio.sleep(0.01)


async def test_a_bad_trigger_does_not_stop_its_siblings(world: World) -> None:
    bad = [
        trigger("conditions", "orders &&"),
        {"template": {"name": "kind", "nonsense": {}}},
        {"template": {"log": {}}},
        {},
        {"template": {"name": "described", "pulsar": {"url": "pulsar://h", "topic": "t", "payload": []}}},
        {"template": {"name": "operation", "k8s": {"operation": "patch", "source": {"resource": {}}}}},
        trigger("dead letters", "orders", dlqTrigger={"template": {"name": "d", "pulsar": {}}}),
        trigger("topic", "dotted"),
        trigger("limit", "orders", rateLimit={"unit": "Fortnight", "requestsPerUnit": 1}),
    ]
    triggers = [*bad, trigger(ONCE, "orders"), trigger(MOST, "orders"), trigger(MOST, "orders")]
    pod = world.pod(sensor(triggers, dependency("orders"), dependency("dotted", "a.b")))
    assert sorted(pod.actions) == [ONCE, MOST]
    await until(lambda: pod.is_ready)
    await world.publish(0)
    await until(lambda: pod.started(ONCE) == pod.started(MOST) == ["0"])


async def test_a_sensor_without_a_good_trigger_holds_up_nobody(world: World) -> None:
    pod = world.pod(sensor([trigger("bad", "orders &&")]))
    assert pod.is_ready
    async with asyncio.timeout(10):
        await pod.stop()


async def test_an_edit_drops_what_waits_for_the_changed_dependency_alone(world: World) -> None:
    parts = [dependency("a"), dependency("b"), dependency("c")]
    triggers = [trigger(ONCE, "a && b && c"), trigger(MOST, "a && b && c")]
    first = world.pod(sensor(triggers, *parts))
    await until(lambda: first.is_ready)
    await world.publish("a0", name="a")
    await world.publish("b0", name="b")
    await until(lambda: all(len(decisions) == 2 for decisions in first.decisions.values()))
    await first.stop()
    filters = {"context": {"type": "webhook"}}
    second = world.pod(sensor(triggers, parts[0], dependency("b", filters=filters), parts[2]))
    await until(lambda: second.is_ready)
    for decisions in second.decisions.values():
        assert decisions.ids(Outcome.RESET) == ["b0"]
    await world.publish("c0", name="c")
    await world.publish("b1", name="b")
    await until(lambda: second.started(ONCE) == second.started(MOST) == ["a0+b1+c0"])


async def test_a_wiped_bus_loses_nothing_that_waits_or_comes_later(world: World) -> None:
    triggers = [trigger(ONCE, "a && b"), trigger(MOST, "a && b")]
    pod = world.pod(sensor(triggers, dependency("a"), dependency("b")))
    await until(lambda: pod.is_ready)
    await world.publish("a0", name="a")
    await until(lambda: all(pod.decisions[name] for name in (ONCE, MOST)))
    world.broker.wipe()
    await world.publish("b0", name="b")
    await until(lambda: pod.started(ONCE) == pod.started(MOST) == ["a0+b0"])
    await until(lambda: all(decisions.final()[("b0", "fired")] == 1 for decisions in pod.decisions.values()))
    await world.publish("a1", name="a")
    await world.publish("b1", name="b")
    await until(lambda: pod.started(ONCE) == pod.started(MOST) == ["a0+b0", "a1+b1"])
    assert pod.is_ready


async def test_a_wipe_right_after_a_claim_repeats_nothing(world: World) -> None:
    pod = world.pod(sensor([trigger(MOST)]), holding=True)
    await until(lambda: pod.is_ready)
    await world.publish(*range(5))
    await until(lambda: len(pod.actions[MOST].running) == 5)
    world.broker.wipe()
    await world.publish(*range(5))  # their source sends them again
    await world.publish(5)
    pod.actions[MOST].holding = False
    pod.actions[MOST].finish_all()
    await until(lambda: "5" in pod.actions[MOST].finished)
    assert sorted(pod.started(MOST)) == [str(number) for number in range(6)]
    assert sorted(pod.decisions[MOST].ids(Outcome.DUPLICATE)) == [str(number) for number in range(5)]


async def test_it_is_ready_once_subscribed_and_not_before(world: World) -> None:
    bus = MemoryBus(world.broker)
    bus.cut()
    pod = Pod(bus)
    world.pods.append(pod)
    assert pod.readiness.reasons == {PART: "not subscribed yet"}
    await asyncio.wait({pod.task}, timeout=0.3)
    assert not pod.is_ready
    bus.mend()
    await until(lambda: pod.is_ready)
    await world.publish(0)
    await until(lambda: pod.started(ONCE) == ["0"])


async def test_stopping_before_anything_was_owned_ends_at_once_and_leaves_nobody_waiting(world: World) -> None:
    bus = MemoryBus(world.broker)
    bus.cut()
    pod = Pod(bus)
    world.pods.append(pod)
    await asyncio.wait({pod.task}, timeout=0.1)
    async with asyncio.timeout(10):
        await pod.stop()
    assert pod.readiness.reasons == {}


async def test_stopping_while_the_bus_is_away_ends_within_seconds(world: World) -> None:
    pod = world.pod()
    await until(lambda: pod.is_ready)
    await world.publish(0)
    await until(lambda: pod.started(ONCE) == pod.started(MOST) == ["0"])
    pod.bus.cut()
    async with asyncio.timeout(15):
        await pod.stop()


async def test_of_the_grace_some_is_kept_for_what_comes_after_the_actions(world: World) -> None:
    assert world.pod(_named("b"), grace=25).service._runners[0]._owner.grace == 20
    assert world.pod(_named("c"), grace=2).service._runners[0]._owner.grace == 1
    pod = world.pod(grace=0.4, holding=True)
    await until(lambda: pod.is_ready)
    await world.publish(0)
    await until(lambda: pod.actions[MOST].running)
    pod.stopping.set()
    await asyncio.wait({pod.task}, timeout=0.4)
    assert pod.task.done()
    assert pod.decisions[MOST].ids(Outcome.FAILED, "interrupted") == ["0"]


async def test_an_unanswered_write_of_ownership_is_recognised_as_ones_own(world: World) -> None:
    """Else the process would wait for ever for itself to go away."""
    bus = MemoryBus(world.broker)
    session = await bus.session()
    await until(lambda: session.alive)
    await (await bus.state("leases")).put("owner.x", b'{"session":"%b"}' % session._id.encode())
    async with asyncio.timeout(10), session.own("x") as lease:
        assert lease.held
        other = asyncio.create_task(_own(session))  # another part of the same process has to wait
        await asyncio.wait({other}, timeout=0.7)
        assert not other.done()
    async with asyncio.timeout(10):
        await other
    await bus.aclose()


async def _own(session: Any) -> None:
    async with session.own("x"):
        pass


async def test_a_lost_session_never_comes_to_life_again() -> None:
    """A machine that slept: its clock has gone on, its renewal is answered all the same."""
    slept = 0.0

    def clock() -> float:
        return asyncio.get_running_loop().time() + slept

    bus = MemoryBus(MemoryBroker(clock=clock))
    session = await bus.session()
    async with session.own("x") as lease:
        assert lease.held
        slept = 60.0
        assert not lease.held
        async with asyncio.timeout(10):
            await lease.lost()
        assert not lease.held
    async with asyncio.timeout(4.5), session.own("x") as again:  # and one's own left-overs are not waited for
        assert again.held
    await bus.aclose()


async def test_an_attempt_asks_before_it_starts() -> None:
    context = TriggerContext(
        "ns",
        "s",
        "t",
        LOG,
        Credentials((Path("/nowhere"),)),
        lambda: None,
        lambda: None,  # type: ignore[arg-type,return-value]
    )
    action = Action(types.Trigger.parse(trigger("t")), context, Metrics())

    def refuse() -> None:
        raise NotOwner("over")

    with pytest.raises(NotOwner):
        await action.carry_out(Firing("f", {"orders": event(1)}), refuse)
    assert (await action.carry_out(Firing("f", {"orders": event(1)}))).outcome is Outcome.FIRED
