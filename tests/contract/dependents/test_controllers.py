"""Sensors and EventSources on a cluster: what is made for them, and what their status says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.dependents import CONFIG, HOOK, SETTINGS, World, sensor_spec, trigger

from events.kube.api import Object


def env(deployment: Object) -> dict[str, Any]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value") for one in container["env"]}


def checksum(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["metadata"]["annotations"]["object-checksum"])


async def carried(world: World, name: str, file: str) -> Any:
    found = await world.get("ConfigMap", name, "v1")
    assert found is not None
    return json.loads(found["data"][file])


async def test_a_sensor_becomes_a_deployment_and_is_deployed_once_its_pods_are_ready(world: World) -> None:
    await world.bus()
    created = (await world.sensor())["metadata"]["creationTimestamp"]
    async with world.controllers():
        made = await world.deployment()
        name = made["metadata"]["name"]
        assert name.startswith("one-sensor-")
        told = await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")
        assert told["message"] == "0 of 1 pods are ready"
        assert told["observedGeneration"] == 1
        await world.roll()
        await world.condition("Sensor", "one", "Deployed", "True", "PodsReady")
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == SETTINGS.image
    assert (await carried(world, name, "object.json"))["spec"] == sensor_spec()
    assert await carried(world, name, "bus.json") == CONFIG
    assert await carried(world, name, "since.json") == {"triggers": {"t": created}, "complete": True}
    for kind in ("DependenciesProvided", "TriggersProvided"):
        await world.condition("Sensor", "one", kind, "True", "")


async def test_an_event_source_becomes_a_deployment_and_a_service(world: World) -> None:
    await world.bus()
    await world.source(service={"ports": [{"port": 80, "targetPort": 12000}]}, replicas=2)
    async with world.controllers():
        made = await world.deployment()
        assert made["spec"]["replicas"] == 2
        await world.until(lambda: world.get("Service", "src-eventsource-svc", "v1"))
        await world.roll()
        await world.condition("EventSource", "src", "Deployed", "True", "PodsReady")
        await world.condition("EventSource", "src", "SourcesProvided", "True", "")

        await world.change("EventSource", "src", {"spec": {"service": {"ports": [{"port": 81}]}}})

        async def port() -> Any:
            found = await world.get("Service", "src-eventsource-svc", "v1")
            return found and found["spec"]["ports"][0]["port"] == 81

        await world.until(port, "another port")
        await world.change("EventSource", "src", {"spec": {"service": None}})

        async def gone() -> bool:
            return await world.get("Service", "src-eventsource-svc", "v1") is None

        await world.until(gone, "no Service")


async def test_nothing_is_asked_of_the_api_once_all_is_as_it_is_to_be(world: World) -> None:
    await world.bus()
    await world.sensor()
    await world.source(service={"ports": [{"port": 80}]})
    async with world.controllers():
        await world.condition("Sensor", "one", "Deployed", "False")
        await world.condition("EventSource", "src", "Deployed", "False")
        await world.roll()
        await world.condition("Sensor", "one", "Deployed", "True")
        await world.condition("EventSource", "src", "Deployed", "True")
        await world.quiet()
        before = world.kube.writes
        await world.change("Sensor", "one", {"metadata": {"annotations": {"somebody": "was here"}}})
        await world.change("EventBus", "default", {"metadata": {"labels": {"somebody": "was-here"}}})
        await world.quiet()
        assert world.kube.writes == before
    # Nor by another controller that starts.
    async with world.controllers():
        await world.quiet()
        assert world.kube.writes == before


async def test_a_bus_that_is_missing_or_not_ready_is_said_and_followed_at_once(world: World) -> None:
    await world.sensor(eventBusName="mine")
    async with world.controllers():
        told = await world.condition("Sensor", "one", "Deployed", "False", "EventBusNotFound")
        assert "'mine'" in told["message"]
        await world.quiet()
        before = world.kube.calls.total()
        await world.quiet(1)
        assert world.kube.calls.total() == before  # nothing is polled
        await world.bus("mine", ready=False)
        await world.condition("Sensor", "one", "Deployed", "False", "EventBusNotReady", "no pods yet")
        assert not await world.all("Deployment")
        await world.bus("mine")
        made = await world.deployment()
        await world.roll()
        await world.condition("Sensor", "one", "Deployed", "True")

        await world.bus("mine", config={"jetstream": {"url": "nats://elsewhere:4222"}})

        async def rolled() -> bool:
            return checksum(await world.deployment()) != checksum(made)

        await world.until(rolled, "other pods")
        assert (await carried(world, made["metadata"]["name"], "bus.json"))["jetstream"]["url"].endswith(
            "elsewhere:4222"
        )


async def test_on_a_bus_of_ours_each_role_has_its_own_user_and_verifies_the_server(world: World) -> None:
    url, access = "nats://eventbus-default-js-svc.ns.svc:4222", {"name": "eventbus-default-js-client-auth"}
    await world.bus(config={"jetstream": {"url": url, "accessSecret": access | {"key": "client-auth"}}})
    await world.sensor()
    await world.source()
    async with world.controllers():

        async def mounted(**users: str) -> bool:
            found = {}
            for one in await world.all("Deployment"):
                volumes = {v["name"]: v.get("secret", {}) for v in one["spec"]["template"]["spec"]["volumes"]}
                trusted = volumes.get("eventbus-default-js-server", {}).get("secretName", "")
                found[one["metadata"]["labels"]["controller"]] = f"{volumes['auth-volume']['secretName']} {trusted}"
            return found == {f"{word}-controller": text for word, text in users.items()}

        shared = f"{access['name']} "
        await world.until(lambda: mounted(sensor=shared, eventsource=shared), "the user of Argo Events' bus")
        # Our own controller says so of a bus by observing generations.
        await world.bus(
            config={"jetstream": {"url": url, "accessSecret": access | {"key": "client-auth"}}}, observedGeneration=1
        )
        own = {
            word: f"eventbus-default-js-{role}-auth eventbus-default-js-server"
            for word, role in (("sensor", "sensor"), ("eventsource", "source"))
        }
        await world.until(lambda: mounted(**own), "users of their own")
        await world.quiet()


async def test_a_bus_that_is_away_later_stops_nothing_and_is_said(world: World) -> None:
    await world.bus()
    await world.sensor()
    async with world.controllers():
        await world.deployment()
        await world.roll()
        await world.condition("Sensor", "one", "Deployed", "True")
        await world.bus(ready=False)
        await world.condition("Sensor", "one", "Deployed", "False", "EventBusNotReady")
        await world.change("Sensor", "one", {"spec": {"replicas": 3}})

        async def scaled() -> bool:
            return bool((await world.deployment())["spec"].get("replicas") == 3)

        await world.until(scaled, "three pods")
        await world.bus()
        await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")


async def test_one_bad_trigger_stops_alone_and_is_named(world: World) -> None:
    await world.bus()
    await world.sensor("one", trigger("good"), trigger("bad", url=""))
    async with world.controllers():
        made = await world.deployment()
        told = await world.condition("Sensor", "one", "TriggersProvided", "False", "InvalidTriggers")
        assert told["message"].startswith("'bad' is left out: spec.triggers[1].template.http.url")
        await world.roll()
        await world.condition("Sensor", "one", "Deployed", "True")
        name = made["metadata"]["name"]
        assert [one["template"]["name"] for one in (await carried(world, name, "object.json"))["spec"]["triggers"]] == [
            "good"
        ]
        assert set((await carried(world, name, "since.json"))["triggers"]) == {"good", "bad"}


async def test_one_bad_event_stops_alone_and_is_named(world: World) -> None:
    await world.bus()
    await world.source(webhook={"good": HOOK, "bad": {"endpoint": "b", "port": "1", "method": "POST"}})
    async with world.controllers():
        made = await world.deployment()
        told = await world.condition("EventSource", "src", "SourcesProvided", "False", "InvalidEventSource")
        assert told["message"].startswith("'bad' is left out")
        assert set((await carried(world, made["metadata"]["name"], "object.json"))["spec"]["webhook"]) == {"good"}


EMPTYING = [
    ({"triggers": [trigger("t", url="")]}, "TriggersProvided", "InvalidTriggers"),
    ({"triggers": []}, "TriggersProvided", "InvalidTriggers"),
    ({"dependencies": []}, "DependenciesProvided", "InvalidDependencies"),
]
WITHOUT_SCHEMAS = pytest.mark.parametrize("world", ["memory"], indirect=True)
"""A server with schemas refuses such objects itself."""
MISTYPED = [
    ({"template": {"volumes": "none"}}, "Deployed", "BuildDeploymentSpecFailed"),
    ({"triggers": "x"}, "TriggersProvided", "InvalidTriggers"),
]


@pytest.mark.parametrize(("spec", "type_", "reason"), EMPTYING)
async def test_an_edit_that_leaves_nothing_keeps_what_runs(world: World, spec: Any, type_: str, reason: str) -> None:
    await keeps_what_runs(world, spec, type_, reason)


@WITHOUT_SCHEMAS
@pytest.mark.parametrize(("spec", "type_", "reason"), MISTYPED)
async def test_an_edit_of_a_wrong_type_keeps_what_runs(world: World, spec: Any, type_: str, reason: str) -> None:
    await keeps_what_runs(world, spec, type_, reason)


async def keeps_what_runs(world: World, spec: Any, type_: str, reason: str) -> None:
    await world.bus()
    await world.sensor()
    async with world.controllers():
        before = await world.deployment()
        await world.change("Sensor", "one", {"spec": spec})
        await world.condition("Sensor", "one", type_, "False", reason)
        told = await world.condition("Sensor", "one", "Deployed", "False")
        assert "still run" in told["message"]
        await world.quiet()
        assert checksum(await world.deployment()) == checksum(before)
        await world.change("Sensor", "one", {"spec": sensor_spec() | {"template": None}})
        await world.condition("Sensor", "one", "TriggersProvided", "True")
        await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")


@WITHOUT_SCHEMAS
async def test_malformed_objects_harm_no_other(world: World) -> None:
    await world.bus()
    for number, spec in enumerate(({}, {"eventBusName": 5}, {"triggers": {"a": 1}, "dependencies": 3})):
        await world.put("Sensor", f"bad-{number}", spec)
        await world.put("EventSource", f"bad-{number}", {"webhook": spec and 7, "template": 3, **spec})
    await world.sensor("good")
    async with world.controllers():
        await world.condition("Sensor", "good", "Deployed", "False", "PodsNotReady")
        for number in range(3):
            await world.condition("Sensor", f"bad-{number}", "Deployed", "False")
            await world.condition("EventSource", f"bad-{number}", "Deployed", "False")
        await world.quiet()
        assert len(await world.all("Deployment")) == 1


async def test_when_triggers_appeared_survives_edits_and_controllers(world: World) -> None:
    await world.bus()
    created = (await world.sensor("one", trigger("a")))["metadata"]["creationTimestamp"]
    async with world.controllers():
        name = (await world.deployment())["metadata"]["name"]
    await world.change("Sensor", "one", {"spec": {"triggers": [trigger("a"), trigger("b")]}})
    async with world.controllers():

        async def two() -> bool:
            return len((await carried(world, name, "since.json"))["triggers"]) == 2

        await world.until(two, "both")
    since = (await carried(world, name, "since.json"))["triggers"]
    assert since == {"a": created, "b": "2026-07-02T12:00:00.000000Z"}
    world.now = world.now.replace(year=2027)
    await world.change("Sensor", "one", {"spec": {"triggers": [trigger("b", url="http://y"), trigger("c")]}})
    async with world.controllers():

        async def other() -> bool:
            return set((await carried(world, name, "since.json"))["triggers"]) == {"b", "c"}

        await world.until(other, "b and c")
    assert (await carried(world, name, "since.json"))["triggers"] == {
        "b": "2026-07-02T12:00:00.000000Z",
        "c": "2027-07-02T12:00:00.000000Z",
    }


async def test_a_changed_annotation_is_followed(world: World) -> None:
    await world.bus()
    await world.sensor()
    async with world.controllers():
        before = await world.deployment()
        await world.change(
            "Sensor", "one", {"metadata": {"annotations": {"events.argoproj.io/leader-election": "k8s"}}}
        )

        async def elected() -> bool:
            return env(await world.deployment())["LEADER_ELECTION"] == "k8s"

        await world.until(elected, "LEADER_ELECTION")
        assert checksum(await world.deployment()) != checksum(before)


async def test_an_autoscalers_number_stays(world: World) -> None:
    await world.bus()
    await world.source()
    async with world.controllers():
        name = (await world.deployment())["metadata"]["name"]
        await world.change("Deployment", name, {"spec": {"replicas": 7}}, "apps/v1")
        await world.change("EventSource", "src", {"spec": {"webhook": {"more": HOOK | {"endpoint": "/b"}}}})

        async def edited() -> bool:
            return "more" in (await carried(world, name, "object.json"))["spec"]["webhook"]

        await world.until(edited, "the edit")
        await world.quiet()
        assert (await world.deployment())["spec"]["replicas"] == 7


async def test_what_somebody_changes_or_deletes_comes_back(world: World) -> None:
    await world.bus()
    await world.sensor()
    async with world.controllers():
        name = (await world.deployment())["metadata"]["name"]
        await world.delete("ConfigMap", name, "v1")
        await world.until(lambda: world.get("ConfigMap", name, "v1"), "the ConfigMap")
        await world.delete("Deployment", name, "apps/v1")
        await world.until(lambda: world.get("Deployment", name, "apps/v1"), "the Deployment")


async def test_events_tell_what_changed(world: World) -> None:
    await world.bus()
    await world.sensor("one", trigger("good"), trigger("bad", url=""))
    async with world.controllers():
        await world.condition("Sensor", "one", "Deployed", "False")
        await world.roll()

        async def told() -> set[tuple[str, str]]:
            found = {(one["type"], one["reason"]) for one in await world.all("Event", "v1", "")}
            wanted = {("Warning", "InvalidTriggers"), ("Normal", "DeploymentCreated"), ("Normal", "PodsReady")}
            return found if found >= wanted else set()

        await world.until(told, "Events")
