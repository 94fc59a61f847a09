"""What Argo Events' calendar left in its ConfigMap, and what a crash leaves on the bus: read once, no slot twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.calendars import CATCH_UP, EVERY_FIVE, KEY, Here, catch_up, hasten, said, stopped_at

from eventbus.memory import MemoryState
from events.errors import Unknown
from events.kube.api import KubeError, Resource
from events.kube.memory import MemoryKube


@pytest.fixture
def here() -> Here:
    return Here("2026-03-14 12:02")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="argo-events"):
        yield caplog


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


# --- what Argo Events left behind -------------------------------------------------------------------------------------

LEFT = {"persistence": {"catchup": {"enabled": True}, "configMap": {"name": "c", "createIfNotExist": True}}}


class Left(MemoryKube):
    """A Kubernetes API that counts who reads; it may refuse to answer a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.refusals = 0, list[int]()

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Any:
        self.read += 1
        if self.refusals:
            raise KubeError(self.refusals.pop(), "", "not now")
        return await super().get(resource, name, namespace=namespace)


async def kept_by_argo(here: Here, data: dict[str, str] | None) -> Left:
    """An API with the ConfigMap, for the processes of `here`."""
    kube = Left()
    if data is not None:
        meta = {"name": "c", "namespace": "ns"}
        await kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    here.member.shared.clients._make_kube = lambda: kube
    return kube


@pytest.mark.parametrize(
    ("more", "missed"),
    [
        ({}, ["11:50:00", "11:55:00", "12:00:00"]),
        ({"missed": "one"}, ["12:00:00"]),
        (catch_up(maxDuration="10m", enabled=True), ["11:55:00", "12:00:00"]),
    ],
)
async def test_its_config_map_is_read_once_and_carried_over(
    here: Here, lines: pytest.LogCaptureFixture, more: dict[str, Any], missed: list[str]
) -> None:
    last = '{"eventTime":"2026-03-14 11:45:00.004 +0000 UTC m=+1200.5","metadata":{"a":"b"}}'
    await kept_by_argo(here, {"src.ev": last, "src.other": "nonsense"})
    entry = EVERY_FIVE | LEFT | more
    entry["persistence"] = LEFT["persistence"] | more.get("persistence", {})
    async with here.running(entry):
        await here.clock.asked_for("2026-03-14 12:05")
        await here.have(*missed)
    here.clock.set("2026-03-14 12:06", asleep=True)
    async with here.running(entry):
        await here.clock.asked_for("2026-03-14 12:10")
        await here.have(*missed, "12:05:00")
    assert said(lines, "Going on from the last event in the ConfigMap") == 1


async def test_what_the_config_map_says_is_kept_before_anything_is_published(here: Here) -> None:
    kube = await kept_by_argo(here, {"src.ev": '{"eventTime":"2026-03-14 12:01:00 +0000 UTC"}'})
    async with here.running(EVERY_FIVE | LEFT):
        await here.clock.asked_for("2026-03-14 12:05")
    assert here.last == "2026-03-14T12:01:00Z"
    listed = await kube.list(await kube.resource("v1", "ConfigMap"), namespace="ns")
    assert listed["items"][0]["metadata"]["resourceVersion"] == "1", "it is never written"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "cannot be read"),
        ({}, "has no last event"),
        ({"src.ev": "nonsense"}, "cannot be read"),
        ({"src.ev": "{}"}, "cannot be read"),
        ({"src.ev": '{"eventTime":"yesterday"}'}, "cannot be read"),
        ({"src.ev": '{"eventTime":"2027-01-01 00:00:00 +0000 UTC"}'}, "in the future"),
    ],
)
async def test_a_config_map_that_says_nothing_is_said(
    here: Here, lines: pytest.LogCaptureFixture, data: dict[str, str] | None, text: str
) -> None:
    await kept_by_argo(here, data)
    await stopped_at(here, EVERY_FIVE | LEFT)
    assert said(lines, text) == 1


async def test_without_a_kubernetes_api_there_is_none_to_read(here: Here, lines: pytest.LogCaptureFixture) -> None:
    await stopped_at(here, EVERY_FIVE | LEFT)
    assert said(lines, "There is no Kubernetes API") == 1


@pytest.mark.usefixtures("quick")
async def test_an_api_server_that_is_away_is_waited_for(here: Here) -> None:
    """Else what was missed would be skipped for good."""
    kube = await kept_by_argo(here, {"src.ev": '{"eventTime":"2026-03-14 11:55:00 +0000 UTC"}'})
    kube.refusals = [500, 503, 429]
    async with here.running(EVERY_FIVE | LEFT):
        await here.have("12:00:00")


async def test_it_is_not_read_where_nothing_is_made_up_for(here: Here) -> None:
    kube = await kept_by_argo(here, {"src.ev": '{"eventTime":"2026-03-14 11:55:00 +0000 UTC"}'})
    await stopped_at(here, EVERY_FIVE | {"persistence": {"configMap": {"name": "c"}}})
    assert kube.read == 0


@pytest.mark.parametrize("value", [b"nonsense", b"\xff", b""])
async def test_a_kept_time_that_cannot_be_read_is_none(here: Here, value: bytes) -> None:
    await (await here.member.bus.state("state")).put(KEY, value)
    await stopped_at(here, EVERY_FIVE | CATCH_UP)
    assert here.last == "2026-03-14T12:05:00Z"


async def test_a_crash_between_publishing_and_remembering_does_not_double_the_slot(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:  # P4
    died = asyncio.Event()

    async def update(self: MemoryState, key: str, value: bytes, revision: int) -> int:
        died.set()
        return await asyncio.get_running_loop().create_future()  # nothing more is done by this process

    await stopped_at(here, EVERY_FIVE | CATCH_UP)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryState, "update", update)
        async with here.running(EVERY_FIVE | CATCH_UP):
            await here.clock.asked_for("2026-03-14 12:10")
            here.clock.set("2026-03-14 12:10")
            await asyncio.wait_for(died.wait(), 30)
    assert here.last == "2026-03-14T12:05:00Z"
    assert here.slots[-1] == "2026-03-14T12:10:00Z"

    here.clock.set("2026-03-14 12:12")
    async with here.running(EVERY_FIVE | CATCH_UP):
        await here.clock.asked_for("2026-03-14 12:15")
        await here.have("12:05:00", "12:10:00")
    assert here.member.number("source_events_duplicate_total") == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("is_written", [True, False])
async def test_a_write_without_an_answer_is_looked_up_and_the_slot_is_published_once(
    here: Here, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    real, failures = MemoryState.update, iter([True])

    async def update(self: MemoryState, key: str, value: bytes, revision: int) -> int:
        is_lost = key == KEY and next(failures, False)
        if is_written or not is_lost:
            revision = await real(self, key, value, revision)
        if is_lost:
            raise Unknown("no answer")
        return revision

    monkeypatch.setattr(MemoryState, "update", update)
    await stopped_at(here, EVERY_FIVE)
    assert here.member.number("events_sent_total") == 1


async def test_a_former_owner_that_wakes_up_late_does_not_set_the_kept_time_back(here: Here) -> None:
    state = await here.member.bus.state("state")
    async with here.running(EVERY_FIVE):
        await here.clock.asked_for("2026-03-14 12:05")
        await state.put(KEY, b"2026-03-14T12:20:00Z")  # a successor's
        here.clock.set("2026-03-14 12:05")
        await here.clock.asked_for("2026-03-14 12:10")
    assert here.last == "2026-03-14T12:20:00Z"
