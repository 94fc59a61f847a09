"""Status and finalizers of the objects that people made, conditions, and Events about them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.breaking_kube import BreakingKube, beside
from support.keryx import until

from events.errors import ActionError
from events.kube import conditions, status
from events.kube.api import KubeError, Object, Resource
from events.kube.conditions import Condition
from events.kube.informer import without_notes
from events.kube.recording import Recorder

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FINALIZER = "keryx.test/finalizer"


async def pod(kube: BreakingKube, space: str, name: str = "a") -> Object:
    spec = {"containers": [{"name": "main", "image": "image"}]}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return without_notes(await kube.kube.create(obj, namespace=space))


# status


async def test_a_status_is_written_when_it_differs(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    written = await status.write(kube, made, {"phase": "Running", "message": "up"})
    assert written["status"] == {"phase": "Running", "message": "up"}
    assert await status.write(kube, written, {"phase": "Running", "message": "up"}) is written
    assert kube.writes == 1
    assert (await status.write(kube, written, {"phase": "Failed"}))["status"] == {"phase": "Failed"}


async def test_a_status_that_somebody_else_wrote_meanwhile_is_a_conflict(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    await status.write(kube, made, {"phase": "Running"})
    with pytest.raises(KubeError) as caught:
        await status.write(kube, made, {"phase": "Failed"})
    assert caught.value.status == 409


async def test_what_is_gone_has_no_status_to_be_written(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    await kube.kube.delete(PODS, "a", namespace=space, options={"gracePeriodSeconds": 0})
    assert await status.write(kube, made, {"phase": "Running"}) is made


async def test_a_finalizer_is_set_once_and_taken_away_without_those_of_others(kube: BreakingKube, space: str) -> None:
    made = await status.ensure_finalizer(kube, await pod(kube, space), FINALIZER)
    made = await status.ensure_finalizer(kube, made, "keryx.test/others")
    assert await status.ensure_finalizer(kube, made, FINALIZER) is made
    await kube.kube.delete(PODS, "a", namespace=space, options={"gracePeriodSeconds": 0})
    deleted = await kube.kube.get(PODS, "a", namespace=space)
    assert await status.ensure_finalizer(kube, deleted, "keryx.test/late") is deleted, "not on what is going"
    left = await status.remove_finalizer(kube, deleted, FINALIZER)
    assert left["metadata"]["finalizers"] == ["keryx.test/others"]
    assert await status.remove_finalizer(kube, left, FINALIZER) is left
    await status.remove_finalizer(kube, left, "keryx.test/others")
    assert await status.remove_finalizer(kube, left, "keryx.test/others") is left, "gone: nothing to do"


async def test_a_finalizer_on_an_old_version_is_a_conflict_not_a_loss(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    await status.ensure_finalizer(kube, made, "keryx.test/others")
    with pytest.raises(KubeError) as caught:
        await status.ensure_finalizer(kube, made, FINALIZER)
    assert caught.value.status == 409


# conditions


def test_conditions_are_sorted_and_what_did_not_change_keeps_its_time() -> None:
    first = conditions.merged(None, [Condition("B", "True"), Condition("A", "False", "Why", "because")], 1, NOW)
    assert [one["type"] for one in first] == ["A", "B"]
    assert first[0] == {
        "type": "A",
        "status": "False",
        "reason": "Why",
        "message": "because",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }
    later = NOW + timedelta(hours=1)
    same = [Condition("A", "False", "Why", "because"), Condition("B", "True")]
    assert conditions.merged(first, same, 1, later) == first
    second = conditions.merged(first, [Condition("A", "False", "Other"), Condition("B", "False")], 2, later)
    assert [one["lastTransitionTime"] for one in second] == ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"]
    assert [one["observedGeneration"] for one in second] == [2, 2]
    assert [one["type"] for one in conditions.changed(first, second)] == ["A", "B"]
    assert conditions.changed(first, conditions.merged(first, same, 2, later)) == []


@pytest.mark.parametrize(
    ("stored", "is_ready"),
    [
        ({}, False),
        ({"status": None}, False),
        ({"status": {"conditions": []}}, False),
        ({"status": {"conditions": "text"}}, False),
        ({"status": {"conditions": [{"type": "A", "status": "True"}, "text"]}}, True),
        ({"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "Unknown"}]}}, False),
    ],
)
def test_an_object_is_ready_when_it_has_conditions_and_all_are_true(stored: Object, is_ready: bool) -> None:
    assert conditions.ready(stored) is is_ready


# Events


async def said(kube: BreakingKube, space: str) -> list[tuple[str, str, int]]:
    found = (await kube.kube.list(EVENTS, namespace=space))["items"]
    return sorted((one["reason"], one["message"], one["count"]) for one in found)


async def settled(recorder: Recorder) -> None:
    await until(lambda: not recorder._waiting)


async def test_what_is_said_again_is_counted_also_after_a_restart(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    for life in range(2):
        recorder = Recorder(kube, "sensor-controller")
        async with beside(recorder.run()):
            for _ in range(3):
                recorder.event(made, "Warning", "Failed", "no bus")
                recorder.event(made, "Normal", "Deployed", "up")
                await settled(recorder)
        assert await said(kube, space) == [("Deployed", "up", 3 * life + 3), ("Failed", "no bus", 3 * life + 3)]
    event = (await kube.kube.list(EVENTS, namespace=space))["items"][0]
    assert event["involvedObject"]["uid"] == made["metadata"]["uid"]
    assert event["source"] == {"component": "sensor-controller"}


async def test_a_storm_is_bounded(kube: BreakingKube, space: str) -> None:
    made, other = await pod(kube, space), await pod(kube, space, "b")
    recorder = Recorder(kube, "sensor-controller")
    for number in range(5000):
        recorder.event(made, "Warning", "Failed", f"attempt {number}")
    recorder.event(other, "Normal", "Deployed", "up")
    async with beside(recorder.run()):
        await settled(recorder)
        for _ in range(1000):
            recorder.event(other, "Normal", "Deployed", "up")
            await asyncio.sleep(0)
        await settled(recorder)
    assert recorder.dropped >= 4975
    assert len(await said(kube, space)) == 26
    assert kube.writes < 80


async def test_events_wait_for_a_server_that_is_away_and_drop_what_it_refuses(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    recorder = Recorder(kube, "sensor-controller")
    kube.failing["create"].extend([ActionError("no answer"), KubeError(500, "InternalError", "no")])
    recorder.event(made, "Normal", "Deployed", "up")
    async with beside(recorder.run()):
        await settled(recorder)
        kube.failing["create"].append(KubeError(403, "Forbidden", "not you"))
        recorder.event(made, "Normal", "Other", "refused")
        await settled(recorder)
    assert await said(kube, space) == [("Deployed", "up", 1)]
    assert recorder.dropped == 1


async def test_an_event_that_the_server_forgot_is_made_again(kube: BreakingKube, space: str) -> None:
    made = await pod(kube, space)
    recorder = Recorder(kube, "sensor-controller")
    async with beside(recorder.run()):
        recorder.event(made, "Normal", "Deployed", "up")
        await settled(recorder)
        for one in (await kube.kube.list(EVENTS, namespace=space))["items"]:
            await kube.kube.delete(EVENTS, one["metadata"]["name"], namespace=space)
        recorder.event(made, "Normal", "Deployed", "up")
        await settled(recorder)
    assert [one[:2] for one in await said(kube, space)] == [("Deployed", "up")]


async def test_what_is_left_at_the_end_is_written_within_its_time(kube: BreakingKube, space: str) -> None:
    made: Any = await pod(kube, space)
    recorder = Recorder(kube, "sensor-controller")
    recorder.event(made, "Normal", "Stopping", "x" * 5000)
    await recorder.drain()
    [(_, message, _)] = await said(kube, space)
    assert len(message.encode()) <= 1024
