"""What is there already: of Argo Events, twice, of somebody else's; what the API server refuses; what is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from support.dependents import World, trigger

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeError, Object
from events.kube.objects import copied
from sensors import stored

ON_A_SERVER = pytest.mark.parametrize("world", ["server"], indirect=True)
"""The API in memory collects nothing, and gives no addresses."""
FIXED = {"controller": "sensor-controller", "sensor-name": "one", "owner-name": "one"}


def owned(owner: Object, kind: str = "Sensor") -> dict[str, Any]:
    meta = owner["metadata"]
    reference = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return reference | {"controller": True, "blockOwnerDeletion": True}


def of_argo(owner: Object, name: str, **spec: Any) -> Object:
    """A Deployment as Argo Events makes it."""
    environment = [
        {"name": "SENSOR_OBJECT", "value": "e30="},
        {"name": "EVENTBUS_CONFIG", "value": "e30="},
        {"name": "LEADER_ELECTION"},
    ]
    container = {"name": "main", "image": "argo-events:1", "args": ["sensor-service"], "env": environment}
    template = {"metadata": {"labels": FIXED}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": FIXED,
            "ownerReferences": [owned(owner)],
            "annotations": {"resource-spec-hash": "3702381868"},
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": FIXED}, "template": template, **spec},
    }


async def test_what_argo_events_made_is_taken_over_under_its_name(world: World) -> None:
    await world.bus()
    sensor = await world.sensor()
    made = of_argo(sensor, "one-sensor-abcde")
    containers = made["spec"]["template"]["spec"]["containers"]
    bare = made | {"spec": made["spec"] | {"template": copied(made["spec"]["template"])}}
    del bare["spec"]["template"]["spec"]["containers"][0]["env"]
    created = await world.kube.kube.create(bare, namespace=world.namespace)
    # As its controller writes: what it set is its own.
    resource = await world.kube.kube.resource("apps/v1", "Deployment")
    await world.kube.kube.patch(
        resource,
        created["metadata"]["name"],
        {"spec": {"template": {"spec": {"containers": containers}}}},
        content_type=patches.MERGE,
        namespace=world.namespace,
        params={"fieldManager": "argo-events"},
    )
    async with world.controllers():

        async def ours() -> bool:
            container = (await world.deployment())["spec"]["template"]["spec"]["containers"][0]
            names = {one["name"] for one in container["env"]}
            is_ours = container["image"].startswith("registry.invalid/keryx") and "KERYX_OBJECT_FILE" in names
            return is_ours and names.isdisjoint({"SENSOR_OBJECT", "EVENTBUS_CONFIG"})

        await world.until(ours, "our image and environment")
        await world.quiet()
        assert [one["metadata"]["name"] for one in await world.all("Deployment")] == ["one-sensor-abcde"]
        assert await world.get("ConfigMap", "one-sensor-abcde", "v1")


@ON_A_SERVER
async def test_when_objects_are_deleted_nothing_of_theirs_remains(world: World) -> None:
    await world.bus()
    await world.sensor()
    await world.source(service={"ports": [{"port": 80}]})
    async with world.controllers():
        await world.until(lambda: world.get("Service", "src-eventsource-svc", "v1"))
        await world.condition("Sensor", "one", "Deployed", "False")
        await world.delete("Sensor", "one")
        await world.delete("EventSource", "src")

        async def nothing() -> bool:
            kinds = (("Deployment", "apps/v1"), ("ConfigMap", "v1"), ("Service", "v1"))
            return not [one for kind, version in kinds for one in await world.all(kind, version)]

        await world.until(nothing, "nothing")
        await world.quiet()


async def test_a_second_deployment_of_one_object_goes_with_its_config_map(world: World) -> None:
    await world.bus()
    sensor = await world.sensor()
    for name in ("one-sensor-bbbbb", "one-sensor-aaaaa"):
        await world.kube.kube.create(of_argo(sensor, name), namespace=world.namespace)
        meta = {"name": name, "labels": FIXED, "ownerReferences": [owned(sensor)]}
        await world.kube.kube.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}, namespace=world.namespace
        )
    other = of_argo(sensor, "somebody-elses")
    other["metadata"].pop("ownerReferences")
    await world.kube.kube.create(other, namespace=world.namespace)
    async with world.controllers():

        async def two() -> list[str]:
            names = sorted(one["metadata"]["name"] for one in await world.all("Deployment"))
            return names if len(names) == 2 else []

        left = await world.until(two, "one of them and somebody else's")
        assert left[1] == "somebody-elses"

        async def one() -> bool:
            return [m["metadata"]["name"] for m in await world.all("ConfigMap", "v1")] == left[:1]

        await world.until(one, "one ConfigMap")
        await world.quiet()


async def test_a_service_that_is_somebody_elses_is_left_alone_and_said(world: World) -> None:
    await world.bus()
    meta = {"name": "src-eventsource-svc"}
    mine = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 5}]}}
    await world.kube.kube.create(mine, namespace=world.namespace)
    await world.source(service={"ports": [{"port": 80}]})
    async with world.controllers():
        told = await world.condition("EventSource", "src", "Deployed", "False", "CreateServiceFailed")
        assert "does not control" in told["message"]
        await world.deployment()
        await world.quiet()
    found = await world.get("Service", "src-eventsource-svc", "v1")
    assert found is not None
    assert found["spec"]["ports"][0]["port"] == 5


@ON_A_SERVER
async def test_a_services_address_makes_it_anew(world: World) -> None:
    await world.bus()
    await world.source(service={"ports": [{"port": 80}]})
    async with world.controllers():
        first = await world.until(lambda: world.get("Service", "src-eventsource-svc", "v1"))
        await world.change("EventSource", "src", {"spec": {"service": {"clusterIP": "None"}}})

        async def headless() -> bool:
            found = await world.get("Service", "src-eventsource-svc", "v1")
            return bool(found and found["spec"]["clusterIP"] == "None")

        await world.until(headless, "a headless Service")
        again = await world.get("Service", "src-eventsource-svc", "v1")
        assert again is not None
        assert again["metadata"]["uid"] != first["metadata"]["uid"]

        # What the server refuses costs nobody the Service that is there.
        await world.change("EventSource", "src", {"spec": {"service": {"ports": [{"port": 99999}]}}})
        await world.condition("EventSource", "src", "Deployed", "False", "CreateServiceFailed")
        kept = await world.get("Service", "src-eventsource-svc", "v1")
        assert kept is not None
        assert kept["metadata"]["uid"] == again["metadata"]["uid"]

        await world.change("EventSource", "src", {"spec": {"service": {"clusterIP": None, "ports": [{"port": 80}]}}})

        async def addressed() -> bool:
            found = await world.get("Service", "src-eventsource-svc", "v1")
            return bool(found and found["spec"]["clusterIP"] != "None")

        await world.until(addressed, "an address")
        await world.quiet()


async def test_a_former_finalizer_goes_and_a_deleted_object_is_not_held(world: World) -> None:
    await world.bus()
    for kind, name in (("Sensor", "sensor"), ("EventSource", "eventsource")):
        finalizers = ["keep.me/please", f"{name}-controller"]
        await world.put(kind, "held", {}, finalizers=finalizers)
        await world.put(kind, "free", {}, finalizers=finalizers[1:])
        await world.delete(kind, "free")
    async with world.controllers():
        for kind in ("Sensor", "EventSource"):

            async def gone(kind: str = kind) -> bool:
                held = await world.get(kind, "held")
                assert held is not None
                return held["metadata"]["finalizers"] == ["keep.me/please"] and await world.get(kind, "free") is None

            await world.until(gone, "no finalizer of ours")
        await world.quiet()
    for kind in ("Sensor", "EventSource"):
        await world.change(kind, "held", {"metadata": {"finalizers": None}})


async def test_what_the_api_server_refuses_is_said_and_tried_again(world: World) -> None:
    await world.bus()
    world.kube.failing["patch"].append(KubeError(403, "Forbidden", "exceeded quota: no more config maps"))
    await world.sensor()
    async with world.controllers():

        async def forbidden() -> bool:
            return any(one["reason"] == "CreateDeploymentFailed" for one in await world.all("Event", "v1", ""))

        await world.until(forbidden, "what was refused")
        await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")


async def test_what_passes_by_itself_is_no_condition(world: World) -> None:
    await world.bus()
    world.kube.failing["patch"] += [
        KubeError(500, "", "etcd"),
        ActionError("no answer"),
        KubeError(409, "Conflict", "c"),
    ]
    await world.sensor()
    async with world.controllers():
        await world.condition("Sensor", "one", "Deployed", "False", "PodsNotReady")
        assert not [one for one in await world.all("Event", "v1", "") if one["reason"].endswith("Failed")]


async def test_names_that_cannot_be_labels_are_said(world: World) -> None:
    await world.bus()
    name = "x" * 64
    await world.put("Sensor", name, {"dependencies": [], "triggers": []})
    await world.sensor(f"y{name}")
    async with world.controllers():
        told = await world.condition("Sensor", f"y{name}", "Deployed", "False", "BuildDeploymentSpecFailed")
        assert "63 characters" in told["message"]
        await world.quiet()


async def test_an_object_too_large_for_its_pods_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.kube.carried.MAX_BYTES", 1000)
    await world.bus()
    await world.sensor("big", trigger("t", headers={"h": "x" * 1000}))
    async with world.controllers():
        told = await world.condition("Sensor", "big", "Deployed", "False", "BuildDeploymentSpecFailed")
        assert "split it" in told["message"]


async def test_a_defect_in_judging_one_object_is_its_own_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.bus()
    judge = stored.judge

    def failing(raw: Object) -> Any:
        if raw["metadata"]["name"] == "poison":
            raise RuntimeError("a defect")
        return judge(raw)

    monkeypatch.setattr(stored, "judge", failing)
    await world.sensor("poison")
    await world.sensor("good")
    async with world.controllers():
        await world.condition("Sensor", "good", "Deployed", "False", "PodsNotReady")
