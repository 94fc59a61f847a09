"""What pods say of their own work, in the status of their object and in Events about it."""

from __future__ import annotations

from typing import Any

from support.dependents import World

from events import findings
from events.errors import ActionError
from events.findings import Findings, Whose
from events.kube.api import Object

FORBIDDEN = (findings.TRIGGERS_WORKING, "t", "Forbidden", "ServiceAccount 'default' may not create workflows")


class Pods:
    """What the pods of Sensors and EventSources answer; None: nothing."""

    def __init__(self, raw: Object, types: tuple[str, ...]) -> None:
        self.found, self.is_silent, self.waiting = Findings(), False, dict[str, str]()
        meta = raw["metadata"]
        self.found.speak_for(Whose(raw["kind"], meta["namespace"], meta["name"], meta["uid"]), types)

    async def __call__(self, url: str) -> Any:
        assert url == "http://10.1.2.3:7777/findings"
        if self.is_silent:
            raise ActionError("no answer")
        return self.found.wire(self.waiting)


async def running(world: World, *, ready: bool = True) -> None:
    """A pod of the one Deployment."""
    deployment = await world.deployment()
    template = deployment["spec"]["template"]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "labels": template["metadata"]["labels"]}}
    spec = {"containers": [{key: template["spec"]["containers"][0][key] for key in ("name", "image", "ports")}]}
    await world.kube.kube.create(body | {"spec": spec}, namespace=world.namespace)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}], "conditions": conditions}
    await world.change("Pod", "one", {"status": status}, "v1", status=True)
    await world.roll(ready=ready)


async def said(world: World, reason: str) -> list[Object]:
    """The Events with this reason."""
    return [one for one in await world.all("Event", "v1", "") if one["reason"] == reason]


async def test_a_trigger_that_is_not_allowed_is_told_once_and_no_more_once_it_is(world: World) -> None:
    await world.bus()
    pods = Pods(await world.sensor(), findings.OF_SENSORS)
    async with world.controllers(pods):
        await running(world)
        for type_ in findings.OF_SENSORS:
            await world.condition("Sensor", "one", type_, "True", "")
        pods.found.tell(*FORBIDDEN)
        told = await world.condition("Sensor", "one", "TriggersWorking", "False", "Forbidden")
        assert told["message"] == f"'t': {FORBIDDEN[3]}"
        await world.condition("Sensor", "one", "Deployed", "True", "PodsReady")

        async def events() -> Any:
            return await said(world, "Forbidden")

        (event,) = await world.until(events, "an Event")
        assert (event["type"], event["message"]) == ("Warning", told["message"])
        await world.quiet()
        before = world.kube.writes
        for _ in range(50):
            pods.found.tell(*FORBIDDEN[:3], "worded otherwise each time")
        await world.quiet()
        assert world.kube.writes == before
        pods.found.clear(*FORBIDDEN[:2])
        await world.condition("Sensor", "one", "TriggersWorking", "True", "")
        await world.quiet()
        assert not [one for one in await said(world, "KeepingUp") if one["involvedObject"]["name"] == "one"]


async def test_what_is_known_outlives_the_controller_and_a_pod_that_is_silent_for_a_moment(world: World) -> None:
    await world.bus()
    pods = Pods(await world.sensor(), findings.OF_SENSORS)
    pods.found.tell(*FORBIDDEN)
    async with world.controllers(pods):
        await running(world)
        await world.condition("Sensor", "one", "TriggersWorking", "False", "Forbidden")
        pods.is_silent = True
        await world.change("Sensor", "one", {"metadata": {"labels": {"looked": "at"}}})
        await world.quiet()
        await world.condition("Sensor", "one", "TriggersWorking", "False", "Forbidden")


async def test_an_event_of_a_source_that_fails_is_told_by_name(world: World) -> None:
    await world.bus()
    pods = Pods(await world.source(), findings.OF_EVENT_SOURCES)
    pods.found.tell(findings.SOURCES_WORKING, "ev", "SourceFailing", "connection refused")
    pods.waiting = {"event source src ev": "connection refused"}
    async with world.controllers(pods):
        await running(world, ready=False)
        told = await world.condition("EventSource", "src", "SourcesWorking", "False", "SourceFailing")
        assert told["message"] == "'ev': connection refused"
        why = "pod one runs and is not ready yet: event source src ev: connection refused"
        await world.condition("EventSource", "src", "Deployed", "False", "PodsNotReady", why)
