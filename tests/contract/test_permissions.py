"""The roles of the controller against what it asks of an API server with roles: nothing refused, nothing to spare.

The controller runs with the account of `manifests/install.yaml` through all that happens to objects: made, changed,
broken, repaired, taken over, deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.keryx import Keryx
from support.recorded_calls import Call, Recorded, granted, recorded, user
from support.workload_player import Player

from events.app import manifests
from events.app.manifests import roles
from events.kube import patches
from events.kube.api import KubeApi, Object

API = "argoproj.io/v1alpha1"
HOOK = {"endpoint": "/a", "port": "12000", "method": "POST"}
SETTLED = 60.0
LEFT = {
    API: ("Sensor", "EventSource", "EventBus"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "v1": ("PersistentVolumeClaim", "Secret", "Service"),
    "policy/v1": ("PodDisruptionBudget",),
}
"""Of these nothing must be left."""
UNSEEN = {
    # A real server asks for them too, where server-side apply makes an object.
    *(Call("create", "", resource) for resource in ("configmaps", "services")),
    *(Call("create", "apps", resource) for resource in ("deployments", "statefulsets")),
    Call("create", "policy", "poddisruptionbudgets"),
    # And for these where owners are protected (the admission plugin OwnerReferencesPermissionEnforcement).
    *(Call("update", "argoproj.io", f"{kind}/finalizers") for kind in roles.KINDS),
}
"""What our own server does not ask for."""


@asynccontextmanager
async def controller(place: Recorded, folder: Path) -> AsyncIterator[Keryx]:
    """`keryx controller` with its account."""
    config = next(one for one in manifests.cluster_install() if one["kind"] == "ConfigMap")
    file = folder / "config.yaml"
    file.write_text(config["data"]["controller-config.yaml"])
    environ = {
        "KUBECONFIG": str(await place.kubeconfig_of(roles.CONTROLLER, roles.NAMESPACE)),
        "NAMESPACE": roles.NAMESPACE,
        "POD_NAME": "controller-manager-0",
        "ARGO_EVENTS_IMAGE": "registry.invalid/keryx:test",
    }
    ports = ("--metrics-port", "0", "--health-port", "0")
    running = Keryx(folder, "controller", "--config-file", file, *ports, environ=environ).start()
    try:
        yield running
        assert await running.stop() == 0
    finally:
        running.close()


class Cluster:
    """What people do, as an administrator."""

    def __init__(self, kube: KubeApi, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace

    async def make(self, kind: str, name: str, spec: Any, api_version: str = API, **meta: Any) -> Object:
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **meta}, **spec}
        return await self.kube.create(body, namespace=self.namespace)

    async def change(self, kind: str, name: str, body: Any, *, status: bool = False) -> Object:
        resource = await self.kube.resource(API, kind)
        patch = {"content_type": patches.MERGE, "namespace": self.namespace, "status": status}
        return await self.kube.patch(resource, name, body, **patch)

    async def all(self, api_version: str, kind: str) -> list[Object]:
        found = await self.kube.list(await self.kube.resource(api_version, kind), namespace=self.namespace)
        items: list[Object] = found["items"]
        return items

    async def until(self, kind: str, name: str, status: str, reason: str = "") -> Object:
        """The object, once its condition Deployed is so."""
        resource = await self.kube.resource(API, kind)
        async with asyncio.timeout(SETTLED):
            while True:
                found = await self.kube.get(resource, name, namespace=self.namespace)
                told = {one["type"]: one for one in (found.get("status") or {}).get("conditions") or ()}
                deployed = told.get("Deployed") or {}
                if deployed.get("status") == status and (not reason or deployed.get("reason") == reason):
                    return found
                await asyncio.sleep(0.02)

    async def until_gone(self, api_version: str, kind: str, name: str = "") -> None:
        """No object of the kind is left, or none of this name."""
        async with asyncio.timeout(SETTLED):
            while any(name in (one["metadata"]["name"], "") for one in await self.all(api_version, kind)):
                await asyncio.sleep(0.02)

    async def delete(self, kind: str, name: str) -> None:
        await self.kube.delete(await self.kube.resource(API, kind), name, namespace=self.namespace)


async def first_life(cluster: Cluster) -> None:
    """Objects come, also with what Argo Events left of them, and change."""
    hooks = {"spec": {"webhook": {"push": HOOK}, "service": {"ports": [{"port": 12000}]}}}
    dependency = {"name": "d", "eventSourceName": "hooks", "eventName": "push"}
    sensor = {"spec": {"dependencies": [dependency], "triggers": [{"template": {"name": "t", "log": {}}}]}}
    # As Argo Events left them.
    await cluster.make("EventSource", "hooks", hooks, finalizers=["eventsource-controller"])
    await cluster.make("Sensor", "one", sensor, finalizers=["sensor-controller"])
    await former(cluster, await cluster.until("Sensor", "one", "False", "EventBusNotFound"))
    jetstream = {"version": "latest", "persistence": {"volumeSize": "1Gi"}}
    await cluster.make("EventBus", "default", {"spec": {"jetstream": jetstream}})
    await cluster.until("EventBus", "default", "True")
    await cluster.until("EventSource", "hooks", "True")
    await cluster.until("Sensor", "one", "True")
    # A Service gets another address, which is for life, and is not wanted any more.
    await cluster.change("EventSource", "hooks", {"spec": {"service": {"clusterIP": "None"}}})
    await cluster.until("EventSource", "hooks", "True")
    await cluster.change("EventSource", "hooks", {"spec": {"service": None}})
    await cluster.until_gone("v1", "Service", "hooks-eventsource-svc")
    await second_deployment(cluster, "hooks")
    await lose(cluster, 2)


async def second_life(cluster: Cluster) -> None:
    """The controller starts again, says what it has said before; and all goes."""
    await lose(cluster, 3)
    await spoil_secret(cluster)
    await cluster.change("EventBus", "default", {"spec": {"jetstream": {"replicas": 1}}})
    await cluster.until_gone("policy/v1", "PodDisruptionBudget")
    for servers in await cluster.all("apps/v1", "StatefulSet"):
        labels = servers["spec"]["selector"]["matchLabels"]
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await cluster.make("PersistentVolumeClaim", "data-0", {"spec": claim}, "v1", labels=labels)
    for kind, name in (("Sensor", "one"), ("EventSource", "hooks"), ("EventBus", "default")):
        await cluster.delete(kind, name)
    for api_version, kinds in LEFT.items():
        for kind in kinds:
            await cluster.until_gone(api_version, kind)


async def former(cluster: Cluster, sensor: Object) -> None:
    """A Deployment of Argo Events."""
    meta, name = sensor["metadata"], sensor["metadata"]["name"]
    labels = {"controller": "sensor-controller", "sensor-name": name, "owner-name": name}
    owner = {"apiVersion": API, "kind": "Sensor", "name": name, "uid": meta["uid"], "controller": True}
    pod = {"containers": [{"name": "main", "image": "registry.invalid/former:1"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    body = {"spec": {"selector": {"matchLabels": labels}, "template": template}}
    notes = {"resource-spec-hash": "3702381868"}
    more: Any = {"labels": labels, "ownerReferences": [owner], "annotations": notes}
    await cluster.make("Deployment", f"{name}-sensor-abcde", body, "apps/v1", **more)


async def lose(cluster: Cluster, times: int) -> None:
    """A Sensor loses its bus and finds it again: the same Event, counted."""
    for _ in range(times):
        await cluster.change("Sensor", "one", {"spec": {"eventBusName": "nowhere"}})
        await cluster.until("Sensor", "one", "False", "EventBusNotFound")
        await cluster.change("Sensor", "one", {"spec": {"eventBusName": None}})
        await cluster.until("Sensor", "one", "True")
    async with asyncio.timeout(SETTLED):
        while not any((one.get("count") or 0) > times for one in await cluster.all("v1", "Event")):
            await asyncio.sleep(0.02)


async def spoil_secret(cluster: Cluster) -> None:
    """One of the bus's Secrets loses what is in it; Secrets are not watched, so something else happens to the bus."""
    resource = await cluster.kube.resource("v1", "Secret")
    name = "eventbus-default-js-client-auth"
    spoiled = {"content_type": patches.MERGE, "namespace": cluster.namespace}
    await cluster.kube.patch(resource, name, {"data": {"client-auth": None}}, **spoiled)
    await cluster.change("EventBus", "default", {"metadata": {"labels": {"looked": "at"}}})
    async with asyncio.timeout(SETTLED):
        while "client-auth" not in ((await cluster.kube.get(resource, name, namespace="work")).get("data") or {}):
            await asyncio.sleep(0.02)


async def second_deployment(cluster: Cluster, name: str) -> None:
    """Somebody else made one for the same object; one stays, and its ConfigMap."""
    for api_version, kind in (("apps/v1", "Deployment"), ("v1", "ConfigMap")):
        found = [one for one in await cluster.all(api_version, kind) if name in one["metadata"]["name"]]
        assert len(found) == 1
        meta = {key: found[0]["metadata"][key] for key in ("labels", "ownerReferences")}
        content = {key: found[0][key] for key in ("spec", "data") if key in found[0]}
        await cluster.make(kind, f"{name}-other", content, api_version, **meta)
    async with asyncio.timeout(SETTLED):
        while any(
            one["metadata"]["name"] == f"{name}-other"
            for one in [*await cluster.all("apps/v1", "Deployment"), *await cluster.all("v1", "ConfigMap")]
        ):
            await asyncio.sleep(0.02)


async def test_the_controller_asks_for_what_its_roles_allow_and_for_all_of_it(tmp_path: Path) -> None:
    async with recorded(tmp_path) as place:
        await place.namespace(roles.NAMESPACE)
        await place.namespace("work")
        await place.apply(manifests.cluster_install())
        player = Player(place.admin)
        cluster = Cluster(place.admin, "work")
        async with player.playing():
            for life in (first_life, second_life):
                async with controller(place, tmp_path) as running:
                    try:
                        await life(cluster)
                    except TimeoutError:
                        pytest.fail(f"{place.refused[:5]} {running.err[-5000:]}")
        assert place.refused == []
        asked = place.calls[user(roles.CONTROLLER, roles.NAMESPACE)]
        allowed = granted([*roles.CONTROLLER_RULES, *roles.SECRET_RULES])
        spare = "\n".join(sorted(" ".join(call) for call in allowed - asked - UNSEEN))
        assert spare == "", spare
