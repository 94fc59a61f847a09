"""EventBuses on a cluster: what is made, kept and told, against both Kubernetes APIs. The test plays the servers."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from support.dependents import API, World
from support.event_buses import APPS, BASE, JETSTREAM, SECRETS, Buses

from eventbus import secret_data
from eventbus.configuration import Configuration
from events.errors import ActionError
from events.kube import objects
from events.kube.api import Object


@pytest.fixture
async def buses(world: World) -> Buses:
    return Buses(world)


async def test_a_bus_is_deployed_when_its_servers_are_ready_and_says_until_then_how_many_are(buses: Buses) -> None:
    async with buses.running():
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.deployed("False", "PodsNotReady", "0 of 3")
        await buses.ready(2)
        await buses.deployed("False", "PodsNotReady", "2 of 3")
        await buses.ready()
        await buses.deployed("True", "Succeeded")
        await buses.ready(2)
        await buses.deployed("True", "Succeeded", "2 of 3")
        await buses.ready(1)
        await buses.deployed("False", "PodsNotReady", "1 of 3")
    bus = await buses.world.get("EventBus", "default")
    assert bus is not None
    assert bus["metadata"]["finalizers"] == ["eventbus-controller"]
    told = bus["status"]["config"]["jetstream"]
    assert told["url"] == f"nats://{BASE}-svc.{buses.world.namespace}.svc:4222"
    assert told["accessSecret"] == {"name": f"{BASE}-client-auth", "key": "client-auth"}
    for kind, api, name in (
        ("ConfigMap", "v1", f"{BASE}-config"),
        ("Service", "v1", f"{BASE}-svc"),
        ("PodDisruptionBudget", "policy/v1", BASE),
        *(("Secret", "v1", f"{BASE}-{suffix}") for suffix in SECRETS),
    ):
        made = await buses.world.get(kind, name, api)
        assert made is not None, name
        assert [one["uid"] for one in made["metadata"]["ownerReferences"]] == [bus["metadata"]["uid"]]


async def test_nothing_is_written_when_nothing_has_changed(buses: Buses) -> None:
    async with buses.running():
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
        await buses.world.quiet()
    before = buses.world.kube.writes
    async with buses.running() as controller:
        for _ in range(3):
            controller.again()
            await asyncio.sleep(0.2)
        await buses.world.quiet()
    assert buses.world.kube.writes == before


@pytest.mark.parametrize("lost", [["server"], ["backup"], ["client-auth"], ["source-auth"], ["server", "client-auth"]])
async def test_a_secret_that_is_lost_is_what_it_was(buses: Buses, lost: list[str]) -> None:
    async with buses.running() as controller:
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
        await buses.world.quiet()
        before = await buses.secrets()
        for suffix in lost:
            await buses.world.delete("Secret", f"{BASE}-{suffix}", "v1")
        controller.again()

        async def all_there() -> bool:
            return None not in (await buses.secrets()).values()

        await buses.world.until(all_there, "all Secrets")
        assert await buses.secrets() == before


async def test_secrets_are_looked_at_again_and_again_and_nothing_is_made_for_those_that_stay(
    buses: Buses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.controller.LOOK_AGAIN", 0.05)
    made: list[int] = []
    ensured = secret_data.ensured

    def counted(*arguments: Any) -> Any:
        made.append(1)
        return ensured(*arguments)

    monkeypatch.setattr(secret_data, "ensured", counted)
    async with buses.running():
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
        await buses.world.until(Settled(made), "a look without work")
        before, gets = await buses.secrets(), buses.world.kube.calls["get"]
        count = len(made)

        async def looked() -> bool:
            return buses.world.kube.calls["get"] > gets + 50

        await buses.world.until(looked, "further looks")
        assert len(made) == count
        await buses.world.delete("Secret", f"{BASE}-sensor-auth", "v1")

        async def restored() -> bool:
            return await buses.secrets() == before

        await buses.world.until(restored, "the Secret as it was")


class Settled:
    """Whether a while went by in which nothing was made."""

    def __init__(self, made: list[int]) -> None:
        self._made, self._count, self._times = made, -1, 0

    async def __call__(self) -> bool:
        await asyncio.sleep(0.1)
        self._times = self._times + 1 if self._count == len(self._made) else 0
        self._count = len(self._made)
        return self._times >= 5


async def test_over_stored_data_no_other_key_is_made(buses: Buses) -> None:
    world = buses.world
    async with buses.running() as controller:
        await world.put("EventBus", "default", {"jetstream": {"version": "latest", "persistence": {}}})
        made = await buses.servers()
        labels = made["spec"]["selector"]["matchLabels"]
        claim = made["spec"]["volumeClaimTemplates"][0]["spec"]
        meta = {"name": f"{BASE}-vol-{BASE}-0", "labels": labels}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim}
        await world.kube.kube.create(body, namespace=world.namespace)
        await buses.ready()
        await buses.deployed()
        await world.quiet()
        for suffix in ("server", "backup"):
            await world.delete("Secret", f"{BASE}-{suffix}", "v1")
        controller.again()
        await buses.deployed("False", "JetStreamAuthSecretsFailed", "the key of the stored events is lost")
        assert await buses.secret("server") is None
        await world.delete("PersistentVolumeClaim", f"{BASE}-vol-{BASE}-0", "v1")
        controller.again()
        await buses.deployed("False", "PodsNotReady")  # another key rolls them
        await buses.ready()
        await buses.deployed("True")
        assert await buses.secret("server") is not None


async def test_changes_of_the_configuration_roll_the_servers_and_those_of_users_do_not(buses: Buses) -> None:
    def checksum(servers: Object) -> str:
        return str(servers["spec"]["template"]["metadata"]["annotations"]["config-checksum"])

    async with buses.running() as controller:
        await buses.world.put("EventBus", "default", JETSTREAM)
        before = checksum(await buses.servers())
        await buses.world.delete("Secret", f"{BASE}-source-auth", "v1")
        controller.again()
        await buses.world.quiet()
        assert checksum(await buses.servers()) == before
        await buses.world.change("EventBus", "default", {"spec": {"jetstream": {"maxPayload": "2MB"}}})

        async def rolled() -> bool:
            return checksum(await buses.servers()) != before

        await buses.world.until(rolled, "another checksum")
        images = {
            one["name"]: one["image"] for one in (await buses.servers())["spec"]["template"]["spec"]["containers"]
        }
        older = buses.configuration.jetstream.version("2.12.6-alpine")
        latest = older.model_copy(update={"version": "latest"})
        jetstream = buses.configuration.jetstream.model_copy(update={"versions": [latest]})
        bus = buses.configuration.event_bus.model_copy(update={"jetstream": jetstream})
        buses.configuration = Configuration(event_bus=bus)
        controller.again()

        async def other_image() -> bool:
            return images_of(await buses.servers()) != images

        await buses.world.until(other_image, "the other version")


async def test_an_unknown_version_is_said_with_those_there_are(buses: Buses) -> None:
    async with buses.running():
        await buses.world.put("EventBus", "default", {"jetstream": {"version": "0.0.1"}})
        await buses.deployed("False", "JetStreamStatefulSetFailed", "one of latest, 2.14.2")


@pytest.mark.parametrize(
    ("spec", "config", "status"),
    [
        ({"kafka": {"url": "b:9092"}}, {"kafka": {"url": "b:9092", "topic": "{namespace}-default"}}, "True"),
        ({"jetstreamExotic": {"url": "nats://h:4222"}}, {"jetstream": {"url": "nats://h:4222"}}, "True"),
        ({"nats": {"exotic": {"url": "nats://h:4222", "clusterID": "c"}}}, None, "False"),
        ({}, None, "False"),
    ],
)
async def test_buses_that_are_there_already_and_those_that_cannot_be(
    buses: Buses, spec: Any, config: Any, status: str
) -> None:
    world = buses.world
    async with buses.running():
        await world.put("EventBus", "default", spec)
        await world.condition("EventBus", "default", "Configured", status, "" if status == "True" else "InvalidSpec")
        if config is not None:
            await buses.deployed("True", "Skipped")
        bus = await world.get("EventBus", "default")
        assert bus is not None
        wanted = config and {
            kind: {key: text.format(namespace=world.namespace) for key, text in one.items()}
            for kind, one in config.items()
        }
        assert bus["status"].get("config") == wanted
        assert await world.all("StatefulSet") == []
        await world.delete("EventBus", "default")

        async def gone() -> bool:
            return await world.get("EventBus", "default") is None

        await world.until(gone, "the end of the bus")


async def test_native_streaming_is_jetstream_and_its_servers_go(buses: Buses) -> None:
    world = buses.world
    bus = await world.put("EventBus", "default", {"nats": {"native": {"auth": "token"}}})
    former = await put_owned(world, bus, "StatefulSet", "eventbus-default-stan", APPS, spec=a_set())
    async with buses.running():
        await buses.ready()
        await buses.deployed("True", "Succeeded", "in the place of NATS Streaming")
        assert await world.get("StatefulSet", former["metadata"]["name"], APPS) is None


async def test_what_somebody_else_has_is_not_touched(buses: Buses) -> None:
    world = buses.world
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{BASE}-server"}, "data": {"auth": "eA=="}}
    await world.kube.kube.create(theirs, namespace=world.namespace)
    async with buses.running():
        await world.put("EventBus", "default", JETSTREAM)
        await buses.deployed("False", "JetStreamAuthSecretsFailed", "does not control")
    assert await buses.secret("server") == {"auth": "x"}


async def test_a_disruption_budget_of_the_users_own_is_the_only_one(buses: Buses) -> None:
    world = buses.world
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"eventbus-name": "default"}}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "mine"}, "spec": spec}
    await world.kube.kube.create(body, namespace=world.namespace)
    async with buses.running():
        await world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
        assert await world.get("PodDisruptionBudget", BASE, "policy/v1") is None


async def test_what_argo_events_made_is_adopted_with_its_users_and_its_key(buses: Buses) -> None:
    world = buses.world
    bus = await world.put("EventBus", "default", JETSTREAM)
    auth = "accounts: { js: { users: [ { user: Ab12cd34, password: pw1234567890abcd } ] } }"
    data = {"auth": auth, "encryption": "abcdefghijkl"}
    client = {"client-auth": "username: Ab12cd34\npassword: pw1234567890abcd\n"}
    for suffix, texts in (("server", data), ("client-auth", client)):
        coded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        await put_owned(world, bus, "Secret", f"{BASE}-{suffix}", "v1", data=coded)
    await put_owned(world, bus, "ConfigMap", f"{BASE}-config", "v1", data={"nats-js": 'jetstream { key: "$JS_KEY" }'})
    async with buses.running():
        await buses.ready()
        await buses.deployed()
    assert await buses.secret("client-auth") == client
    server = await buses.secret("server")
    assert server is not None
    assert server["encryption"] == "abcdefghijkl"
    assert '"user":"Ab12cd34","password":"pw1234567890abcd"' in server["auth"]
    made = await world.get("ConfigMap", f"{BASE}-config", "v1")
    assert made is not None
    assert 'key: "$JS_KEY"' in made["data"]["nats-js"]


async def test_the_end_waits_for_those_who_use_the_bus_and_takes_what_was_stored(buses: Buses) -> None:
    world = buses.world
    async with buses.running():
        bus = await world.put("EventBus", "default", JETSTREAM)
        await world.sensor("one")
        made = await buses.servers()
        labels = made["spec"]["selector"]["matchLabels"]
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec}
        body["metadata"] = {"name": f"{BASE}-vol-{BASE}-0", "labels": labels}
        await world.kube.kube.create(body, namespace=world.namespace)
        await world.delete("EventBus", "default")
        await buses.deployed("False", None, "it is used by Sensor one")
        assert await world.get("EventBus", "default") is not None
        await world.delete("Sensor", "one")

        async def gone() -> bool:
            return await world.get("EventBus", "default") is None

        await world.until(gone, "the end of the bus")
        assert await world.all("PersistentVolumeClaim", "v1", "eventbus-name=default") == []
        assert await world.get("StatefulSet", BASE, APPS) is None
    assert bus["metadata"]["name"] == "default"


async def test_a_bus_that_became_invalid_can_still_go(buses: Buses) -> None:
    world = buses.world
    async with buses.running():
        await world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
        await world.change("EventBus", "default", {"spec": {"jetstream": {"replicas": 2}}})
        await world.condition("EventBus", "default", "Configured", "False", "InvalidSpec", "replicas")
        await buses.deployed("True")
        assert (await buses.servers())["spec"]["replicas"] == 3
        await world.delete("EventBus", "default")

        async def gone() -> bool:
            return await world.get("EventBus", "default") is None

        await world.until(gone, "the end of the bus")


async def test_an_api_that_fails_now_and_then_is_outlasted(buses: Buses) -> None:
    kube = buses.world.kube
    for verb in ("create", "get", "patch", "list", "create", "patch", "get"):
        kube.failing[verb].append(ActionError("the connection broke"))
    async with buses.running():
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.ready()
        await buses.deployed()
    assert None not in (await buses.secrets()).values()
    assert (await buses.secret("server")) == (await buses.secret("backup"))


def images_of(servers: Object) -> dict[str, str]:
    return {one["name"]: one["image"] for one in servers["spec"]["template"]["spec"]["containers"]}


def a_set() -> Object:
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "stan", "image": "x"}]}}
    return {"selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": pod}


async def put_owned(world: World, bus: Object, kind: str, name: str, api_version: str, **fields: Any) -> Object:
    """An object as Argo Events leaves it."""
    owner = {
        "apiVersion": API,
        "kind": "EventBus",
        "name": "default",
        "uid": bus["metadata"]["uid"],
        "controller": True,
    }
    labels = {"controller": "eventbus-controller", "eventbus-name": "default", "owner-name": "default"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    body = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
    return await world.kube.kube.create(objects.copied(body), namespace=world.namespace)
