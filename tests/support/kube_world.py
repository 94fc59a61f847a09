"""A Kubernetes API, in memory or behind the client on a socket, and the triggers on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.kube_server import KubeServer

from events.credentials import Credentials
from events.kube.api import KubeApi, Resource
from events.kube.client import connect
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.server import Server, Settings
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


DEFINED = (("workflows", "Workflow"), ("workflowtemplates", "WorkflowTemplate"), ("cronworkflows", "CronWorkflow"))


def definition(plural: str, kind: str) -> dict[str, Any]:
    """A CustomResourceDefinition of argoproj.io that lets everything through."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.argoproj.io"},
        "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }


@asynccontextmanager
async def local_world(path: Path) -> AsyncIterator[World]:
    """The client on our own API server, with the kinds of Argo Workflows and two namespaces."""
    async with Server(Settings(path / "api"), Log("test")) as server:
        kubeconfig.write(path / "config", server.kubeconfig())
        client = await connect(str(path / "config"))
        try:
            for name in ("ns", "own"):
                await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            for plural, kind in DEFINED:
                await until_served(client, await client.create(definition(plural, kind)))
            yield World(client)
        finally:
            await client.aclose()


async def until_served(client: KubeApi, it: dict[str, Any]) -> None:
    """A definition is served a moment after it was created."""
    resource = await client.resource(it["apiVersion"], it["kind"])
    for _ in range(250):
        found = await client.get(resource, it["metadata"]["name"])
        conditions = (found.get("status") or {}).get("conditions") or ()
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{it['metadata']['name']} is not served")


async def fire(trigger: Trigger[Any], firing_id: str = "f-1", *, remakes: int = 0) -> Any:
    return (await trigger.execute(await trigger.fetch(), Firing(firing_id, {}, remakes=remakes))).value
