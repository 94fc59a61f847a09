"""Every change is reconciled, one at a time for each object, and again until it succeeds."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

from support.breaking_kube import BreakingKube, beside
from support.keryx import until

from events.errors import ActionError
from events.kube.api import KubeError, Object
from events.kube.controller import Controller, Key, own_key, owner_keys
from events.kube.informer import Informer
from events.kube.queue import WorkQueue
from events.logs import Log
from events.metrics import Metrics

A, B = Key("ns", "a"), Key("ns", "b")


def controller(reconcile: Any, metrics: Metrics | None = None, **options: Any) -> Controller:
    counted = (metrics or Metrics()).for_controllers()
    return Controller("test-controller", reconcile, metrics=counted, log=Log("test"), **options)


def config_map(name: str, owner: str = "") -> Object:
    references = [{"apiVersion": "v1", "kind": "Sensor", "name": owner, "uid": "1", "controller": True}]
    metadata = {"name": name, "ownerReferences": references if owner else []}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def test_objects_and_their_owners_are_reconciled_once_all_is_listed(kube: BreakingKube, space: str) -> None:
    maps, seen = Informer(kube, "v1", "ConfigMap", namespace=space), Counter[str]()

    async def reconcile(key: Key) -> None:
        assert maps.is_synced
        seen[str(key)] += 1

    own = controller(reconcile)
    own.on(maps, owner_keys("Sensor"))
    own.on(maps)
    await kube.kube.create(config_map("child", "parent"), namespace=space)
    async with beside(maps.run(), own.run()):
        await until(lambda: len(seen) >= 2)
        await kube.kube.delete(await kube.resource("v1", "ConfigMap"), "child", namespace=space)
        await until(lambda: min(seen[f"{space}/parent"], seen[f"{space}/child"]) >= 2)


async def test_a_key_that_changes_while_it_is_reconciled_comes_again_exactly_once() -> None:
    begun, go_on, runs, at_once = asyncio.Event(), asyncio.Event(), Counter[Key](), Counter[Key]()

    async def reconcile(key: Key) -> None:
        runs[key] += 1
        at_once[key] += 1
        assert at_once[key] == 1, "two workers on one key"
        begun.set()
        await go_on.wait()
        at_once[key] -= 1

    it = controller(reconcile, workers=4)
    async with beside(it.run()):
        it.queue.add(A)
        await begun.wait()
        for _ in range(50):
            it.queue.add(A)
        it.queue.add(B)  # another worker takes it meanwhile
        await until(lambda: runs[B])
        assert runs == {A: 1, B: 1}
        go_on.set()
        await until(lambda: runs[A] == 2)
        await asyncio.sleep(0.1)
    assert runs == {A: 2, B: 1}


async def test_a_poison_key_backs_off_and_hurts_no_other() -> None:
    runs: Counter[Key] = Counter()

    async def reconcile(key: Key) -> None:
        runs[key] += 1
        if key == A:
            raise ZeroDivisionError("a defect")

    it = controller(reconcile, workers=1)
    async with beside(it.run()):
        it.queue.add(A)
        await until(lambda: runs[A] >= 3)
        it.queue.add(B)
        await until(lambda: runs[B])
        await asyncio.sleep(0.5)
    assert 3 <= runs[A] <= 12, "5 ms, doubling, at least half of it"


async def test_a_reconcile_that_hangs_is_ended_and_tried_again() -> None:
    runs: Counter[Key] = Counter()

    async def reconcile(key: Key) -> None:
        runs[key] += 1
        if runs[key] == 1:
            await asyncio.Event().wait()

    it = controller(reconcile, workers=1, deadline=0.05)
    async with beside(it.run()):
        it.queue.add(A)
        it.queue.add(B)
        await until(lambda: (runs[A], runs[B]) == (2, 2))


async def test_a_reconcile_says_when_it_wants_to_look_again() -> None:
    runs: list[float] = []

    async def reconcile(key: Key) -> float | None:
        runs.append(asyncio.get_running_loop().time())
        return 0.1 if len(runs) < 3 else None

    it = controller(reconcile)
    async with beside(it.run()):
        it.queue.add(A)
        await until(lambda: len(runs) == 3)
        await asyncio.sleep(0.3)
    assert len(runs) == 3
    assert all(after - before >= 0.09 for before, after in itertools.pairwise(runs))


async def test_what_was_interrupted_is_begun_again_by_the_next_run() -> None:
    runs, go_on = Counter[Key](), asyncio.Event()

    async def reconcile(key: Key) -> None:
        runs[key] += 1
        await go_on.wait()

    it = controller(reconcile)
    it.queue.add(A)
    async with beside(it.run()):
        await until(lambda: runs[A] == 1)
    go_on.set()
    async with beside(it.run()):
        await until(lambda: runs[A] == 2)


async def test_draining_begins_nothing_more_and_waits_for_what_runs() -> None:
    runs, ended, go_on = Counter[Key](), Counter[Key](), asyncio.Event()

    async def reconcile(key: Key) -> None:
        runs[key] += 1
        await go_on.wait()
        ended[key] += 1

    it = controller(reconcile, workers=1)
    async with beside(it.run()):
        it.queue.add(A)
        await until(lambda: runs[A])
        it.queue.add(A)
        it.queue.add(B)
        draining = asyncio.ensure_future(it.drain(10))
        await asyncio.sleep(0.05)
        assert not draining.done()
        go_on.set()
        await draining
        assert (runs, ended) == ({A: 1}, {A: 1})
        go_on.clear()
        it.queue.add(B)
        await asyncio.sleep(0.05)
    assert runs == {A: 1}


async def test_everything_is_looked_at_again_when_asked(kube: BreakingKube, space: str) -> None:
    maps, seen = Informer(kube, "v1", "ConfigMap", namespace=space), Counter[Key]()

    async def reconcile(key: Key) -> None:
        seen[key] += 1

    own = controller(reconcile)
    own.on(maps)
    for name in ("x", "y"):
        await kube.kube.create(config_map(name), namespace=space)
    async with beside(maps.run(), own.run()):
        await until(lambda: seen[Key(space, "x")] == seen[Key(space, "y")] == 1)
        own.again()
        await until(lambda: seen[Key(space, "x")] == seen[Key(space, "y")] == 2)


async def test_results_are_counted_by_the_names_of_controller_runtime() -> None:
    outcomes: list[Any] = [KubeError(409, "Conflict", "changed"), ActionError("no answer"), 0.01, None]
    metrics = Metrics()

    async def reconcile(key: Key) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    it = controller(reconcile, metrics)
    async with beside(it.run()):
        it.queue.add(A)
        await until(lambda: not outcomes)
        await asyncio.sleep(0.05)
        text = metrics.text().decode()
    labels = 'controller="test-controller"'
    for result in ("success", "error", "requeue", "requeue_after"):
        assert f'controller_runtime_reconcile_total{{{labels},result="{result}"}} 1.0' in text
    both = f'{{{labels},name="test-controller"}}'
    assert f"controller_runtime_reconcile_errors_total{{{labels}}} 1.0" in text
    assert f"controller_runtime_max_concurrent_reconciles{{{labels}}} 4.0" in text
    assert f"workqueue_adds_total{both} 4.0" in text
    assert f"workqueue_retries_total{both} 2.0" in text
    assert f"workqueue_depth{both} 0.0" in text
    assert f"workqueue_work_duration_seconds_count{both} 4.0" in text
    assert f"workqueue_queue_duration_seconds_count{both} 4.0" in text


async def test_a_queue_hands_out_each_key_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 0


async def test_of_two_times_the_earlier_counts_and_taking_a_key_up_settles_both() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    queue.add_after("a", 30)
    assert await asyncio.wait_for(queue.get(), 30) == "a"
    queue.done("a")
    queue.add_after("b", 0.05)
    queue.add("b")
    assert await queue.get() == "b"
    queue.done("b")
    await asyncio.sleep(0.1)
    assert len(queue) == 0
    await queue.drain(0)


def test_pauses_grow_to_a_minute_and_begin_again_after_success() -> None:
    async def pauses() -> tuple[list[float], float]:
        queue: WorkQueue[str] = WorkQueue()
        found = [queue.failed("a") for _ in range(40)]
        queue.succeeded("a")
        again = queue.failed("a")
        await queue.drain(0)
        return found, again

    found, again = asyncio.run(pauses())
    assert max(found[0], again) <= 0.005
    assert 30 <= found[-1] <= 60
    assert all(pause <= 0.005 * 2**number for number, pause in enumerate(found))


def test_only_a_controlling_owner_of_the_kind_is_one() -> None:
    references = [
        {"kind": "Sensor", "name": "b"},
        {"kind": "EventSource", "name": "c", "controller": True},
        {"kind": "Sensor", "name": "d", "controller": True},
    ]
    obj = {"metadata": {"namespace": "ns", "name": "a", "ownerReferences": references}}
    assert list(owner_keys("Sensor")(obj)) == [Key("ns", "d")]
    assert list(own_key(obj)) == [A]
    assert list(owner_keys("Sensor")({"metadata": {"name": "a"}})) == []
