"""What the controller makes of what pods say, however they say it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from support.breaking_kube import beside

from events import findings
from events.errors import ActionError
from events.findings import Findings, Whose
from events.kube import patches, pods, reports
from events.kube.controller import Key
from events.kube.informer import Informers
from events.kube.memory import MemoryKube
from events.kube.reports import Reports
from events.kube.workloads import pods_of
from events.logs import Log

LOG = Log("test")
OWNER: dict[str, Any] = {"kind": "Sensor", "metadata": {"name": "one", "namespace": "ns", "uid": "u1"}}


def pod(name: str, address: str = "10.0.0.1", **status: Any) -> dict[str, Any]:
    labels = {"controller": "sensor-controller", "sensor-name": "one", "owner-name": "one"}
    container = {"name": "main", "image": "keryx", "ports": [{"name": "metrics", "containerPort": 7777}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container]},
        "status": {"phase": "Running", "podIP": address} | status,
    }


def says(*found: tuple[str, str, str, str], uid: str = "u1", **waiting: str) -> Any:
    made = Findings()
    made.speak_for(Whose("Sensor", "ns", "one", uid), findings.OF_SENSORS)
    for one in found:
        made.tell(*one)
    return made.wire(waiting)


class Pods:
    """Pods of an API in memory, and what each answers."""

    def __init__(self) -> None:
        self.kube, self.answers, self.asked = MemoryKube(), dict[str, Any](), list[str]()
        self.told: list[Key] = []
        self.informers = Informers(self.kube, log=LOG)
        self.informer = pods_of(self.informers)
        self.reports = Reports(self.informer, LOG)
        self.reports.subscribe(pods.SENSOR, self.told.append)

    async def add(self, *made: dict[str, Any]) -> None:
        for one in made:
            created = await self.kube.create(one, namespace="ns")
            name, resource = created["metadata"]["name"], await self.kube.resource("v1", "Pod")
            change = {"status": one["status"]}
            await self.kube.patch(resource, name, change, content_type=patches.MERGE, namespace="ns", status=True)
            await self.seen(lambda name=name: (self.informer.get("ns", name) or {}).get("status"))

    async def seen(self, is_so: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not is_so():
                await asyncio.sleep(0)

    async def ask(self, url: str) -> Any:
        self.asked.append(url)
        if url not in self.answers:
            raise ActionError("no answer")
        return self.answers[url]

    async def round(self) -> None:
        await self.reports.round(self.ask)

    def conditions(self, raw: dict[str, Any] = OWNER) -> dict[str, tuple[str, str, str]]:
        found = self.reports.conditions(raw, pods.SENSOR)
        return {one.type: (one.status, one.reason, one.message) for one in found}


URL, OTHER = "http://10.0.0.1:7777/findings", "http://[fd00::2]:7777/findings"
FORBIDDEN = (findings.TRIGGERS_WORKING, "t", "Forbidden", "may not")


@pytest.fixture
async def here() -> AsyncIterator[Pods]:
    made = Pods()
    async with beside(made.informers.run()):
        yield made


async def test_only_pods_that_run_are_asked(here: Pods) -> None:
    await here.add(pod("a"), pod("b", "fd00::2"), pod("c", phase="Pending"), pod("d", ""))
    await here.round()
    assert sorted(here.asked) == sorted([URL, OTHER])


async def test_what_all_pods_say_becomes_conditions_and_a_change_is_told(here: Pods) -> None:
    await here.add(pod("a"), pod("b", "fd00::2"))
    here.answers = {URL: says(FORBIDDEN), OTHER: says()}
    await here.round()
    assert here.conditions() == {
        "TriggersWorking": ("False", "Forbidden", "'t': may not"),
        "KeepingUp": ("True", "", ""),
        "DeadLettersKept": ("True", "", ""),
    }
    assert set(here.told) == {Key("ns", "one")}
    here.told.clear()
    await here.round()
    assert here.told == [], "nothing new"
    here.answers[URL] = says()
    await here.round()
    assert here.conditions()["TriggersWorking"] == ("True", "", "")
    assert here.told == [Key("ns", "one")]


async def test_a_pod_speaks_only_for_the_object_that_it_runs(here: Pods) -> None:
    await here.add(pod("a"))
    here.answers = {URL: says(FORBIDDEN, uid="another")}
    await here.round()
    assert here.conditions() == {}


async def test_before_anybody_was_asked_a_status_stays_as_it_is(here: Pods) -> None:
    old = {"type": "TriggersWorking", "status": "False", "reason": "Forbidden", "message": "m"}
    raw = OWNER | {"status": {"conditions": [old, {"type": "Deployed", "status": "True"}]}}
    assert here.conditions(raw) == {"TriggersWorking": ("False", "Forbidden", "m")}
    await here.round()
    assert here.conditions(raw) == {}


async def test_a_pod_that_went_is_believed_until_the_next_one_has_spoken(here: Pods) -> None:
    await here.add(pod("a"))
    here.answers = {URL: says(FORBIDDEN)}
    await here.round()
    await here.kube.delete(await here.kube.resource("v1", "Pod"), "a", namespace="ns")
    await here.seen(lambda: not len(here.informer))
    await here.round()
    assert here.conditions()["TriggersWorking"][1] == "Forbidden"
    await here.add(pod("b", "fd00::2"))
    here.answers[OTHER] = says()
    await here.round()
    assert here.conditions()["TriggersWorking"][0] == "True"


async def test_a_report_that_is_old_is_forgotten(here: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.add(pod("a"))
    here.answers = {URL: says(FORBIDDEN)}
    await here.round()
    here.answers.clear()
    await here.round()
    assert here.conditions() != {}
    monkeypatch.setattr(reports, "FORGET_SECONDS", -1.0)
    await here.round()
    assert here.conditions() == {}
    assert here.told[-1] == Key("ns", "one")


async def test_what_a_pod_waits_for_is_known(here: Pods) -> None:
    await here.add(pod("a"))
    here.answers = {URL: says(bus="is away")}
    await here.round()
    (known,) = here.informer.all()
    assert here.reports.waiting(known) == "bus: is away"


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"object": {}, "findings": 1, "types": []}, {"object": 1, "findings": [], "types": []}]
)
def test_nonsense_is_no_report(answer: Any) -> None:
    with pytest.raises(ActionError, match="no report"):
        reports.parsed(answer)


def test_a_report_is_bounded() -> None:
    one = {"type": "TriggersWorking", "name": "n" * 9000, "reason": "R", "message": "m" * 9000}
    whole = {"object": {"uid": "u"}, "types": ["TriggersWorking"] * 99, "findings": [one] * 999}
    found = reports.parsed(whole)
    assert len(found.found) == 100
    assert len(found.types) == 10
    assert {len(part.message) for part in found.found} == {2000}


async def test_a_pod_is_asked_over_http_and_answers_that_are_none_are_errors() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/large/findings":
            return web.Response(body=b" " * (reports.MAX_BYTES + 1))
        if request.path == "/text/findings":
            return web.Response(text="not JSON")
        return web.json_response(says(FORBIDDEN)) if request.path == "/findings" else web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (address,) = runner.addresses
    url = f"http://127.0.0.1:{address[1]}"
    try:
        async with reports.aiohttp.ClientSession() as session:
            assert reports.parsed(await reports._over_http(session, f"{url}/findings")).uid == "u1"
            for path in ("/large/findings", "/text/findings", "/metrics"):
                with pytest.raises(ActionError):
                    await reports._over_http(session, url + path)
    finally:
        await runner.cleanup()
    async with reports.aiohttp.ClientSession() as session:
        with pytest.raises(ActionError):
            await reports._over_http(session, f"{url}/findings")
