"""A Kubernetes API, in memory or behind the client on a socket, and the triggers on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.kube_server import KubeServer

from events.credentials import Credentials
from events.kube.api import KubeApi, Resource
from events.kube.client import connect
from events.logs import Log
from sensors.base import Firing, Trigger, TriggerContext
from sensors.registry import TRIGGERS

WORKFLOW = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"generateName": "build-"},
    "spec": {"entrypoint": "main", "arguments": {"parameters": [{"name": "ref", "value": "main"}]}},
}
CLUSTER_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "made"},
    "rules": [],
}
WORKFLOWS = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow", namespaced=True)


def refuse() -> Any:
    raise AssertionError("not needed here")


class World:
    """One API and the triggers on it."""

    def __init__(self, kube: KubeApi, server: KubeServer | None = None) -> None:
        self.kube, self.server = kube, server

    def trigger(self, key: str = "k8s", name: str = "build it", sensor: str = "orders", **raw: Any) -> Trigger[Any]:
        made = TRIGGERS.load(key)
        context = TriggerContext("ns", sensor, name, Log("test"), Credentials(()), lambda: self.kube, refuse)
        return made(made.Spec.parse({"source": {"resource": WORKFLOW}} | raw), context)

    async def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in (await self.kube.list(WORKFLOWS))["items"]]


@asynccontextmanager
async def served_world(path: Path) -> AsyncIterator[World]:
    async with KubeServer() as server:
        client = await connect(server.kubeconfig(path / "config"))
        yield World(client, server)
        await client.aclose()


async def fire(trigger: Trigger[Any], firing_id: str = "f-1", *, remakes: int = 0) -> Any:
    return (await trigger.execute(await trigger.fetch(), Firing(firing_id, {}, remakes=remakes))).value
